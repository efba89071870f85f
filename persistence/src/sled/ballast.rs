//! A file that takes up space, to be given up where a full disk would keep the store from opening.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

use rustix::fs::{FallocateFlags, fallocate};

/// Makes the file, unless it is there in its full size.
pub(super) fn keep(path: &Path, bytes: u64) -> io::Result<()> {
    if bytes == 0 || fs::metadata(path).is_ok_and(|found| found.len() >= bytes) {
        return Ok(());
    }
    let made = fill(path, bytes);
    if made.is_err() {
        // A part of it would be taken for all of it, or take up space that is needed.
        let _ = fs::remove_file(path);
    }
    made
}

fn fill(path: &Path, bytes: u64) -> io::Result<()> {
    let mut file = File::create(path)?;
    if fallocate(&file, FallocateFlags::empty(), 0, bytes).is_ok() {
        return Ok(());
    }
    // Not every file system can set space aside.
    let block = [0; 64 << 10];
    let mut left = bytes;
    while left > 0 {
        let piece = block.len().min(usize::try_from(left).unwrap_or(block.len()));
        file.write_all(&block[..piece])?;
        left -= piece as u64;
    }
    file.sync_all()
}
