//! Reading a channel's past from outside a session (decisions section 2: `/history`).

use std::sync::Arc;

use weft_protocol::{ChannelName, Error, Gap};

use super::broker::Broker;
use super::channels::Reading;
use super::frame::Frame;
use super::past::Page;
use super::positions::FIRST;

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// With all that is kept.
    All,
    /// After this position, 0 or more.
    Position(i64),
    /// After this wall time, in microseconds since 1970.
    Time(i64),
}

/// A piece of a channel's past.
#[derive(Debug)]
pub struct History {
    /// Messages, oldest first.
    pub frames: Vec<Frame>,
    /// The position to go on after.
    pub next: i64,
    /// What may be missing between the beginning and the first message.
    pub gap: Option<Gap>,
}

impl Broker {
    /// Reads a channel's past, up to a page. May wait for the disk.
    ///
    /// # Errors
    /// 503 if the store cannot be read.
    pub fn history(
        &self,
        channel: ChannelName<'_>,
        since: Since,
        page: Page,
    ) -> Result<History, Error> {
        let unavailable = |_| Error::StoreUnavailable;
        let now_us = self.clock.wall_us();
        let last = self.positions.last();
        let gap = |from, to| Some(Gap { channel: Arc::from(channel.as_str()), from, to });
        let head = self.channels.head(channel).map_err(unavailable)?.unwrap_or(last);
        if let Since::Position(position @ 0..FIRST) = since {
            return Ok(History { frames: Vec::new(), next: head, gap: gap(position, last) });
        }
        let (mut after, later_than) = match since {
            Since::All => (0, i64::MIN),
            Since::Position(position) => (position, i64::MIN),
            // No message has a position below its time.
            Since::Time(time_us) => (time_us.max(0), time_us),
        };
        let floor = self.past_floor(channel).map_err(unavailable)?;
        let gap = if since != Since::All && after < floor { gap(after, floor) } else { None };
        let mut frames: Vec<Frame> = Vec::new();
        let mut bytes = 0;
        while page.has_room(&frames, bytes) {
            let left = Page {
                messages: page.messages - frames.len(),
                bytes: page.bytes.saturating_sub(bytes).max(1),
            };
            let reading = Reading { after, page: left, now_us, last };
            let slice = self.channels.read(channel, reading, |slice| slice);
            if slice.failed {
                return Err(Error::StoreUnavailable);
            }
            after = slice.frames.last().map_or(after, Frame::position);
            bytes += slice.frames.iter().map(|frame| frame.text().len()).sum::<usize>();
            frames.extend(slice.frames.into_iter().filter(|frame| frame.time_us() > later_than));
            if slice.end {
                break;
            }
        }
        let next = match (frames.last(), since) {
            (Some(frame), _) => frame.position(),
            (None, Since::Position(position)) => position,
            (None, _) => head,
        };
        Ok(History { frames, next, gap })
    }
}
