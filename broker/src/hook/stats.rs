//! What of the hook is counted and logged: one that is slow, or gone, shows itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, Registry};

use super::client::Trouble;
use super::question::Event;

/// How often trouble is logged at most.
const QUIET: Duration = Duration::from_secs(10);

/// What came of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Allowed,
    Denied,
    Cached,
    Timeout,
    Busy,
    Unreachable,
    Invalid,
}

impl Outcome {
    const ALL: [(Self, &'static str); 7] = [
        (Self::Allowed, "allow"),
        (Self::Denied, "deny"),
        (Self::Cached, "cached"),
        (Self::Timeout, "timeout"),
        (Self::Busy, "busy"),
        (Self::Unreachable, "unreachable"),
        (Self::Invalid, "invalid"),
    ];
}

/// Counters, made once, and what was logged last.
#[derive(Debug, Clone)]
pub struct HookStats {
    counters: Vec<(Event, Outcome, IntCounter)>,
    seconds: Histogram,
    failing: Arc<AtomicBool>,
    trouble: Arc<Mutex<Complaint>>,
    slowness: Arc<Mutex<Complaint>>,
}

/// What was complained of last, and how often since.
#[derive(Debug, Default)]
struct Complaint {
    last: Option<Instant>,
    since: u64,
}

impl Complaint {
    /// How many there were since the last that was logged, this one included, if it is time to log.
    fn count(&mut self, now: Instant) -> Option<u64> {
        self.since += 1;
        if self.last.is_some_and(|last| now.saturating_duration_since(last) < QUIET) {
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.since))
    }
}

impl HookStats {
    /// Makes the handles and registers them.
    ///
    /// # Errors
    /// When a name is registered twice.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let help = "What was asked of the hook, by event and by what came of it.";
        let total = IntCounterVec::new(Opts::new("weft_hook_total", help), &["event", "result"])?;
        registry.register(Box::new(total.clone()))?;
        let seconds = Histogram::with_opts(
            HistogramOpts::new(
                "weft_hook_seconds",
                "How long the hook took to answer, or to fail, waits for a free place included.",
            )
            .buckets(vec![0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0]),
        )?;
        registry.register(Box::new(seconds.clone()))?;
        let counters = Event::ALL.into_iter().flat_map(|event| {
            let counter = |name: &str| total.with_label_values(&[event.name(), name]);
            Outcome::ALL.map(|(outcome, name)| (event, outcome, counter(name)))
        });
        Ok(Self {
            counters: counters.collect(),
            seconds,
            failing: Arc::default(),
            trouble: Arc::default(),
            slowness: Arc::default(),
        })
    }

    pub(super) fn inc(&self, event: Event, outcome: Outcome) {
        let found = self.counters.iter().find(|(e, o, _)| (*e, *o) == (event, outcome));
        if let Some((_, _, counter)) = found {
            counter.inc();
        }
    }

    pub(super) fn took(&self, took: Duration) {
        self.seconds.observe(took.as_secs_f64());
    }

    /// It answered. Says so if it did not before, and if it took most of its time.
    pub(super) fn answered(&self, hook: &str, took: Duration, timeout: Duration, now: Instant) {
        if self.failing.load(Ordering::Relaxed) && self.failing.swap(false, Ordering::Relaxed) {
            tracing::info!(hook, "the hook answers again");
        }
        if took > timeout / 2
            && let Some(calls) = self.slowness.lock().count(now)
        {
            let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            tracing::warn!(hook, ms, calls, "the hook is slow: more than half of hook.timeout");
        }
    }

    /// It did not.
    pub(super) fn failed(&self, hook: &str, event: Event, trouble: &Trouble, now: Instant) {
        self.failing.store(true, Ordering::Relaxed);
        if let Some(calls) = self.trouble.lock().count(now) {
            let event = event.name();
            tracing::warn!(hook, event, %trouble, calls, "the hook cannot be asked");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test needs some instant to start from")]
    fn complaints_are_few_and_tell_how_many_they_stand_for() {
        let now = Instant::now();
        let mut complaint = Complaint::default();
        assert_eq!(complaint.count(now), Some(1));
        for _ in 0..5 {
            assert_eq!(complaint.count(now + Duration::from_secs(1)), None);
        }
        assert_eq!(complaint.count(now + QUIET), Some(6));
    }
}
