//! What is known of each channel without asking the disk.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use sled::Batch;

use super::{
    META_EVERY, SledOptions, failed,
    files::Files,
    rows::{self, Meta},
};
use crate::{BacklogError, Record, Retention, Usage};

/// Fewer dead rows than this stay where they are.
const GRAVES: u64 = 64;

/// All channels.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    channels: BTreeMap<Arc<str>, Channel>,
    next_number: u32,
    shared_floor: i64,
    /// Channels whose rows are yet to be removed.
    doomed: VecDeque<u32>,
    /// Channels, and the shared floor, that the next batch is to write down.
    raised: Vec<Arc<str>>,
    shared_raised: bool,
    turn: u64,
    records: u64,
    bytes: u64,
}

/// One channel.
#[derive(Debug)]
pub(super) struct Channel {
    number: u32,
    name: Arc<str>,
    head: i64,
    floor: i64,
    hole: i64,
    /// Live records and their bytes.
    records: u64,
    bytes: u64,
    /// The time of the oldest of them, if it was looked up.
    oldest_us: Option<i64>,
    /// Rows up to here are gone; those between here and the floor are dead.
    buried: i64,
    dead: u64,
    dead_bytes: u64,
    /// Whether the rows after the head that was written down are counted.
    counted: bool,
    dirty: bool,
    since_meta: u32,
    turn: u64,
}

impl Channel {
    /// Number, name, floor and head, for a reader.
    pub(super) fn read_now(&mut self, turn: u64) -> (u32, Arc<str>, i64, i64) {
        self.turn = turn;
        (self.number, Arc::clone(&self.name), self.floor, self.head)
    }

    pub(super) fn told_floor(&self) -> i64 {
        self.floor.max(self.hole)
    }

    pub(super) fn head(&self) -> Option<i64> {
        (self.head > 0).then_some(self.head)
    }

    fn meta(&self, dropped: bool) -> Meta {
        Meta {
            name: self.name.as_ref().to_owned(),
            floor: self.buried,
            hole: self.hole,
            head: self.head,
            records: self.records + self.dead,
            bytes: self.bytes + self.dead_bytes,
            dropped,
        }
    }
}

impl Catalogue {
    /// Reads what is stored of all channels; one row each.
    pub(super) fn load(files: &Files, shared_floor: i64) -> Result<Self, BacklogError> {
        let mut catalogue = Self { shared_floor, ..Self::default() };
        for row in files.tree.scan_prefix(Meta::all()) {
            let (key, value) = row.map_err(failed)?;
            let broken = || BacklogError::Failed("a channel's entry makes no sense".into());
            let number = Meta::number(&key).ok_or_else(broken)?;
            let meta = Meta::decode(&value).ok_or_else(broken)?;
            catalogue.next_number = catalogue.next_number.max(number.saturating_add(1));
            if meta.dropped {
                catalogue.doomed.push_back(number);
                continue;
            }
            catalogue.records += meta.records;
            catalogue.bytes += meta.bytes;
            let name: Arc<str> = meta.name.into();
            let channel = Channel {
                number,
                name: Arc::clone(&name),
                head: meta.head,
                floor: meta.floor,
                hole: meta.hole,
                records: meta.records,
                bytes: meta.bytes,
                oldest_us: None,
                buried: meta.floor,
                dead: 0,
                dead_bytes: 0,
                counted: false,
                dirty: false,
                since_meta: 0,
                // Positions follow the time, so the lowest was not used for longest.
                turn: u64::try_from(meta.head).unwrap_or(0),
            };
            catalogue.turn = catalogue.turn.max(channel.turn);
            catalogue.channels.insert(name, channel);
        }
        Ok(catalogue)
    }

    /// Counts the rows of a channel that came after its size was last written down.
    pub(super) fn count(&mut self, name: &str, files: &Files) -> Result<(), BacklogError> {
        let Some(channel) = self.channels.get_mut(name).filter(|channel| !channel.counted) else {
            return Ok(());
        };
        let from = rows::record_key(channel.number, channel.head + 1);
        let to = rows::record_key(channel.number, i64::MAX);
        for row in files.tree.range(from..=to) {
            let (key, value) = row.map_err(failed)?;
            channel.head = rows::position_of(&key).unwrap_or(channel.head);
            let bytes = value.len().saturating_sub(8) as u64;
            channel.records += 1;
            channel.bytes += bytes;
            self.records += 1;
            self.bytes += bytes;
            channel.dirty = true;
        }
        channel.counted = true;
        Ok(())
    }

    pub(super) fn get_mut(&mut self, name: &str) -> Option<(&mut Channel, u64)> {
        self.turn += 1;
        let turn = self.turn;
        self.channels.get_mut(name).map(|channel| (channel, turn))
    }

