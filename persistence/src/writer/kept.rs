//! What was delivered while the store could not write: kept in order within bounds, and what had to
//! go of it is remembered as floors.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use super::{
    Job, WriterOptions,
    queue::{Batch, Load},
};
use crate::{Backlog, BacklogError, Record};

/// Past so many channels, one number stands for what all others lost.
const LOST_CHANNELS: usize = 10_000;
/// No channel is called this; in a backlog it stands for all that have no record.
const NO_CHANNEL: &str = "";

/// See the module.
#[derive(Debug)]
pub(super) struct Kept {
    records: VecDeque<Record>,
    load: Load,
    most: Load,
    lost: Lost,
    /// The marks of what was lost and not told yet.
    unmarked: Vec<[u8; 16]>,
}

impl Kept {
    pub(super) fn new(options: &WriterOptions) -> Self {
        Self {
            records: VecDeque::new(),
            load: Load::default(),
            most: Load { records: options.kept_records, bytes: options.kept_bytes },
            lost: Lost::default(),
            unmarked: Vec::new(),
        }
    }

    /// Keeps a record that is newer than all others.
    pub(super) fn push(&mut self, record: Record) {
        self.load.add(&record);
        self.records.push_back(record);
        self.shrink();
    }

    /// Keeps records that are older than all others, given newest first.
    pub(super) fn put_back(&mut self, newest_first: impl Iterator<Item = Record>) {
        for record in newest_first {
            self.load.add(&record);
            self.records.push_front(record);
        }
        self.shrink();
    }

    fn shrink(&mut self) {
        while self.load.records > self.most.records || self.load.bytes > self.most.bytes {
            let Some(oldest) = self.records.pop_front() else { return };
            self.load.remove(&oldest);
            self.lose(&oldest);
        }
    }

    /// Remembers that a record was delivered and will never be stored.
    pub(super) fn lose(&mut self, record: &Record) {
        self.lost.note(&record.channel, record.position);
        self.unmarked.extend(record.mark.map(|mark| mark.key));
    }

    /// The marks of what was lost since this was last asked: they stand for nothing any more.
    pub(super) fn unmarked(&mut self) -> Vec<[u8; 16]> {
        std::mem::take(&mut self.unmarked)
    }

    /// Makes known in the store what was lost.
    pub(super) fn raise_floors(&mut self, backlog: &dyn Backlog) -> Result<(), BacklogError> {
        self.lost.raise_floors(backlog)
    }

    /// Lets go of what is stored: a commit that failed may have been made durable all the same, and
    /// is found when the store is opened again.
    pub(super) fn drop_stored(&mut self, backlog: &dyn Backlog) -> Result<(), BacklogError> {
        let mut heads: HashMap<Arc<str>, i64> = HashMap::new();
        for record in &self.records {
            if !heads.contains_key(&record.channel) {
                let head = backlog.head(&record.channel)?.unwrap_or(0);
                heads.insert(Arc::clone(&record.channel), head);
            }
        }
        let load = &mut self.load;
        self.records.retain(|record| {
            let missing = heads.get(&record.channel).is_none_or(|head| record.position > *head);
            if !missing {
                load.remove(record);
            }
            missing
        });
        Ok(())
    }

    /// Moves the oldest records into the empty batch, each as a job, so that one that the store
    /// will never take stands alone. Says whether there were any.
    pub(super) fn take<T>(&mut self, batch: &mut Batch<T>) -> bool {
        while let Some(record) = self.records.front() {
            let mut load = Load::default();
            load.add(record);
            if !batch.fits(load) {
                break;
            }
            self.load.remove(record);
            let records = self.records.pop_front().into_iter().collect();
            batch.add(Job { records, urgent: false, refusable: false, token: None }, load);
        }
        !batch.jobs.is_empty()
    }
}

/// The highest positions that were lost.
#[derive(Debug, Default)]
struct Lost {
    channels: HashMap<Arc<str>, i64>,
    /// Of all channels that are not listed.
    others: Option<i64>,
}

impl Lost {
    fn note(&mut self, channel: &Arc<str>, position: i64) {
        if let Some(highest) = self.channels.get_mut(channel) {
            *highest = position.max(*highest);
        } else if self.channels.len() < LOST_CHANNELS {
            self.channels.insert(Arc::clone(channel), position);
        } else {
            self.others = self.others.max(Some(position));
        }
    }

    /// Raising a floor twice does no harm, so an error half way leaves everything noted.
    fn raise_floors(&mut self, backlog: &dyn Backlog) -> Result<(), BacklogError> {
        for (channel, position) in &self.channels {
            backlog.raise_floor(channel, *position)?;
        }
        if let Some(position) = self.others {
            for channel in backlog.names("")? {
                backlog.raise_floor(&channel, position)?;
            }
            backlog.raise_floor(NO_CHANNEL, position)?;
        }
        *self = Self::default();
        Ok(())
    }
}
