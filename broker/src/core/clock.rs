//! The seam of time: the one place that asks the machine what time it is.

use std::fmt::Debug;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A source of monotonic and wall time, replaced by a virtual one in the simulation.
pub trait Clock: Send + Sync + Debug {
    /// Monotonic time, for deadlines.
    fn now(&self) -> Instant;
    /// Wall time in microseconds since 1970; it may jump either way.
    fn wall_us(&self) -> i64;
}

/// The machine's clocks; monotonic time is tokio's, so that paused tests can move it.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the seam")]
    fn wall_us(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    }
}