    /// Refuses a batch in which a position does not follow its predecessor.
    pub(super) fn check(&mut self, batch: &[Record], files: &Files) -> Result<(), BacklogError> {
        let mut heads: BTreeMap<&str, i64> = BTreeMap::new();
        for Record { channel, position, .. } in batch {
            self.count(channel, files)?;
            let known = self.channels.get(channel).map_or(0, |channel| channel.head);
            let head = heads.entry(channel).or_insert(known);
            if *position <= *head {
                return Err(BacklogError::OutOfOrder {
                    channel: Arc::clone(channel),
                    position: *position,
                    head: *head,
                });
            }
            *head = *position;
        }
        Ok(())
    }

    /// A channel's number; a new channel gets one, written down in the same batch.
    pub(super) fn number(
        &mut self,
        name: &Arc<str>,
        position: i64,
        rows: &mut Batch,
    ) -> Result<u32, BacklogError> {
        if let Some(channel) = self.channels.get(name) {
            return Ok(channel.number);
        }
        let number = self.next_number;
        if number >= rows::FIRST_RESERVED {
            return Err(BacklogError::Failed("no channel numbers are left; compact it".into()));
        }
        self.next_number += 1;
        let floor = self.shared_floor.min(position - 1);
        let channel = Channel {
            number,
            name: Arc::clone(name),
            head: 0,
            floor,
            hole: 0,
            records: 0,
            bytes: 0,
            oldest_us: None,
            buried: floor,
            dead: 0,
            dead_bytes: 0,
            counted: true,
            dirty: true,
            since_meta: 0,
            turn: self.turn,
        };
        rows.insert(&Meta::key(number)[..], channel.meta(false).encode());
        self.channels.insert(Arc::clone(name), channel);
        Ok(number)
    }

    /// Writes down, now and then, the sizes of the channels that a batch is about to change.
    pub(super) fn note_sizes(&mut self, batch: &[Record], rows: &mut Batch) {
        for record in batch {
            let Some(channel) = self.channels.get_mut(&record.channel) else { continue };
            channel.since_meta += 1;
            if channel.since_meta >= META_EVERY {
                channel.since_meta = 0;
                rows.insert(&Meta::key(channel.number)[..], channel.meta(false).encode());
            }
        }
    }

    /// Writes down floors that were raised.
    pub(super) fn note_holes(&mut self, rows: &mut Batch) {
        for name in self.raised.drain(..) {
            if let Some(channel) = self.channels.get(&name) {
                rows.insert(&Meta::key(channel.number)[..], channel.meta(false).encode());
            }
        }
        if std::mem::take(&mut self.shared_raised) {
            rows.insert(rows::store_key("floor"), &self.shared_floor.to_be_bytes()[..]);
        }
    }

    /// The batch is on disk.
    pub(super) fn appended(&mut self, batch: &[Record]) {
        self.turn += 1;
        for record in batch {
            let Some(channel) = self.channels.get_mut(&record.channel) else { continue };
            let bytes = record.value.len() as u64;
            channel.head = record.position;
            if channel.records == 0 {
                channel.oldest_us = Some(record.time_us);
            }
            channel.records += 1;
            channel.bytes += bytes;
            channel.turn = self.turn;
            channel.dirty = true;
            self.records += 1;
            self.bytes += bytes;
        }
    }

    /// Raises the floor over the records that are not to be kept; says how many.
    pub(super) fn trim(
        &mut self,
        name: &str,
        keep: &Retention,
        now_us: i64,
        files: &Files,
    ) -> Result<u64, BacklogError> {
        let Some(channel) = self.channels.get_mut(name) else { return Ok(0) };
        let over =
            |channel: &Channel| channel.records > keep.messages || channel.bytes > keep.bytes;
        let old = |time_us: i64| now_us.saturating_sub(time_us) > keep.age_us;
        if channel.records == 0 || (!over(channel) && channel.oldest_us.is_some_and(|at| !old(at)))
        {
            return Ok(0);
        }
        let from = rows::record_key(channel.number, channel.floor + 1);
        let to = rows::record_key(channel.number, channel.head);
        let mut trimmed = 0;
        for row in files.tree.range(from..=to) {
            let (key, value) = row.map_err(failed)?;
            let (time_us, text) = rows::parse_record(&value)
                .ok_or_else(|| BacklogError::Failed("a record cannot be read".into()))?;
            if !over(channel) && !old(time_us) {
                channel.oldest_us = Some(time_us);
                break;
            }
            let bytes = text.len() as u64;
            channel.floor = rows::position_of(&key).unwrap_or(channel.floor);
            channel.records = channel.records.saturating_sub(1);
            channel.bytes = channel.bytes.saturating_sub(bytes);
            channel.dead += 1;
            channel.dead_bytes += bytes;
            channel.dirty = true;
            self.records = self.records.saturating_sub(1);
            self.bytes = self.bytes.saturating_sub(bytes);
            trimmed += 1;
        }
        if channel.records == 0 {
            channel.oldest_us = None;
        }
        Ok(trimmed)
    }

