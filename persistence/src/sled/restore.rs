//! A store is filled with what another one held, and looked through as a whole: for tools.

use std::{
    fmt,
    ops::Bound,
    path::{Path, PathBuf},
};

use sled::Batch;

use super::{
    SWEEP_ROWS, Sled, SledOptions,
    files::{self, Files},
    of_sled,
    rows::{self, Meta},
};
use crate::{BacklogError, Marked};

/// Bytes after which a batch is written, however few rows it has.
const BATCH_BYTES: usize = 8 << 20;

/// A new store that is being filled. Rows are written as they will be found, with exact sizes, so
/// nothing has to be counted when the store is opened. Before [`finish`](Self::finish) it is not
/// whole: whoever is interrupted throws the directory away.
///
/// Nothing is checked here. Channels come one after the other, each followed by its records in the
/// order of their positions.
pub struct Restore {
    directory: PathBuf,
    reserve_bytes: u64,
    files: Files,
    batch: Batch,
    rows: usize,
    bytes: usize,
    next_number: u32,
    /// No position in it is higher.
    highest: i64,
    /// The channel that records go to.
    channel: Option<(u32, Meta)>,
}

impl Restore {
    /// Makes a store in a directory that is not there yet. The floor of channels without a record
    /// is that of the options.
    ///
    /// # Errors
    /// When something is there, and what the file system says.
    pub fn begin(directory: &Path, options: &SledOptions) -> Result<Self, BacklogError> {
        if directory.exists() {
            return Err(BacklogError::Failed("there is something already".into()));
        }
        let (files, _) = files::open_as_it_is(directory, options)?;
        Ok(Self {
            directory: directory.to_path_buf(),
            reserve_bytes: options.reserve_bytes,
            files,
            batch: Batch::default(),
            rows: 0,
            bytes: 0,
            next_number: 0,
            highest: options.shared_floor,
            channel: None,
        })
    }

    /// Begins a channel with the floor that it tells and the highest position it ever had. Records
    /// may lie below the floor, as after [`raise_floor`](crate::Backlog::raise_floor).
    ///
    /// # Errors
    /// Those of the store.
    pub fn channel(&mut self, name: &str, floor: i64, head: i64) -> Result<(), BacklogError> {
        self.end_channel()?;
        let number = self.next_number;
        if number >= rows::FIRST_RESERVED {
            return Err(BacklogError::Failed("no channel numbers are left".into()));
        }
        self.next_number += 1;
        self.highest = self.highest.max(head).max(floor);
        let name = name.to_owned();
        let meta = Meta {
            name,
            floor: 0,
            trimmed: None,
            hole: floor,
            head,
            records: 0,
            bytes: 0,
            dropped: false,
            damaged: false,
        };
        self.channel = Some((number, meta));
        Ok(())
    }

    /// Adds a record to the channel that was begun last.
    ///
    /// # Errors
    /// Those of the store.
    pub fn record(&mut self, position: i64, time_us: i64, value: &str) -> Result<(), BacklogError> {
        let Some((number, meta)) = &mut self.channel else {
            return Err(BacklogError::Failed("a record without a channel".into()));
        };
        meta.records += 1;
        meta.bytes += value.len() as u64;
        let key = rows::record_key(*number, position);
        self.put(&key, rows::record_value(time_us, value))
    }

    /// Adds a mark.
    ///
    /// # Errors
    /// Those of the store.
    pub fn mark(&mut self, marked: &Marked) -> Result<(), BacklogError> {
        let key = rows::mark_key(marked.time_us, marked.position, &marked.mark.key);
        self.put(&key, rows::mark_value(&marked.mark))
    }

    /// Writes what is not written, and closes the store. sled lets go of its files a moment later.
    ///
    /// # Errors
    /// Those of the store.
    pub fn finish(mut self) -> Result<(), BacklogError> {
        self.end_channel()?;
        self.write()?;
        self.files.seal(self.highest)
    }

    fn end_channel(&mut self) -> Result<(), BacklogError> {
        match self.channel.take() {
            Some((number, meta)) => self.put(&Meta::key(number), meta.encode()),
            None => Ok(()),
        }
    }

    fn put(&mut self, key: &[u8], value: Vec<u8>) -> Result<(), BacklogError> {
        self.rows += 1;
        self.bytes += value.len();
        self.batch.insert(key, value);
        if self.rows >= SWEEP_ROWS || self.bytes >= BATCH_BYTES { self.write() } else { Ok(()) }
    }

    /// sled keeps in memory what is not flushed, and much more of it than was written.
    fn write(&mut self) -> Result<(), BacklogError> {
        if self.files.free_bytes()? < self.reserve_bytes {
            return Err(BacklogError::Full);
        }
        (self.rows, self.bytes) = (0, 0);
        self.files.apply(std::mem::take(&mut self.batch))?;
        self.files.flush()
    }
}

