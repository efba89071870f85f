//! A refusal, and when to come again.

use std::time::Duration;

use super::scope::{Scope, What};

/// A refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limited {
    /// Of what.
    pub what: What,
    /// For whose sake.
    pub scope: Scope,
    /// When it may be had, unless others come first; `None` if so much at once there never is.
    pub after: Option<Duration>,
}

impl Limited {
    /// How long to stay away, in whole seconds, as `Retry-After` has it.
    #[must_use]
    pub fn retry_after(self) -> u64 {
        let after = self.after.unwrap_or(LONGEST).min(LONGEST);
        (after.as_secs() + u64::from(after.subsec_nanos() > 0)).max(1)
    }

    /// How long to stay away, in milliseconds, as advice has it: a second at least, and each at another
    /// time, lest all who were refused at once come at once again. No longer than `most`, or the
    /// session of whoever obeys would be over.
    #[must_use]
    pub fn interval_ms(self, most: Duration, spread: u64) -> u64 {
        let after = self.after.unwrap_or(LONGEST).min(LONGEST);
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let most = millis(most).max(2_000);
        let wait = millis(after).saturating_add(1).clamp(1_000, most / 2);
        wait + spread % (wait / 2)
    }
}

/// Nobody is sent away for longer at a time.
const LONGEST: Duration = Duration::from_secs(3_600);

#[cfg(test)]
mod tests {
    use super::*;

    fn after(millis: u64) -> Limited {
        let after = Some(Duration::from_millis(millis));
        Limited { what: What::Messages, scope: Scope::Address, after }
    }

    #[test]
    fn r35_retry_after_is_in_whole_seconds_and_never_too_short() {
        for (millis, seconds) in
            [(0, 1), (1, 1), (1_000, 1), (1_001, 2), (59_999, 60), (9_999_999_999, 3_600)]
        {
            assert_eq!(after(millis).retry_after(), seconds, "{millis}");
        }
        assert_eq!(Limited { after: None, ..after(0) }.retry_after(), 3_600);
    }

    #[test]
    fn r35_intervals_are_a_second_at_least_spread_out_and_leave_the_session_alive() {
        let most = Duration::from_secs(30);
        for spread in [0, 1, 499, 12_345_678, u64::MAX] {
            for (millis, low, high) in [
                (0, 1_000, 1_500),
                (200, 1_000, 1_500),
                (4_000, 4_001, 6_002),
                (999_999, 15_000, 22_500),
            ] {
                let interval = after(millis).interval_ms(most, spread);
                assert!((low..high).contains(&interval), "{millis}, {spread}: {interval}");
            }
            let short = after(9_000).interval_ms(Duration::from_millis(100), spread);
            assert!((1_000..1_500).contains(&short), "{short}");
        }
        let spread: std::collections::BTreeSet<_> =
            (0..100).map(|spread| after(2_000).interval_ms(most, spread)).collect();
        assert_eq!(spread.len(), 100);
    }
}
