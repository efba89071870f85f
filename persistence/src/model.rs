//! A backlog so simple that it is right, and random operations that compare another one with it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::conformance::record;
use crate::{Backlog, BacklogError, Mark, Marked, Page, Record, Retention, Usage};

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

    /// A small number from 0 up to, but not including, `bound`.
    pub(crate) fn small(&mut self, bound: u64) -> usize {
        usize::try_from(self.below(bound)).unwrap_or(0)
    }
}

/// All channels' records by position, with their floors and heads, and the marks by time.
#[derive(Default)]
struct Model {
    records: BTreeMap<String, BTreeMap<i64, Record>>,
    floors: BTreeMap<String, i64>,
    heads: BTreeMap<String, i64>,
    shared_floor: i64,
    marks: BTreeSet<(i64, i64, Mark)>,
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
            let (name, position) = (record.channel.to_string(), record.position);
            let shared = self.shared_floor.min(position - 1);
            self.floors.entry(name.clone()).or_insert(shared);
            let plain = Record { mark: None, ..record.clone() };
            self.records.entry(name).or_default().insert(position, plain);
            self.marks.extend(record.mark.map(|mark| (record.time_us, position, mark)));
        }
        true
    }

    fn all(&self, channel: &str) -> Vec<Record> {
        self.records
            .get(channel)
            .map_or_else(Vec::new, |records| records.values().cloned().collect())
    }

    fn page(&self, channel: &str, after: i64, page: Page) -> Vec<Record> {
        let (mut read, mut bytes) = (Vec::new(), 0);
        for record in self.all(channel) {
            bytes += if record.position > after { record.value.len() } else { 0 };
            let fits = read.is_empty() || bytes <= page.bytes;
            if record.position > after && read.len() < page.records && fits {
                read.push(record);
            }
        }
        read
    }

    fn floor(&self, channel: &str) -> i64 {
        self.floors.get(channel).copied().unwrap_or(self.shared_floor)
    }

    fn raise_floor(&mut self, channel: &str, to: i64) {
        let floor = self.floors.get_mut(channel).unwrap_or(&mut self.shared_floor);
        *floor = to.max(*floor);
    }

    fn trim(&mut self, channel: &str, keep: &Retention, now_us: i64) -> u64 {
        let mut trimmed = 0;
        while let Some(records) = self.records.get_mut(channel) {
            let bytes: usize = records.values().map(|record| record.value.len()).sum();
            let count = records.len() as u64;
            let Some(oldest) = records.first_entry() else { break };
            let young = now_us - oldest.get().time_us <= keep.age_us;
            let last = keep.keep_last && count == 1;
            if last || (count <= keep.messages && bytes as u64 <= keep.bytes && young) {
                break;
            }
            let gone = oldest.remove().position;
            self.raise_floor(channel, gone);
            trimmed += 1;
        }
        trimmed
    }

    fn marks(&self, since_us: i64) -> Vec<Marked> {
        let marks = self.marks.iter().filter(|(time_us, ..)| *time_us >= since_us);
        marks.map(|&(time_us, position, mark)| Marked { mark, position, time_us }).collect()
    }

    fn forget_marks(&mut self, before_us: i64, max: u64) -> u64 {
        let before = self.marks.len();
        self.marks.retain(|(time_us, ..)| *time_us >= before_us);
        while self.marks.len() as u64 > max {
            self.marks.pop_first();
        }
        (before - self.marks.len()) as u64
    }

    fn names(&self, prefix: &str) -> Vec<Arc<str>> {
        let names = self.heads.keys().filter(|name| name.starts_with(prefix));
        names.map(|name| Arc::from(name.as_str())).collect()
    }

    fn usage(&self) -> Usage {
        let records = self.records.values().flat_map(BTreeMap::values);
        Usage {
            channels: self.heads.len() as u64,
            records: records.clone().count() as u64,
            bytes: records.map(|record| record.value.len() as u64).sum(),
            marks: self.marks.len() as u64,
            disk_bytes: 0,
        }
    }
}

/// A model and the random operations that are done to it and to a backlog, with every answer
/// compared.
pub(crate) struct Comparison {
    seed: u64,
    step: u64,
    random: Random,
    model: Model,
}

