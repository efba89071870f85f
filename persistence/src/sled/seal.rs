//! What tells a store that was closed from one that was left, and a whole one from one whose end is
//! missing. sled opens a log that was cut off as if nothing more had ever been written.
//!
//! The last thing written before the end is a number, once as a row and once in a file of its own.
//! Both are removed before anything else is written. So where the file is and the row is another or
//! none, what was written last is gone.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

/// The file's name in the directory of the store.
const NAME: &str = "closed";

/// The number in the file, if the store was closed.
pub(super) fn read(directory: &Path) -> Option<i64> {
    let text = fs::read_to_string(directory.join(NAME)).ok()?;
    text.strip_suffix('\n')?.parse().ok()
}

/// The store is closed.
pub(super) fn write(directory: &Path, number: i64) -> io::Result<()> {
    let mut file = File::create(directory.join(NAME))?;
    writeln!(file, "{number}")?;
    file.sync_all()?;
    File::open(directory)?.sync_all()
}

/// The store is about to change.
pub(super) fn remove(directory: &Path) -> io::Result<()> {
    match fs::remove_file(directory.join(NAME)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    File::open(directory)?.sync_all()
}
