//! What a client tells its application.

use serde_json::value::RawValue;

/// Something that happened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// A message of a subscribed channel.
    Message(Message),
    /// The session's state changed.
    State {
        /// What it is now.
        state: State,
        /// Whether the server sees several clients in one browser and lets only one wait; this
        /// client then polls, at the interval the server advised.
        multiple_clients: bool,
        /// Why, where it is no good news.
        reason: Option<String>,
    },
    /// The server refused, in a new session, a name that it had accepted in the one before.
    Unsubscribed {
        /// The channel or pattern that is lost.
        name: String,
        /// The server's words.
        error: String,
    },
    /// Messages of `channel` with `from` < position ≤ `to` may be missing.
    Gap {
        /// The channel.
        channel: String,
        /// The last position before the gap.
        from: i64,
        /// The last position in the gap.
        to: i64,
    },
}

/// A message that was published.
#[derive(Debug, Clone)]
pub struct Message {
    /// The channel it was published to.
    pub channel: String,
    /// The publisher's JSON, as it was sent.
    pub data: Box<RawValue>,
    /// Its extensions, if any, as JSON.
    pub ext: Option<Box<RawValue>>,
}

/// Where a client stands (the specification's three states).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// No session, or one that does not answer.
    Unconnected,
    /// A handshake was sent.
    Connecting,
    /// The last connect was answered.
    Connected,
}
