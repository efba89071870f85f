//! What is known of all channels without asking the disk.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Bound,
    sync::Arc,
};

use super::{
    META_EVERY, SledOptions,
    channel::{Channel, Cut, Plan},
    rows::{self, Meta, Rows},
    writing::AT_A_TIME,
};
use crate::{BacklogError, Loss, Record, Usage};

/// All channels.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    pub(super) channels: BTreeMap<Arc<str>, Channel>,
    pub(super) next_number: u32,
    pub(super) shared_floor: i64,
    /// Channels whose rows are yet to be removed.
    pub(super) doomed: VecDeque<Doomed>,
    /// Channels whose dead rows are yet to be removed.
    pub(super) graves: VecDeque<Arc<str>>,
    /// Channels, and the shared floor, that the next batch is to write down.
    pub(super) raised: Vec<Arc<str>>,
    pub(super) shared_raised: bool,
    pub(super) turn: u64,
    pub(super) records: u64,
    pub(super) bytes: u64,
    pub(super) marks: u64,
    /// Dead bytes, of channels that live, that can be removed.
    pub(super) dead_bytes: u64,
    /// Dead bytes past which no channel's dead rows are few enough to stay.
    pub(super) dead_bytes_most: u64,
    /// What was given up for good and not told yet.
    pub(super) losses: Vec<Loss>,
}

/// A channel that was dropped.
#[derive(Debug)]
pub(super) struct Doomed {
    pub(super) number: u32,
    pub(super) meta: Meta,
    /// Whether that is written down.
    pub(super) noted: bool,
}

/// Dead rows of a channel that are removed.
#[derive(Debug, Default)]
pub(super) struct Gone {
    /// The position of the last of them.
    pub(super) up_to: i64,
    /// Up to where there are no others.
    pub(super) searched: Option<i64>,
    pub(super) records: u64,
    pub(super) bytes: u64,
}

impl Catalogue {
    pub(super) fn get_mut(&mut self, name: &str) -> Option<(&mut Channel, u64)> {
        self.turn += 1;
        let turn = self.turn;
        self.channels.get_mut(name).map(|channel| (channel, turn))
    }

    /// No position above this is known to have been used.
    pub(super) fn highest(&self) -> i64 {
        self.channels.values().map(Channel::highest).fold(self.shared_floor, i64::max)
    }

