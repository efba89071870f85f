//! Who was to get what, and what they got: exact, message by message.

use std::collections::HashMap;
use std::ops::Range;

use crate::marker::Marker;

/// What a received message was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Receipt {
    /// The one that was to come next, or a later one.
    New,
    /// One that should have come earlier.
    Late,
    /// One that had come already.
    Repeat,
    /// One that this subscriber was never to get.
    Foreign,
    /// One of an earlier measurement.
    Stale,
}

/// What one subscriber had of one stream.
#[derive(Debug, Clone, Copy)]
struct Track {
    wanted: bool,
    /// Nothing from here on has come.
    next: u32,
}

/// The account of one measurement.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// The number of the first stream of this measurement.
    base: u32,
    streams: usize,
    /// Subscriber by subscriber, stream by stream.
    tracks: Vec<Track>,
    /// What is missing before `next`.
    holes: HashMap<usize, Vec<Range<u32>>>,
    /// How many want each stream.
    audience: Vec<u64>,
    /// How many messages of each stream were sent.
    sent: Vec<u32>,
    refused: Vec<u32>,
    /// Messages that came for the first time.
    distinct: u64,
    repeated: u64,
    reordered: u64,
    foreign: u64,
}

impl Ledger {
    /// An account of streams numbered from `base`; `wants` says of each subscriber which (from 0).
    pub(crate) fn new(base: u32, streams: usize, wants: &[Vec<usize>]) -> Self {
        let mut tracks = vec![Track { wanted: false, next: 0 }; streams * wants.len()];
        let mut audience = vec![0; streams];
        for (subscriber, wanted) in wants.iter().enumerate() {
            for &stream in wanted {
                tracks[subscriber * streams + stream].wanted = true;
                audience[stream] += 1;
            }
        }
        let none = vec![0; streams];
        let refused = none.clone();
        Self { base, streams, tracks, audience, sent: none, refused, ..Self::default() }
    }

    /// The number that the next account may begin with.
    pub(crate) fn end(&self) -> u32 {
        self.base + self.streams as u32
    }

    /// The marker of the next message of a stream (from 0), which is to be sent at that time.
    pub(crate) fn send(&mut self, stream: usize, at: u64) -> Marker {
        let number = self.sent[stream];
        self.sent[stream] += 1;
        Marker { stream: self.base + stream as u32, number, at }
    }

    /// The server did not take a message: nobody is to get it.
    pub(crate) fn refuse(&mut self, marker: Marker) {
        if let Some(stream) = marker.stream.checked_sub(self.base) {
            self.refused[stream as usize] += 1;
        }
    }

    /// Enters what a subscriber got.
    pub(crate) fn receive(&mut self, subscriber: usize, marker: Marker) -> Receipt {
        let Some(stream) = marker.stream.checked_sub(self.base) else { return Receipt::Stale };
        let (stream, number) = (stream as usize, marker.number);
        let slot = subscriber * self.streams + stream;
        let known = stream < self.streams && number < self.sent[stream];
        let Some(track) = self.tracks.get_mut(slot).filter(|track| known && track.wanted) else {
            self.foreign += 1;
            return Receipt::Foreign;
        };
        if number >= track.next {
            if number > track.next {
                self.holes.entry(slot).or_default().push(track.next..number);
            }
            track.next = number + 1;
            self.distinct += 1;
            return Receipt::New;
        }
        if self.holes.get_mut(&slot).is_some_and(|holes| fill(holes, number)) {
            self.distinct += 1;
            self.reordered += 1;
            return Receipt::Late;
        }
        self.repeated += 1;
        Receipt::Repeat
    }

    /// Messages sent and not refused.
    pub(crate) fn published(&self) -> u64 {
        let sent: u64 = self.sent.iter().map(|&count| u64::from(count)).sum();
        sent - self.refused.iter().map(|&count| u64::from(count)).sum::<u64>()
    }

    /// What all subscribers together are to get.
    pub(crate) fn expected(&self) -> u64 {
        let streams = self.sent.iter().zip(&self.refused).zip(&self.audience);
        streams.map(|((sent, refused), audience)| u64::from(sent - refused) * audience).sum()
    }

    /// What has not come.
    pub(crate) fn lost(&self) -> u64 {
        self.expected().saturating_sub(self.distinct)
    }

    pub(crate) fn repeated(&self) -> u64 {
        self.repeated
    }

    /// Messages that came after a later one of their stream.
    pub(crate) fn reordered(&self) -> u64 {
        self.reordered
    }

