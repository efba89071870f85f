//! CometD's `ack` extension: connect replies have numbers, and each connect names the last that its
//! client has seen (checklist X1).
//!
//! A reply begins with the oldest message that is not acknowledged, so whoever has seen it has seen
//! all of the queue up to where it ended: that is all there is to remember of a reply. A number that
//! was never sent, or is long acknowledged, says nothing.

use std::collections::VecDeque;

/// Most replies, with different ends, that may be acknowledged after the fact.
const OPEN_MAX: usize = 64;

/// How far a reply went, in numbers of the session's queue and of its gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Reach {
    pub(crate) frames: u64,
    pub(crate) gaps: u64,
}

/// The replies of a session that are not acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Receipts {
    /// The last number given out.
    last: u64,
    /// Runs of replies that went equally far: the first and the last number, and how far.
    open: VecDeque<(u64, u64, Reach)>,
}

impl Receipts {
    /// The number of a reply that goes so far.
    pub(crate) fn number(&mut self, reach: Reach) -> u64 {
        self.last += 1;
        match self.open.back_mut() {
            Some((_, to, same)) if *same == reach => *to = self.last,
            _ => {
                if self.open.len() >= OPEN_MAX {
                    // It is sent again rather than taken for received.
                    self.open.pop_front();
                }
                self.open.push_back((self.last, self.last, reach));
            }
        }
        self.last
    }

    /// How far the reply of this number went, if it is one that is not acknowledged yet. From now on
    /// it and all before it are.
    pub(crate) fn acknowledge(&mut self, number: u64) -> Option<Reach> {
        let at = self.open.iter().position(|&(from, to, _)| (from..=to).contains(&number))?;
        let (_, to, reach) = self.open[at];
        self.open.drain(..=at);
        if number < to {
            self.open.push_front((number + 1, to, reach));
        }
        Some(reach)
    }

    /// Whether this is the number of the last reply.
    pub(crate) fn is_last(&self, number: u64) -> bool {
        number == self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(frames: u64) -> Reach {
        Reach { frames, gaps: 0 }
    }

    #[test]
    fn x1_a_number_proves_what_its_reply_carried_and_no_other_number_proves_anything() {
        let mut receipts = Receipts::default();
        assert_eq!([3, 3, 5].map(|frames| receipts.number(reach(frames))), [1, 2, 3]);
        assert_eq!(receipts.acknowledge(99), None);
        assert_eq!(receipts.acknowledge(0), None);
        assert_eq!(receipts.acknowledge(1), Some(reach(3)));
        assert_eq!(receipts.acknowledge(1), None, "once");
        assert_eq!(receipts.acknowledge(2), Some(reach(3)));
        assert!(receipts.is_last(3) && !receipts.is_last(2));
        assert_eq!(receipts.acknowledge(3), Some(reach(5)));
        assert_eq!(receipts.number(reach(5)), 4);
    }

    #[test]
    fn x1_a_later_number_stands_for_all_before_it() {
        let mut receipts = Receipts::default();
        for frames in 1..=4 {
            receipts.number(reach(frames));
        }
        assert_eq!(receipts.acknowledge(3), Some(reach(3)));
        assert_eq!(receipts.acknowledge(2), None);
        assert_eq!(receipts.acknowledge(4), Some(reach(4)));
    }

    #[test]
    fn p5_the_oldest_of_too_many_is_forgotten() {
        let mut receipts = Receipts::default();
        for frames in 1..=10_000 {
            receipts.number(reach(frames));
        }
        assert_eq!(receipts.open.len(), OPEN_MAX);
        assert_eq!(receipts.acknowledge(1), None);
        assert_eq!(receipts.acknowledge(10_000), Some(reach(10_000)));
    }
}
