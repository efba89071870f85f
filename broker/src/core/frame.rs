//! A message as it leaves: serialised once, shared by every queue it stands in.

use std::fmt;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use weft_protocol::{ReplayForm, event_parts};

/// What a message costs besides its text: its own fields, counters, and its place in a past.
pub(crate) const FRAME_OVERHEAD: usize = 136;

/// What all messages alive cost in bytes, each counted once however many queues share it, and the
/// places in those queues.
#[derive(Debug, Default)]
pub struct FrameBytes(AtomicUsize);

impl FrameBytes {
    /// Bytes that messages cost right now.
    #[must_use]
    pub fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// What something costs that messages alone do not account for: a queue's places, cursors, replies
/// that are being written. Given back when it is dropped.
#[derive(Debug, Default)]
pub struct Booked(Option<(usize, Arc<FrameBytes>)>);

impl Booked {
    /// Books to this account, nothing yet.
    pub(crate) fn to(alive: &Arc<FrameBytes>) -> Self {
        Self(Some((0, Arc::clone(alive))))
    }

    /// Whether there is an account.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.0.is_some()
    }

    /// It costs so many bytes now.
    pub(crate) fn set(&mut self, now: usize) {
        let Some((bytes, alive)) = &mut self.0 else { return };
        if now > *bytes {
            alive.0.fetch_add(now - *bytes, Ordering::Relaxed);
        } else {
            alive.0.fetch_sub(*bytes - now, Ordering::Relaxed);
        }
        *bytes = now;
    }

    /// It costs no more than so many bytes now.
    pub fn shrink(&mut self, most: usize) {
        self.set(self.bytes().min(most));
    }

    /// How many bytes are booked.
    pub(crate) fn bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |(bytes, _)| *bytes)
    }
}

impl Drop for Booked {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// One published message: its wire text, its channel, its position and its time. Cloning shares it.
#[derive(Clone)]
pub struct Frame(Arc<Inner>);

struct Inner {
    text: Arc<str>,
    channel_len: u32,
    private: bool,
    position: i64,
    time_us: i64,
    /// How those who asked for replay get it, found out when the first of them does.
    replay_form: OnceLock<ReplayForm>,
    alive: Arc<FrameBytes>,
}

/// Every frame's text begins with this, then comes the channel (see `weft_protocol::event`).
const BEFORE_CHANNEL: usize = "{\"channel\":\"".len();

impl Frame {
    /// A message that was serialised by `weft_protocol::event` for a channel whose name is so long.
    #[must_use]
    pub fn new(
        text: Arc<str>,
        channel_len: usize,
        position: i64,
        time_us: i64,
        alive: &Arc<FrameBytes>,
    ) -> Self {
        alive.0.fetch_add(text.len() + FRAME_OVERHEAD, Ordering::Relaxed);
        let (replay_form, private) = (OnceLock::new(), false);
        let alive = Arc::clone(alive);
        let channel_len = u32::try_from(channel_len).unwrap_or(u32::MAX);
        Self(Arc::new(Inner { text, channel_len, private, position, time_us, replay_form, alive }))
    }

    /// A message for one session alone. It has no position: the number only says before which
    /// messages it came, in case it is lost. No backlog has it, so it is never read again, and nobody
    /// is told a position with it.
    #[must_use]
    pub(crate) fn private(
        text: Arc<str>,
        channel_len: usize,
        before: i64,
        time_us: i64,
        alive: &Arc<FrameBytes>,
    ) -> Self {
        alive.0.fetch_add(text.len() + FRAME_OVERHEAD, Ordering::Relaxed);
        let replay_form = OnceLock::from(ReplayForm::Unchanged);
        let alive = Arc::clone(alive);
        let channel_len = u32::try_from(channel_len).unwrap_or(u32::MAX);
        let (private, position) = (true, before);
        Self(Arc::new(Inner { text, channel_len, private, position, time_us, replay_form, alive }))
    }

    /// Whether it is for one session alone.
    pub(crate) fn is_private(&self) -> bool {
        self.0.private
    }

    fn channel_end(&self) -> usize {
        usize::try_from(self.0.channel_len).unwrap_or(usize::MAX).saturating_add(BEFORE_CHANNEL)
    }

    /// The event as it goes on the wire, one JSON object.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// The account that its own cost is booked to.
    pub(crate) fn account(&self) -> &Arc<FrameBytes> {
        &self.0.alive
    }

    /// What it costs in memory, in bytes.
    #[must_use]
    pub fn cost(&self) -> usize {
        self.0.text.len() + FRAME_OVERHEAD
    }

    /// The text itself, to be kept elsewhere without a copy.
    #[must_use]
    pub fn shared_text(&self) -> Arc<str> {
        Arc::clone(&self.0.text)
    }

    /// How its text takes in its position, for a session that asked for replay. No copy of that is
    /// kept: writing it costs what copying the text costs.
    #[must_use]
    pub fn replay_form(&self) -> ReplayForm {
        *self.0.replay_form.get_or_init(|| ReplayForm::of(&self.0.text))
    }

    /// The data, and the ext if there is one, as JSON texts.
    #[must_use]
    pub fn parts(&self) -> (&str, Option<&str>) {
        event_parts(&self.0.text).unwrap_or(("null", None))
    }

    /// The text up to the channel, and what follows it: other members may stand between the two.
    #[must_use]
    pub fn halves(&self) -> (&str, &str) {
        let middle = self.channel_end().saturating_add(1);
        self.0.text.split_at_checked(middle).unwrap_or((&self.0.text, "}"))
    }

    /// The channel it was published to.
    #[must_use]
    pub fn channel(&self) -> &str {
        self.0.text.get(BEFORE_CHANNEL..self.channel_end()).unwrap_or_default()
    }

    /// Its position (decisions section 5).
    #[must_use]
    pub fn position(&self) -> i64 {
        self.0.position
    }

    /// The wall time of its publication, in microseconds since 1970.
    #[must_use]
    pub fn time_us(&self) -> i64 {
        self.0.time_us
    }

    /// What tells this frame from another of the same message, read a second time.
    #[must_use]
    pub fn identity(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.alive.0.fetch_sub(self.text.len() + FRAME_OVERHEAD, Ordering::Relaxed);
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({}@{})", self.channel(), self.0.position)
    }
}

/// A frame of number data, for the tests of other modules.
#[cfg(test)]
pub(crate) fn frame(channel: &str, position: i64) -> Frame {
    use weft_protocol::{ChannelLimits, ChannelName, event};

    let name = ChannelName::parse(channel, &ChannelLimits::default()).expect("a name");
    let text = event(name, &position.to_string(), None);
    Frame::new(text.into(), channel.len(), position, position, &Arc::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_knows_its_channel_and_returns_its_bytes_when_the_last_clone_goes() {
        let alive = Arc::new(FrameBytes::default());
        let text = r#"{"channel":"/a/b","data":{"x":1}}"#;
        let frame = Frame::new(text.into(), 4, 7, 9, &alive);
        let twin = frame.clone();
        assert_eq!(frame.text(), text);
        assert_eq!((twin.channel(), twin.position(), twin.time_us()), ("/a/b", 7, 9));
        assert_eq!(twin.parts(), (r#"{"x":1}"#, None));
        assert_eq!(twin.halves(), (r#"{"channel":"/a/b""#, r#","data":{"x":1}}"#));
        assert_eq!(alive.get(), frame.cost());
        drop(frame);
        assert_eq!(alive.get(), twin.cost());
        drop(twin);
        assert_eq!(alive.get(), 0);
    }
}