impl fmt::Debug for Restore {
    /// Where it is; what users said does not belong into a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Restore").field("directory", &self.directory).finish_non_exhaustive()
    }
}

impl Sled {
    /// The first marks after one, or of all: at most `count`, in the order of their times, then of
    /// their positions and keys.
    ///
    /// # Errors
    /// Those of the store, and a mark that cannot be read.
    pub fn marks_after(
        &self,
        after: Option<&Marked>,
        count: usize,
    ) -> Result<Vec<Marked>, BacklogError> {
        let from = match after {
            Some(Marked { mark, position, time_us }) => {
                Bound::Excluded(rows::mark_key(*time_us, *position, &mark.key).to_vec())
            }
            None => Bound::Included(rows::marks_from(i64::MIN)),
        };
        let to = Bound::Excluded(rows::marks_end().to_vec());
        self.with(|files| {
            let rows = files.tree.range::<Vec<u8>, _>((from, to)).take(count);
            rows.map(|row| {
                let (key, value) = row.map_err(of_sled)?;
                rows::parse_mark(&key, &value)
                    .ok_or_else(|| BacklogError::Failed("a mark cannot be read".into()))
            })
            .collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Backlog, Mark, Page, Record, Retention};

    const OPTIONS: SledOptions = SledOptions {
        cache_bytes: 8 << 20,
        budget_bytes: 1 << 30,
        channels: 1_000,
        reserve_bytes: 0,
        ballast_bytes: 0,
        shared_floor: 5,
    };

    struct Directory(PathBuf);

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn directory(name: &str) -> Directory {
        let path = std::env::temp_dir().join(format!("weft-restore-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Directory(path)
    }

    fn marked(n: u8) -> Marked {
        let mark = Mark { key: [n; 16], print: [n; 16], subscribers: n.into() };
        Marked { mark, position: i64::from(n) + 1, time_us: i64::from(n / 2) }
    }

    #[test]
    fn what_was_restored_is_there_as_it_was() {
        let directory = directory("whole");
        let mut restore = Restore::begin(&directory.0, &OPTIONS).unwrap();
        restore.channel("/empty", 70, 70).unwrap();
        restore.channel("/full", 20, 1_500).unwrap();
        for position in 1..=1_500 {
            restore.record(position, -position, "value").unwrap();
        }
        for n in 0..200 {
            restore.mark(&marked(n)).unwrap();
        }
        restore.finish().unwrap();

        // sled lets go of its files a moment after it is closed.
        let store = loop {
            match Sled::open_as_it_is(&directory.0, OPTIONS) {
                Err(BacklogError::InUse) => std::thread::yield_now(),
                opened => break opened.unwrap(),
            }
        };
        let usage = store.usage().unwrap();
        assert_eq!((usage.channels, usage.records, usage.bytes), (2, 1_500, 7_500));
        assert_eq!((store.head("/empty"), store.floor("/empty")), (Ok(Some(70)), Ok(70)));
        assert_eq!((store.head("/full"), store.floor("/full")), (Ok(Some(1_500)), Ok(20)));
        assert_eq!(store.floor("/never"), Ok(5));
        let records = store.read_after("/full", 0, Page::ALL).unwrap();
        assert!(records.iter().map(|record| record.position).eq(1..=1_500));
        assert_eq!(records[3].time_us, -4);

        let all = store.marks(i64::MIN).unwrap();
        let mut paged = Vec::new();
        loop {
            let page = store.marks_after(paged.last(), 7).unwrap();
            if page.is_empty() {
                break;
            }
            paged.extend(page);
        }
        assert_eq!((paged.len(), paged), (200, all));

        // It goes on as any other store does.
        let next = |channel: &str, position| Record {
            channel: channel.into(),
            position,
            time_us: 0,
            value: "next".into(),
            mark: None,
        };
        assert!(store.append(&[next("/empty", 70)]).is_err());
        store.append(&[next("/empty", 71), next("/full", 1_501), next("/new", 3)]).unwrap();
        let keep = Retention { messages: 100, ..Retention::ALL };
        let trimmed = std::iter::from_fn(|| store.trim("/full", &keep, 0).ok().filter(|&n| n > 0));
        assert_eq!(trimmed.sum::<u64>(), 1_401);
        assert_eq!((store.floor("/full"), store.floor("/new")), (Ok(1_401), Ok(2)));
    }

    #[test]
    fn only_a_new_directory_is_filled() {
        let directory = directory("twice");
        Restore::begin(&directory.0, &OPTIONS).unwrap().finish().unwrap();
        assert!(Restore::begin(&directory.0, &OPTIONS).is_err());
    }
}
