//! The recent past of one channel, in memory: its newest messages, and what is not out yet.
//!
//! Plain data under the lock of its stripe. Where a store keeps the channel, this is a cache of the
//! store's end, and all that the store has not written yet; where none does, it is all there is.

use std::collections::VecDeque;
use std::sync::Arc;

use super::frame::{FRAME_OVERHEAD, Frame};
use super::rules::Rule;

/// What a channel costs besides its messages, generously.
pub(crate) const PAST_OVERHEAD: usize = 384;

/// One channel's recent past.
#[derive(Debug)]
pub(crate) struct Past {
    pub(crate) rule: Arc<Rule>,
    /// Every message that is out with a position above `kept_after`, oldest first.
    recents: VecDeque<Frame>,
    text_bytes: u64,
    kept_after: i64,
    /// The highest position that memory knows to be gone for good.
    floor: i64,
    /// The highest position that the rule no longer keeps.
    retired: i64,
    /// The newest position that is out; 0 if none is since this began.
    newest: i64,
    /// Numbered, with the store, and not out before they are on disk.
    awaited: VecDeque<Frame>,
    /// When it was last published to or read: a position, since they follow the time.
    pub(crate) used: i64,
    /// The latest time given to a message, for channels whose times must not go back.
    pub(crate) latest_us: i64,
}

/// A piece of a channel's past.
#[derive(Debug, Default)]
pub(crate) struct Slice {
    pub(crate) frames: Vec<Frame>,
    /// Whether nothing newer is out.
    pub(crate) end: bool,
    /// Positions up to here may be missing from the piece.
    pub(crate) floor: i64,
    /// Positions up to here are no longer kept, though the store may lag behind and hold some.
    pub(crate) retired: i64,
    /// Whether the store could not be read.
    pub(crate) failed: bool,
}

/// How much of a past is wanted; one message always fits.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// Most messages.
    pub messages: usize,
    /// Most bytes of text.
    pub bytes: usize,
}

impl Page {
    pub(crate) fn has_room(&self, taken: &[Frame], bytes: usize) -> bool {
        taken.len() < self.messages && (taken.is_empty() || bytes < self.bytes)
    }
}

impl Past {
    /// The past of a channel whose next message has this position. What is older lies with the
    /// store, if there is one, down to `floor`.
    pub(crate) fn new(rule: Arc<Rule>, position: i64, floor: i64) -> Self {
        Self {
            rule,
            recents: VecDeque::new(),
            text_bytes: 0,
            kept_after: position - 1,
            floor,
            retired: 0,
            newest: 0,
            awaited: VecDeque::new(),
            used: position,
            latest_us: i64::MIN,
        }
    }

    /// Adds a message that is out now.
    pub(crate) fn push(&mut self, frame: Frame, now_us: i64) {
        self.newest = frame.position();
        self.used = frame.position();
        self.text_bytes += frame.text().len() as u64;
        self.recents.push_back(frame);
        self.retire(now_us);
    }

    /// Drops what the rule no longer keeps.
    pub(crate) fn retire(&mut self, now_us: i64) {
        let keep = self.rule.keep;
        while let Some(oldest) = self.recents.front() {
            let passes = self.recents.len() as u64 > keep.messages
                || self.text_bytes > keep.bytes
                || now_us.saturating_sub(oldest.time_us()) > keep.age_us;
            // A last message that new subscribers are to get outlives its age.
            if !passes || (self.rule.retain_last && self.recents.len() == 1) {
                break;
            }
            self.retired = oldest.position();
            self.floor = self.floor.max(self.retired);
            self.pop();
        }
    }

    fn pop(&mut self) {
        if let Some(frame) = self.recents.pop_front() {
            self.kept_after = frame.position();
            self.text_bytes -= frame.text().len() as u64;
        }
        if self.recents.len() < self.recents.capacity() / 4 {
            self.recents.shrink_to(self.recents.capacity() / 2);
        }
    }

    /// Lets go of messages up to `position`, oldest first, while `enough` says no. What the store
    /// does not hold, since it has come to `stored_up_to`, can never be replayed again.
    pub(crate) fn evict(
        &mut self,
        position: i64,
        stored_up_to: i64,
        mut enough: impl FnMut(&Self) -> bool,
    ) {
        while self.recents.front().is_some_and(|oldest| oldest.position() <= position)
            && !enough(self)
        {
            self.pop();
            if self.kept_after > stored_up_to {
                self.floor = self.floor.max(self.kept_after);
            }
        }
    }

    /// Adds what is out after `after` to a slice, up to a page.
    pub(crate) fn collect(&self, after: i64, page: Page, slice: &mut Slice) {
        let start = self.recents.partition_point(|frame| frame.position() <= after);
        let mut bytes: usize = slice.frames.iter().map(|frame| frame.text().len()).sum();
        slice.end = true;
        for frame in self.recents.range(start..) {
            if !page.has_room(&slice.frames, bytes) {
                slice.end = false;
                return;
            }
            bytes += frame.text().len();
            slice.frames.push(frame.clone());
        }
    }

    /// Keeps a message until it is on disk.
    pub(crate) fn await_disk(&mut self, frame: Frame) {
        self.used = frame.position();
        self.awaited.push_back(frame);
    }

    /// The lowest position that is not out yet, if any.
    pub(crate) fn first_awaited(&self) -> Option<i64> {
        self.awaited.front().map(Frame::position)
    }

