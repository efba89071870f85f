//! Where the store is, and that nobody else has it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use weft_persistence::{Sled, SledOptions};

use super::about;
use super::source::read;
use crate::config::Config;
use crate::storage::{self, STORE};
use crate::swap;

/// What to do about it.
pub(super) const IN_USE: &str = "the store is in use: stop the broker first";

/// How often, and how soon again, a lock is tried: 5 s in all.
const LOCK_TRIES: u32 = 1_000;
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// A place for a store.
#[derive(Debug)]
pub(super) struct Place {
    /// Where it is, or is to be.
    pub(super) directory: PathBuf,
    /// No bound of the configuration holds here: whoever looks or copies drops nothing.
    pub(super) options: SledOptions,
}

impl Place {
    /// The place that the configuration names. What an interrupted compaction left aside is put
    /// back first.
    pub(super) fn find(config: &Config) -> Result<Self, String> {
        let directory = config.data.join(STORE);
        if swap::put_back(&directory).map_err(about(&directory))? {
            eprintln!("weft: a compaction was interrupted; the store is where it was before");
        }
        // A link stays what it is: the directory that it names is the one that is replaced.
        let directory = directory.canonicalize().unwrap_or(directory);
        let options = SledOptions {
            budget_bytes: u64::MAX,
            channels: u64::MAX,
            ..storage::sled_options(config)
        };
        Ok(Self { directory, options })
    }

    /// Whether a store is there.
    pub(super) fn is_taken(&self) -> bool {
        file(&self.directory).exists()
    }

    /// Opens what is there. A damaged store is not moved aside here: that is for whoever looks.
    pub(super) fn open(&self) -> Result<Sled, String> {
        if !self.is_taken() {
            return Err(format!("{}: there is no store", self.directory.display()));
        }
        open(&self.directory, &self.options)
    }

    /// Keeps all others from opening the store that is here.
    pub(super) fn lock(&self) -> Result<Lock, String> {
        lock(&self.directory)
    }
}

/// Held while a store is closed and nobody is to open it.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "it is the open file that counts")] File);

/// Opens a store as it is.
pub(super) fn open(directory: &Path, options: &SledOptions) -> Result<Sled, String> {
    read(|| Sled::open_as_it_is(directory, options.clone())).map_err(about(directory))
}

/// Takes the lock that sled takes. A moment after a store was closed, threads of sled's may still
/// write into the directory of that name, so this waits until they have let go of it.
pub(super) fn lock(directory: &Path) -> Result<Lock, String> {
    let file = File::open(file(directory)).map_err(about(directory))?;
    for _ in 0..LOCK_TRIES {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(Lock(file)),
            Err(Errno::WOULDBLOCK) => std::thread::sleep(LOCK_PAUSE),
            Err(error) => return Err(about(directory)(error)),
        }
    }
    Err(about(directory)(IN_USE))
}

/// sled's file.
pub(super) fn file(directory: &Path) -> PathBuf {
    directory.join("db")
}
