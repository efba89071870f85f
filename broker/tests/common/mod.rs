//! Chance and time for tests that a seed decides.
#![allow(dead_code, unreachable_pub, reason = "each test takes what it needs")]

pub mod disk;
pub mod hand;

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use weft_broker::core::clock::Clock;

/// A small generator (splitmix64): the run depends on the seed alone.
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n as u64).expect("small")
    }

    pub fn percent(&mut self, p: u64) -> bool {
        self.next() % 100 < p
    }
}

/// Time that moves when told to. Monotonic time only forwards, wall time any way.
#[derive(Debug)]
pub struct VirtualClock {
    start: Instant,
    state: Mutex<(Duration, i64)>,
}

impl VirtualClock {
    #[expect(clippy::disallowed_methods, reason = "an instant to count from")]
    pub fn new() -> Arc<Self> {
        let state = Mutex::new((Duration::ZERO, 1_800_000_000_000_000));
        Arc::new(Self { start: Instant::now(), state })
    }

    pub fn advance(&self, by: Duration) {
        let mut state = self.state.lock();
        state.0 += by;
        state.1 += i64::try_from(by.as_micros()).expect("short");
    }

    pub fn step_wall(&self, by_us: i64) {
        self.state.lock().1 += by_us;
    }

    pub fn since_start(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.start)
    }

    pub fn elapsed(&self) -> Duration {
        self.state.lock().0
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Instant {
        self.start + self.state.lock().0
    }

    fn wall_us(&self) -> i64 {
        self.state.lock().1
    }
}
