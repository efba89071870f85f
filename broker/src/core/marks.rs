//! Publications that are not to happen twice: the idempotency keys of the last minutes (decisions
//! section 2).
//!
//! A key holds for one publisher and one channel. It is kept as a hash, with another of what was
//! published, so that a million of them cost what they must and no more.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use weft_persistence::{Mark, Marked};

/// The keys that are remembered.
#[derive(Debug)]
pub(crate) struct Marks {
    window: Duration,
    max: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    known: HashMap<[u8; 16], Known>,
    /// Oldest first; an entry counts only if its key still has this turn.
    order: VecDeque<(Instant, [u8; 16], u64)>,
    turn: u64,
}

#[derive(Debug)]
struct Known {
    print: [u8; 16],
    turn: u64,
    first: Option<First>,
}

/// What became of the first publication with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct First {
    pub(crate) position: i64,
    pub(crate) subscribers: u32,
    /// Whether it was on disk when it was answered.
    pub(crate) durable: bool,
    /// Whether it will never be on disk.
    pub(crate) lost: bool,
}

/// What is known of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Nothing.
    New,
    /// It was published.
    Before(First),
    /// Its first publication is not settled yet.
    UnderWay,
    /// It came with other data.
    Reused,
}

/// The hashes of a publication by somebody; "" is nobody in particular.
pub(crate) fn mark(by: &str, channel: &str, key: &str, data: &str, ext: Option<&str>) -> Mark {
    // Lengths stand before the parts, so that no two lists of parts are the same bytes.
    let hash = |parts: &[&str]| {
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part.as_bytes());
        }
        let mut half = [0; 16];
        for (to, from) in half.iter_mut().zip(hasher.finalize()) {
            *to = from;
        }
        half
    };
    let print = ext.map_or_else(|| hash(&[data]), |ext| hash(&[data, ext]));
    Mark { key: hash(&[by, channel, key]), print, subscribers: 0 }
}

impl Marks {
    /// Remembers keys for so long, and at most so many; the oldest go first.
    pub(crate) fn new(window: Duration, max: usize) -> Self {
        Self { window, max, state: Mutex::default() }
    }

    /// What is known of a key.
    pub(crate) fn look(&self, mark: &Mark, now: Instant) -> Seen {
        let mut state = self.state.lock();
        state.forget(now.checked_sub(self.window), usize::MAX);
        match state.known.get(&mark.key) {
            None => Seen::New,
            Some(known) if known.print != mark.print => Seen::Reused,
            Some(Known { first: Some(first), .. }) => Seen::Before(*first),
            Some(_) => Seen::UnderWay,
        }
    }

    /// Reserves a key of which nothing is known.
    pub(crate) fn reserve(&self, mark: &Mark, now: Instant) {
        let mut state = self.state.lock();
        state.forget(None, self.max.saturating_sub(1));
        state.insert(mark, None, now);
    }

    /// The first publication with a key is done.
    pub(crate) fn settle(&self, key: &[u8; 16], first: First) {
        if let Some(known) = self.state.lock().known.get_mut(key) {
            known.first = Some(first);
        }
    }

    /// The publication did not happen: the key is free again.
    pub(crate) fn release(&self, key: &[u8; 16]) {
        let mut state = self.state.lock();
        if state.known.get(key).is_some_and(|known| known.first.is_none()) {
            state.known.remove(key);
        }
    }

    /// The publication was handed out, and its record was lost: whoever wants it on disk publishes it
    /// again.
    pub(crate) fn lose(&self, key: &[u8; 16]) {
        if let Some(Known { first: Some(first), .. }) = self.state.lock().known.get_mut(key) {
            first.lost = true;
        }
    }

    /// What became of a key, without reserving it.
    pub(crate) fn first(&self, key: &[u8; 16]) -> Option<First> {
        self.state.lock().known.get(key)?.first
    }

