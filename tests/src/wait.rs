//! Waiting for things to come about.

use std::time::{Duration, Instant};

/// How long anything that must happen may take, on a machine that is busy with other things.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// How long is watched that something does not happen.
pub const A_WHILE: Duration = Duration::from_millis(250);

/// The time, for measuring how long something took.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "tests measure the real broker in real time")]
pub fn now() -> Instant {
    Instant::now()
}

/// Tries until there is a result; panics, saying what was waited for, when the deadline passes.
pub fn until<T>(what: &str, deadline: Duration, mut attempt: impl FnMut() -> Option<T>) -> T {
    let start = now();
    loop {
        if let Some(result) = attempt() {
            return result;
        }
        assert!(start.elapsed() < deadline, "{what}: not within {deadline:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
