//! The backlog on disk, in sled.
//!
//! What decides without a disk stands in memory: each channel's number, head, floor and size. Rows
//! are written in batches with a flush and an `fdatasync`, and only then does a channel's head move;
//! readers see up to the head, so they never see what is not on disk.
//!
//! Trimming is exact for readers and lazy on disk: the floor moves at once, the rows go when enough
//! of them are dead. After a crash some dead rows are back, below nobody's promise: the next trim
//! finds them too many or too old again. Whole channels are dropped in the same way.

mod ballast;
mod catalogue;
mod channel;
mod files;
mod load;
mod packing;
mod restore;
mod rows;
mod seal;
#[cfg(test)]
mod tests;
mod writing;

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use parking_lot::{Mutex, RwLock};

pub use self::restore::Restore;
use self::{catalogue::Catalogue, channel::Channel, files::Files, load::reading};
use crate::{Backlog, BacklogError, Loss, Marked, Page, Record, Retention, Usage};

/// Rows that are written or removed in one batch. With many more, the memory of sled 0.34 grows
/// without bound.
const SWEEP_ROWS: usize = 500;
/// How often the only channel there is may be cut in one append.
const LONE_CUTS: usize = 4;
/// How often, and after what time, a store is opened again that was just closed: threads of sled's
/// own may hold on to its files for a moment.
const REOPENINGS: u32 = 20;
const REOPEN_AFTER: Duration = Duration::from_millis(10);
/// How long the size of the files is remembered.
const SIZE_FOR: Duration = Duration::from_secs(1);
/// Appends of a channel after which its size is written down.
const META_EVERY: u32 = 64;

/// Bounds of a [`Sled`].
#[derive(Debug, Clone)]
pub struct SledOptions {
    /// sled's page cache, in bytes.
    pub cache_bytes: u64,
    /// Bytes of records, all channels together; the least recently used channels go first, whole.
    pub budget_bytes: u64,
    /// Most channels.
    pub channels: u64,
    /// Free bytes of the file system below which nothing is written.
    pub reserve_bytes: u64,
    /// Bytes of the file that is given up to open on a full disk.
    pub ballast_bytes: u64,
    /// The floor of all channels in a store that begins empty.
    pub shared_floor: i64,
}

/// A store that was opened.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub backlog: Sled,
    /// What was found to be gone, or damaged and moved aside.
    pub losses: Vec<Loss>,
}

/// The [`Backlog`] in sled.
pub struct Sled {
    directory: PathBuf,
    options: SledOptions,
    files: RwLock<Option<Files>>,
    catalogue: Mutex<Catalogue>,
    /// One writer at a time.
    writing: Mutex<()>,
    trouble: Mutex<Option<BacklogError>>,
    /// Whether a write met with damage, so that the store was opened anew.
    incurable: AtomicBool,
    closed: AtomicBool,
    /// The size of the files, and when it was looked up.
    size: Mutex<Option<(Instant, u64)>>,
}

fn failed(error: impl fmt::Display) -> BacklogError {
    let text = error.to_string();
    if text.contains("No space left") || text.contains("os error 28") {
        return BacklogError::Full;
    }
    BacklogError::Failed(text.into())
}

/// What an error of sled says about the store, when something was read.
fn of_sled(error: sled::Error) -> BacklogError {
    use io::ErrorKind::{InvalidData, NotFound, UnexpectedEof};
    /// The device cannot give back what it holds.
    const EIO: i32 = 5;
    match &error {
        sled::Error::Io(io)
            if io.raw_os_error() != Some(EIO)
                && !matches!(io.kind(), InvalidData | NotFound | UnexpectedEof) =>
        {
            failed(error)
        }
        _ => BacklogError::Damaged(error.to_string().into()),
    }
}

impl Sled {
    /// Opens the store in a directory, or makes it. A damaged one is moved aside.
    ///
    /// # Errors
    /// `Newer`, `InUse`, and what the file system says.
    pub fn open(directory: &Path, options: SledOptions) -> Result<Opened, BacklogError> {
        let (files, catalogue) = files::open(directory, &options)?;
        let backlog = Self::new(directory, options, files, catalogue);
        let losses = backlog.losses();
        Ok(Opened { backlog, losses })
    }

