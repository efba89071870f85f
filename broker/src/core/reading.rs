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
use super::options::ResponseLimits;
use super::past::{Page, Slice};
use super::session::{Session, SessionHandle};

/// Most messages that are read at once.
const PAGE_MESSAGES: usize = 1_000;

const ANY: ChannelLimits = ChannelLimits { bytes: usize::MAX, segments: usize::MAX };

impl Broker {
    /// Reads on from the past what a session has yet to read, as much as one response takes.
    pub(crate) fn catch_up(&self, session: &SessionHandle) {
        let Some((mut room, but)) = self.room_to_read(&mut session.state.lock()) else { return };
        loop {
            let next = next_page(&session.state.lock(), room, self.options.queue.messages);
            let Some((name, cursor, page)) = next else { return };
            let Ok(channel) = ChannelName::parse(&name, &ANY) else { return };
            let reading = Reading {
                after: cursor.after,
                page,
                now_us: self.clock.wall_us(),
                last: self.positions.last(),
            };
            let more = self.channels.read(channel, reading, |slice| {
                room.messages = room.messages.saturating_sub(slice.frames.len());
                let bytes = slice.frames.iter().map(|frame| frame.text().len()).sum();
                room.bytes = room.bytes.saturating_sub(bytes);
                self.take_in(&mut session.state.lock(), &name, cursor, &slice, but)
            });
            if !more {
                return;
            }
        }
    }

    /// How much a session may read now: what the next response takes besides what waits already. If
    /// nothing, and that not for the first time, half of a response; so much of what waits then goes
    /// before it.
    fn room_to_read(&self, state: &mut Session) -> Option<(Page, Option<usize>)> {
        let behind = state.behind.as_mut()?;
        // When memory is short, a session reads on more slowly, so that publishers are not refused for
        // its sake.
        let share = self.fair_share().map_or(usize::MAX, |share| share / 4);
        let ResponseLimits { messages, bytes } = self.options.response();
        let (messages, bytes) = (messages.max(1), bytes.min(share));
        let (waiting, waiting_bytes) = state.queue.waiting();
        let room = waiting < messages && (waiting_bytes < bytes || waiting == 0);
        if behind.starves(room) {
            let half = Page { messages: messages.div_ceil(2), bytes: bytes / 2 };
            return Some((half, Some(messages / 2)));
        }
        let (messages, bytes) =
            (messages - waiting.min(messages), bytes.saturating_sub(waiting_bytes));
        room.then_some((Page { messages, bytes }, None))
    }

    /// Queues what was read. Whether there may be room for more.
    fn take_in(
        &self,
        state: &mut Session,
        name: &Arc<str>,
        cursor: Cursor,
        slice: &Slice,
        but: Option<usize>,
    ) -> bool {
        let Some(behind) = state.behind.as_mut().filter(|_| state.ended.is_none()) else {
            return false;
        };
        let spared = slice.frames.iter().map(|frame| behind.spares(frame));
        let spared: Vec<bool> = spared.collect();
        let Some(place) = behind.unmoved(name, cursor) else { return true };
        let from = place.after.max(place.told);
        if slice.floor > from {
            place.told = slice.floor;
            state.queue.note_gap(Gap { channel: Arc::clone(name), from, to: slice.floor });
        }
        let before = state.queue.len();
        let mut read = 0;
        for (frame, spared) in slice.frames.iter().zip(spared) {
            if !spared {
                if !state.queue.push_past(frame, self.options.queue) {
                    break;
                }
                state.lazy_until = None;
            }
            place.after = frame.position();
            read += 1;
        }
        if let Some(but) = but {
            state.queue.bring_forward(state.queue.len() - before, but);
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

/// What a session reads next, and how much of it; one message is always read where there is room for
/// any.
fn next_page(state: &Session, room: Page, queue_max: usize) -> Option<(Arc<str>, Cursor, Page)> {
    let (name, cursor) = state.behind.as_ref()?.next()?;
    let free = queue_max.max(1).saturating_sub(state.queue.len());
    let messages = room.messages.min(free).min(PAGE_MESSAGES);
    let nothing = messages == 0 || (room.bytes == 0 && !state.queue.is_empty());
    (!nothing).then_some((name, cursor, Page { messages, ..room }))
}
