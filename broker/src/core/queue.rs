//! One session's undelivered messages, and those of the last reply until receipt is proven.
//!
//! One deque: the first `sent` frames went out with the last reply, the rest has yet to go. Proof of
//! receipt pops the front; a signal of loss sets `sent` back to nothing, so that they go again, in
//! order, before newer ones (decisions section 4). Frames are numbered from the session's beginning
//! on, so that an acknowledged reply names those that it proves.
//!
//! At its bound, copies of what a backlog holds can leave from the end: the session reads on from
//! there. Or the oldest are dropped, and the loss is remembered as a gap, which the next reply tells
//! (P4, P5).

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use weft_protocol::Gap;

use super::frame::{Booked, Frame};
use super::gaps::{Doubts, Gaps, gap_of};
use super::options::{QueueLimits, ResponseLimits};
use super::receipts::Reach;

/// A session's queue.
#[derive(Debug, Default)]
pub struct Queue {
    frames: VecDeque<Frame>,
    sent: usize,
    bytes: usize,
    /// The number of the first frame.
    base: u64,
    /// Frames with lower numbers stay or are dropped, but are never read again: they were sent, or a
    /// reader would come upon what is not for this session.
    fixed: u64,
    /// The number after the last frame that a backlog keeps.
    kept_end: u64,
    gaps: Gaps,
    doubts: Doubts,
    slots: Booked,
}

/// What one reply carries.
#[derive(Debug, Default)]
pub struct Batch {
    /// Events, in the order of their publication.
    pub frames: Vec<Frame>,
    /// Losses to tell.
    pub gaps: Vec<Gap>,
    /// Whether the events go with their positions (decisions 5).
    pub with_replay: bool,
}

impl Queue {
    /// Adds a frame, whatever the bounds. `kept` says that a backlog keeps its channel.
    pub fn push(&mut self, frame: Frame, kept: bool) {
        self.bytes += frame.text().len();
        if self.frames.len() == self.frames.capacity() {
            self.frames.reserve(1);
            if !self.slots.is_open() {
                self.slots = Booked::to(frame.account());
            }
            self.book();
        }
        self.frames.push_back(frame);
        if kept {
            self.kept_end = self.end();
        }
    }

    /// Adds a message of the past, unless it would pass a bound: nothing is dropped for it.
    pub fn push_past(&mut self, frame: &Frame, limits: QueueLimits) -> bool {
        let fits = !self.is_full_for(frame, limits);
        if fits {
            self.push(frame.clone(), true);
        }
        fits
    }

    /// Whether one more would be too many; an empty queue has room for any.
    #[must_use]
    pub fn is_full_for(&self, frame: &Frame, limits: QueueLimits) -> bool {
        let bytes = self.bytes + frame.text().len();
        !self.frames.is_empty() && (self.frames.len() >= limits.messages || bytes > limits.bytes)
    }

    /// The number after the last frame.
    fn end(&self) -> u64 {
        self.base + self.frames.len() as u64
    }

    /// Whether it is past these bounds; one message is always within.
    #[must_use]
    pub fn is_over(&self, limits: QueueLimits) -> bool {
        self.frames.len() > 1 && (self.frames.len() > limits.messages || self.bytes > limits.bytes)
    }

    /// Drops the oldest until it is within the bounds; returns how many went that had not been sent.
    pub fn drop_to(&mut self, limits: QueueLimits) -> usize {
        let mut dropped = 0;
        while self.is_over(limits) {
            dropped += self.drop_oldest();
        }
        self.shrink();
        dropped
    }

    /// Drops all; returns how many went that had not been sent.
    pub fn drop_all(&mut self) -> usize {
        let mut dropped = 0;
        while !self.frames.is_empty() {
            dropped += self.drop_oldest();
        }
        self.shrink();
        dropped
    }

    fn drop_oldest(&mut self) -> usize {
        let Some(frame) = self.pop() else { return 0 };
        if self.sent > 0 {
            self.sent -= 1;
            self.doubts.add(&frame, self.base - 1);
            0
        } else {
            self.gaps.add(gap_of(&frame));
            1
        }
    }

    fn pop(&mut self) -> Option<Frame> {
        let frame = self.frames.pop_front()?;
        self.bytes -= frame.text().len();
        self.base += 1;
        Some(frame)
    }

