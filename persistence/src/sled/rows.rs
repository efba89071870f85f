//! How rows are spelled. One tree holds everything, so that one batch is all or nothing.
//!
//! A channel is a number; the highest numbers are not channels: they hold what is known of each
//! channel, the marks, and the store itself.

use std::ops::Range;

use sled::Batch;

use super::SWEEP_ROWS;
use crate::{Mark, Marked};

/// Channels have numbers below this.
pub(super) const FIRST_RESERVED: u32 = 0xFFFF_FFF0;
const CHANNELS: u32 = 0xFFFF_FFF1;
const MARKS: u32 = 0xFFFF_FFF2;
const STORE: u32 = 0xFFFF_FFF3;

/// Of a lone record's row, the first bytes are its time.
const TIME_BYTES: usize = 8;

pub(super) fn prefix(number: u32) -> [u8; 4] {
    number.to_be_bytes()
}

/// Bytes of a lone record's key.
pub(super) const KEY_BYTES: usize = 12;

pub(super) fn record_key(number: u32, position: i64) -> [u8; KEY_BYTES] {
    let mut key = [0; KEY_BYTES];
    key[..4].copy_from_slice(&number.to_be_bytes());
    key[4..].copy_from_slice(&position.to_be_bytes());
    key
}

pub(super) fn position_of(key: &[u8]) -> Option<i64> {
    Some(i64::from_be_bytes(key.get(4..12)?.try_into().ok()?))
}

pub(super) fn record_value(time_us: i64, text: &str) -> Vec<u8> {
    [&time_us.to_be_bytes()[..], text.as_bytes()].concat()
}

/// The time and the text of a lone record.
pub(super) fn parse_record(value: &[u8]) -> Option<(i64, &str)> {
    let (time, text) = value.split_at_checked(TIME_BYTES)?;
    Some((i64::from_be_bytes(time.try_into().ok()?), std::str::from_utf8(text).ok()?))
}

/// What is stored of a channel besides its records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) name: String,
    /// Records up to here are gone.
    pub(super) floor: i64,
    /// What is trimmed and not gone yet.
    pub(super) trimmed: Option<Trimmed>,
    /// Records up to here may be missing although older ones may be there.
    pub(super) hole: i64,
    /// The newest position when this was written, and the records and bytes up to it, with what is trimmed.
    pub(super) head: i64,
    pub(super) records: u64,
    pub(super) bytes: u64,
    /// Whether the channel was dropped and only its records are yet to be removed.
    pub(super) dropped: bool,
    /// Whether its records cannot be read: then they are left alone, since removing them takes
    /// reading what stands beside them.
    pub(super) damaged: bool,
}

/// Records that are trimmed although their rows are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Trimmed {
    /// Up to here they are.
    pub(super) floor: i64,
    pub(super) records: u64,
    pub(super) bytes: u64,
}

/// Flags of what is stored of a channel.
const DROPPED: u8 = 1;
const DAMAGED: u8 = 2;
const TRIMMED: u8 = 4;

impl Meta {
    pub(super) fn key(number: u32) -> [u8; 8] {
        let mut key = [0; 8];
        key[..4].copy_from_slice(&CHANNELS.to_be_bytes());
        key[4..].copy_from_slice(&number.to_be_bytes());
        key
    }

    pub(super) fn all() -> [u8; 4] {
        prefix(CHANNELS)
    }