    /// Opens the store in a directory and leaves it there if it is damaged. What was found to be gone
    /// is among its [`losses`](Backlog::losses).
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn open_as_it_is(directory: &Path, options: SledOptions) -> Result<Self, BacklogError> {
        let (files, catalogue) = files::open_as_it_is(directory, &options)?;
        Ok(Self::new(directory, options, files, catalogue))
    }

    fn new(directory: &Path, options: SledOptions, files: Files, catalogue: Catalogue) -> Self {
        Self {
            directory: directory.to_path_buf(),
            options,
            files: RwLock::new(Some(files)),
            catalogue: Mutex::new(catalogue),
            writing: Mutex::new(()),
            trouble: Mutex::new(None),
            incurable: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            size: Mutex::new(None),
        }
    }

    /// The highest position that any channel ever had, as far as the store knows: whoever numbers
    /// records starts above it.
    pub fn highest(&self) -> i64 {
        self.catalogue.lock().highest()
    }

    fn with<R>(
        &self,
        work: impl FnOnce(&Files) -> Result<R, BacklogError>,
    ) -> Result<R, BacklogError> {
        let files = self.files.read();
        match &*files {
            Some(files) => work(files),
            None if self.closed.load(Ordering::Relaxed) => Err(BacklogError::Closed),
            None => Err(self.trouble.lock().clone().unwrap_or_else(|| failed("it is not open"))),
        }
    }

    /// Changes the files, unless that is known to fail, and remembers whether it failed.
    fn write<R>(
        &self,
        work: impl FnOnce(&Files) -> Result<R, BacklogError>,
    ) -> Result<R, BacklogError> {
        let _one_at_a_time = self.writing.lock();
        if let Some(trouble) = self.trouble.lock().clone() {
            return Err(trouble);
        }
        let outcome = self.with(work);
        if let Err(
            error @ (BacklogError::Failed(_) | BacklogError::Damaged(_) | BacklogError::Full),
        ) = &outcome
        {
            *self.trouble.lock() = Some(error.clone());
        }
        outcome
    }

    /// Looks at a channel.
    fn channel<R>(&self, name: &str, look: impl FnOnce(&mut Channel, u64) -> R) -> Option<R> {
        let mut catalogue = self.catalogue.lock();
        catalogue.get_mut(name).map(|(channel, turn)| look(channel, turn))
    }

    /// Reads records of a channel. If they are damaged, the channel is dropped.
    fn records(
        &self,
        channel: &str,
        read: impl FnOnce(&Files, u32, &Arc<str>, i64, i64) -> Result<Vec<Record>, BacklogError>,
    ) -> Result<Vec<Record>, BacklogError> {
        self.with(|files| {
            let Some((number, name, floor, head)) = self.channel(channel, Channel::read_now) else {
                return Ok(Vec::new());
            };
            let found = reading(|| read(files, number, &name, floor, head));
            if let Err(BacklogError::Damaged(_)) = &found {
                self.catalogue.lock().give_up(&name, number);
                return Ok(Vec::new());
            }
            found
        })
    }

    /// Raises the floor of a channel over the oldest records that have to go; says how many. Nobody
    /// waits while they are looked for.
    fn cut(
        &self,
        name: &str,
        keep: &Retention,
        now_us: i64,
        files: &Files,
    ) -> Result<u64, BacklogError> {
        let plan = {
            let mut catalogue = self.catalogue.lock();
            catalogue.queue_grave(name);
            let channel = catalogue.channels.get(name);
            channel.and_then(|found| Some((Arc::clone(&found.name), found.plan(keep, now_us)?)))
        };
        let Some((name, plan)) = plan else { return Ok(0) };
        let found = reading(|| plan.find(keep, now_us, files));
        let mut catalogue = self.catalogue.lock();
        match found {
            Ok(found) => {
                let cut = catalogue.cut(&name, &plan, &found);
                catalogue.queue_grave(&name);
                Ok(cut)
            }
            Err(BacklogError::Damaged(_)) => {
                catalogue.give_up(&name, plan.number);
                Ok(0)
            }
            Err(error) => Err(error),
        }
    }

