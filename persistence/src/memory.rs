//! A backlog in memory: a deque a channel, under one lock, within bounds; gone with the process.
//!
//! When a bound is passed, the channels that were least recently appended to go first, whole; the
//! last one left loses its oldest records. Marks are bounded by whoever forgets them.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fmt,
    sync::Arc,
};

use parking_lot::Mutex;

use crate::{Backlog, BacklogError, Mark, Marked, Page, Record, Retention, TRIM_MOST, Usage};

/// What a record costs besides its text: itself, and the counters of its shared text.
const RECORD_OVERHEAD: u64 = (size_of::<Record>() + 2 * size_of::<usize>()) as u64;
/// What a channel costs besides its name: its entries in both maps, generously.
const CHANNEL_OVERHEAD: u64 = 256;

/// The bounds of a [`Memory`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryLimits {
    /// At most so many channels with a record, so that inventing names costs no memory.
    pub channels: usize,
    /// At most so many bytes in all: texts, names and their overhead.
    pub bytes: u64,
}

impl Default for MemoryLimits {
    /// 100,000 channels and 256 MiB.
    fn default() -> Self {
        Self { channels: 100_000, bytes: 256 << 20 }
    }
}

/// The [`Backlog`] in memory.
pub struct Memory {
    limits: MemoryLimits,
    state: Mutex<State>,
}

impl Memory {
    /// An empty backlog that stays within `limits`.
    #[must_use]
    pub fn new(limits: MemoryLimits) -> Self {
        Self { limits, state: Mutex::default() }
    }

    /// Does something to the state, unless closed.
    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> Result<T, BacklogError> {
        let mut state = self.state.lock();
        if state.closed { Err(BacklogError::Closed) } else { Ok(act(&mut state)) }
    }
}

impl fmt::Debug for Memory {
    /// Sizes only: what users said does not belong into a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.debug_struct("Memory")
            .field("limits", &self.limits)
            .field("channels", &state.channels.len())
            .field("bytes", &state.bytes)
            .finish_non_exhaustive()
    }
}

impl Backlog for Memory {
    fn append(&self, batch: &[Record]) -> Result<(), BacklogError> {
        self.with(|state| {
            state.check(batch)?;
            batch.iter().for_each(|record| state.push(record));
            state.shrink(&self.limits);
            Ok(())
        })?
    }

    fn read_after(
        &self,
        channel: &str,
        after: i64,
        mut page: Page,
    ) -> Result<Vec<Record>, BacklogError> {
        self.with(|state| {
            state.channels.get(channel).map_or_else(Vec::new, |channel| {
                let start = channel.records.partition_point(|record| record.position <= after);
                let records = channel.records.range(start..).enumerate();
                records
                    .take_while(|(at, record)| page.take(record.value.len(), *at == 0))
                    .map(|(_, record)| record.clone())
                    .collect()
            })
        })
    }

    fn last(&self, channel: &str, n: usize) -> Result<Vec<Record>, BacklogError> {
        self.with(|state| {
            state.channels.get(channel).map_or_else(Vec::new, |channel| {
                let start = channel.records.len().saturating_sub(n);
                channel.records.range(start..).cloned().collect()
            })
        })
    }

    fn floor(&self, channel: &str) -> Result<i64, BacklogError> {
        self.with(|state| state.channels.get(channel).map_or(state.shared_floor, |c| c.floor))
    }

    fn head(&self, channel: &str) -> Result<Option<i64>, BacklogError> {
        self.with(|state| state.channels.get(channel).map(|channel| channel.head))
    }

    fn trim(&self, channel: &str, keep: &Retention, now_us: i64) -> Result<u64, BacklogError> {
        self.with(|state| {
            let Some(channel) = state.channels.get_mut(channel) else { return 0 };
            let mut trimmed = 0;
            while trimmed < TRIM_MOST && channel.passes(keep, now_us) {
                state.bytes -= channel.pop();
                trimmed += 1;
            }
            trimmed
        })
    }

    fn raise_floor(&self, channel: &str, to: i64) -> Result<(), BacklogError> {
        self.with(|state| {
            let known = state.channels.get_mut(channel).map(|channel| &mut channel.floor);
            let floor = known.unwrap_or(&mut state.shared_floor);
            *floor = to.max(*floor);
        })
    }

    fn names(&self, prefix: &str) -> Result<Vec<Arc<str>>, BacklogError> {
        let mut names: Vec<_> = self.with(|state| {
            state.channels.keys().filter(|name| name.starts_with(prefix)).cloned().collect()
        })?;
        names.sort_unstable();
        Ok(names)
    }

    fn marks(&self, since_us: i64) -> Result<Vec<Marked>, BacklogError> {
        self.with(|state| {
            let marks = state.marks.range((since_us, i64::MIN, [0; 16])..);
            marks
                .map(|(&(time_us, position, _), &mark)| Marked { mark, position, time_us })
                .collect()
        })
    }

    fn forget_marks(&self, before_us: i64, max: u64) -> Result<u64, BacklogError> {
        self.with(|state| {
            let mut forgotten = 0;
            while let Some(oldest) = state.marks.first_entry() {
                let old = oldest.key().0 < before_us;
                if forgotten == TRIM_MOST || (!old && state.marks.len() as u64 <= max) {
                    break;
                }
                state.marks.pop_first();
                forgotten += 1;
            }
            forgotten
        })
    }

