//! One session's undelivered messages, and those of the last reply until receipt is proven.
//!
//! One deque: the first `sent` frames went out with the last reply, the rest has yet to go. Proof of
//! receipt pops the front; a signal of loss sets `sent` back to nothing, so that they go again, in
//! order, before newer ones (decisions section 4). Nothing else moves, so order cannot break.
//!
//! At its bound the oldest are dropped and the loss is remembered as a gap, which the next reply
//! tells (P4, P5).

use std::collections::VecDeque;
use std::sync::Arc;

use weft_protocol::Gap;

use super::frame::Frame;
use super::options::QueueLimits;

/// Most channels that gaps are told by name; beyond it one gap names `/**`.
const GAP_CHANNELS_MAX: usize = 64;

/// A session's queue.
#[derive(Debug, Default)]
pub struct Queue {
    frames: VecDeque<Frame>,
    sent: usize,
    bytes: usize,
    gaps: Gaps,
    /// Losses among frames that had been sent: a gap only if that reply turns out lost.
    doubtful: Gaps,
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
    /// Adds a frame; returns how many old ones had to go for it.
    pub fn push(&mut self, frame: Frame, limits: QueueLimits) -> usize {
        self.bytes += frame.text().len();
        self.frames.push_back(frame);
        let mut dropped = 0;
        while self.frames.len() > 1
            && (self.frames.len() > limits.messages.max(1) || self.bytes > limits.bytes)
        {
            dropped += self.drop_oldest();
        }
        dropped
    }

    fn drop_oldest(&mut self) -> usize {
        let Some(frame) = self.frames.pop_front() else { return 0 };
        self.bytes -= frame.text().len();
        if self.sent > 0 {
            self.sent -= 1;
            self.doubtful.add(&frame);
            0
        } else {
            self.gaps.add(&frame);
            1
        }
    }

    /// Whether a reply would carry anything that has not gone out yet.
    #[must_use]
    pub fn has_news(&self) -> bool {
        self.frames.len() > self.sent || self.gaps.untold()
    }

    /// Takes what goes into one connect reply. It stays here until [`Queue::confirm`].
    pub fn take(&mut self, bytes_max: usize) -> Batch {
        Batch { frames: self.take_frames(bytes_max), gaps: self.gaps.tell(), with_replay: false }
    }

    /// Takes the events of a reply that has no place for gaps: at least one, then as many as
    /// `bytes_max` holds.
    pub fn take_frames(&mut self, bytes_max: usize) -> Vec<Frame> {
        let mut bytes = 0;
        let waiting = self.frames.range(self.sent..);
        let frames: Vec<Frame> = waiting
            .take_while(|frame| {
                let first = bytes == 0;
                bytes += frame.text().len() + 1;
                first || bytes <= bytes_max
            })
            .cloned()
            .collect();
        self.sent += frames.len();
        frames
    }

    /// Adds a message of the past, unless it would pass a bound: nothing is dropped for it.
    pub fn push_past(&mut self, frame: &Frame, limits: QueueLimits) -> bool {
        let bytes = self.bytes + frame.text().len();
        let fits = self.frames.len() < limits.messages && bytes <= limits.bytes;
        if fits || self.frames.is_empty() {
            self.bytes = bytes;
            self.frames.push_back(frame.clone());
            return true;
        }
        false
    }

    /// Notes that messages of a channel may be missing.
    pub fn note_gap(&mut self, gap: &Gap) {
        self.gaps.merge(&gap.channel, gap.from, gap.to);
    }

    /// Bytes that have not gone out yet.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        self.frames.range(self.sent..).map(|frame| frame.text().len()).sum()
    }

    /// Drops the oldest until no more than `bytes` are left, or `keep` frames; returns how many went
    /// unsent.
    pub fn shrink(&mut self, bytes: usize, keep: usize) -> usize {
        let mut dropped = 0;
        while self.bytes > bytes && self.frames.len() > keep {
            dropped += self.drop_oldest();
        }
        dropped
    }

    /// The last reply arrived: forget what it carried.
    pub fn confirm(&mut self) {
        for frame in self.frames.drain(..self.sent) {
            self.bytes -= frame.text().len();
        }
        self.sent = 0;
        self.gaps.confirm();
        self.doubtful = Gaps::default();
        if self.frames.is_empty() && self.frames.capacity() > 32 {
            self.frames = VecDeque::new();
        }
    }

    /// The last reply was lost: all it carried goes again. Returns how many frames that is.
    pub fn unsend(&mut self) -> usize {
        self.gaps.untell();
        for gap in std::mem::take(&mut self.doubtful).list {
            self.gaps.merge(&gap.channel, gap.from, gap.to);
        }
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
}

/// Losses by channel, the first `told` of which the last reply carried.
#[derive(Debug, Default)]
struct Gaps {
    list: Vec<Gap>,
    told: usize,
}

impl Gaps {
    fn add(&mut self, frame: &Frame) {
        self.merge(frame.channel(), frame.position() - 1, frame.position());
    }

