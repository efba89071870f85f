//! One directory takes the place of another, such that a good one is there whatever happens.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with, syncfs};
use rustix::io::Errno;

/// `store` and `old` make `store.old`, in the same directory.
pub(crate) fn beside(place: &Path, what: &str) -> PathBuf {
    let mut name = OsString::from(place);
    name.push(".");
    name.push(what);
    PathBuf::from(name)
}

/// Puts `new` where nothing is, or an empty directory. What is in it is on disk before; that it is
/// there lasts from [`sync_above`] on.
///
/// # Errors
/// What the file system says; then nothing was changed.
pub(crate) fn fill(new: &Path, place: &Path) -> io::Result<()> {
    syncfs(File::open(new)?)?;
    fs::rename(new, place)
}

/// Puts `new` where `place` is, and says where that which was there lies now. What is in `new` is
/// on disk before; that it is there lasts from [`sync_above`] on, so the other is to stay until
/// then.
///
/// # Errors
/// What the file system says; then nothing was changed.
pub(crate) fn replace(new: &Path, place: &Path) -> io::Result<PathBuf> {
    syncfs(File::open(new)?)?;
    match renameat_with(CWD, new, CWD, place, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(new.to_path_buf()),
        // Some file systems cannot exchange two names.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => in_two_steps(new, place),
        Err(error) => Err(error.into()),
    }
}

/// Between the two steps nothing is in the place: [`put_back`] mends that.
fn in_two_steps(new: &Path, place: &Path) -> io::Result<PathBuf> {
    let old = beside(place, "old");
    if old.exists() {
        let text = format!("{} is in the way: remove it if it is not needed", old.display());
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
    }
    fs::rename(place, &old)?;
    if let Err(error) = fs::rename(new, place) {
        fs::rename(&old, place)?;
        return Err(error);
    }
    Ok(old)
}

/// Undoes what [`replace`] began before a crash: what was in the place is put there again. Says whether
/// that was necessary.
///
/// # Errors
/// What the file system says.
pub(crate) fn put_back(place: &Path) -> io::Result<bool> {
    let old = beside(place, "old");
    if place.symlink_metadata().is_ok() || !old.exists() {
        return Ok(false);
    }
    fs::rename(&old, place)?;
    sync_above(place)?;
    Ok(true)
}

/// Makes a name last that was given or taken away.
///
/// # Errors
/// What the file system says.
pub(crate) fn sync_above(path: &Path) -> io::Result<()> {
    let above = path.parent().filter(|above| !above.as_os_str().is_empty());
    File::open(above.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Directory(PathBuf);

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// A directory with the directories that are named, each with a file of that name.
    fn with(name: &str, names: &[&str]) -> (Directory, PathBuf, PathBuf) {
        let path = std::env::temp_dir().join(format!("weft-swap-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        for name in names {
            fs::create_dir_all(path.join(name)).unwrap();
            fs::write(path.join(name).join(name), name).unwrap();
        }
        let (new, place) = (path.join("store.new"), path.join("store"));
        (Directory(path), new, place)
    }

    #[test]
    fn the_new_one_is_in_the_place_and_the_old_one_is_kept() {
        for change in [replace, in_two_steps] {
            let (_directory, new, place) = with("change", &["store", "store.new"]);
            let old = change(&new, &place).unwrap();
            assert!(place.join("store.new").exists() && old.join("store").exists());
        }
        let (_directory, new, place) = with("fill", &["store.new"]);
        fs::create_dir(&place).unwrap();
        fill(&new, &place).unwrap();
        assert!(place.join("store.new").exists() && !new.exists());
    }

    #[test]
    fn nothing_is_changed_when_it_fails() {
        let (_directory, new, place) = with("way", &["store", "store.new", "store.old"]);
        assert!(in_two_steps(&new, &place).unwrap_err().to_string().contains("in the way"));
        assert!(place.join("store").exists() && new.exists());

        let (_directory, new, place) = with("missing", &["store"]);
        assert!(replace(&new, &place).is_err() && in_two_steps(&new, &place).is_err());
        assert!(place.join("store").exists());

        let (_directory, new, place) = with("full", &["store", "store.new"]);
        assert!(fill(&new, &place).is_err());
        assert!(place.join("store").exists() && new.exists());
    }

    #[test]
    fn what_a_crash_left_aside_is_put_back_and_nothing_else() {
        let (_directory, _, place) = with("crash", &["store.old", "store.new"]);
        assert!(put_back(&place).unwrap());
        assert!(place.join("store.old").exists());
        assert!(!put_back(&place).unwrap());

        let (_directory, _, place) = with("whole", &["store", "store.old"]);
        assert!(!put_back(&place).unwrap());
        assert!(place.join("store").exists());
    }
}
