//! Positions: one integer per message, strictly increasing, never reused (decisions section 5).

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

/// The smallest position ever given out, so that small numbers are never taken for one.
pub const FIRST: i64 = 1_000_000_000_000_000;

/// Gives out positions: `max(last + 1, T)`, where T is microseconds since 1970.
///
/// T runs on the monotonic clock and follows the wall clock only forwards, so that a clock set back
/// hands out no number twice while the process lives. (Across restarts: the boot floor, which
/// comes with the store.)
#[derive(Debug)]
pub struct Positions {
    last: AtomicI64,
    base: Mutex<Base>,
}

#[derive(Debug)]
struct Base {
    at: Instant,
    t: i64,
}

impl Positions {
    /// Starts at the greatest of the wall clock, `floor` and [`FIRST`].
    #[must_use]
    pub fn new(now: Instant, wall_us: i64, floor: i64) -> Self {
        let t = wall_us.max(floor).max(FIRST);
        Self { last: AtomicI64::new(t - 1), base: Mutex::new(Base { at: now, t }) }
    }

    /// The next position; greater than every one before it.
    pub fn next(&self, now: Instant, wall_us: i64) -> i64 {
        let t = {
            let mut base = self.base.lock();
            let ran = i64::try_from(now.saturating_duration_since(base.at).as_micros());
            let t = base.t.saturating_add(ran.unwrap_or(i64::MAX)).max(wall_us);
            if now > base.at {
                *base = Base { at: now, t };
            } else {
                base.t = t;
            }
            t
        };
        let next = |last: i64| last.saturating_add(1).max(t);
        let mut last = self.last.load(Ordering::Relaxed);
        loop {
            let position = next(last);
            match self.last.compare_exchange_weak(
                last,
                position,
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => return position,
                Err(newer) => last = newer,
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test needs some instant to start from")]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn positions_rise_whatever_the_wall_clock_does() {
        let start = Instant::now();
        let wall = 1_800_000_000_000_000;
        let positions = Positions::new(start, wall, 0);
        let mut last = 0;
        for (after_ms, wall_us) in [(0, wall), (0, 0), (5, wall - 9_000_000), (5, 1), (6, wall)] {
            let p = positions.next(start + Duration::from_millis(after_ms), wall_us);
            assert!(p > last, "{p} after {last}");
            last = p;
        }
        assert_eq!(last, wall + 6_000, "the monotonic clock moves it on");
        let ahead = positions.next(start + Duration::from_millis(7), wall + 60_000_000);
        assert_eq!(ahead, wall + 60_000_000, "the wall clock is followed forwards");
        assert!(ahead < 1 << 53, "a safe integer in JavaScript");
    }

    #[test]
    fn a_clock_before_2001_starts_at_the_first_position() {
        let positions = Positions::new(Instant::now(), 0, 0);
        assert_eq!(positions.next(Instant::now(), 0) / 10_000_000, FIRST / 10_000_000);
    }
}
