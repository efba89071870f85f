//! The one place that asks what time it is.

#![expect(clippy::disallowed_methods, reason = "what is measured is time")]

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Microseconds, counted from when it was made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn new() -> Self {
        Self(Instant::now())
    }

    /// Microseconds since the clock was made.
    pub(crate) fn now(self) -> u64 {
        u64::try_from(self.0.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

/// Something that differs from run to run.
pub(crate) fn any_seed() -> u32 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.subsec_nanos())
}

/// Seconds as microseconds.
pub(crate) fn micros(seconds: f64) -> u64 {
    (seconds.max(0.0) * 1e6) as u64
}
