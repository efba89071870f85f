//! Positions: one integer per message, strictly increasing, never reused (decisions section 5).

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

/// The smallest position ever given out, so that small numbers are never taken for one.
pub const FIRST: i64 = 1_000_000_000_000_000;

/// How far below the ceiling the clock is followed: what lies between is given out one by one while
/// the ceiling cannot be raised.
const RESERVE: i64 = 5_000_000;
/// How far ahead of the clock the ceiling is asked for.
const AHEAD: i64 = 10_000_000;

/// Gives out positions: `max(last + 1, T)`, where T is microseconds since 1970.
///
/// T starts at the greatest of wall clock, boot floor and [`FIRST`], runs on the monotonic clock and
/// follows the wall clock only forwards, so that a clock set back hands out no number twice while
/// the process lives. Across restarts the ceiling holds: no position above it is given out, it is
/// raised only once the higher one is on disk, and the next start begins above it. While it cannot
/// be raised, T stops 5 s below it, and the five million numbers in between are counted out.
#[derive(Debug)]
pub struct Positions {
    last: AtomicI64,
    ceiling: AtomicI64,
    base: Mutex<Base>,
}

#[derive(Debug)]
struct Base {
    at: Instant,
    t: i64,
}

impl Base {
    fn advance(&mut self, now: Instant, wall_us: i64) -> i64 {
        let ran = i64::try_from(now.saturating_duration_since(self.at).as_micros());
        self.t = self.t.saturating_add(ran.unwrap_or(i64::MAX)).max(wall_us);
        self.at = self.at.max(now);
        self.t
    }
}

impl Positions {
    /// Starts above `floor`. Without a ceiling file (`ceiling` is `None`) there is no bound.
    #[must_use]
    pub fn new(now: Instant, wall_us: i64, floor: i64, ceiling: Option<i64>) -> Self {
        let t = wall_us.max(floor.saturating_add(1)).max(FIRST);
        let ceiling = AtomicI64::new(ceiling.unwrap_or(i64::MAX));
        Self { last: AtomicI64::new(t - 1), ceiling, base: Mutex::new(Base { at: now, t }) }
    }

    /// The next position, greater than every one before it; `None` when the ceiling is reached.
    pub fn next(&self, now: Instant, wall_us: i64) -> Option<i64> {
        let ceiling = self.ceiling.load(Ordering::Acquire);
        let t = self.base.lock().advance(now, wall_us).min(ceiling.saturating_sub(RESERVE));
        let mut last = self.last.load(Ordering::Relaxed);
        loop {
            let position = last.saturating_add(1).max(t);
            if position > ceiling {
                return None;
            }
            match self.last.compare_exchange_weak(
                last,
                position,
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Some(position),
                Err(newer) => last = newer,
            }
        }
    }

    /// The last position given out, or the number before the first one.
    #[must_use]
    pub fn last(&self) -> i64 {
        self.last.load(Ordering::Acquire)
    }

    /// Where the ceiling should be now: 10 s ahead of T.
    pub fn wanted_ceiling(&self, now: Instant, wall_us: i64) -> i64 {
        let t = self.base.lock().advance(now, wall_us);
        t.max(self.last()).saturating_add(AHEAD)
    }

    /// Allows positions up to `ceiling`, which is on disk.
    pub fn raise_ceiling(&self, ceiling: i64) {
        self.ceiling.fetch_max(ceiling, Ordering::AcqRel);
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test needs some instant to start from")]
mod tests {
    use super::*;
    use std::time::Duration;

    const WALL: i64 = 1_800_000_000_000_000;

    #[test]
    fn positions_rise_whatever_the_wall_clock_does() {
        let start = Instant::now();
        let positions = Positions::new(start, WALL, 0, None);
        let mut last = 0;
        for (after_ms, wall_us) in [(0, WALL), (0, 0), (5, WALL - 9_000_000), (5, 1), (6, WALL)] {
            let p = positions.next(start + Duration::from_millis(after_ms), wall_us).expect("room");
            assert!(p > last, "{p} after {last}");
            last = p;
        }
        assert_eq!(last, WALL + 6_000, "the monotonic clock moves it on");
        let ahead = positions.next(start + Duration::from_millis(7), WALL + 60_000_000);
        assert_eq!(ahead, Some(WALL + 60_000_000), "the wall clock is followed forwards");
        assert!(positions.last() < 1 << 53, "a safe integer in JavaScript");
    }

    #[test]
    fn a_clock_before_2001_starts_at_the_first_position() {
        let positions = Positions::new(Instant::now(), 0, 0, None);
        let first = positions.next(Instant::now(), 0).expect("room");
        assert_eq!(first / 10_000_000, FIRST / 10_000_000);
    }

    #[test]
    fn a_restart_begins_above_the_ceiling_wherever_the_clock_is() {
        let start = Instant::now();
        let ceiling = WALL + 10_000_000;
        let positions = Positions::new(start, WALL - 3_600_000_000, ceiling, Some(ceiling + 1));
        assert!(positions.next(start, 0).is_none_or(|first| first > ceiling));
        assert_eq!(positions.last(), ceiling + 1);
    }

    #[test]
    fn the_ceiling_is_never_passed_and_the_reserve_is_counted_out() {
        let start = Instant::now();
        let ceiling = WALL + RESERVE + 2;
        let positions = Positions::new(start, WALL, 0, Some(ceiling));
        let later = start + Duration::from_secs(60);
        assert_eq!(positions.next(later, WALL), Some(WALL + 2), "T stops below the ceiling");
        assert_eq!(positions.next(later, WALL), Some(WALL + 3), "and numbers go on by one");
        positions.last.store(ceiling - 1, Ordering::Relaxed);
        assert_eq!(positions.next(later, WALL), Some(ceiling));
        assert_eq!(positions.next(later, WALL), None);
        let wanted = positions.wanted_ceiling(later, WALL);
        assert_eq!(wanted, WALL + 60_000_000 + AHEAD);
        positions.raise_ceiling(wanted);
        assert_eq!(positions.next(later, WALL), Some(WALL + 60_000_000));
    }
}
