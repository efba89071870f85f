//! A backlog so simple that it is right, and random operations that compare another one with it.

use std::collections::BTreeMap;

use crate::{Backlog, BacklogError, Record, Retention, conformance::record};

/// A small repeatable generator of numbers (SplitMix64), so that a failure names its seed.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number from 0 up to, but not including, `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn below_i64(&mut self, bound: u64) -> i64 {
        i64::try_from(self.below(bound)).unwrap_or(i64::MAX)
    }
}

/// All channels' records by position, with their floors and heads.
#[derive(Default)]
struct Model {
    records: BTreeMap<String, BTreeMap<i64, Record>>,
    floors: BTreeMap<String, i64>,
    heads: BTreeMap<String, i64>,
}

impl Model {
    fn append(&mut self, batch: &[Record]) -> bool {
        let mut heads = self.heads.clone();
        for record in batch {
            let head = heads.entry(record.channel.to_string()).or_default();
            if record.position <= *head {
                return false;
            }
            *head = record.position;
        }
        self.heads = heads;
        for record in batch {
            let records = self.records.entry(record.channel.to_string()).or_default();
            records.insert(record.position, record.clone());
        }
        true
    }

    fn all(&self, channel: &str) -> Vec<Record> {
        self.records
            .get(channel)
            .map_or_else(Vec::new, |records| records.values().cloned().collect())
    }

    fn trim(&mut self, channel: &str, keep: &Retention, now_us: i64) -> u64 {
        let mut trimmed = 0;
        while let Some(records) = self.records.get_mut(channel) {
            let bytes: usize = records.values().map(|record| record.value.len()).sum();
            let count = records.len() as u64;
            let Some(oldest) = records.first_entry() else { break };
            let young = now_us - oldest.get().time_us <= keep.age_us;
            if count <= keep.messages && bytes as u64 <= keep.bytes && young {
                break;
            }
            self.floors.insert(channel.to_owned(), oldest.remove().position);
            trimmed += 1;
        }
        trimmed
    }
}

/// Does 300 random operations to `backlog` and the model and compares every answer.
///
/// # Errors
/// Those of the backlog that the model does not expect.
pub(crate) fn compare(backlog: &dyn Backlog, seed: u64) -> Result<(), BacklogError> {
    let mut random = Random::new(seed);
    let mut model = Model::default();
    for step in 0..300 {
        let channel = format!("/{}", random.below(4));
        let context = format!("seed {seed}, step {step}, {channel}");
        match random.below(6) {
            0..=2 => {
                let batch = batch(&mut random, &model);
                assert_eq!(backlog.append(&batch).is_ok(), model.append(&batch), "{context}");
            }
            3 => {
                let after = random.below_i64(400) - 10;
                let max = usize::try_from(random.below(8)).unwrap_or(0);
                let mut expected = model.all(&channel);
                expected.retain(|record| record.position > after);
                expected.truncate(max);
                assert_eq!(backlog.read_after(&channel, after, max)?, expected, "{context}");
            }
            4 => {
                let n = usize::try_from(random.below(8)).unwrap_or(0);
                let all = model.all(&channel);
                let expected = &all[all.len().saturating_sub(n)..];
                assert_eq!(backlog.last(&channel, n)?, expected, "{context}");
            }
            _ => {
                let keep = retention(&mut random);
                let now_us = random.below_i64(300);
                let trimmed = backlog.trim(&channel, &keep, now_us)?;
                assert_eq!(trimmed, model.trim(&channel, &keep, now_us), "{context}");
            }
        }
        let floor = model.floors.get(&channel).copied().unwrap_or(0);
        assert_eq!(backlog.floor(&channel)?, floor, "{context}");
        assert_eq!(backlog.head(&channel)?, model.heads.get(&channel).copied(), "{context}");
    }
    Ok(())
}

/// Up to four records whose positions mostly follow.
fn batch(random: &mut Random, model: &Model) -> Vec<Record> {
    let mut heads = model.heads.clone();
    (0..random.below(5))
        .map(|_| {
            let channel = format!("/{}", random.below(4));
            let head = heads.entry(channel.clone()).or_default();
            *head += if random.below(12) == 0 { -1 } else { 1 + random.below_i64(3) };
            let text = "x".repeat(usize::try_from(random.below(20)).unwrap_or(0));
            Record { time_us: random.below_i64(200), ..record(&channel, *head, &text) }
        })
        .collect()
}

/// Mostly one bound at a time, so that each matters.
fn retention(random: &mut Random) -> Retention {
    match random.below(4) {
        0 => Retention { messages: random.below(10), ..Retention::ALL },
        1 => Retention { bytes: random.below(150), ..Retention::ALL },
        2 => Retention { age_us: random.below_i64(200), ..Retention::ALL },
        _ => Retention {
            messages: random.below(10),
            bytes: random.below(150),
            age_us: random.below_i64(200),
        },
    }
}