    pub(super) fn number(key: &[u8]) -> Option<u32> {
        Some(u32::from_be_bytes(key.get(4..8)?.try_into().ok()?))
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let flags =
            [(DROPPED, self.dropped), (DAMAGED, self.damaged), (TRIMMED, self.trimmed.is_some())];
        let set = flags.iter().filter(|(_, set)| *set).map(|(flag, _)| flag);
        let mut out = vec![set.sum()];
        for number in [self.floor, self.hole, self.head] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        for number in [self.records, self.bytes] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        if let Some(Trimmed { floor, records, bytes }) = self.trimmed {
            out.extend_from_slice(&floor.to_be_bytes());
            out.extend_from_slice(&records.to_be_bytes());
            out.extend_from_slice(&bytes.to_be_bytes());
        }
        out.extend_from_slice(self.name.as_bytes());
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| -> Option<[u8; 8]> { bytes.get(at..at + 8)?.try_into().ok() };
        let flags = *bytes.first()?;
        let (trimmed, name) = if flags & TRIMMED == 0 {
            (None, 41)
        } else {
            let floor = i64::from_be_bytes(word(41)?);
            let (records, bytes) = (word(49)?, word(57)?);
            let (records, bytes) = (u64::from_be_bytes(records), u64::from_be_bytes(bytes));
            (Some(Trimmed { floor, records, bytes }), 65)
        };
        Some(Self {
            dropped: flags & DROPPED != 0,
            damaged: flags & DAMAGED != 0,
            trimmed,
            floor: i64::from_be_bytes(word(1)?),
            hole: i64::from_be_bytes(word(9)?),
            head: i64::from_be_bytes(word(17)?),
            records: u64::from_be_bytes(word(25)?),
            bytes: u64::from_be_bytes(word(33)?),
            name: String::from_utf8(bytes.get(name..)?.to_vec()).ok()?,
        })
    }
}

/// Bytes that compare as the numbers do, negative ones included.
fn ordered(number: i64) -> [u8; 8] {
    (number ^ i64::MIN).to_be_bytes()
}

/// A mark's key: by time, so that the oldest stand first.
pub(super) fn mark_key(time_us: i64, position: i64, key: &[u8; 16]) -> [u8; 36] {
    let mut out = [0; 36];
    out[..4].copy_from_slice(&MARKS.to_be_bytes());
    out[4..12].copy_from_slice(&ordered(time_us));
    out[12..20].copy_from_slice(&position.to_be_bytes());
    out[20..].copy_from_slice(key);
    out
}

pub(super) fn marks_from(time_us: i64) -> Vec<u8> {
    [&prefix(MARKS)[..], &ordered(time_us)].concat()
}

/// All marks.
pub(super) fn marks() -> Range<[u8; 4]> {
    prefix(MARKS)..marks_end()
}

pub(super) fn marks_end() -> [u8; 4] {
    prefix(MARKS + 1)
}

pub(super) fn mark_value(mark: &Mark) -> Vec<u8> {
    [&mark.print[..], &mark.subscribers.to_be_bytes()].concat()
}

pub(super) fn parse_mark(key: &[u8], value: &[u8]) -> Option<Marked> {
    Some(Marked {
        mark: Mark {
            key: key.get(20..36)?.try_into().ok()?,
            print: value.get(..16)?.try_into().ok()?,
            subscribers: u32::from_be_bytes(value.get(16..20)?.try_into().ok()?),
        },
        position: position_of(key.get(8..20)?)?,
        time_us: position_of(key.get(..12)?)? ^ i64::MIN,
    })
}

pub(super) fn store_key(name: &str) -> Vec<u8> {
    [&prefix(STORE)[..], name.as_bytes()].concat()
}

/// Rows to be written, in batches that sled can take.
#[derive(Debug, Default)]
pub(super) struct Rows {
    full: Vec<Batch>,
    batch: Batch,
    /// Rows in the last batch.
    count: usize,
}

impl Rows {
    /// The next `n` rows are written all or none.
    pub(super) fn together(&mut self, n: usize) {
        if self.count + n > SWEEP_ROWS {
            self.full.push(std::mem::take(&mut self.batch));
            self.count = 0;
        }
    }

    pub(super) fn insert(&mut self, key: &[u8], value: Vec<u8>) {
        self.together(1);
        self.batch.insert(key, value);
        self.count += 1;
    }

    pub(super) fn remove(&mut self, key: &[u8]) {
        self.together(1);
        self.batch.remove(key);
        self.count += 1;
    }

    /// How many rows still fit into the last batch.
    pub(super) fn room(&self) -> usize {
        SWEEP_ROWS - self.count
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0 && self.full.is_empty()
    }

    /// The batches, in their order.
    pub(super) fn into_batches(self) -> impl Iterator<Item = Batch> {
        let last = (self.count > 0).then_some(self.batch);
        self.full.into_iter().chain(last)
    }
}
