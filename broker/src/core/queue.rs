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

    /// Takes what goes into one reply: at least one frame, then as many as `bytes_max` holds. They
    /// stay here until [`Queue::confirm`].
    pub fn take(&mut self, bytes_max: usize) -> Batch {
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
        Batch { frames, gaps: self.gaps.tell() }
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