    /// The message of this position, which the store has settled. They settle in order.
    pub(crate) fn settled(&mut self, position: i64) -> Option<Frame> {
        while self.awaited.front().is_some_and(|frame| frame.position() < position) {
            self.awaited.pop_front();
        }
        self.awaited.pop_front_if(|frame| frame.position() == position)
    }

    /// Whether nothing is here that the store does not hold, given how far it has come.
    pub(crate) fn is_idle(&self, stored_up_to: i64) -> bool {
        self.recents.is_empty() && self.awaited.is_empty() && self.newest <= stored_up_to
    }

    /// Every message that is out with a higher position is here.
    pub(crate) fn kept_after(&self) -> i64 {
        self.kept_after
    }

    /// The highest position that memory knows to be gone for good.
    pub(crate) fn floor(&self) -> i64 {
        self.floor
    }

    /// The highest position that the rule no longer keeps; 0 if none is since this began.
    pub(crate) fn retired(&self) -> i64 {
        self.retired
    }

    /// The newest position that is out, if any is since this began.
    pub(crate) fn newest(&self) -> Option<i64> {
        (self.newest > 0).then_some(self.newest)
    }

    /// Bytes of text kept, those that are not out yet included.
    pub(crate) fn text_bytes(&self) -> usize {
        let awaited: usize = self.awaited.iter().map(|frame| frame.text().len()).sum();
        usize::try_from(self.text_bytes).unwrap_or(usize::MAX).saturating_add(awaited)
    }

    /// What it costs in memory.
    pub(crate) fn cost(&self) -> usize {
        let frames = self.recents.len() + self.awaited.len();
        self.text_bytes() + frames * FRAME_OVERHEAD + PAST_OVERHEAD
    }

    /// All frames kept here.
    pub(crate) fn frames(&self) -> impl Iterator<Item = &Frame> {
        self.recents.iter().chain(&self.awaited)
    }
}

#[cfg(test)]
mod tests {
    use weft_persistence::Retention;

    use super::super::frame::frame;
    use super::*;

    const WIDE: Page = Page { messages: 100, bytes: 1 << 20 };

    fn past(keep: Retention, positions: std::ops::RangeInclusive<i64>) -> Past {
        let mut past = Past::new(Arc::new(Rule { keep, ..Rule::default() }), *positions.start(), 0);
        for position in positions {
            past.push(frame("/a", position), position);
        }
        past
    }

    fn after(past: &Past, after: i64, page: Page) -> (Vec<i64>, bool) {
        let mut slice = Slice::default();
        past.collect(after, page, &mut slice);
        (slice.frames.iter().map(Frame::position).collect(), slice.end)
    }

    #[test]
    fn the_newest_are_kept_and_the_floor_is_the_last_that_went() {
        let past = past(Retention { messages: 3, ..Retention::ALL }, 11..=15);
        assert_eq!(after(&past, 0, WIDE), (vec![13, 14, 15], true));
        assert_eq!((past.floor(), past.kept_after(), past.newest()), (12, 12, Some(15)));
    }

    #[test]
    fn a_page_ends_before_the_end_if_more_is_there() {
        let past = past(Retention::ALL, 1..=5);
        assert_eq!(after(&past, 1, Page { messages: 2, ..WIDE }), (vec![2, 3], false));
        assert_eq!(after(&past, 3, Page { messages: 2, ..WIDE }), (vec![4, 5], true));
        assert_eq!(after(&past, 4, Page { bytes: 1, ..WIDE }), (vec![5], true), "one always fits");
        assert_eq!(after(&past, 9, WIDE), (vec![], true));
    }

    #[test]
    fn age_retires_but_not_a_last_message_that_is_wanted() {
        let keep = Retention { age_us: 10, ..Retention::ALL };
        let mut plain = past(keep, 1..=3);
        plain.retire(12);
        assert_eq!(after(&plain, 0, WIDE).0, [2, 3]);
        plain.retire(100);
        assert_eq!((after(&plain, 0, WIDE).0, plain.floor()), (vec![], 3));
        let mut last = past(keep, 1..=3);
        last.rule = Arc::new(Rule { retain_last: true, ..*last.rule });
        last.retire(100);
        assert_eq!(after(&last, 0, WIDE).0, [3]);
    }

    #[test]
    fn eviction_lowers_no_promise_unless_it_loses() {
        let mut kept = past(Retention::ALL, 1..=5);
        kept.evict(3, 5, |_| false);
        assert_eq!((kept.floor(), kept.kept_after()), (0, 3));
        kept.evict(5, 0, |past| past.text_bytes() < 30);
        assert_eq!((kept.floor(), kept.kept_after()), (4, 4));
        assert!(!kept.is_idle(5));
        kept.evict(5, 5, |_| false);
        assert!(kept.is_idle(5) && !kept.is_idle(4));
    }

    #[test]
    fn what_awaits_the_disk_comes_out_in_order() {
        let mut past = past(Retention::ALL, 1..=1);
        for position in 2..=4 {
            past.await_disk(frame("/a", position));
        }
        assert_eq!(after(&past, 0, WIDE).0, [1]);
        assert_eq!(past.settled(2).map(|frame| frame.position()), Some(2));
        assert_eq!(past.settled(4).map(|frame| frame.position()), Some(4));
        assert!(past.settled(4).is_none());
    }
}