    /// The dead rows of a channel, if they are many: its number, and between which positions.
    pub(super) fn graves(&self, name: &str) -> Option<(u32, i64, i64)> {
        let channel = self.channels.get(name)?;
        let many = channel.dead >= GRAVES.max(channel.records / 8);
        many.then_some((channel.number, channel.buried, channel.floor))
    }

    /// Dead rows are about to be removed, in the batch that writes that down.
    pub(super) fn buried(
        &mut self,
        name: &str,
        up_to: i64,
        (removed, bytes): (u64, u64),
        batch: &mut Batch,
    ) {
        let Some(channel) = self.channels.get_mut(name) else { return };
        channel.buried = up_to;
        channel.dead = channel.dead.saturating_sub(removed);
        channel.dead_bytes = channel.dead_bytes.saturating_sub(bytes);
        if up_to == channel.floor {
            (channel.dead, channel.dead_bytes) = (0, 0);
        }
        channel.since_meta = 0;
        batch.insert(&Meta::key(channel.number)[..], channel.meta(false).encode());
    }

    pub(super) fn raise_floor(&mut self, name: &str, to: i64) {
        if let Some(channel) = self.channels.get_mut(name) {
            channel.hole = channel.hole.max(to);
            channel.dirty = true;
            self.raised.push(Arc::clone(&channel.name));
        } else {
            self.shared_floor = self.shared_floor.max(to);
            self.shared_raised = true;
        }
    }

    /// Comes back within the bounds: drops whole channels, the least recently used first. True if
    /// the batch has something to write.
    pub(super) fn shrink(
        &mut self,
        options: &SledOptions,
        files: &Files,
        batch: &mut Batch,
    ) -> Result<bool, BacklogError> {
        let count = |catalogue: &Self| catalogue.channels.len() as u64;
        if self.bytes <= options.budget_bytes && count(self) <= options.channels {
            return Ok(false);
        }
        let mut by_use: Vec<(u64, Arc<str>)> =
            self.channels.values().map(|found| (found.turn, Arc::clone(&found.name))).collect();
        by_use.sort_unstable();
        // A little more than needed, so that it is not needed again at once.
        let (bytes, channels) = (options.budget_bytes / 20 * 19, options.channels);
        for (_, name) in &by_use {
            if self.bytes <= bytes.max(1) && count(self) <= channels {
                break;
            }
            if count(self) == 1 {
                let keep = Retention { bytes: options.budget_bytes, ..Retention::ALL };
                self.trim(name, &keep, i64::MIN, files)?;
                break;
            }
            let Some(channel) = self.channels.remove(name) else { continue };
            self.shared_floor = self.shared_floor.max(channel.head).max(channel.hole);
            self.records = self.records.saturating_sub(channel.records);
            self.bytes = self.bytes.saturating_sub(channel.bytes);
            self.doomed.push_back(channel.number);
            batch.insert(&Meta::key(channel.number)[..], channel.meta(true).encode());
        }
        batch.insert(rows::store_key("floor"), &self.shared_floor.to_be_bytes()[..]);
        Ok(true)
    }

    pub(super) fn doomed(&self) -> Option<u32> {
        self.doomed.front().copied()
    }

    pub(super) fn swept(&mut self, number: u32) {
        self.doomed.retain(|doomed| *doomed != number);
    }

    pub(super) fn shared_floor(&self) -> i64 {
        self.shared_floor
    }

    pub(super) fn names(&self, prefix: &str) -> Vec<Arc<str>> {
        self.channels
            .range::<str, _>((std::ops::Bound::Included(prefix), std::ops::Bound::Unbounded))
            .take_while(|(name, _)| name.starts_with(prefix))
            .filter(|(_, channel)| channel.head > 0 || !channel.counted)
            .map(|(name, _)| Arc::clone(name))
            .collect()
    }

    /// What is to be written down at the end.
    pub(super) fn unsaved(&self) -> Vec<(u32, Meta)> {
        let dirty = self.channels.values().filter(|channel| channel.dirty);
        dirty.map(|channel| (channel.number, channel.meta(false))).collect()
    }

    pub(super) fn usage(&self) -> Usage {
        Usage {
            channels: self.channels.len() as u64,
            records: self.records,
            bytes: self.bytes,
            ..Usage::default()
        }
    }
}
