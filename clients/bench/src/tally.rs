//! What is counted while something is measured.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use crate::ledger::{Ledger, Receipt};
use crate::marker::{Marker, Scanner};

/// Times, in microseconds, to three digits.
pub(crate) type Times = Histogram<u64>;

/// No times.
pub(crate) fn no_times() -> Times {
    // Three digits are what it can do; it grows with what is recorded.
    Times::new(3).unwrap_or_else(|_| unreachable!("three digits are between 0 and 5"))
}

/// The counts of one measurement.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) ledger: Ledger,
    /// From when a message was to be sent until it came.
    pub(crate) latency: Times,
    /// From when a message was sent until its publisher had the answer.
    pub(crate) acks: Times,
    /// Messages that publishers were told yes to.
    pub(crate) accepted: u64,
    /// How long messages waited until their publisher had its last answer.
    pub(crate) held_back: Times,
    /// How late messages were given to their publishers.
    pub(crate) lateness: Times,
    /// Messages that came, repeats included.
    pub(crate) received: u64,
    /// Responses, frames or pieces of a stream that held messages.
    pub(crate) responses: u64,
    /// All bytes that subscribers read.
    pub(crate) wire_bytes: u64,
    /// When the last message came.
    pub(crate) last: u64,
    pub(crate) errors: BTreeMap<&'static str, u64>,
    scanner: Scanner,
}

impl Tally {
    pub(crate) fn new(ledger: Ledger) -> Self {
        Self {
            ledger,
            latency: no_times(),
            acks: no_times(),
            accepted: 0,
            held_back: no_times(),
            lateness: no_times(),
            received: 0,
            responses: 0,
            wire_bytes: 0,
            last: 0,
            errors: BTreeMap::new(),
            scanner: Scanner::new(),
        }
    }

    /// Enters all messages that a subscriber got at once; how many there were.
    pub(crate) fn receive(&mut self, subscriber: usize, bytes: &[u8], now: u64) -> u64 {
        let mut count = 0;
        for marker in self.scanner.scan(bytes) {
            match self.ledger.receive(subscriber, marker) {
                Receipt::New | Receipt::Late => {
                    let _ = self.latency.record(now.saturating_sub(marker.at));
                }
                Receipt::Repeat | Receipt::Foreign => {}
                Receipt::Stale => continue,
            }
            count += 1;
        }
        if count > 0 {
            self.received += count;
            self.responses += 1;
            self.last = now;
        }
        count
    }

    /// Enters a publisher's answer.
    pub(crate) fn ack(&mut self, marker: Marker, sent: u64, taken: bool, now: u64) {
        let _ = self.acks.record(now.saturating_sub(sent));
        if taken {
            self.accepted += 1;
        } else {
            self.refuse(marker);
        }
    }

    /// Enters a message that nobody is to get, as the server did not take it.
    pub(crate) fn refuse(&mut self, marker: Marker) {
        self.ledger.refuse(marker);
        self.error("publish_refused");
    }

    pub(crate) fn error(&mut self, kind: &'static str) {
        *self.errors.entry(kind).or_default() += 1;
    }
}
