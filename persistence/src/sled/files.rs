//! The files of a store: opening them whatever state they are in, and making writes last.

use std::{
    fs::{self, File, OpenOptions},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use rustix::fs::{FallocateFlags, fallocate, statvfs, syncfs};
use sled::Batch;

use super::{
    SledOptions,
    catalogue::Catalogue,
    failed,
    rows::{parse_record, position_of, store_key},
};
use crate::{BacklogError, Record};

/// The version of what is written here.
const FORMAT: u32 = 1;

/// A store's files, open.
#[derive(Debug)]
pub(super) struct Files {
    db: sled::Db,
    pub(super) tree: sled::Tree,
    log: File,
    directory: PathBuf,
    /// When the directory of large values last changed, as far as it is synced.
    blobs: Mutex<Option<SystemTime>>,
    broken: AtomicBool,
}

/// Why a store was not opened.
enum Fault {
    Damaged,
    Other(BacklogError),
}

impl From<BacklogError> for Fault {
    fn from(error: BacklogError) -> Self {
        Self::Other(error)
    }
}

impl From<sled::Error> for Fault {
    fn from(error: sled::Error) -> Self {
        match error {
            sled::Error::Io(error) => {
                let text = error.to_string();
                match error.kind() {
                    _ if text.contains("could not acquire lock") => {
                        Self::Other(BacklogError::InUse)
                    }
                    io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => Self::Damaged,
                    io::ErrorKind::StorageFull => Self::Other(BacklogError::Full),
                    _ => Self::Other(failed(text)),
                }
            }
            _ => Self::Damaged,
        }
    }
}

fn io_failed(what: &Path) -> impl FnOnce(io::Error) -> BacklogError {
    let what = what.display().to_string();
    move |error| match error.kind() {
        io::ErrorKind::StorageFull => BacklogError::Full,
        _ => BacklogError::Failed(format!("{what}: {error}").into()),
    }
}

/// Opens a store, moving a damaged one aside, and says where to.
pub(super) fn open(
    directory: &Path,
    options: &SledOptions,
) -> Result<(Files, Catalogue, Option<PathBuf>), BacklogError> {
    if let Some(parent) = directory.parent() {
        fs::create_dir_all(parent).map_err(io_failed(parent))?;
    }
    let ballast = beside(directory, "ballast");
    let first = match attempt(directory, options) {
        Err(Fault::Other(BacklogError::Full)) => {
            // This is what the ballast is for.
            let _ = fs::remove_file(&ballast);
            attempt(directory, options)
        }
        opened => opened,
    };
    let (opened, aside) = match first {
        Err(Fault::Damaged) => {
            let aside = move_aside(directory).map_err(io_failed(directory))?;
            (attempt(directory, options), Some(aside))
        }
        opened => (opened, None),
    };
    let (files, catalogue) = opened.map_err(|fault| match fault {
        Fault::Damaged => BacklogError::Failed("an empty store cannot be made".into()),
        Fault::Other(error) => error,
    })?;
    let enough = options.reserve_bytes.saturating_add(2 * options.ballast_bytes);
    if !ballast.exists() && files.free_bytes()? > enough {
        // Without it, only opening on a full disk is harder.
        let _ =
            OpenOptions::new().write(true).create(true).truncate(false).open(&ballast).and_then(
                |file| Ok(fallocate(file, FallocateFlags::empty(), 0, options.ballast_bytes)?),
            );
    }
    Ok((files, catalogue, aside))
}

/// Opens a store; a damaged one is an error.
pub(super) fn open_as_it_is(
    directory: &Path,
    options: &SledOptions,
) -> Result<(Files, Catalogue), BacklogError> {
    attempt(directory, options).map_err(|fault| match fault {
        Fault::Damaged => BacklogError::Failed("the store is damaged".into()),
        Fault::Other(error) => error,
    })
}

fn attempt(directory: &Path, options: &SledOptions) -> Result<(Files, Catalogue), Fault> {
    let path = directory.join("db");
    let existed = fs::metadata(&path).is_ok_and(|found| found.len() > 0);
    let opened = catch_unwind(AssertUnwindSafe(|| {
        let db = sled::Config::new()
            .path(directory)
            .cache_capacity(options.cache_bytes)
            .flush_every_ms(None)
            .open()?;
        let tree: sled::Tree = (*db).clone();
        // sled takes a log that it cannot read at all for an empty one.
        if existed && tree.is_empty() {
            return Err(Fault::Damaged);
        }
        let log = File::open(&path).map_err(io_failed(&path))?;
        let files = Files {
            db,
            tree,
            log,
            directory: directory.to_path_buf(),
            blobs: Mutex::new(None),
            broken: AtomicBool::new(false),
        };
        let shared_floor = files.begin(options.shared_floor)?;
        let catalogue = Catalogue::load(&files, shared_floor).map_err(|_| Fault::Damaged)?;
        Ok((files, catalogue))
    }));
    // sled panics over some kinds of damage.
    opened.unwrap_or(Err(Fault::Damaged))
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

/// A record from its row.
pub(super) fn record(
    name: &Arc<str>,
    (key, value): &(sled::IVec, sled::IVec),
) -> Result<Record, BacklogError> {
    let parsed = position_of(key).zip(parse_record(value));
    let Some((position, (time_us, text))) = parsed else {
        return Err(BacklogError::Failed("a record cannot be read".into()));
    };
    let channel = Arc::clone(name);
    Ok(Record { channel, position, time_us, value: text.into(), mark: None })
}

impl Files {
    /// Checks the format, or writes it into an empty store; the shared floor.
    fn begin(&self, floor_if_empty: i64) -> Result<i64, Fault> {
        if self.tree.is_empty() {
            let mut batch = Batch::default();
            batch.insert(store_key("format"), &FORMAT.to_be_bytes()[..]);
            batch.insert(store_key("floor"), &floor_if_empty.to_be_bytes()[..]);
            self.apply(batch)?;
            self.flush()?;
            return Ok(floor_if_empty);
        }
        let format = self.tree.get(store_key("format"))?.ok_or(Fault::Damaged)?;
        let found =
            format.as_ref().try_into().map(u32::from_be_bytes).map_err(|_| Fault::Damaged)?;
        if found > FORMAT {
            return Err(BacklogError::Newer { found, known: FORMAT }.into());
        }
        let floor = self.tree.get(store_key("floor"))?.ok_or(Fault::Damaged)?;
        floor.as_ref().try_into().map(i64::from_be_bytes).map_err(|_| Fault::Damaged)
    }

    /// Writes rows, all or none. They last from the next [`Files::flush`] on.
    pub(super) fn apply(&self, batch: Batch) -> Result<(), BacklogError> {
        self.guard(|| self.tree.apply_batch(batch))
    }

    /// Makes what was written last.
    pub(super) fn flush(&self) -> Result<(), BacklogError> {
        self.guard(|| self.db.flush().map(drop))?;
        let synced = self.log.sync_data().and_then(|()| self.sync_blobs());
        synced.map_err(|error| {
            self.broken.store(true, Ordering::Relaxed);
            io_failed(&self.directory)(error)
        })
    }

    /// sled keeps large values in files of their own, which it does not sync.
    fn sync_blobs(&self) -> io::Result<()> {
        let changed = fs::metadata(self.directory.join("blobs")).and_then(|found| found.modified());
        let Ok(changed) = changed else { return Ok(()) };
        let mut synced = self.blobs.lock();
        if synced.is_none_or(|synced| synced < changed) {
            syncfs(&self.log)?;
            *synced = Some(changed);
        }
        Ok(())
    }

    fn guard(&self, work: impl FnOnce() -> sled::Result<()>) -> Result<(), BacklogError> {
        let outcome = catch_unwind(AssertUnwindSafe(work))
            .unwrap_or_else(|_| Err(sled::Error::ReportableBug("it panicked".to_owned())));
        outcome.map_err(|error| {
            self.broken.store(true, Ordering::Relaxed);
            failed(error)
        })
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
}