    /// Messages that came to somebody who was not to get them.
    pub(crate) fn foreign(&self) -> u64 {
        self.foreign
    }
}

/// Takes a number out of the ranges; false if it is in none.
fn fill(holes: &mut Vec<Range<u32>>, number: u32) -> bool {
    let Some(at) = holes.iter().position(|hole| hole.contains(&number)) else { return false };
    let hole = holes.swap_remove(at);
    let parts = [hole.start..number, number + 1..hole.end];
    holes.extend(parts.into_iter().filter(|part| !part.is_empty()));
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One subscriber of one stream, of which ten are sent.
    fn ten() -> (Ledger, Vec<Marker>) {
        let mut ledger = Ledger::new(5, 1, &[vec![0]]);
        let sent = (0..10).map(|n| ledger.send(0, n)).collect();
        (ledger, sent)
    }

    fn receive(ledger: &mut Ledger, sent: &[Marker], numbers: &[usize]) -> Vec<Receipt> {
        numbers.iter().map(|&number| ledger.receive(0, sent[number])).collect()
    }

    fn counts(ledger: &Ledger) -> [u64; 5] {
        [ledger.expected(), ledger.distinct, ledger.lost(), ledger.repeated(), ledger.reordered()]
    }

    #[test]
    fn all_in_order_is_all() {
        let (mut ledger, sent) = ten();
        receive(&mut ledger, &sent, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(counts(&ledger), [10, 10, 0, 0, 0]);
        assert_eq!(ledger.end(), 6);
    }

    #[test]
    fn what_is_missing_in_the_middle_and_at_the_end_is_lost() {
        let (mut ledger, sent) = ten();
        receive(&mut ledger, &sent, &[1, 2, 5, 6]);
        assert_eq!(counts(&ledger), [10, 4, 6, 0, 0]);
    }

    #[test]
    fn late_ones_and_repeats_are_told_apart() {
        use Receipt::{Late, New, Repeat};
        let (mut ledger, sent) = ten();
        let numbers = [0, 0, 5, 2, 2, 5, 4, 1, 3, 3, 9, 6, 7, 8];
        let expected = [
            New, Repeat, New, Late, Repeat, Repeat, Late, Late, Late, Repeat, New, Late, Late, Late,
        ];
        assert_eq!(receive(&mut ledger, &sent, &numbers), expected);
        assert_eq!(counts(&ledger), [10, 10, 0, 4, 7]);
        assert!(ledger.holes.values().all(Vec::is_empty));
    }

    #[test]
    fn what_was_not_to_come_is_foreign_and_what_is_old_is_stale() {
        let mut ledger = Ledger::new(10, 2, &[vec![0], vec![0, 1]]);
        let marker = ledger.send(1, 0);
        assert_eq!(ledger.receive(0, marker), Receipt::Foreign);
        assert_eq!(ledger.receive(1, marker), Receipt::New);
        assert_eq!(ledger.receive(1, Marker { number: 1, ..marker }), Receipt::Foreign);
        assert_eq!(ledger.receive(1, Marker { stream: 12, ..marker }), Receipt::Foreign);
        assert_eq!(ledger.receive(1, Marker { stream: 9, ..marker }), Receipt::Stale);
        assert_eq!((ledger.foreign(), counts(&ledger)), (3, [1, 1, 0, 0, 0]));
    }

    #[test]
    fn what_was_refused_is_expected_by_nobody() {
        let mut ledger = Ledger::new(0, 2, &[vec![0], vec![0, 1]]);
        let markers = [ledger.send(0, 0), ledger.send(0, 0), ledger.send(1, 0)];
        ledger.refuse(markers[1]);
        assert_eq!((ledger.published(), ledger.expected()), (2, 3));
    }

    /// Against a plain list, in random order.
    #[test]
    fn the_account_is_that_of_a_plain_list() {
        let mut chance = crate::chance::Chance::new(3);
        for _ in 0..500 {
            let (mut ledger, sent) = ten();
            let mut seen: Vec<usize> = Vec::new();
            let (mut late, mut repeats) = (0, 0);
            for _ in 0..chance.below(15) {
                let number = chance.below(10);
                ledger.receive(0, sent[number]);
                repeats += u64::from(seen.contains(&number));
                let later = !seen.contains(&number) && seen.iter().any(|&other| other > number);
                late += u64::from(later);
                seen.push(number);
            }
            seen.sort_unstable();
            seen.dedup();
            let distinct = seen.len() as u64;
            assert_eq!(counts(&ledger), [10, distinct, 10 - distinct, repeats, late]);
        }
    }
}