    /// Takes in what a store has kept, oldest first.
    pub(crate) fn restore(&self, stored: &[Marked], now: Instant, now_us: i64) {
        let mut state = self.state.lock();
        for Marked { mark, position, time_us } in stored {
            let age = Duration::from_micros(u64::try_from(now_us - time_us).unwrap_or(0));
            let Some(at) = now.checked_sub(age).filter(|_| age <= self.window) else { continue };
            let subscribers = mark.subscribers;
            let first = First { position: *position, subscribers, durable: true, lost: false };
            state.insert(mark, Some(first), at);
        }
        state.forget(None, self.max);
    }

    /// How many keys are remembered.
    pub(crate) fn len(&self) -> usize {
        self.state.lock().known.len()
    }
}

impl State {
    fn insert(&mut self, mark: &Mark, first: Option<First>, at: Instant) {
        self.turn += 1;
        let turn = self.turn;
        self.known.insert(mark.key, Known { print: mark.print, turn, first });
        self.order.push_back((at, mark.key, turn));
    }

    /// Forgets what is older than `before`, and the oldest beyond `max`.
    fn forget(&mut self, before: Option<Instant>, max: usize) {
        while let Some(&(at, key, turn)) = self.order.front() {
            let old = before.is_some_and(|before| at < before);
            if !old && self.known.len() <= max && self.order.len() / 2 <= max.saturating_add(8) {
                return;
            }
            self.order.pop_front();
            if self.known.get(&key).is_some_and(|known| known.turn == turn) {
                self.known.remove(&key);
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test needs some instant to start from")]
mod tests {
    use super::*;

    const DONE: First = First { position: 7, subscribers: 2, durable: false, lost: false };

    fn marks(max: usize) -> Marks {
        Marks::new(Duration::from_secs(600), max)
    }

    #[test]
    fn a_key_is_new_once_then_under_way_then_before() {
        let (marks, now) = (marks(10), Instant::now());
        let one = mark("", "/a", "k", "1", None);
        assert_eq!(marks.look(&one, now), Seen::New);
        marks.reserve(&one, now);
        assert_eq!(marks.look(&one, now), Seen::UnderWay);
        marks.settle(&one.key, DONE);
        assert_eq!(marks.look(&one, now), Seen::Before(DONE));
        assert_eq!(marks.look(&mark("", "/a", "k", "2", None), now), Seen::Reused);
        assert_eq!(marks.look(&mark("", "/a", "k", "1", Some("{}")), now), Seen::Reused);
        assert_eq!(marks.look(&mark("", "/b", "k", "2", None), now), Seen::New, "another channel");
    }

    #[test]
    fn a_publication_that_did_not_happen_frees_its_key() {
        let (marks, now) = (marks(10), Instant::now());
        let one = mark("", "/a", "k", "1", None);
        marks.reserve(&one, now);
        marks.release(&one.key);
        assert_eq!(marks.look(&mark("", "/a", "k", "2", None), now), Seen::New);
    }

    #[test]
    fn keys_are_forgotten_by_age_and_by_number_oldest_first() {
        let (marks, start) = (marks(2), Instant::now());
        let [a, b, c] = ["a", "b", "c"].map(|key| mark("", "/a", key, "1", None));
        for key in [&a, &b, &c] {
            marks.reserve(key, start);
            marks.settle(&key.key, DONE);
        }
        assert_eq!(marks.len(), 2);
        assert_eq!((marks.first(&a.key), marks.first(&c.key)), (None, Some(DONE)));
        assert_eq!(marks.look(&b, start), Seen::Before(DONE), "a look makes no room");
        let later = start + Duration::from_secs(601);
        assert_eq!(marks.look(&c, later), Seen::New);
        assert_eq!(marks.len(), 0);
    }

    #[test]
    fn what_was_stored_is_known_again_unless_too_old() {
        let (marks, now) = (marks(10), Instant::now() + Duration::from_secs(3_600));
        let stored = |key, time_us| {
            let mark = Mark { subscribers: 2, ..mark("", "/a", key, "1", None) };
            Marked { mark, position: 7, time_us }
        };
        let now_us = 3_600_000_000;
        marks.restore(&[stored("old", now_us - 601_000_000), stored("new", now_us)], now, now_us);
        assert_eq!(marks.len(), 1);
        let seen = marks.look(&mark("", "/a", "new", "1", None), now);
        assert_eq!(seen, Seen::Before(First { durable: true, ..DONE }));
    }
}
