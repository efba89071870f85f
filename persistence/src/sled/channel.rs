//! What is known of one channel without asking the disk, and how much of it has to go.

use std::sync::Arc;

use super::{
    files::Files,
    of_sled,
    packing::{self, Entry},
    rows::{Meta, Trimmed},
};
use crate::{BacklogError, Retention, TRIM_MOST};

/// Fewer dead rows than this stay where they are, if they are small.
const GRAVES: u64 = 64;
/// Fewer bytes of dead rows than this stay where they are, if they are few.
const GRAVE_BYTES: u64 = 1 << 20;

/// One channel.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) number: u32,
    pub(super) name: Arc<str>,
    pub(super) head: i64,
    pub(super) floor: i64,
    pub(super) hole: i64,
    /// Live records and their bytes.
    pub(super) records: u64,
    pub(super) bytes: u64,
    /// The time of the oldest of them, if it was looked up.
    oldest_us: Option<i64>,
    /// Rows up to here are gone; what stands between here and the floor is dead.
    pub(super) buried: i64,
    pub(super) dead: u64,
    pub(super) dead_bytes: u64,
    /// Of these, so many are known to share a row with what lives, and go with it.
    pub(super) stuck_bytes: u64,
    /// Whether its dead rows are about to be removed.
    pub(super) grave: bool,
    /// Whether something changed since it was opened.
    pub(super) dirty: bool,
    pub(super) since_meta: u32,
    pub(super) turn: u64,
}

/// What a look at the oldest records of a channel starts from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) number: u32,
    floor: i64,
    head: i64,
    records: u64,
    bytes: u64,
}

/// What has to go.
#[derive(Debug, Default)]
pub(super) struct Cut {
    pub(super) records: u64,
    pub(super) bytes: u64,
    up_to: i64,
    oldest_us: Option<i64>,
}

impl Channel {
    /// A channel as it was written down, or as it begins.
    pub(super) fn new(number: u32, name: Arc<str>, meta: &Meta) -> Self {
        let nothing = Trimmed { floor: meta.floor, records: 0, bytes: 0 };
        let trimmed = meta.trimmed.unwrap_or(nothing);
        Self {
            number,
            name,
            head: meta.head,
            floor: trimmed.floor,
            hole: meta.hole,
            records: meta.records.saturating_sub(trimmed.records),
            bytes: meta.bytes.saturating_sub(trimmed.bytes),
            oldest_us: None,
            buried: meta.floor,
            dead: trimmed.records,
            dead_bytes: trimmed.bytes,
            stuck_bytes: 0,
            grave: false,
            dirty: false,
            since_meta: 0,
            // Positions follow the time, so the lowest was not used for longest.
            turn: u64::try_from(meta.head).unwrap_or(0),
        }
    }

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

    /// No position above this is known to have been used.
    pub(super) fn highest(&self) -> i64 {
        self.head.max(self.hole)
    }

    /// Dead bytes that can be removed, as far as is known.
    pub(super) fn removable(&self) -> u64 {
        self.dead_bytes.saturating_sub(self.stuck_bytes)
    }

    pub(super) fn meta(&self) -> Meta {
        let Self { floor, dead: records, dead_bytes: bytes, .. } = *self;
        Meta {
            name: self.name.as_ref().to_owned(),
            floor: self.buried,
            trimmed: (floor > self.buried).then_some(Trimmed { floor, records, bytes }),
            hole: self.hole,
            head: self.head,
            records: self.records + self.dead,
            bytes: self.bytes + self.dead_bytes,
            dropped: false,
            damaged: false,
        }
    }

    /// A record is on disk.
    pub(super) fn push(&mut self, position: i64, time_us: i64, bytes: u64) {
        self.head = position;
        if self.records == 0 {
            self.oldest_us = Some(time_us);
        }
        self.records += 1;
        self.bytes += bytes;
        self.dirty = true;
    }

    /// Where to look for what has to go; `None` if nothing has to.
    pub(super) fn plan(&self, keep: &Retention, now_us: i64) -> Option<Plan> {
        let Self { number, floor, head, records, bytes, .. } = *self;
        let plan = Plan { number, floor, head, records, bytes };
        let young = self.oldest_us.is_some_and(|at| !is_old(at, keep, now_us));
        let stays = plan.is_empty_but_for_the_last(keep) || (young && !plan.is_over(keep));
        (!stays).then_some(plan)
    }

    /// Raises the floor over what has to go, unless it was raised since it was planned.
    pub(super) fn cut(&mut self, plan: &Plan, cut: &Cut) -> bool {
        if self.number != plan.number || self.floor != plan.floor {
            return false;
        }
        if cut.records > 0 {
            self.floor = cut.up_to;
            self.records = self.records.saturating_sub(cut.records);
            self.bytes = self.bytes.saturating_sub(cut.bytes);
            self.dead += cut.records;
            self.dead_bytes += cut.bytes;
            // The floor may have passed that row.
            self.stuck_bytes = 0;
            self.dirty = true;
        }
        self.oldest_us = cut.oldest_us.filter(|_| self.records > 0);
        true
    }

    /// Whether it is time to remove its dead rows.
    pub(super) fn wants_burial(&self, pressed: bool) -> bool {
        self.dead >= GRAVES.max(self.records / 8)
            || self.dead_bytes > GRAVE_BYTES.max(self.bytes / 8)
            || (pressed && self.removable() > 0)
    }
}

impl Plan {
    fn is_over(&self, keep: &Retention) -> bool {
        self.records > keep.messages || self.bytes > keep.bytes
    }

    fn is_empty_but_for_the_last(&self, keep: &Retention) -> bool {
        self.records <= u64::from(keep.keep_last)
    }

    /// Finds what has to go, up to a bound.
    pub(super) fn find(
        mut self,
        keep: &Retention,
        now_us: i64,
        files: &Files,
    ) -> Result<Cut, BacklogError> {
        let floor = self.floor;
        let mut cut = Cut::default();
        for row in files.tree.range(packing::between(self.number, floor, self.head)) {
            let (key, value) = row.map_err(of_sled)?;
            for entry in packing::unpack(&key, &value) {
                let Entry { position, time_us, text } = entry?;
                if position <= floor {
                    continue;
                }
                if cut.records == TRIM_MOST {
                    return Ok(cut);
                }
                let due = self.is_over(keep) || is_old(time_us, keep, now_us);
                if !due || self.is_empty_but_for_the_last(keep) {
                    cut.oldest_us = Some(time_us);
                    return Ok(cut);
                }
                let bytes = text.len() as u64;
                self.records = self.records.saturating_sub(1);
                self.bytes = self.bytes.saturating_sub(bytes);
                cut.records += 1;
                cut.bytes += bytes;
                cut.up_to = position;
            }
        }
        Ok(cut)
    }
}

fn is_old(time_us: i64, keep: &Retention, now_us: i64) -> bool {
    now_us.saturating_sub(time_us) > keep.age_us
}
