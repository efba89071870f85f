//! The files of a store: opening them whatever state they are in, and making writes last.

use std::{
    fs::{self, File},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use rustix::fs::{statvfs, syncfs};
use sled::Batch;

use super::{
    SledOptions, ballast,
    catalogue::Catalogue,
    failed, of_sled,
    rows::{Rows, store_key},
    seal,
};
use crate::{BacklogError, Loss};

/// The version of what is written here. In the first one, each record had a row of its own; such rows
/// are read as they are, and whoever only looks leaves it so.
const FORMAT: u32 = 2;
/// The first.
const LONE_RECORDS: u32 = 1;
/// How far apart two changes may be that a file system gives the same time.
const TICK: Duration = Duration::from_millis(20);

/// A store's files, open.
#[derive(Debug)]
pub(super) struct Files {
    db: sled::Db,
    pub(super) tree: sled::Tree,
    log: File,
    directory: PathBuf,
    /// When the directory of large values last changed, as far as it is surely synced.
    blobs: Mutex<Option<SystemTime>>,
    broken: AtomicBool,
    /// Whether it is of the first format, until something is written.
    outdated: AtomicBool,
    /// The number that the store was closed with, until something is written.
    sealed: Mutex<Option<i64>>,
}

fn damaged(what: &str) -> BacklogError {
    BacklogError::Damaged(what.into())
}

fn io_failed(what: &Path) -> impl FnOnce(io::Error) -> BacklogError {
    let what = what.display().to_string();
    move |error| match error.kind() {
        io::ErrorKind::StorageFull => BacklogError::Full,
        _ => BacklogError::Failed(format!("{what}: {error}").into()),
    }
}

/// Opens a store, moving a damaged one aside: then, that is the catalogue's first loss.
pub(super) fn open(
    directory: &Path,
    options: &SledOptions,
) -> Result<(Files, Catalogue), BacklogError> {
    if let Some(parent) = directory.parent() {
        fs::create_dir_all(parent).map_err(io_failed(parent))?;
    }
    let first = match open_as_it_is(directory, options) {
        Err(BacklogError::Full) => {
            // This is what the ballast is for.
            let _ = fs::remove_file(ballast_of(directory));
            open_as_it_is(directory, options)
        }
        opened => opened,
    };
    let (files, catalogue) = match first {
        Err(BacklogError::Damaged(_)) => return begin_anew(directory, options),
        opened => opened?,
    };
    files.keep_ballast(options);
    Ok((files, catalogue))
}

/// Moves a store aside and makes an empty one.
pub(super) fn begin_anew(
    directory: &Path,
    options: &SledOptions,
) -> Result<(Files, Catalogue), BacklogError> {
    let closed = seal::read(directory).unwrap_or(0);
    let aside = move_aside(directory).map_err(io_failed(directory))?;
    let options = SledOptions { shared_floor: options.shared_floor.max(closed), ..options.clone() };
    let (files, mut catalogue) = open_as_it_is(directory, &options)?;
    catalogue.losses.insert(0, Loss::Store(aside));
    files.keep_ballast(&options);
    Ok((files, catalogue))
}

/// Opens a store; a damaged one is an error.
pub(super) fn open_as_it_is(
    directory: &Path,
    options: &SledOptions,
) -> Result<(Files, Catalogue), BacklogError> {
    let path = directory.join("db");
    // sled writes down its own settings when it makes a store.
    let existed = directory.join("conf").exists();
    if existed && !fs::metadata(&path).is_ok_and(|found| found.len() > 0) {
        return Err(damaged("its log is empty or missing"));
    }
    let opened = catch_unwind(AssertUnwindSafe(|| {
        let db = sled::Config::new()
            .path(directory)
            .cache_capacity(options.cache_bytes)
            .flush_every_ms(None)
            .open()
            .map_err(|error| match error.to_string() {
                text if text.contains("could not acquire lock") => BacklogError::InUse,
                _ => of_sled(error),
            })?;
        let tree: sled::Tree = (*db).clone();
        // sled takes a log that it cannot read at all for an empty one.
        if existed && tree.is_empty() {
            return Err(damaged("nothing of its log can be read"));
        }
        let log = File::open(&path).map_err(io_failed(&path))?;
        let files = Files {
            db,
            tree,
            log,
            directory: directory.to_path_buf(),
            blobs: Mutex::new(None),
            broken: AtomicBool::new(false),
            outdated: AtomicBool::new(false),
            sealed: Mutex::new(seal::read(directory)),
        };
        let catalogue = files.load(options)?;
        Ok((files, catalogue))
    }));
    // sled panics over some kinds of damage.
    opened.unwrap_or_else(|_| Err(damaged("opening it panicked")))
}

fn ballast_of(directory: &Path) -> PathBuf {
    beside(directory, "ballast")
}

fn beside(directory: &Path, what: &str) -> PathBuf {
    let mut name = directory.as_os_str().to_owned();
    name.push(".");
    name.push(what);
    PathBuf::from(name)
}

#[expect(clippy::disallowed_methods, reason = "a name for what is moved aside")]
fn move_aside(directory: &Path) -> io::Result<PathBuf> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mut aside = beside(directory, &format!("corrupt-{since}"));
    let mut number = 1;
    while aside.exists() {
        number += 1;
        aside = beside(directory, &format!("corrupt-{since}-{number}"));
    }
    fs::rename(directory, &aside)?;
    Ok(aside)
}