    /// Gives back room that is no longer needed.
    fn shrink(&mut self) {
        let (len, capacity) = (self.frames.len(), self.frames.capacity());
        if capacity > 32 && len < capacity / 4 {
            self.frames.shrink_to(len * 2);
            self.book();
        }
    }

    fn book(&mut self) {
        self.slots.set(self.frames.capacity() * size_of::<Frame>());
    }

    /// Whether any frame may be one that can be read again.
    #[must_use]
    pub fn may_spill(&self) -> bool {
        self.kept_end > self.fixed.max(self.base)
    }

    /// From here on, none of the frames is read again.
    pub fn fix(&mut self) {
        self.fixed = self.end();
    }

    /// The place of the first frame that may be read again.
    fn first_unfixed(&self) -> usize {
        let unfixed = self.end().saturating_sub(self.fixed.max(self.base));
        self.frames.len() - usize::try_from(unfixed).unwrap_or(0)
    }

    /// The channels of the frames that could be read again, each once.
    #[must_use]
    pub fn spillable(&self) -> Vec<Arc<str>> {
        let mut names: Vec<&str> =
            self.frames.range(self.first_unfixed()..).map(Frame::channel).collect();
        names.sort_unstable();
        names.dedup();
        names.into_iter().map(Arc::from).collect()
    }

    /// Lets go of frames above their channel's floor, since they can be read again. Returns each
    /// channel's first. All others stay for good.
    pub fn spill(&mut self, floors: &HashMap<Arc<str>, i64>) -> Vec<(Arc<str>, i64)> {
        let mut firsts: HashMap<Arc<str>, i64> = HashMap::new();
        for frame in self.frames.split_off(self.first_unfixed()) {
            match floors.get_key_value(frame.channel()) {
                Some((name, floor)) if frame.position() > *floor => {
                    self.bytes -= frame.text().len();
                    firsts.entry(Arc::clone(name)).or_insert_with(|| frame.position());
                }
                _ => self.frames.push_back(frame),
            }
        }
        self.fix();
        self.kept_end = self.kept_end.min(self.fixed);
        self.shrink();
        firsts.into_iter().collect()
    }

    /// Whether a reply would carry anything that has not gone out yet.
    #[must_use]
    pub fn has_news(&self) -> bool {
        self.frames.len() > self.sent || self.gaps.untold()
    }

    /// Takes what goes into one connect reply. It stays here until it is confirmed.
    pub fn take(&mut self, limits: ResponseLimits) -> Batch {
        Batch { frames: self.take_frames(limits), gaps: self.gaps.tell(), with_replay: false }
    }

    /// Takes the events of a reply that has no place for gaps: at least one, then as many as the
    /// limits allow.
    pub fn take_frames(&mut self, limits: ResponseLimits) -> Vec<Frame> {
        let mut bytes = 0;
        let waiting = self.frames.range(self.sent..).take(limits.messages.max(1));
        let frames: Vec<Frame> = waiting
            .take_while(|frame| {
                let first = bytes == 0;
                bytes += frame.text().len() + 1;
                first || bytes <= limits.bytes
            })
            .cloned()
            .collect();
        self.sent += frames.len();
        self.fixed = self.fixed.max(self.base + self.sent as u64);
        frames
    }

    /// Notes that messages of a channel may be missing.
    pub fn note_gap(&mut self, gap: Gap) {
        self.gaps.add(gap);
    }

    /// Messages and bytes that have not gone out yet.
    #[must_use]
    pub fn waiting(&self) -> (usize, usize) {
        let waiting = self.frames.range(self.sent..);
        (waiting.len(), waiting.map(|frame| frame.text().len()).sum())
    }

    /// The highest position before all that is kept here, or told or in doubt.
    pub(crate) fn after(&self) -> Option<i64> {
        let kept = self.frames.iter().map(|frame| frame.position() - 1).min();
        kept.into_iter().chain(self.gaps.after()).chain(self.doubts.after()).min()
    }

    /// How far all replies so far have gone.
    pub(crate) fn reach(&self) -> Reach {
        Reach { frames: self.base + self.sent as u64, gaps: self.gaps.told_end() }
    }