    fn merge(&mut self, channel: &str, from: i64, to: i64) {
        let told = self.told;
        let full = self.list.len() >= told + GAP_CHANNELS_MAX;
        let same = self.list.iter().skip(told).position(|gap| &*gap.channel == channel);
        let found = match same {
            Some(index) => self.list.get_mut(told + index),
            None if full => self.list.last_mut(),
            None => None,
        };
        match found {
            Some(gap) => {
                if &*gap.channel != channel {
                    gap.channel = Arc::from("/**");
                }
                (gap.from, gap.to) = (gap.from.min(from), gap.to.max(to));
            }
            None => self.list.push(Gap { channel: Arc::from(channel), from, to }),
        }
    }

    fn untold(&self) -> bool {
        self.list.len() > self.told
    }

    fn tell(&mut self) -> Vec<Gap> {
        let news = self.list.iter().skip(self.told).cloned().collect();
        self.told = self.list.len();
        news
    }

    fn untell(&mut self) {
        self.told = 0;
    }

    fn confirm(&mut self) {
        self.list.drain(..self.told);
        self.told = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::frame;
    use super::*;

    const WIDE: QueueLimits = QueueLimits { messages: 100, bytes: 1 << 20 };
    const NARROW: QueueLimits = QueueLimits { messages: 3, bytes: 1 << 20 };

    fn filled(limits: QueueLimits, positions: std::ops::RangeInclusive<i64>) -> Queue {
        let mut queue = Queue::default();
        for position in positions {
            queue.push(frame("/a", position), limits);
        }
        queue
    }

    fn taken(queue: &mut Queue) -> Vec<i64> {
        queue.take(1 << 20).frames.iter().map(Frame::position).collect()
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
        queue.push(frame("/a", 3), WIDE);
        assert_eq!(queue.unsend(), 2);
        assert_eq!(taken(&mut queue), [1, 2, 3]);
        queue.confirm();
        assert!(queue.is_empty());
        assert_eq!(queue.bytes(), 0);
    }

    #[test]
    fn l12_proof_of_receipt_forgets_what_was_sent_and_nothing_else() {
        let mut queue = filled(WIDE, 1..=2);
        taken(&mut queue);
        queue.push(frame("/a", 3), WIDE);
        queue.confirm();
        assert_eq!(queue.unsend(), 0);
        assert_eq!(taken(&mut queue), [3]);
    }

    #[test]
    fn p4_at_the_bound_the_oldest_go_and_the_loss_is_told_once() {
        let mut queue = filled(NARROW, 11..=15);
        let batch = queue.take(1 << 20);
        assert_eq!(batch.frames.iter().map(Frame::position).collect::<Vec<_>>(), [13, 14, 15]);
        let gap = Gap { channel: Arc::from("/a"), from: 10, to: 12 };
        assert_eq!(format!("{:?}", batch.gaps), format!("{:?}", [gap]));
        assert!(queue.take(1 << 20).gaps.is_empty());
        queue.unsend();
        assert_eq!(queue.take(1 << 20).gaps.len(), 1, "told again if that reply was lost");
        queue.confirm();
        assert!(!queue.has_news());
    }

    #[test]
    fn p4_what_was_sent_and_dropped_is_a_gap_only_if_its_reply_was_lost() {
        for lost in [false, true] {
            let mut queue = filled(NARROW, 1..=3);
            taken(&mut queue);
            queue.push(frame("/a", 4), NARROW);
            if lost {
                queue.unsend();
            } else {
                queue.confirm();
            }
            let batch = queue.take(1 << 20);
            assert_eq!(batch.gaps.len(), usize::from(lost));
            assert_eq!(batch.frames.len(), if lost { 3 } else { 1 });
        }
    }

    #[test]
    fn p5_gaps_are_bounded_too_past_the_bound_all_channels_are_named() {
        let mut queue = Queue::default();
        let limits = QueueLimits { messages: 1, bytes: 1 << 20 };
        for position in 1..=200 {
            queue.push(frame(&format!("/c/{position}"), position), limits);
        }
        let gaps = queue.take(1 << 20).gaps;
        assert_eq!(gaps.len(), GAP_CHANNELS_MAX);
        let last = gaps.last().expect("gaps");
        assert_eq!((&*last.channel, last.from, last.to), ("/**", 63, 199));
    }

    #[test]
    fn p5_one_message_always_fits_an_empty_queue_and_an_empty_response() {
        let mut queue = Queue::default();
        let limits = QueueLimits { messages: 0, bytes: 1 };
        assert_eq!(queue.push(frame("/a", 1), limits), 0);
        assert_eq!(queue.take(1).frames.len(), 1);
        assert_eq!(queue.push(frame("/a", 2), limits), 0, "the sent one goes for it");
        assert_eq!(queue.len(), 1);
    }

    #[test]
    fn a_response_takes_as_many_bytes_as_it_may_and_the_rest_stays() {
        let mut queue = filled(WIDE, 1..=4);
        let one = frame("/a", 1).text().len() + 1;
        let first: Vec<_> = queue.take(one * 2).frames.iter().map(Frame::position).collect();
        assert_eq!(first, [1, 2]);
        assert!(queue.has_news());
        queue.confirm();
        assert_eq!(taken(&mut queue), [3, 4]);
    }
}
