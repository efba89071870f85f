//! Reading a channel's past from outside a session (decisions section 2: `/history`).

use std::sync::Arc;

use weft_protocol::{ChannelName, Error, Gap};

use super::broker::Broker;
use super::channels::Reading;
use super::frame::Frame;
use super::past::{Page, Slice};
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
    /// Messages, oldest first, and none missing between two of them.
    pub frames: Vec<Frame>,
    /// The position to go on after.
    pub next: i64,
    /// What may be missing between the beginning and the first message.
    pub gap: Option<Gap>,
}

/// How far before a time the first look is taken, and by how much further each one after it.
const STEP_US: i64 = 1_000_000;
const STEP_GROWS: i64 = 10;

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
        let (start, later_than) = match since {
            Since::All => (0, i64::MIN),
            Since::Position(position @ ..FIRST) => return self.never_given(channel, position),
            Since::Position(position) => (position, i64::MIN),
            Since::Time(time_us) => (self.start_of(channel, time_us)?, time_us),
        };
        let known = self.past_floor(channel).map_err(|_| Error::StoreUnavailable)?;
        let mut frames: Vec<Frame> = Vec::new();
        let (mut after, mut bytes, mut lost) = (start, 0, 0);
        while page.has_room(&frames, bytes) {
            let left = Page {
                messages: page.messages - frames.len(),
                bytes: page.bytes.saturating_sub(bytes).max(1),
            };
            let slice = self.past_after(channel, after, left)?;
            after = slice.frames.last().map_or(after, Frame::position);
            lost = lost.max(slice.floor);
            frames.extend(slice.frames.into_iter().filter(|frame| frame.time_us() > later_than));
            // What was lost while this was read may have stood behind some of it. What was lost before
            // that is told, and what is kept below it is no less there; what is not kept any more is
            // only there as long as the store lags behind.
            let gone = if lost > known { lost } else { slice.retired };
            frames.drain(..frames.partition_point(|frame| frame.position() <= gone));
            bytes = frames.iter().map(|frame| frame.text().len()).sum();
            if slice.end {
                break;
            }
        }
        truncate(&mut frames, page.bytes);
        let floor = known.max(lost);
        let from = match (since, frames.first()) {
            (Since::All, _) => floor,
            // All that is kept is newer, and lags behind: so may what is lost.
            (Since::Time(time_us), Some(first)) if start == 0 && first.position() <= time_us => 0,
            (Since::Time(time_us), _) => time_us.max(0),
            (Since::Position(position), _) => position,
        };
        let next = match (frames.last(), since) {
            (Some(frame), _) => frame.position(),
            (None, Since::Position(position)) => position,
            (None, _) => after.max(floor).max(FIRST),
        };
        let gap = (from < floor).then(|| gap(channel, from, floor));
        self.count_history(if gap.is_some() { "gap" } else { "complete" });
        Ok(History { frames, next, gap })
    }

    /// It was never a position of ours, so all there was may be missing.
    fn never_given(&self, channel: ChannelName<'_>, position: i64) -> Result<History, Error> {
        let head = self.channels.head(channel).map_err(|_| Error::StoreUnavailable)?;
        let next = head.unwrap_or_else(|| self.positions.last());
        self.count_history("unknown");
        Ok(History { frames: Vec::new(), next, gap: Some(gap(channel, position, next)) })
    }

    /// Where to begin reading for what came after a time. Positions keep up with the time but while
    /// their ceiling cannot be raised, which may have been at any time. So this looks further and
    /// further back, until a message shows that all before it are older, too: to 0, if none does.
    pub(crate) fn start_of(&self, channel: ChannelName<'_>, time_us: i64) -> Result<i64, Error> {
        let one = Page { messages: 1, bytes: 1 };
        let mut back = STEP_US;
        loop {
            let after = time_us.saturating_sub(back);
            if after < FIRST {
                return Ok(0);
            }
            let slice = self.past_after(channel, after, one)?;
            if slice.frames.first().is_some_and(|first| first.time_us() <= time_us) {
                return Ok(after);
            }
            back = back.saturating_mul(STEP_GROWS);
        }
    }

    fn past_after(&self, channel: ChannelName<'_>, after: i64, page: Page) -> Result<Slice, Error> {
        let last = self.positions.last();
        let reading = Reading { after, page, now_us: self.clock.wall_us(), last };
        let slice = self.channels.read(channel, reading, |slice| slice);
        if slice.failed { Err(Error::StoreUnavailable) } else { Ok(slice) }
    }

    fn count_history(&self, result: &str) {
        self.stats.replays.inc(result);
        self.stats.gaps.inc_by(u64::from(result != "complete"));
    }
}

fn gap(channel: ChannelName<'_>, from: i64, to: i64) -> Gap {
    Gap { channel: Arc::from(channel.as_str()), from, to }
}

/// Keeps what fits into so many bytes; one message always fits.
fn truncate(frames: &mut Vec<Frame>, bytes: usize) {
    let mut sum = 0;
    let fits = frames.iter().take_while(|frame| {
        sum += frame.text().len();
        sum <= bytes
    });
    let fits = fits.count().max(1);
    frames.truncate(fits);
}