/// Bytes of all files below a directory.
pub(super) fn size_of(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(found) if found.is_dir() => size_of(&entry.path()),
            Ok(found) => found.len(),
            Err(_) => 0,
        })
        .sum()
}

impl Files {
    /// Checks the format, or writes it into an empty store; the shared floor.
    fn begin(&self, floor_if_empty: i64) -> Result<i64, BacklogError> {
        if self.tree.is_empty() {
            let mut batch = Batch::default();
            batch.insert(store_key("format"), &FORMAT.to_be_bytes()[..]);
            batch.insert(store_key("floor"), &floor_if_empty.to_be_bytes()[..]);
            self.apply(batch)?;
            self.flush()?;
            return Ok(floor_if_empty);
        }
        let format = self.tree.get(store_key("format")).map_err(of_sled)?;
        match format.and_then(|row| row.as_ref().try_into().map(u32::from_be_bytes).ok()) {
            Some(known @ (LONE_RECORDS | FORMAT)) => {
                self.outdated.store(known != FORMAT, Ordering::Relaxed);
                self.number("floor")?.ok_or_else(|| damaged("it has no floor"))
            }
            Some(found) if found > FORMAT => Err(BacklogError::Newer { found, known: FORMAT }),
            found => Err(damaged(&format!("no store has the format {found:?}"))),
        }
    }

    /// A number that is stored once.
    fn number(&self, name: &str) -> Result<Option<i64>, BacklogError> {
        let row = self.tree.get(store_key(name)).map_err(of_sled)?;
        row.map(|row| row.as_ref().try_into().map(i64::from_be_bytes))
            .transpose()
            .map_err(|_| damaged("a number makes no sense"))
    }

    /// Reads what there is, and whether all of it is there.
    fn load(&self, options: &SledOptions) -> Result<Catalogue, BacklogError> {
        let shared_floor = self.begin(options.shared_floor)?;
        let sealed = *self.sealed.lock();
        let whole = sealed == self.number("closed")?;
        let closed = whole && sealed.is_some();
        let mut catalogue = Catalogue::load(self, shared_floor, closed, options)?;
        if let (Some(sealed), false) = (sealed, whole) {
            catalogue.raise_all(sealed.max(options.shared_floor));
            catalogue.losses.push(Loss::End);
            // Before the seal is broken: if this does not come to its end, it happens again.
            let mut rows = Rows::default();
            catalogue.note_floors(&mut rows);
            for batch in rows.into_batches() {
                self.put(batch)?;
            }
            self.break_seal()?;
        }
        Ok(catalogue)
    }