    /// Closes what is open and opens it anew. What was known and is not there any more is told.
    fn reopen(&self, files: &mut Option<Files>, damaged: bool) -> Result<(), BacklogError> {
        *files = None;
        let anew = damaged && self.incurable.load(Ordering::Relaxed);
        self.incurable.store(damaged && !anew, Ordering::Relaxed);
        let open = if anew { files::begin_anew } else { files::open };
        let mut attempt = open(&self.directory, &self.options);
        for _ in 0..REOPENINGS {
            if !matches!(attempt, Err(BacklogError::InUse)) {
                break;
            }
            thread::park_timeout(REOPEN_AFTER);
            attempt = files::open(&self.directory, &self.options);
        }
        let (opened, mut catalogue) = attempt?;
        let mut old = self.catalogue.lock();
        let moved = catalogue.losses.iter().any(|loss| matches!(loss, Loss::Store(_)));
        if catalogue.inherit(&old) && !moved {
            catalogue.losses.push(Loss::End);
        }
        catalogue.losses.splice(0..0, std::mem::take(&mut old.losses));
        let mut rows = rows::Rows::default();
        catalogue.note_floors(&mut rows);
        *old = catalogue;
        drop(old);
        if !rows.is_empty() {
            opened.write(rows)?;
        }
        *files = Some(opened);
        Ok(())
    }
}

impl Backlog for Sled {
    fn append(&self, batch: &[Record]) -> Result<(), BacklogError> {
        self.write(|files| {
            if files.free_bytes()? < self.options.reserve_bytes {
                return Err(BacklogError::Full);
            }
            self.commit(batch, files)
        })
    }

    fn read_after(
        &self,
        channel: &str,
        after: i64,
        mut page: Page,
    ) -> Result<Vec<Record>, BacklogError> {
        self.records(channel, |files, number, name, floor, head| {
            let from = after.max(floor);
            if from >= head || page.records == 0 {
                return Ok(Vec::new());
            }
            let mut found = Vec::new();
            for row in files.tree.range(packing::between(number, from, head)) {
                let (key, value) = row.map_err(of_sled)?;
                for entry in packing::unpack(&key, &value) {
                    let entry = entry?;
                    if entry.position <= from {
                        continue;
                    }
                    if !page.take(entry.text.len(), found.is_empty()) {
                        return Ok(found);
                    }
                    found.push(entry.record(name));
                }
            }
            Ok(found)
        })
    }

    fn last(&self, channel: &str, n: usize) -> Result<Vec<Record>, BacklogError> {
        self.records(channel, |files, number, name, floor, head| {
            if floor >= head || n == 0 {
                return Ok(Vec::new());
            }
            let mut found = Vec::new();
            for row in files.tree.range(packing::between(number, floor, head)).rev() {
                let (key, value) = row.map_err(of_sled)?;
                let row = packing::unpack(&key, &value).collect::<Result<Vec<_>, _>>()?;
                let live = row.iter().rev().take_while(|entry| entry.position > floor);
                found.extend(live.take(n - found.len()).map(|entry| entry.record(name)));
                if found.len() == n {
                    break;
                }
            }
            found.reverse();
            Ok(found)
        })
    }

    fn floor(&self, channel: &str) -> Result<i64, BacklogError> {
        self.with(|_| {
            let catalogue = self.catalogue.lock();
            let known = catalogue.channels.get(channel).map(Channel::told_floor);
            Ok(known.unwrap_or(catalogue.shared_floor))
        })
    }

    fn head(&self, channel: &str) -> Result<Option<i64>, BacklogError> {
        self.with(|_| Ok(self.channel(channel, |found, _| found.head()).flatten()))
    }

