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
    /// The number after the last frame that was ever sent: an acknowledgement may yet name it.
    touched: u64,
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

    /// Lets the last `count` frames, just read from one channel's past, go before others that wait,
    /// but for so many of these. They stay behind what was sent, and behind their own channel's.
    pub fn bring_forward(&mut self, count: usize, but: usize) {
        let touched = usize::try_from(self.touched.saturating_sub(self.base)).unwrap_or(usize::MAX);
        let to = (self.sent + but).max(touched);
        let Some(from) = self.frames.len().checked_sub(count).filter(|from| *from > to) else {
            return;
        };
        let Some(channel) = self.frames.get(from).map(Frame::channel) else { return };
        if self.frames.range(to..from).any(|frame| frame.channel() == channel) {
            return;
        }
        let read = self.frames.split_off(from);
        let others = self.frames.split_off(to);
        self.frames.extend(read);
        self.frames.extend(others);
        if self.base + (to as u64) < self.fixed {
            self.fixed += count as u64;
        }
        self.kept_end = self.end();
        self.book();
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
        let unfixed = self.frames.range(self.first_unfixed()..);
        let mut names: Vec<&str> =
            unfixed.filter(|frame| !frame.is_private()).map(Frame::channel).collect();
        names.sort_unstable();
        names.dedup();
        names.into_iter().map(Arc::from).collect()
    }

    /// Lets go of frames above their channel's floor, since they can be read again. Returns each
    /// channel's lowest: a replay may have put older ones behind newer. All others stay for good.
    pub fn spill(&mut self, floors: &HashMap<Arc<str>, i64>) -> Vec<(Arc<str>, i64)> {
        let mut firsts: HashMap<Arc<str>, i64> = HashMap::new();
        for frame in self.frames.split_off(self.first_unfixed()) {
            match floors.get_key_value(frame.channel()) {
                Some((name, floor)) if frame.position() > *floor && !frame.is_private() => {
                    self.bytes -= frame.text().len();
                    let lowest = firsts.entry(Arc::clone(name)).or_insert(i64::MAX);
                    *lowest = frame.position().min(*lowest);
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
        self.has_unsent() || self.has_untold()
    }

    /// Whether any event has not gone out yet.
    #[must_use]
    pub fn has_unsent(&self) -> bool {
        self.frames.len() > self.sent
    }

    /// How many events have not gone out yet.
    #[must_use]
    pub fn unsent(&self) -> usize {
        self.frames.len() - self.sent
    }

    /// Whether any loss is yet to be told.
    #[must_use]
    pub fn has_untold(&self) -> bool {
        self.gaps.untold()
    }

    /// Takes what goes into one connect reply. It stays here until it is confirmed.
    pub fn take(&mut self, limits: ResponseLimits) -> Batch {
        Batch { frames: self.take_frames(limits), gaps: self.take_gaps(), with_replay: false }
    }

    /// Takes the losses that are yet to be told.
    pub fn take_gaps(&mut self) -> Vec<Gap> {
        self.gaps.tell()
    }

    /// Takes the events of a reply that has no place for gaps: at least one, then as many as the
    /// limits allow.
    pub fn take_frames(&mut self, limits: ResponseLimits) -> Vec<Frame> {
        let mut bytes = 0;
        let waiting = self.frames.range(self.sent..).take(limits.messages.max(1));
        let fits = |frame: &&Frame| {
            let first = bytes == 0;
            bytes += frame.text().len() + 1;
            first || bytes <= limits.bytes
        };
        let end = self.sent + waiting.take_while(fits).count();
        let frames: Vec<Frame> = self.frames.range(self.sent..end).cloned().collect();
        if !frames.is_empty() {
            self.gaps.close();
        }
        self.sent = end;
        self.touched = self.touched.max(self.base + self.sent as u64);
        self.fixed = self.fixed.max(self.touched);
        frames
    }

    /// The size of the next event that goes out, if any waits.
    #[must_use]
    pub fn next_bytes(&self) -> Option<usize> {
        self.frames.get(self.sent).map(|frame| frame.text().len())
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

    /// The same, if the client names it: what never went out is not forgotten.
    pub(crate) fn confirm_sent(&mut self, reach: Reach) {
        self.confirm(Reach { frames: reach.frames.min(self.touched), ..reach });
    }

    /// The number after the last frame that is known to have arrived, or is not kept.
    pub(crate) fn confirmed(&self) -> u64 {
        self.base
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
mod tests;
