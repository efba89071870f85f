//! The backlog on disk, in sled.
//!
//! What decides without a disk stands in memory: each channel's number, head, floor and size. Rows
//! are written in one batch with a flush and an `fdatasync`, and only then does a channel's head
//! move; readers see up to the head, so they never see what is not on disk.
//!
//! Trimming is exact for readers and lazy on disk: the floor moves at once, the rows go when enough
//! of them are dead. After a crash some dead rows are back, below nobody's promise: the next trim
//! finds them too many or too old again.

mod catalogue;
mod files;
mod restore;
mod rows;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::{Mutex, RwLock};
use sled::Batch;

pub use self::restore::Restore;
use self::{
    catalogue::{Catalogue, Channel},
    files::Files,
    rows::Meta,
};
use crate::{Backlog, BacklogError, Marked, Page, Record, Retention, Usage};

/// Rows that are removed in one batch.
const SWEEP_ROWS: usize = 500;
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
    /// Where a damaged one was moved to, if that was necessary.
    pub moved_aside: Option<PathBuf>,
}

/// The [`Backlog`] in sled.
pub struct Sled {
    directory: PathBuf,
    options: SledOptions,
    files: RwLock<Option<Files>>,
    catalogue: Mutex<Catalogue>,
    /// One append at a time.
    writing: Mutex<()>,
    trouble: Mutex<Option<BacklogError>>,
}

fn failed(error: impl fmt::Display) -> BacklogError {
    let text = error.to_string();
    if text.contains("No space left") || text.contains("os error 28") {
        return BacklogError::Full;
    }
    BacklogError::Failed(text.into())
}

impl Sled {
    /// Opens the store in a directory, or makes it. A damaged one is moved aside.
    ///
    /// # Errors
    /// `Newer`, `InUse`, and what the file system says.
    pub fn open(directory: &Path, options: SledOptions) -> Result<Opened, BacklogError> {
        let (files, catalogue, moved_aside) = files::open(directory, &options)?;
        let backlog = Self::new(directory, options, files, catalogue);
        Ok(Opened { backlog, moved_aside })
    }

    /// Opens the store in a directory and leaves it there if it is damaged.
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
        }
    }

    /// Puts back a mark without its record, as an import does. It lasts from the next append on.
    ///
    /// # Errors
    /// Those of the store.
    pub fn restore_mark(&self, marked: &Marked) -> Result<(), BacklogError> {
        let _one_at_a_time = self.writing.lock();
        self.with(|files| {
            let key = rows::mark_key(marked.time_us, marked.position, &marked.mark.key);
            let mut batch = Batch::default();
            batch.insert(&key[..], rows::mark_value(&marked.mark));
            files.apply(batch)
        })
    }

    fn with<R>(
        &self,
        work: impl FnOnce(&Files) -> Result<R, BacklogError>,
    ) -> Result<R, BacklogError> {
        let files = self.files.read();
        match &*files {
            Some(files) => work(files),
            None => Err(self.trouble.lock().clone().unwrap_or(BacklogError::Closed)),
        }
    }

    /// Looks at a channel, counted.
    fn channel<R>(
        &self,
        name: &str,
        files: &Files,
        look: impl FnOnce(&mut Channel, u64) -> R,
    ) -> Result<Option<R>, BacklogError> {
        let mut catalogue = self.catalogue.lock();
        catalogue.count(name, files)?;
        Ok(catalogue.get_mut(name).map(|(channel, turn)| look(channel, turn)))
    }

    fn commit(&self, batch: &[Record], files: &Files) -> Result<(), BacklogError> {
        let mut rows = Batch::default();
        {
            let mut catalogue = self.catalogue.lock();
            catalogue.check(batch, files)?;
            for record in batch {
                let number = catalogue.number(&record.channel, record.position, &mut rows)?;
                let value = rows::record_value(record.time_us, &record.value);
                rows.insert(&rows::record_key(number, record.position), value);
                if let Some(mark) = &record.mark {
                    let key = rows::mark_key(record.time_us, record.position, &mark.key);
                    rows.insert(&key[..], rows::mark_value(mark));
                }
            }
            catalogue.note_sizes(batch, &mut rows);
            catalogue.note_holes(&mut rows);
        }
        files.apply(rows)?;
        files.flush()?;
        let mut catalogue = self.catalogue.lock();
        catalogue.appended(batch);
        let mut dropped = Batch::default();
        if catalogue.shrink(&self.options, files, &mut dropped)? {
            drop(catalogue);
            files.apply(dropped)?;
            files.flush()?;
        }
        Ok(())
    }

    /// Removes rows that are dead, if there are enough of them; a bounded number.
    fn sweep(&self, files: &Files) -> Result<(), BacklogError> {
        let doomed = self.catalogue.lock().doomed();
        let Some(number) = doomed else { return Ok(()) };
        let mut batch = Batch::default();
        let mut removed = 0;
        for row in files.tree.scan_prefix(rows::prefix(number)).take(SWEEP_ROWS) {
            batch.remove(row.map_err(failed)?.0);
            removed += 1;
        }
        let done = removed < SWEEP_ROWS;
        if done {
            batch.remove(&Meta::key(number)[..]);
        }
        files.apply(batch)?;
        files.flush()?;
        if done {
            self.catalogue.lock().swept(number);
        }
        Ok(())
    }

    /// Removes the rows of a channel that its floor has passed.
    fn bury(&self, name: &str, files: &Files) -> Result<(), BacklogError> {
        loop {
            let Some((number, from, to)) = self.catalogue.lock().graves(name) else {
                return Ok(());
            };
            let range = rows::record_key(number, from + 1)..=rows::record_key(number, to);
            let mut batch = Batch::default();
            let (mut removed, mut up_to, mut bytes) = (0, to, 0);
            for row in files.tree.range(range).take(SWEEP_ROWS) {
                let (key, value) = row.map_err(failed)?;
                bytes += value.len() as u64 - 8;
                removed += 1;
                if removed == SWEEP_ROWS as u64 {
                    up_to = rows::position_of(&key).unwrap_or(to);
                }
                batch.remove(key);
            }
            let mut catalogue = self.catalogue.lock();
            catalogue.buried(name, up_to, (removed, bytes), &mut batch);
            drop(catalogue);
            files.apply(batch)?;
            files.flush()?;
            if removed < SWEEP_ROWS as u64 {
                return Ok(());
            }
        }
    }

    fn note(&self, outcome: &Result<(), BacklogError>) {
        if let Err(error @ (BacklogError::Failed(_) | BacklogError::Full)) = outcome {
            *self.trouble.lock() = Some(error.clone());
        }
    }
}