    fn trim(&self, channel: &str, keep: &Retention, now_us: i64) -> Result<u64, BacklogError> {
        self.with(|files| self.cut(channel, keep, now_us, files))
    }

    fn raise_floor(&self, channel: &str, to: i64) -> Result<(), BacklogError> {
        self.with(|_| {
            self.catalogue.lock().raise_floor(channel, to);
            Ok(())
        })
    }

    fn names(&self, prefix: &str) -> Result<Vec<Arc<str>>, BacklogError> {
        self.with(|_| Ok(self.catalogue.lock().names(prefix)))
    }

    fn marks(&self, since_us: i64) -> Result<Vec<Marked>, BacklogError> {
        self.with(|files| {
            let rows = files.tree.range(rows::marks_from(since_us)..rows::marks_end().to_vec());
            rows.map(|row| {
                let (key, value) = row.map_err(of_sled)?;
                rows::parse_mark(&key, &value)
                    .ok_or_else(|| BacklogError::Damaged("a mark cannot be read".into()))
            })
            .collect()
        })
    }

    fn forget_marks(&self, before_us: i64, max: u64) -> Result<u64, BacklogError> {
        self.write(|files| self.forget(before_us, max, files))
    }

    fn tidy(&self) -> Result<bool, BacklogError> {
        self.write(|files| self.sweep(files))
    }

    fn losses(&self) -> Vec<Loss> {
        std::mem::take(&mut self.catalogue.lock().losses)
    }

    #[expect(clippy::disallowed_methods, reason = "a size is remembered for a time")]
    fn usage(&self) -> Result<Usage, BacklogError> {
        self.with(|_| {
            let now = Instant::now();
            let mut size = self.size.lock();
            let known = size.filter(|(at, _)| now.saturating_duration_since(*at) < SIZE_FOR);
            let (at, disk_bytes) = known.unwrap_or_else(|| (now, files::size_of(&self.directory)));
            *size = Some((at, disk_bytes));
            Ok(Usage { disk_bytes, ..self.catalogue.lock().usage() })
        })
    }

    fn health(&self) -> Result<(), BacklogError> {
        self.with(|files| {
            if let Some(trouble) = self.trouble.lock().clone() {
                return Err(trouble);
            }
            let full = files.free_bytes()? < self.options.reserve_bytes;
            if full { Err(BacklogError::Full) } else { Ok(()) }
        })
    }

    fn recover(&self) -> Result<(), BacklogError> {
        let _no_write = self.writing.lock();
        if self.closed.load(Ordering::Relaxed) {
            return Err(BacklogError::Closed);
        }
        let mut files = self.files.write();
        let trouble = self.trouble.lock().clone();
        if let (Some(open), None | Some(BacklogError::Full)) = (&*files, &trouble)
            && !open.is_broken()
        {
            if open.free_bytes()? < self.options.reserve_bytes {
                return Err(BacklogError::Full);
            }
            open.keep_ballast(&self.options);
        } else {
            // sled does not come back from a failed write: all of it is closed and opened anew.
            let damaged = matches!(trouble, Some(BacklogError::Damaged(_)));
            if let Err(error) = self.reopen(&mut files, damaged) {
                *self.trouble.lock() = Some(error.clone());
                return Err(error);
            }
        }
        *self.trouble.lock() = None;
        Ok(())
    }

    fn close(&self) -> Result<(), BacklogError> {
        let _no_write = self.writing.lock();
        let mut files = self.files.write();
        if self.closed.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let outcome = match (self.trouble.lock().take(), files.take()) {
            (Some(trouble), _) => Err(trouble),
            (None, Some(files)) => self.finish(&files),
            (None, None) => Ok(()),
        };
        let mut catalogue = self.catalogue.lock();
        let losses = std::mem::take(&mut catalogue.losses);
        *catalogue = Catalogue { losses, ..Catalogue::default() };
        outcome
    }
}

impl fmt::Debug for Sled {
    /// Where it is; what users said does not belong into a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sled").field("directory", &self.directory).finish_non_exhaustive()
    }
}
