//! A message as it leaves: serialised once, shared by every queue it stands in.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use weft_protocol::ChannelName;
use weft_protocol::event;

/// Bytes of all frames alive, counted once however many queues share a frame.
#[derive(Debug, Default)]
pub struct FrameBytes(AtomicUsize);

impl FrameBytes {
    /// Bytes of message text alive right now.
    #[must_use]
    pub fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// One published message: its wire text, its channel and its position. Cloning shares it.
#[derive(Clone)]
pub struct Frame(Arc<Inner>);

struct Inner {
    text: Box<str>,
    channel_len: usize,
    position: i64,
    alive: Arc<FrameBytes>,
}

/// Every frame's text begins with this, then comes the channel (see `encode::event`).
const BEFORE_CHANNEL: usize = "{\"channel\":\"".len();

impl Frame {
    /// Serialises a publication, once.
    #[must_use]
    pub fn new(
        channel: ChannelName<'_>,
        data: &str,
        ext: Option<&str>,
        position: i64,
        alive: &Arc<FrameBytes>,
    ) -> Self {
        let text = event(channel, data, ext).into_boxed_str();
        alive.0.fetch_add(text.len(), Ordering::Relaxed);
        let channel_len = channel.as_str().len();
        Self(Arc::new(Inner { text, channel_len, position, alive: Arc::clone(alive) }))
    }

    /// The event as it goes on the wire, one JSON object.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// The channel it was published to.
    #[must_use]
    pub fn channel(&self) -> &str {
        let end = BEFORE_CHANNEL + self.0.channel_len;
        self.0.text.get(BEFORE_CHANNEL..end).unwrap_or_default()
    }

    /// Its position (decisions section 5).
    #[must_use]
    pub fn position(&self) -> i64 {
        self.0.position
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.alive.0.fetch_sub(self.text.len(), Ordering::Relaxed);
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({}@{})", self.channel(), self.0.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_protocol::ChannelLimits;

    #[test]
    fn a_frame_knows_its_channel_and_returns_its_bytes_when_the_last_clone_goes() {
        let alive = Arc::new(FrameBytes::default());
        let name = ChannelName::parse("/a/b", &ChannelLimits::default()).expect("a name");
        let frame = Frame::new(name, "{\"x\":1}", None, 7, &alive);
        let twin = frame.clone();
        assert_eq!(frame.text(), r#"{"channel":"/a/b","data":{"x":1}}"#);
        assert_eq!((twin.channel(), twin.position()), ("/a/b", 7));
        assert_eq!(alive.get(), frame.text().len());
        drop(frame);
        assert_eq!(alive.get(), twin.text().len());
        drop(twin);
        assert_eq!(alive.get(), 0);
    }
}
