//! Files that hold keys: read within a bound, and told apart from what they were.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The largest file, and the largest answer, that keys are read from.
pub(super) const KEYS_BYTES: usize = 256 << 10;

/// What shows that a file is another: when it was written, how long it is, and which one it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp(i64, i64, u64, u64);

/// How a file is now; `None` if it cannot be said.
pub(super) fn stamp(path: &Path) -> Option<Stamp> {
    fs::metadata(path).ok().map(|meta| of(&meta))
}

fn of(meta: &fs::Metadata) -> Stamp {
    Stamp(meta.mtime(), meta.mtime_nsec(), meta.len(), meta.ino())
}

/// All of a file, and how it was just before.
pub(super) fn read(path: &Path) -> Result<(Vec<u8>, Stamp), String> {
    let about = |error: std::io::Error| format!("{}: {error}", path.display());
    let file = File::open(path).map_err(about)?;
    let stamp = of(&file.metadata().map_err(about)?);
    let mut bytes = Vec::new();
    file.take(KEYS_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(about)?;
    if bytes.len() > KEYS_BYTES {
        return Err(format!("{}: is larger than {KEYS_BYTES} bytes", path.display()));
    }
    Ok((bytes, stamp))
}