impl Backlog for Sled {
    fn append(&self, batch: &[Record]) -> Result<(), BacklogError> {
        let _one_at_a_time = self.writing.lock();
        if let Some(trouble) = self.trouble.lock().clone() {
            return Err(trouble);
        }
        let outcome = self.with(|files| {
            if files.free_bytes()? < self.options.reserve_bytes {
                return Err(BacklogError::Full);
            }
            self.commit(batch, files)?;
            self.sweep(files)
        });
        self.note(&outcome);
        outcome
    }

    fn read_after(
        &self,
        channel: &str,
        after: i64,
        page: Page,
    ) -> Result<Vec<Record>, BacklogError> {
        self.with(|files| {
            let known = self.channel(channel, files, Channel::read_now)?;
            let Some((number, name, floor, head)) = known else { return Ok(Vec::new()) };
            let mut found = Vec::new();
            let mut bytes = 0_usize;
            let from = after.max(floor);
            if from >= head || page.records == 0 {
                return Ok(found);
            }
            let range = rows::record_key(number, from + 1)..=rows::record_key(number, head);
            for row in files.tree.range(range) {
                let record = files::record(&name, &row.map_err(failed)?)?;
                bytes = bytes.saturating_add(record.value.len());
                if !found.is_empty() && bytes > page.bytes {
                    break;
                }
                found.push(record);
                if found.len() >= page.records {
                    break;
                }
            }
            Ok(found)
        })
    }

    fn last(&self, channel: &str, n: usize) -> Result<Vec<Record>, BacklogError> {
        self.with(|files| {
            let known = self.channel(channel, files, Channel::read_now)?;
            let Some((number, name, floor, head)) = known else { return Ok(Vec::new()) };
            if floor >= head {
                return Ok(Vec::new());
            }
            let range = rows::record_key(number, floor + 1)..=rows::record_key(number, head);
            let newest = files.tree.range(range).rev().take(n);
            let mut found: Vec<Record> = newest
                .map(|row| files::record(&name, &row.map_err(failed)?))
                .collect::<Result<_, _>>()?;
            found.reverse();
            Ok(found)
        })
    }