impl Comparison {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, step: 0, random: Random::new(seed), model: Model::default() }
    }

    /// Does one operation to both.
    ///
    /// # Errors
    /// Those of the backlog that the model does not expect.
    pub(crate) fn step(&mut self, backlog: &dyn Backlog) -> Result<(), BacklogError> {
        self.step += 1;
        let channel = format!("/{}", self.random.below(4));
        let context = format!("seed {}, step {}, {channel}", self.seed, self.step);
        let (random, model) = (&mut self.random, &mut self.model);
        match random.below(12) {
            0..=5 => {
                let batch = batch(random, model);
                assert_eq!(backlog.append(&batch).is_ok(), model.append(&batch), "{context}");
            }
            6 => {
                let after = random.below_i64(400) - 10;
                let page = Page { records: random.small(8), bytes: random.small(80) };
                let expected = model.page(&channel, after, page);
                assert_eq!(backlog.read_after(&channel, after, page)?, expected, "{context}");
            }
            7 => {
                let n = random.small(8);
                let all = model.all(&channel);
                let expected = &all[all.len().saturating_sub(n)..];
                assert_eq!(backlog.last(&channel, n)?, expected, "{context}");
            }
            8 => {
                let (before_us, max) = (random.below_i64(100), random.below(50));
                let forgotten = backlog.forget_marks(before_us, max)?;
                assert_eq!(forgotten, model.forget_marks(before_us, max), "{context}");
            }
            9 if random.below(8) == 0 => {
                let to = random.below_i64(100);
                backlog.raise_floor(&channel, to)?;
                model.raise_floor(&channel, to);
            }
            _ => {
                let keep = retention(random);
                let now_us = random.below_i64(300);
                let trimmed = backlog.trim(&channel, &keep, now_us)?;
                assert_eq!(trimmed, model.trim(&channel, &keep, now_us), "{context}");
            }
        }
        self.agree_on(backlog, &channel, &context)
    }

    /// Compares what can be asked without changing anything.
    fn agree_on(
        &self,
        backlog: &dyn Backlog,
        channel: &str,
        context: &str,
    ) -> Result<(), BacklogError> {
        let model = &self.model;
        assert_eq!(backlog.floor(channel)?, model.floor(channel), "{context}");
        assert_eq!(backlog.head(channel)?, model.heads.get(channel).copied(), "{context}");
        assert_eq!(backlog.names("/")?, model.names("/"), "{context}");
        assert_eq!(backlog.names(channel)?, model.names(channel), "{context}");
        assert_eq!(backlog.marks(100)?, model.marks(100), "{context}");
        let usage = Usage { disk_bytes: 0, ..backlog.usage()? };
        assert_eq!(usage, model.usage(), "{context}");
        Ok(())
    }

    /// Compares everything.
    ///
    /// # Errors
    /// Those of the backlog.
    pub(crate) fn agree(&self, backlog: &dyn Backlog) -> Result<(), BacklogError> {
        for channel in ["/0", "/1", "/2", "/3", "/4"] {
            let context = format!("seed {}, after step {}, {channel}", self.seed, self.step);
            let records = backlog.read_after(channel, 0, Page::ALL)?;
            assert_eq!(records, self.model.all(channel), "{context}");
            self.agree_on(backlog, channel, &context)?;
        }
        assert_eq!(backlog.marks(i64::MIN)?, self.model.marks(i64::MIN), "seed {}", self.seed);
        Ok(())
    }
}

/// Does 300 random operations to `backlog` and the model and compares every answer.
///
/// # Errors
/// Those of the backlog that the model does not expect.
pub(crate) fn compare(backlog: &dyn Backlog, seed: u64) -> Result<(), BacklogError> {
    let mut comparison = Comparison::new(seed);
    for _ in 0..300 {
        comparison.step(backlog)?;
    }
    comparison.agree(backlog)
}

/// Up to four records whose positions mostly follow.
fn batch(random: &mut Random, model: &Model) -> Vec<Record> {
    let mut heads = model.heads.clone();
    let count = random.below(5);
    (0..count)
        .map(|_| {
            let channel = format!("/{}", random.below(4));
            let head = heads.entry(channel.clone()).or_default();
            *head += if random.below(24) == 0 { -1 } else { 1 + random.below_i64(3) };
            let text = "x".repeat(random.small(20));
            let time_us = random.below_i64(200);
            let mark = (random.below(3) == 0).then(|| mark(random));
            Record { time_us, mark, ..record(&channel, *head, &text) }
        })
        .collect()
}

/// A mark whose key is all but certain to be new.
fn mark(random: &mut Random) -> Mark {
    let mut key = [0; 16];
    key[4..12].copy_from_slice(&random.below(u64::MAX).to_be_bytes());
    Mark { key, print: [random.below(256) as u8; 16], subscribers: random.below(9) as u32 }
}

/// Mostly one bound at a time, so that each matters.
fn retention(random: &mut Random) -> Retention {
    let keep = bounds(random);
    Retention { keep_last: random.below(2) == 0, ..keep }
}

fn bounds(random: &mut Random) -> Retention {
    match random.below(4) {
        0 => Retention { messages: random.below(10), ..Retention::ALL },
        1 => Retention { bytes: random.below(150), ..Retention::ALL },
        2 => Retention { age_us: random.below_i64(200), ..Retention::ALL },
        _ => Retention {
            messages: random.below(10),
            bytes: random.below(150),
            age_us: random.below_i64(200),
            keep_last: false,
        },
    }
}