    /// A reply that went so far arrived: forget what it and those before it carried.
    pub(crate) fn confirm(&mut self, reach: Reach) {
        while self.base < reach.frames && self.pop().is_some() {
            self.sent = self.sent.saturating_sub(1);
        }
        self.gaps.confirm(reach.gaps);
        self.doubts.confirm(reach.frames);
        self.shrink();
    }

    /// The last reply was lost: all that is not confirmed goes again. Returns how many frames that is.
    pub fn unsend(&mut self) -> usize {
        self.gaps.untell();
        self.doubts.take().for_each(|gap| self.gaps.add(gap));
        std::mem::take(&mut self.sent)
    }

    /// The frames kept, in order.
    pub fn frames(&self) -> impl Iterator<Item = &Frame> {
        self.frames.iter()
    }

    /// Frames kept, sent ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether nothing is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Bytes kept, sent frames included.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of the places that the frames stand in.
    #[must_use]
    pub fn slot_bytes(&self) -> usize {
        self.slots.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::frame;
    use super::*;

    const WIDE: QueueLimits = QueueLimits { messages: 100, bytes: 1 << 20 };
    const NARROW: QueueLimits = QueueLimits { messages: 3, bytes: 1 << 20 };
    const ANY: ResponseLimits = ResponseLimits { messages: usize::MAX, bytes: 1 << 20 };

    fn add(queue: &mut Queue, limits: QueueLimits, frame: Frame) -> usize {
        queue.push(frame, true);
        queue.drop_to(limits)
    }

    fn filled(limits: QueueLimits, positions: std::ops::RangeInclusive<i64>) -> Queue {
        let mut queue = Queue::default();
        for position in positions {
            add(&mut queue, limits, frame("/a", position));
        }
        queue
    }

    fn taken(queue: &mut Queue) -> Vec<i64> {
        positions(&queue.take(ANY))
    }

    fn positions(batch: &Batch) -> Vec<i64> {
        batch.frames.iter().map(Frame::position).collect()
    }

    fn confirm(queue: &mut Queue) {
        queue.confirm(queue.reach());
    }

    fn floors(list: &[(&str, i64)]) -> HashMap<Arc<str>, i64> {
        list.iter().map(|&(name, floor)| (Arc::from(name), floor)).collect()
    }

    #[test]
    fn r24_what_waits_leaves_together_and_in_order() {
        let mut queue = filled(WIDE, 1..=3);
        assert_eq!(taken(&mut queue), [1, 2, 3]);
        assert!(!queue.has_news());
        assert_eq!(taken(&mut queue), [0; 0]);
    }

    #[test]
    fn l12_a_lost_reply_goes_again_before_newer_ones() {
        let mut queue = filled(WIDE, 1..=2);
        taken(&mut queue);
        queue.push(frame("/a", 3), true);
        assert_eq!(queue.unsend(), 2);
        assert_eq!(taken(&mut queue), [1, 2, 3]);
        confirm(&mut queue);
        assert!(queue.is_empty());
        assert_eq!(queue.bytes(), 0);
    }

    #[test]
    fn l12_proof_of_receipt_forgets_what_was_sent_and_nothing_else() {
        let mut queue = filled(WIDE, 1..=2);
        taken(&mut queue);
        queue.push(frame("/a", 3), true);
        confirm(&mut queue);
        assert_eq!(queue.unsend(), 0);
        assert_eq!(taken(&mut queue), [3]);
    }

    #[test]
    fn x1_a_reply_that_is_acknowledged_late_proves_what_it_carried() {
        let mut queue = filled(WIDE, 1..=2);
        taken(&mut queue);
        let first = queue.reach();
        queue.push(frame("/a", 3), true);
        queue.unsend();
        assert_eq!(taken(&mut queue), [1, 2, 3]);
        queue.confirm(first);
        queue.unsend();
        assert_eq!(taken(&mut queue), [3]);
    }

    #[test]
    fn p4_at_the_bound_the_oldest_go_and_the_loss_is_told_once() {
        let mut queue = filled(NARROW, 11..=15);
        let batch = queue.take(ANY);
        assert_eq!(positions(&batch), [13, 14, 15]);
        assert_eq!(batch.gaps, [Gap { channel: Arc::from("/a"), from: 10, to: 12 }]);
        assert!(queue.take(ANY).gaps.is_empty());
        queue.unsend();
        assert_eq!(queue.take(ANY).gaps.len(), 1, "told again if that reply was lost");
        confirm(&mut queue);
        assert!(!queue.has_news());
    }

    #[test]
    fn p4_what_was_sent_and_dropped_is_a_gap_only_if_its_reply_was_lost() {
        for lost in [false, true] {
            let mut queue = filled(NARROW, 1..=3);
            taken(&mut queue);
            add(&mut queue, NARROW, frame("/a", 4));
            if lost {
                queue.unsend();
            } else {
                confirm(&mut queue);
            }
            let batch = queue.take(ANY);
            assert_eq!(batch.gaps.len(), usize::from(lost));
            assert_eq!(batch.frames.len(), if lost { 3 } else { 1 });
        }
    }

    #[test]
    fn p5_gaps_are_bounded_too_past_the_bound_all_channels_are_named() {
        let mut queue = Queue::default();
        let limits = QueueLimits { messages: 1, bytes: 1 << 20 };
        for position in 1..=200 {
            add(&mut queue, limits, frame(&format!("/c/{position}"), position));
        }
        let gaps = queue.take(ANY).gaps;
        assert_eq!(gaps.len(), super::super::gaps::GAP_CHANNELS_MAX);
        let last = gaps.last().expect("gaps");
        assert_eq!((&*last.channel, last.from, last.to), ("/**", 63, 199));
    }

    #[test]
    fn p5_one_message_always_fits_an_empty_queue_and_an_empty_response() {
        let mut queue = Queue::default();
        let limits = QueueLimits { messages: 0, bytes: 1 };
        assert_eq!(add(&mut queue, limits, frame("/a", 1)), 0);
        assert_eq!(queue.take(ResponseLimits { messages: 0, bytes: 1 }).frames.len(), 1);
        assert_eq!(add(&mut queue, limits, frame("/a", 2)), 0, "the sent one goes for it");
        assert_eq!(queue.len(), 1);
    }

    #[test]
    fn r24_a_response_takes_as_much_as_it_may_and_the_rest_stays() {
        let one = frame("/a", 1).text().len() + 1;
        let limits = [
            ResponseLimits { bytes: one * 2, messages: 9 },
            ResponseLimits { messages: 2, bytes: 1 << 20 },
        ];
        for limits in limits {
            let mut queue = filled(WIDE, 1..=4);
            assert_eq!(positions(&queue.take(limits)), [1, 2]);
            assert!(queue.has_news());
            confirm(&mut queue);
            assert_eq!(taken(&mut queue), [3, 4]);
        }
    }

    #[test]
    fn p5_what_can_be_read_again_leaves_and_what_was_sent_or_is_below_the_floor_stays() {
        let mut queue = filled(WIDE, 1..=2);
        taken(&mut queue);
        queue.unsend();
        for (channel, position) in [("/a", 3), ("/b", 4), ("/none", 5), ("/a", 6), ("/b", 7)] {
            queue.push(frame(channel, position), channel != "/none");
        }
        assert!(queue.may_spill());
        assert_eq!(
            queue.spillable().iter().map(|name| &**name).collect::<Vec<_>>(),
            ["/a", "/b", "/none"]
        );
        let mut firsts = queue.spill(&floors(&[("/a", 0), ("/b", 4)]));
        firsts.sort();
        assert_eq!(firsts, [(Arc::from("/a"), 3), (Arc::from("/b"), 7)]);
        assert!(!queue.may_spill(), "what stays, stays");
        queue.push(frame("/a", 8), true);
        assert_eq!(queue.spill(&floors(&[("/a", 0)])), [(Arc::from("/a"), 8)]);
        assert_eq!(taken(&mut queue), [1, 2, 4, 5]);
        confirm(&mut queue);
        assert_eq!((queue.len(), queue.bytes()), (0, 0));
    }

    #[test]
    fn p5_places_are_accounted_for_and_given_back() {
        let mut queue = filled(QueueLimits { messages: 5_000, bytes: 1 << 20 }, 1..=1_000);
        assert!(queue.slot_bytes() >= 8_000);
        queue.drop_all();
        assert_eq!(queue.slot_bytes(), 0);
    }
}