    fn floor(&self, channel: &str) -> Result<i64, BacklogError> {
        self.with(|files| {
            let floor = self.channel(channel, files, |found, _| found.told_floor())?;
            Ok(floor.unwrap_or_else(|| self.catalogue.lock().shared_floor()))
        })
    }

    fn head(&self, channel: &str) -> Result<Option<i64>, BacklogError> {
        self.with(|files| Ok(self.channel(channel, files, |found, _| found.head())?.flatten()))
    }

    fn trim(&self, channel: &str, keep: &Retention, now_us: i64) -> Result<u64, BacklogError> {
        self.with(|files| {
            let trimmed = {
                let mut catalogue = self.catalogue.lock();
                catalogue.count(channel, files)?;
                catalogue.trim(channel, keep, now_us, files)?
            };
            if trimmed > 0 && self.trouble.lock().is_none() {
                self.bury(channel, files)?;
            }
            Ok(trimmed)
        })
    }

    fn raise_floor(&self, channel: &str, to: i64) -> Result<(), BacklogError> {
        self.with(|files| {
            let mut catalogue = self.catalogue.lock();
            catalogue.count(channel, files)?;
            catalogue.raise_floor(channel, to);
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
                let (key, value) = row.map_err(failed)?;
                rows::parse_mark(&key, &value)
                    .ok_or_else(|| BacklogError::Failed("a mark cannot be read".into()))
            })
            .collect()
        })
    }

    fn forget_marks(&self, before_us: i64, max: u64) -> Result<u64, BacklogError> {
        self.with(|files| {
            let all = || files.tree.range(rows::marks_from(i64::MIN)..rows::marks_end().to_vec());
            let mut forgotten = 0;
            let mut excess = (all().count() as u64).saturating_sub(max);
            let mut batch = Batch::default();
            let mut pending = 0;
            for row in all() {
                let (key, value) = row.map_err(failed)?;
                let old =
                    rows::parse_mark(&key, &value).is_none_or(|mark| mark.time_us < before_us);
                if !old && excess == 0 {
                    break;
                }
                excess = excess.saturating_sub(1);
                batch.remove(key);
                forgotten += 1;
                pending += 1;
                if pending == SWEEP_ROWS {
                    files.apply(std::mem::take(&mut batch))?;
                    files.flush()?;
                    pending = 0;
                }
            }
            if pending > 0 {
                files.apply(batch)?;
                files.flush()?;
            }
            Ok(forgotten)
        })
    }

    fn usage(&self) -> Result<Usage, BacklogError> {
        self.with(|files| {
            let marks =
                files.tree.range(rows::marks_from(i64::MIN)..rows::marks_end().to_vec()).count();
            let disk_bytes = files::size_of(&self.directory);
            Ok(Usage { marks: marks as u64, disk_bytes, ..self.catalogue.lock().usage() })
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
        let _no_append = self.writing.lock();
        let mut files = self.files.write();
        let trouble = self.trouble.lock().clone();
        if let (Some(open), None | Some(BacklogError::Full)) = (&*files, &trouble)
            && !open.is_broken()
        {
            if open.free_bytes()? < self.options.reserve_bytes {
                return Err(BacklogError::Full);
            }
            *self.trouble.lock() = None;
            return Ok(());
        }
        if trouble.is_none() && files.is_none() {
            return Err(BacklogError::Closed);
        }
        // sled does not come back from a failed write: all of it is closed and opened anew.
        *files = None;
        let (opened, catalogue, _) = files::open(&self.directory, &self.options)?;
        *self.catalogue.lock() = catalogue;
        *files = Some(opened);
        *self.trouble.lock() = None;
        Ok(())
    }

    fn close(&self) -> Result<(), BacklogError> {
        let _no_append = self.writing.lock();
        let Some(files) = self.files.write().take() else { return Ok(()) };
        let broken = self.trouble.lock().take();
        if let Some(trouble) = broken {
            return Err(trouble);
        }
        let mut catalogue = self.catalogue.lock();
        for metas in catalogue.unsaved().chunks(SWEEP_ROWS) {
            let mut batch = Batch::default();
            for (number, meta) in metas {
                batch.insert(&Meta::key(*number)[..], meta.encode());
            }
            files.apply(batch)?;
            files.flush()?;
        }
        *catalogue = Catalogue::default();
        files.flush()
    }
}

impl fmt::Debug for Sled {
    /// Where it is; what users said does not belong into a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sled").field("directory", &self.directory).finish_non_exhaustive()
    }
}
