//! `[streams]`: responses that go on, for whoever only reads.

use serde::{Deserialize, Serialize};

use super::{ByteSize, HumanDuration};

/// `[streams]`: `GET /events` (server-sent events) and `GET /stream` (lines of JSON). Heartbeat,
/// retry and padding hold for Faye's `eventsource` transport, too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Streams {
    /// Whether `/events` and `/stream` are served. Default true.
    pub enabled: bool,
    /// How long a stream is silent before it shows that it lives, 100ms to 1h. Default 15s: proxies
    /// cut after 30s or 60s of silence, and a reader that is gone is noticed no later.
    pub heartbeat: HumanDuration,
    /// How long a stream lives; its reader goes on with a new one. 1s to 24h. Default 1h: what some
    /// clients keep of a response is freed only at its end, and load can move.
    pub max_age: HumanDuration,
    /// How many bytes a stream carries at most but for its last event, no less than 1KiB. Default
    /// 64MiB, for the same reason.
    pub max_bytes: ByteSize,
    /// How long `EventSource` is asked to wait before it comes again, up to 1h. Default 2s.
    pub retry: HumanDuration,
    /// So many bytes go before the first event, up to 64KiB: some clients, and some proxies, show
    /// nothing before they have 2KiB. Default 0B; a reader can ask for them by `?padding=2048`.
    pub padding: ByteSize,
}

impl Default for Streams {
    fn default() -> Self {
        Self {
            enabled: true,
            heartbeat: HumanDuration::secs(15),
            max_age: HumanDuration::secs(3_600),
            max_bytes: ByteSize::mib(64),
            retry: HumanDuration::secs(2),
            padding: ByteSize::bytes(0),
        }
    }
}
