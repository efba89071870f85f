//! A rate, and the bucket of tokens that keeps it.
//!
//! A bucket is one number: the time at which it will be full again (GCRA). Taking tokens moves that
//! time on; a bucket whose time has passed is full, and as good as none. So idle buckets need no
//! upkeep, one fits an atomic, and what is left of it is known exactly.
//!
//! `governor` counts the same way. It does not fit: its keyed stores grow with the keys they meet,
//! which strangers choose, and forget none before they are told to; and several of its limiters
//! cannot be asked as one, giving back what the first gave when the last refuses.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Time is counted in sixteenths of a nanosecond, so that a byte has a length even at 1 GiB/s. 64 bits
/// hold 36 years of it.
const TICKS_PER_NS: u64 = 16;

/// So much in a time, and so much at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How much; 0 is nothing at all.
    pub amount: u64,
    /// In how long.
    pub per: Duration,
    /// How much at once, after a while without any.
    pub burst: u64,
}

/// A rate, ready to be counted with. It is rounded down, never up: by less than 1 % up to 1 GiB/s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// How long one takes to come back.
    one: u64,
    /// How long a whole burst takes to.
    burst: u64,
}

/// Why nothing was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shortage {
    /// There will be enough after this time, if nobody else comes.
    For(Duration),
    /// So much at once there never is.
    ForEver,
}

/// When a bucket is full again, in ticks since the beginning.
pub type FullAt = u64;

/// Ticks since the beginning.
#[must_use]
pub fn ticks(since: Duration) -> u64 {
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX).saturating_mul(TICKS_PER_NS)
}

impl Quota {
    /// Of this rate.
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        let one = ticks(rate.per).div_ceil(rate.amount.max(1)).max(1);
        Self { one, burst: one.saturating_mul(rate.burst) }
    }

    /// Takes `n` from a bucket.
    ///
    /// # Errors
    /// When it does not hold so many.
    pub fn take(self, full_at: FullAt, now: u64, n: u64) -> Result<FullAt, Shortage> {
        let cost = self.one.saturating_mul(n);
        if cost > self.burst {
            return Err(Shortage::ForEver);
        }
        let then = full_at.max(now).saturating_add(cost);
        match then.saturating_sub(now).checked_sub(self.burst) {
            None | Some(0) => Ok(then),
            Some(short) => Err(Shortage::For(Duration::from_nanos(short.div_ceil(TICKS_PER_NS)))),
        }
    }

    /// Gives `n` back that were taken in vain.
    #[must_use]
    pub fn give_back(self, full_at: FullAt, n: u64) -> FullAt {
        full_at.saturating_sub(self.one.saturating_mul(n))
    }

    /// Whether a bucket refuses even one.
    #[must_use]
    pub fn is_short(self, full_at: FullAt, now: u64) -> bool {
        self.take(full_at, now, 1).is_err()
    }
}

/// A bucket that stands alone.
#[derive(Debug, Default)]
pub struct Bucket(AtomicU64);

impl Bucket {
    /// Takes `n`.
    ///
    /// # Errors
    /// When it does not hold so many.
    pub fn take(&self, quota: Quota, now: u64, n: u64) -> Result<(), Shortage> {
        let mut full_at = self.0.load(Ordering::Relaxed);
        loop {
            let then = quota.take(full_at, now, n)?;
            match self.0.compare_exchange_weak(full_at, then, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return Ok(()),
                Err(other) => full_at = other,
            }
        }
    }

    /// Gives `n` back that were taken in vain.
    pub fn give_back(&self, quota: Quota, n: u64) {
        let back = |full_at| Some(quota.give_back(full_at, n));
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, back);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn quota(amount: u64, per_ms: u64, burst: u64) -> Quota {
        Quota::new(Rate { amount, per: Duration::from_millis(per_ms), burst })
    }

    fn ms(ms: u64) -> u64 {
        ticks(Duration::from_millis(ms))
    }

    #[test]
    fn r35_a_bucket_gives_its_burst_and_then_its_rate() {
        let (bucket, three) = (Bucket::default(), quota(3, 1_000, 3));
        for _ in 0..3 {
            assert_eq!(bucket.take(three, ms(5_000), 1), Ok(()));
        }
        let Err(Shortage::For(wait)) = bucket.take(three, ms(5_000), 1) else { panic!("a fourth") };
        assert_eq!(wait.as_millis(), 333);
        assert!(bucket.take(three, ms(5_000) + ticks(wait), 1).is_ok(), "the wait is right");
        assert!(bucket.take(three, ms(9_000), 3).is_ok(), "full again, and no fuller");
        assert!(bucket.take(three, ms(9_000), 1).is_err());
    }

    #[test]
    fn r35_more_than_a_burst_is_never_had() {
        let bucket = Bucket::default();
        assert_eq!(bucket.take(quota(3, 1_000, 3), ms(5_000), 4), Err(Shortage::ForEver));
        assert_eq!(bucket.take(quota(3, 1_000, 3), ms(5_000), u64::MAX), Err(Shortage::ForEver));
        assert!(bucket.take(quota(3, 1_000, 3), ms(5_000), 3).is_ok(), "and nothing was taken");
    }

    #[test]
    fn r35_what_was_given_back_can_be_had_again() {
        let (bucket, two) = (Bucket::default(), quota(2, 60_000, 2));
        assert!(bucket.take(two, ms(1), 2).is_ok());
        bucket.give_back(two, 1);
        assert!(bucket.take(two, ms(1), 1).is_ok());
        assert!(bucket.take(two, ms(1), 1).is_err());
    }

    #[test]
    fn r35_fast_rates_are_kept_to_a_hundredth() {
        for amount in [10_000, 1 << 20, 100 << 20, 1 << 30] {
            let exact = 1.6e10 / amount as f64;
            let kept = quota(amount, 1_000, 1).one as f64;
            assert!(kept >= exact && kept <= exact * 1.01, "{amount}: {kept} for {exact}");
        }
    }

    proptest! {
        #[test]
        fn r35_in_no_time_is_more_given_than_rate_and_burst(
            amount in 1_u64..2_000_000,
            per_s in prop::sample::select(vec![1_u64, 60, 3_600]),
            burst in 1_u64..5_000,
            steps in prop::collection::vec((0_u64..3_000_000, 1_u64..50), 1..200),
        ) {
            let quota = Quota::new(Rate { amount, per: Duration::from_secs(per_s), burst });
            let bucket = Bucket::default();
            let mut now = Duration::from_secs(1);
            let mut given: Vec<(Duration, u64)> = Vec::new();
            for (micros, n) in steps {
                now += Duration::from_micros(micros);
                match bucket.take(quota, ticks(now), n) {
                    Ok(()) => given.push((now, n)),
                    Err(Shortage::ForEver) => prop_assert!(n > burst),
                    Err(Shortage::For(wait)) => {
                        let then = ticks(now + wait);
                        let full_at = bucket.0.load(Ordering::Relaxed);
                        prop_assert!(quota.take(full_at, then, n).is_ok(), "too short a wait");
                    }
                }
            }
            // In every window, from each grant to each later one.
            for (index, &(from, _)) in given.iter().enumerate() {
                let mut sum = 0;
                for &(to, n) in &given[index..] {
                    sum += u128::from(n);
                    let time = (to - from).as_nanos();
                    let most = u128::from(burst) + u128::from(amount) * time / (u128::from(per_s) * 1_000_000_000);
                    prop_assert!(sum <= most, "{sum} of {most} in {time} ns");
                }
            }
        }
    }
}