    fn tidy(&self) -> Result<bool, BacklogError> {
        self.with(|_| false)
    }

    fn usage(&self) -> Result<Usage, BacklogError> {
        self.with(|state| {
            let channels = state.channels.values();
            Usage {
                channels: state.channels.len() as u64,
                records: channels.clone().map(|channel| channel.records.len() as u64).sum(),
                bytes: channels.map(|channel| channel.text_bytes).sum(),
                marks: state.marks.len() as u64,
                disk_bytes: 0,
            }
        })
    }

    fn health(&self) -> Result<(), BacklogError> {
        self.with(|_| ())
    }

    fn recover(&self) -> Result<(), BacklogError> {
        self.health()
    }

    fn close(&self) -> Result<(), BacklogError> {
        *self.state.lock() = State { closed: true, ..State::default() };
        Ok(())
    }
}

/// All that the lock guards.
#[derive(Default)]
struct State {
    channels: HashMap<Arc<str>, Channel>,
    /// The channels by the turn of their latest append; the first is the next to go.
    by_turn: BTreeMap<u64, Arc<str>>,
    turn: u64,
    /// The cost of all channels with their records.
    bytes: u64,
    shared_floor: i64,
    /// The marks by time, position and key.
    marks: BTreeMap<(i64, i64, [u8; 16]), Mark>,
    closed: bool,
}

impl State {
    /// Refuses a batch in which a position does not follow its predecessor.
    fn check(&self, batch: &[Record]) -> Result<(), BacklogError> {
        let mut heads: HashMap<&str, i64> = HashMap::new();
        for Record { channel, position, .. } in batch {
            let head = heads
                .entry(channel)
                .or_insert_with(|| self.channels.get(channel).map_or(0, |channel| channel.head));
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

    /// Adds a record that was checked, as the newest of the most recent channel.
    fn push(&mut self, record: &Record) {
        if let Some(mark) = record.mark {
            self.marks.insert((record.time_us, record.position, mark.key), mark);
        }
        self.turn += 1;
        let turn = self.turn;
        if let Some(channel) = self.channels.get_mut(&record.channel) {
            if let Some(name) = self.by_turn.remove(&channel.turn) {
                self.by_turn.insert(turn, name);
            }
            channel.turn = turn;
            self.bytes += channel.push(record);
        } else {
            let name = Arc::clone(&record.channel);
            let floor = self.shared_floor.min(record.position - 1);
            let mut channel = Channel::new(Arc::clone(&name), floor, turn);
            self.bytes += channel.cost() + channel.push(record);
            self.by_turn.insert(turn, Arc::clone(&name));
            self.channels.insert(name, channel);
        }
    }

    /// Comes back within the limits.
    fn shrink(&mut self, limits: &MemoryLimits) {
        while self.channels.len() > limits.channels
            || (self.bytes > limits.bytes && self.channels.len() > 1)
        {
            let Some((_, name)) = self.by_turn.pop_first() else { return };
            let Some(channel) = self.channels.remove(&name) else { return };
            self.shared_floor = self.shared_floor.max(channel.head);
            self.bytes -= channel.cost() + channel.records.iter().map(cost).sum::<u64>();
        }
        let only = self.channels.values_mut().next().filter(|_| self.bytes > limits.bytes);
        if let Some(channel) = only {
            while self.bytes > limits.bytes && !channel.records.is_empty() {
                self.bytes -= channel.pop();
            }
        }
    }
}

/// What is known of one channel.
struct Channel {
    name: Arc<str>,
    records: VecDeque<Record>,
    /// The bytes of the records' texts, which retention speaks of.
    text_bytes: u64,
    head: i64,
    floor: i64,
    turn: u64,
}

impl Channel {
    fn new(name: Arc<str>, floor: i64, turn: u64) -> Self {
        Self { name, records: VecDeque::new(), text_bytes: 0, head: 0, floor, turn }
    }

    /// What the channel costs without its records.
    fn cost(&self) -> u64 {
        CHANNEL_OVERHEAD + self.name.len() as u64
    }

    /// Adds the newest record and says what it costs. The name is the channel's own copy, so that
    /// a thousand records do not keep a thousand names alive.
    fn push(&mut self, record: &Record) -> u64 {
        self.head = record.position;
        self.text_bytes += record.value.len() as u64;
        let channel = Arc::clone(&self.name);
        self.records.push_back(Record { channel, mark: None, ..record.clone() });
        cost(record)
    }

    /// Drops the oldest record, if any, and says what it cost.
    fn pop(&mut self) -> u64 {
        let Some(record) = self.records.pop_front() else { return 0 };
        self.text_bytes -= record.value.len() as u64;
        self.floor = self.floor.max(record.position);
        if self.records.len() < self.records.capacity() / 4 {
            self.records.shrink_to(self.records.capacity() / 2);
        }
        cost(&record)
    }

    /// Whether the oldest record has to go.
    fn passes(&self, keep: &Retention, now_us: i64) -> bool {
        let last = keep.keep_last && self.records.len() == 1;
        self.records.front().filter(|_| !last).is_some_and(|oldest| {
            self.records.len() as u64 > keep.messages
                || self.text_bytes > keep.bytes
                || now_us.saturating_sub(oldest.time_us) > keep.age_us
        })
    }
}

/// What a record costs.
fn cost(record: &Record) -> u64 {
    RECORD_OVERHEAD + record.value.len() as u64
}

#[cfg(test)]
mod tests;
