//! `[[channels]]`: what holds for which channels.

use serde::{Deserialize, Serialize};
use weft_protocol::{ChannelLimits, ChannelName, Pattern};

use super::{ByteSize, HumanDuration};

/// One rule of `[[channels]]`. The first rule whose pattern matches a channel holds for it; where
/// none matches, the defaults of this struct do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Channel {
    /// The channels meant: a name, or one that ends in `/*` (one level) or `/**` (any depth).
    pub pattern: String,
    /// How much of a channel's past is kept.
    pub backlog: BacklogSize,
    /// How safely it is kept. Default `interval`.
    pub durability: Durability,
    /// Whether subscribers may ask for what was published before. Default true.
    pub replay: bool,
    /// Whether each new subscriber gets the last message at once. Default false.
    pub retain_last: bool,
    /// Whether a session that subscribes to what it publishes gets its own messages. Default true,
    /// as Bayeux has it.
    pub broadcast_to_publisher: bool,
    /// Whether object data gets `event.replayId` and `event.createdDate`, which Salesforce's clients
    /// look for. Default false.
    pub salesforce: bool,
    /// How long a message may wait for others to leave with, up to 1h. Default 0s: not at all.
    pub lazy: HumanDuration,
}

impl Default for Channel {
    fn default() -> Self {
        Self {
            pattern: String::new(),
            backlog: BacklogSize::default(),
            durability: Durability::Interval,
            replay: true,
            retain_last: false,
            broadcast_to_publisher: true,
            salesforce: false,
            lazy: HumanDuration::secs(0),
        }
    }
}

/// `backlog`: what is kept of one channel, within all three bounds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BacklogSize {
    /// Most messages. Default 1000; 0 keeps nothing.
    pub messages: u64,
    /// Most bytes of messages. Default 1GiB: the store's own bound.
    pub bytes: ByteSize,
    /// The oldest age. Default 24h.
    pub age: HumanDuration,
}

impl Default for BacklogSize {
    fn default() -> Self {
        let (bytes, age) = (ByteSize::mib(1_024), HumanDuration::secs(24 * 3_600));
        Self { messages: 1_000, bytes, age }
    }
}

/// When a message counts as accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// In memory: gone with the process.
    Memory,
    /// In memory at once, on disk within `store.interval`.
    Interval,
    /// On disk: answered and delivered only then.
    Sync,
}

/// Whether every channel that `later` means is already meant by `earlier`.
pub(super) fn covers(earlier: &str, later: &str) -> bool {
    const ANY: ChannelLimits = ChannelLimits { bytes: usize::MAX, segments: usize::MAX };
    if earlier == later {
        return true;
    }
    if let Some(parent) = earlier.strip_suffix("**") {
        return later.starts_with(parent);
    }
    let matches = |earlier: Pattern<'_>, later| earlier.matches(later);
    match (Pattern::parse(earlier, &ANY), ChannelName::parse(later, &ANY)) {
        (Ok(earlier), Ok(later)) => matches(earlier, later),
        _ => false,
    }
}

/// What is wrong with a pattern, if anything.
pub(super) fn fault(pattern: &str) -> Option<&'static str> {
    const ANY: ChannelLimits = ChannelLimits { bytes: usize::MAX, segments: usize::MAX };
    match Pattern::parse(pattern, &ANY) {
        Err(_) => Some("is no channel pattern such as /orders/** or /chat/*"),
        Ok(pattern) if pattern.is_meta() || pattern.is_service() => {
            Some("is not a channel that is published to")
        }
        Ok(_) => None,
    }
}
