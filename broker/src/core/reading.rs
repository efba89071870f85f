//! How sessions that are behind catch up: they read on, channel by channel, as much as one response
//! takes (decisions section 5).
//!
//! A cursor ends under the lock of its channel at the very message that is the newest; so nothing
//! falls between the past and the live messages, and nothing comes twice.

use std::sync::Arc;

use weft_protocol::{ChannelLimits, ChannelName, Gap};

use super::behind::Cursor;
use super::broker::Broker;
use super::channels::Reading;
use super::frame::Frame;
use super::past::{Page, Slice};
use super::session::{Session, SessionHandle};

/// Most messages that are read at once.
const PAGE_MESSAGES: usize = 1_000;

const ANY: ChannelLimits = ChannelLimits { bytes: usize::MAX, segments: usize::MAX };

impl Broker {
    /// Reads on from the past what a session has yet to read, as much as one response takes.
    pub(crate) fn catch_up(&self, session: &SessionHandle) {
        loop {
            let next = self.next_page(&session.state.lock());
            let Some((name, cursor, page)) = next else { return };
            let Ok(channel) = ChannelName::parse(&name, &ANY) else { return };
            let reading = Reading {
                after: cursor.after,
                page,
                now_us: self.clock.wall_us(),
                last: self.positions.last(),
            };
            let more = self.channels.read(channel, reading, |slice| {
                self.take_in(&mut session.state.lock(), &name, cursor, &slice)
            });
            if !more {
                return;
            }
        }
    }

    /// What a session reads next, and how much of it.
    fn next_page(&self, state: &Session) -> Option<(Arc<str>, Cursor, Page)> {
        let (name, cursor) = state.behind.as_ref()?.next()?;
        // When memory is short, a session reads on more slowly, so that publishers are not refused for
        // its sake.
        let share = self.fair_share().map_or(usize::MAX, |share| share / 4);
        let response = self.options.response();
        let (messages, waiting) = state.queue.waiting();
        let bytes = share.min(response.bytes).saturating_sub(waiting);
        let room = self.options.queue.messages.max(1).saturating_sub(state.queue.len());
        let room = room.min(response.messages.max(1).saturating_sub(messages)).min(PAGE_MESSAGES);
        if (bytes == 0 && waiting > 0) || room == 0 {
            return None;
        }
        Some((name, cursor, Page { messages: room, bytes }))
    }

    /// Queues what was read. Whether there may be room for more.
    fn take_in(&self, state: &mut Session, name: &Arc<str>, cursor: Cursor, slice: &Slice) -> bool {
        let Some(behind) = state.behind.as_mut().filter(|_| state.ended.is_none()) else {
            return false;
        };
        let spared = behind.spared();
        let Some(place) = behind.unmoved(name, cursor) else { return true };
        let from = place.after.max(place.told);
        if slice.floor > from {
            place.told = slice.floor;
            // What the store has trimmed stood before what was read; what memory had to give up may
            // have stood behind it.
            let first = slice.frames.first().map_or(i64::MAX, Frame::position);
            let trimmed_to = slice.floor.min(first - 1);
            let to = if slice.lost_up_to > from { slice.floor } else { trimmed_to };
            if to > from {
                state.queue.note_gap(Gap { channel: Arc::clone(name), from, to });
            }
        }
        let mut read = 0;
        for frame in &slice.frames {
            if !spared.contains(&frame.position()) {
                if !state.queue.push_past(frame, self.options.queue) {
                    break;
                }
                state.lazy_until = None;
            }
            place.after = frame.position();
            read += 1;
        }
        let all = read == slice.frames.len();
        self.stats.replayed.inc_by(read as u64);
        behind.has_read(name);
        if all && slice.end {
            behind.finish(name);
            if behind.is_done() {
                state.caught_up();
            }
        }
        all
    }
}