    /// Writes rows, a batch all or none. They last from the next [`Files::flush`] on.
    pub(super) fn apply(&self, mut batch: Batch) -> Result<(), BacklogError> {
        if self.break_seal()? {
            batch.remove(store_key("closed"));
        }
        if self.outdated.swap(false, Ordering::Relaxed) {
            batch.insert(store_key("format"), &FORMAT.to_be_bytes()[..]);
        }
        self.guard(|| self.tree.apply_batch(batch))
    }

    /// Something is about to be written. True for the first time.
    fn break_seal(&self) -> Result<bool, BacklogError> {
        let mut sealed = self.sealed.lock();
        if sealed.is_some()
            && let Err(error) = seal::remove(&self.directory)
        {
            // Whatever was to be written is only in memory.
            self.broken.store(true, Ordering::Relaxed);
            return Err(io_failed(&self.directory)(error));
        }
        Ok(sealed.take().is_some())
    }

    /// Writes rows and makes them last. sled holds on to memory if it is not told to write after
    /// each batch; the disk has to be waited for only once.
    pub(super) fn write(&self, rows: Rows) -> Result<(), BacklogError> {
        for batch in rows.into_batches() {
            self.apply(batch)?;
            self.guard(|| self.db.flush().map(drop))?;
        }
        self.sync()
    }

    fn put(&self, batch: Batch) -> Result<(), BacklogError> {
        self.guard(|| self.tree.apply_batch(batch))?;
        self.flush()
    }

    /// Makes what was written last.
    pub(super) fn flush(&self) -> Result<(), BacklogError> {
        self.guard(|| self.db.flush().map(drop))?;
        self.sync()
    }

    fn sync(&self) -> Result<(), BacklogError> {
        let synced = self.log.sync_data().and_then(|()| self.sync_blobs());
        synced.map_err(|error| {
            self.broken.store(true, Ordering::Relaxed);
            io_failed(&self.directory)(error)
        })
    }

    /// Notes, with the last write, that the store was closed.
    pub(super) fn seal(&self, number: i64) -> Result<(), BacklogError> {
        if self.sealed.lock().is_some() {
            return Ok(());
        }
        let mut batch = Batch::default();
        batch.insert(store_key("closed"), &number.to_be_bytes()[..]);
        self.put(batch)?;
        // Without the file, the next start only has to count.
        let _ = seal::write(&self.directory, number);
        Ok(())
    }

    /// sled keeps large values in files of their own, which it does not sync.
    #[expect(clippy::disallowed_methods, reason = "compared with the time of a file")]
    fn sync_blobs(&self) -> io::Result<()> {
        let changed = fs::metadata(self.directory.join("blobs")).and_then(|found| found.modified());
        let Ok(changed) = changed else { return Ok(()) };
        let mut synced = self.blobs.lock();
        if synced.is_none_or(|synced| synced != changed) {
            // What comes within the same tick of the clock leaves no other time.
            let settled = SystemTime::now().duration_since(changed).is_ok_and(|ago| ago > TICK);
            syncfs(&self.log)?;
            *synced = Some(changed).filter(|_| settled);
        }
        Ok(())
    }

    fn guard(&self, work: impl FnOnce() -> sled::Result<()>) -> Result<(), BacklogError> {
        // A device that cannot be written to says nothing about what it holds.
        let said = |error| match error {
            sled::Error::Io(error) => failed(error),
            error => of_sled(error),
        };
        let outcome = catch_unwind(AssertUnwindSafe(|| work().map_err(said)))
            .unwrap_or_else(|_| Err(failed("writing panicked")));
        self.broken.fetch_or(outcome.is_err(), Ordering::Relaxed);
        outcome
    }

    /// Whether sled has failed and has to be opened anew.
    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// Free space where the store lies.
    pub(super) fn free_bytes(&self) -> Result<u64, BacklogError> {
        let found = statvfs(&self.directory).map_err(failed)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }

    /// Makes the ballast where it is missing and there is space enough. Without it, only opening on a
    /// full disk is harder.
    pub(super) fn keep_ballast(&self, options: &SledOptions) {
        let enough = options.reserve_bytes.saturating_add(2 * options.ballast_bytes);
        if self.free_bytes().is_ok_and(|free| free > enough) {
            let _ = ballast::keep(&ballast_of(&self.directory), options.ballast_bytes);
        }
    }
}