    /// Refuses a batch in which a position does not follow its predecessor.
    pub(super) fn check(&self, batch: &[Record]) -> Result<(), BacklogError> {
        let mut heads: BTreeMap<&str, i64> = BTreeMap::new();
        for Record { channel, position, .. } in batch {
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

    /// How many of these records are made rows of at a time. Each may need its own, its mark needs one, and
    /// so does its channel if that is new.
    pub(super) fn together(&self, records: &[Record]) -> usize {
        let rows = |record: &Record| {
            let new = !self.channels.contains_key(&record.channel);
            1 + usize::from(record.mark.is_some()) + usize::from(new)
        };
        let mut all = 0;
        let fits = records.iter().take_while(|record| {
            all += rows(record);
            all <= AT_A_TIME
        });
        fits.count()
    }

    /// A channel's number; a new channel gets one, written down in the same batch.
    pub(super) fn number(
        &mut self,
        name: &Arc<str>,
        position: i64,
        rows: &mut Rows,
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
        let meta = Meta {
            name: name.as_ref().to_owned(),
            floor,
            trimmed: None,
            hole: 0,
            head: 0,
            records: 0,
            bytes: 0,
            dropped: false,
            damaged: false,
        };
        rows.insert(&Meta::key(number), meta.encode());
        let mut channel = Channel::new(number, Arc::clone(name), &meta);
        (channel.turn, channel.dirty) = (self.turn, true);
        self.channels.insert(Arc::clone(name), channel);
        Ok(number)
    }

    /// Writes down, now and then, the sizes of the channels that a batch is about to change.
    pub(super) fn note_sizes(&mut self, batch: &[Record], rows: &mut Rows) {
        for record in batch {
            let Some(channel) = self.channels.get_mut(&record.channel) else { continue };
            channel.since_meta += 1;
            if channel.since_meta >= META_EVERY {
                channel.since_meta = 0;
                rows.insert(&Meta::key(channel.number), channel.meta().encode());
            }
        }
    }

    /// Writes down floors that were raised.
    pub(super) fn note_floors(&mut self, rows: &mut Rows) {
        if std::mem::take(&mut self.shared_raised) {
            rows.insert(&rows::store_key("floor"), self.shared_floor.to_be_bytes().to_vec());
        }
        for name in self.raised.drain(..) {
            if let Some(channel) = self.channels.get(&name) {
                rows.insert(&Meta::key(channel.number), channel.meta().encode());
            }
        }
    }

    /// The batch is on disk, under these numbers.
    pub(super) fn appended(&mut self, batch: &[Record], numbers: &[u32]) {
        self.turn += 1;
        for (record, number) in batch.iter().zip(numbers) {
            self.marks += u64::from(record.mark.is_some());
            let channel = self.channels.get_mut(&record.channel);
            let Some(channel) = channel.filter(|channel| channel.number == *number) else {
                // It was given up meanwhile, and its new records with it.
                self.raise_shared_floor(record.position);
                continue;
            };
            let bytes = record.value.len() as u64;
            channel.push(record.position, record.time_us, bytes);
            channel.turn = self.turn;
            self.records += 1;
            self.bytes += bytes;
        }
    }

    /// Raises a floor over the records that have to go; says how many.
    pub(super) fn cut(&mut self, name: &str, plan: &Plan, cut: &Cut) -> u64 {
        let Some(channel) = self.channels.get_mut(name) else { return 0 };
        let before = channel.removable();
        if !channel.cut(plan, cut) {
            return 0;
        }
        self.dead_bytes = (self.dead_bytes + channel.removable()).saturating_sub(before);
        self.records = self.records.saturating_sub(cut.records);
        self.bytes = self.bytes.saturating_sub(cut.bytes);
        cut.records
    }

    /// Remembers a channel whose dead rows are many.
    pub(super) fn queue_grave(&mut self, name: &str) {
        let pressed = self.dead_bytes > self.dead_bytes_most;
        let Some(channel) = self.channels.get_mut(name) else { return };
        if !channel.grave && channel.wants_burial(pressed) {
            channel.grave = true;
            self.graves.push_back(Arc::clone(&channel.name));
        }
    }

    /// The next channel with dead rows to remove: its name, its number, and between which positions.
    pub(super) fn grave(&mut self) -> Option<(Arc<str>, u32, i64, i64)> {
        while let Some(name) = self.graves.front() {
            if let Some(channel) = self.channels.get(name).filter(|channel| channel.grave) {
                let Channel { number, buried, floor, .. } = *channel;
                return Some((Arc::clone(name), number, buried, floor));
            }
            self.graves.pop_front();
        }
        None
    }

    /// Dead rows are about to be removed, in the batch that writes that down. What is dead of a row that
    /// the floor has not passed whole stays with it.
    pub(super) fn buried(&mut self, name: &str, gone: &Gone, rows: &mut Rows) {
        let Some(channel) = self.channels.get_mut(name) else { return };
        let (before, buried) = (channel.removable(), channel.buried);
        channel.buried = gone.up_to;
        channel.dead = channel.dead.saturating_sub(gone.records);
        channel.dead_bytes = channel.dead_bytes.saturating_sub(gone.bytes);
        if gone.up_to >= channel.floor {
            (channel.dead, channel.dead_bytes) = (0, 0);
        }
        channel.grave = gone.searched.is_none_or(|to| to < channel.floor);
        if !channel.grave {
            channel.stuck_bytes = channel.dead_bytes;
        }
        self.dead_bytes = (self.dead_bytes + channel.removable()).saturating_sub(before);
        if channel.buried != buried {
            channel.since_meta = 0;
            rows.insert(&Meta::key(channel.number), channel.meta().encode());
        }
    }

    pub(super) fn raise_floor(&mut self, name: &str, to: i64) {
        if let Some(channel) = self.channels.get_mut(name) {
            if to > channel.hole {
                channel.hole = to;
                channel.dirty = true;
                self.raised.push(Arc::clone(&channel.name));
            }
        } else {
            self.raise_shared_floor(to);
        }
    }

    pub(super) fn raise_shared_floor(&mut self, to: i64) {
        self.shared_raised |= to > self.shared_floor;
        self.shared_floor = self.shared_floor.max(to);
    }

    /// Raises all floors, also those of channels without a record.
    pub(super) fn raise_all(&mut self, to: i64) {
        let names: Vec<_> = self.channels.keys().cloned().collect();
        names.iter().for_each(|name| self.raise_floor(name, to));
        self.raise_shared_floor(to);
    }

    /// This is what is left of what `old` knew: raises floors over what is missing. Says whether any
    /// records are.
    pub(super) fn inherit(&mut self, old: &Self) -> bool {
        let mut missing = false;
        for (name, channel) in &old.channels {
            let head = self.channels.get(name).map_or(0, |left| left.head);
            let lost = if head < channel.head { channel.head } else { 0 };
            missing |= lost > 0;
            self.raise_floor(name, channel.hole.max(lost));
        }
        self.raise_shared_floor(old.shared_floor);
        missing
    }

    /// Drops a channel: its floor is the shared one from now on.
    pub(super) fn drop_channel(&mut self, name: &str) -> u64 {
        let Some(channel) = self.channels.remove(name) else { return 0 };
        self.raise_shared_floor(channel.highest());
        self.records = self.records.saturating_sub(channel.records);
        self.bytes = self.bytes.saturating_sub(channel.bytes);
        self.dead_bytes = self.dead_bytes.saturating_sub(channel.removable());
        let meta = Meta { dropped: true, ..channel.meta() };
        self.doomed.push_back(Doomed { number: channel.number, meta, noted: false });
        channel.records
    }

    /// Drops a channel whose rows cannot be read, if it still has this number; says how many records
    /// went.
    pub(super) fn give_up(&mut self, name: &Arc<str>, number: u32) -> u64 {
        if self.channels.get(name).is_none_or(|channel| channel.number != number) {
            return 0;
        }
        self.losses.push(Loss::Channel(Arc::clone(name)));
        let records = self.drop_channel(name);
        if let Some(doomed) = self.doomed.back_mut() {
            doomed.meta.damaged = true;
        }
        records
    }

    /// Comes back within the bounds: drops whole channels, the least recently used first. Names the
    /// one that is left, if that alone is too large.
    pub(super) fn shrink(&mut self, options: &SledOptions) -> Option<Arc<str>> {
        let count = |catalogue: &Self| catalogue.channels.len() as u64;
        if self.bytes <= options.budget_bytes && count(self) <= options.channels {
            return None;
        }
        let mut by_use: Vec<(u64, Arc<str>)> =
            self.channels.values().map(|found| (found.turn, Arc::clone(&found.name))).collect();
        by_use.sort_unstable();
        let (bytes, channels) = (some_less(options.budget_bytes), some_less(options.channels));
        for (_, name) in by_use {
            if self.bytes <= bytes && count(self) <= channels.max(1) {
                break;
            }
            if count(self) == 1 {
                return Some(name);
            }
            self.drop_channel(&name);
        }
        None
    }

    pub(super) fn names(&self, prefix: &str) -> Vec<Arc<str>> {
        self.channels
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
            .take_while(|(name, _)| name.starts_with(prefix))
            .filter(|(_, channel)| channel.head > 0)
            .map(|(name, _)| Arc::clone(name))
            .collect()
    }

    /// Writes down all that is not.
    pub(super) fn note_all(&mut self, rows: &mut Rows) {
        self.note_floors(rows);
        for Doomed { number, meta, .. } in self.doomed.iter().filter(|doomed| !doomed.noted) {
            rows.insert(&Meta::key(*number), meta.encode());
        }
        for channel in self.channels.values().filter(|channel| channel.dirty) {
            rows.insert(&Meta::key(channel.number), channel.meta().encode());
        }
    }

    pub(super) fn usage(&self) -> Usage {
        Usage {
            channels: self.channels.len() as u64,
            records: self.records,
            bytes: self.bytes,
            marks: self.marks,
            disk_bytes: 0,
        }
    }
}

/// A little less than the most, so that it is not passed again at once.
pub(super) fn some_less(most: u64) -> u64 {
    most - most / 20
}
