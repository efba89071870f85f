//! What can be set.

use std::time::Duration;

/// What can be set. The defaults suit programs and load tests alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// How much longer than the server's hold an answer may take. Default 10 s.
    pub network_delay: Duration,
    /// The longest wait after a first failure; it doubles with each further one, and the actual
    /// wait is random below it. Default 1 s.
    pub back_off: Duration,
    /// The longest wait after any failure. Default 30 s.
    pub back_off_max: Duration,
    /// At most so many messages in one request. Default 100; weft takes 1,000.
    pub batch: usize,
    /// At most so many bytes in one request, unless a single message is larger. Default 256 KiB;
    /// weft takes 1 MiB.
    pub batch_bytes: usize,
    /// At most so many messages wait to be sent. Default 10,000.
    pub queue: usize,
    /// So many events wait for the application before the client stops to fetch more; from then on
    /// they wait at the server. Default 1,024.
    pub events: usize,
    /// At most so many bytes in one answer. Default 16 MiB.
    pub answer_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            network_delay: Duration::from_secs(10),
            back_off: Duration::from_secs(1),
            back_off_max: Duration::from_secs(30),
            batch: 100,
            batch_bytes: 256 << 10,
            queue: 10_000,
            events: 1_024,
            answer_bytes: 16 << 20,
        }
    }
}
