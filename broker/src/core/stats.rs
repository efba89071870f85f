//! What the core counts with: prometheus handles made once, so that no label is looked up on the
//! hot path. Nothing here renders text, and gauges are not here: they are recounted at scrape time.

use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, Registry};
use weft_persistence::Loss;

use crate::limits::stats::LimitStats;

/// Counters and histograms of the core.
#[derive(Debug, Clone)]
pub struct Stats {
    /// Publications accepted.
    pub messages_in: IntCounter,
    /// Events handed to a transport, resent ones included.
    pub messages_out: IntCounter,
    /// Events handed out a second time since their reply was lost.
    pub resent: IntCounter,
    /// Events dropped at a queue's bound (each one a told gap).
    pub dropped: IntCounter,
    /// Handshakes answered with a session.
    pub handshakes: IntCounter,
    /// Events in one connect reply.
    pub batch: Histogram,
    /// Seconds a connect was held.
    pub hold: Histogram,
    /// Sessions that ended by disconnect.
    pub disconnected: IntCounter,
    /// Sessions that ended since nothing came within `max_interval`.
    pub expired: IntCounter,
    /// Sessions that ended since nothing came after the handshake.
    pub never_connected: IntCounter,
    /// Sessions that ended since their queues passed their bounds.
    pub overrun: IntCounter,
    /// Sessions that ended since whom they spoke for may not do that any more.
    pub revoked: IntCounter,
    /// Sessions whose credentials expired.
    pub lapsed: IntCounter,
    /// Fresh credentials that sessions went on with.
    pub renewed: IntCounter,
    /// Queues that left memory to be read again from the backlog.
    pub spills: IntCounter,
    /// Held connects whose client went away.
    pub abandoned: IntCounter,
    /// Connects that made way for a newer one of the same session.
    pub superseded: IntCounter,
    /// Connects released or not held since another tab of the browser holds.
    pub demoted: IntCounter,
    /// Gaps told to clients.
    pub gaps: IntCounter,
    /// Messages read from the past for sessions.
    pub replayed: IntCounter,
    /// Replays asked for, by result.
    pub replays: ReplayStats,
    /// Publications recognised by their key and not published again.
    pub repeats: IntCounter,
    /// Publications that were refused, over Bayeux and plain HTTP.
    pub refused: RefusedStats,
    /// What the store's writer does.
    pub store: StoreStats,
    /// What was refused at a limit.
    pub limited: LimitStats,
}

/// Refused publications, by cause.
#[derive(Debug, Clone)]
pub struct RefusedStats {
    /// A method that does not publish.
    pub method: IntCounter,
    /// A foreign `Origin`, or a `Host` that is not ours.
    pub origin: IntCounter,
    by_status: Vec<(u16, IntCounter)>,
}

impl RefusedStats {
    /// What a status means; the first stands for all others, too.
    const CAUSES: [(u16, &'static str); 10] = [
        (400, "unreadable"),
        (402, "session"),
        (403, "denied"),
        (404, "off"),
        (405, "channel"),
        (408, "slow"),
        (413, "too_large"),
        (422, "invalid"),
        (429, "rate"),
        (503, "unavailable"),
    ];

    fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let help = "Publications refused, by cause.";
        let refused =
            IntCounterVec::new(Opts::new("weft_publish_refused_total", help), &["cause"])?;
        registry.register(Box::new(refused.clone()))?;
        let counter = |cause| refused.with_label_values(&[cause]);
        Ok(Self {
            method: counter("method"),
            origin: counter("origin"),
            by_status: Self::CAUSES.map(|(status, cause)| (status, counter(cause))).into(),
        })
    }

    /// Counts a refusal with this HTTP status.
    pub fn inc(&self, status: u16) {
        let known = self.by_status.iter().find(|(known, _)| *known == status);
        if let Some((_, counter)) = known.or_else(|| self.by_status.first()) {
            counter.inc();
        }
    }
}

/// Replays asked for, a channel each, by what came of it.
#[derive(Debug, Clone)]
pub struct ReplayStats {
    complete: IntCounter,
    gap: IntCounter,
    unknown: IntCounter,
    off: IntCounter,
}

impl ReplayStats {
    /// Counts one: `complete`, `gap` (part of it is missing), `unknown` (no position of ours), `off`
    /// (the channel's rule).
    pub fn inc(&self, result: &str) {
        match result {
            "gap" => self.gap.inc(),
            "unknown" => self.unknown.inc(),
            "off" => self.off.inc(),
            _ => self.complete.inc(),
        }
    }
}

fn counter(registry: &Registry, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
    let counter = IntCounter::new(name, help)?;
    registry.register(Box::new(counter.clone()))?;
    Ok(counter)
}

fn histogram(
    registry: &Registry,
    name: &str,
    help: &str,
    buckets: Vec<f64>,
) -> Result<Histogram, prometheus::Error> {
    let histogram = Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets))?;
    registry.register(Box::new(histogram.clone()))?;
    Ok(histogram)
}

/// What the store's writer does.
#[derive(Debug, Clone)]
pub struct StoreStats {
    seconds: Histogram,
    records: Histogram,
    errors: IntCounter,
    troubles: IntCounter,
    moved_aside: IntCounter,
    ends_lost: IntCounter,
    channels_lost: IntCounter,
}

impl StoreStats {
    fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name, help| counter(registry, name, help);
        let histogram = |name, help, buckets| histogram(registry, name, help, buckets);
        Ok(Self {
            seconds: histogram(
                "weft_store_flush_seconds",
                "How long a commit took, flush and fdatasync included.",
                vec![0.000_1, 0.000_3, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0],
            )?,
            records: histogram(
                "weft_store_batch_records",
                "Messages in one commit.",
                vec![0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0],
            )?,
            errors: counter("weft_store_errors_total", "Commits that failed.")?,
            troubles: counter("weft_store_outages_total", "Times the store stopped writing.")?,
            moved_aside: counter(
                "weft_store_moved_aside_total",
                "Damaged stores that were moved aside.",
            )?,
            ends_lost: counter(
                "weft_store_ends_lost_total",
                "Times what the store had written last was gone.",
            )?,
            channels_lost: counter(
                "weft_store_channels_lost_total",
                "Channels whose messages the store could not read.",
            )?,
        })
    }

    /// Counts a commit.
    pub fn flushed(&self, records: usize, took: Duration, stored: bool) {
        if stored {
            self.seconds.observe(took.as_secs_f64());
            self.records.observe(records as f64);
        } else {
            self.errors.inc();
        }
    }

    /// Counts what the store gave up.
    pub fn lost(&self, loss: &Loss) {
        match loss {
            Loss::Store(_) => self.moved_aside.inc(),
            Loss::End => self.ends_lost.inc(),
            Loss::Channel(_) => self.channels_lost.inc(),
        }
    }

    /// Counts that the store became unable to write.
    pub fn trouble(&self, began: bool) {
        self.troubles.inc_by(u64::from(began));
    }
}

impl Stats {
    /// Makes the handles and registers them.
    ///
    /// # Errors
    /// When a name is registered twice.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name, help| counter(registry, name, help);
        let histogram = |name, help, buckets| histogram(registry, name, help, buckets);
        let ended = IntCounterVec::new(
            Opts::new("weft_sessions_ended_total", "Sessions that ended, by cause."),
            &["cause"],
        )?;
        registry.register(Box::new(ended.clone()))?;
        let replays = IntCounterVec::new(
            Opts::new("weft_replays_total", "Replays asked for, a channel each, by result."),
            &["result"],
        )?;
        registry.register(Box::new(replays.clone()))?;
        Ok(Self {
            messages_in: counter("weft_messages_in_total", "Publications accepted.")?,
            messages_out: counter("weft_messages_out_total", "Events handed to transports.")?,
            resent: counter("weft_messages_resent_total", "Events sent again after a lost reply.")?,
            dropped: counter("weft_messages_dropped_total", "Events dropped at a queue's bound.")?,
            handshakes: counter("weft_handshakes_total", "Handshakes answered with a session.")?,
            batch: histogram(
                "weft_batch_messages",
                "Events in one connect reply.",
                vec![0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1024.0, 4096.0],
            )?,
            hold: histogram(
                "weft_hold_seconds",
                "How long connects were held.",
                vec![0.001, 0.01, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 29.0, 31.0, 60.0, 120.0],
            )?,
            disconnected: ended.with_label_values(&["disconnected"]),
            expired: ended.with_label_values(&["expired"]),
            never_connected: ended.with_label_values(&["never_connected"]),
            overrun: ended.with_label_values(&["overrun"]),
            revoked: ended.with_label_values(&["revoked"]),
            lapsed: counter("weft_sessions_lapsed_total", "Sessions whose credentials expired.")?,
            renewed: counter("weft_sessions_renewed_total", "Sessions with fresh credentials.")?,
            spills: counter("weft_spills_total", "Queues that left memory for the backlog.")?,
            abandoned: counter("weft_connects_abandoned_total", "Held connects that were cut.")?,
            superseded: counter(
                "weft_connects_superseded_total",
                "Connects a newer one replaced.",
            )?,
            demoted: counter("weft_connects_demoted_total", "Connects not held: another tab is.")?,
            gaps: counter("weft_gaps_told_total", "Gaps told to clients.")?,
            replayed: counter("weft_messages_replayed_total", "Messages read from the past.")?,
            replays: ReplayStats {
                complete: replays.with_label_values(&["complete"]),
                gap: replays.with_label_values(&["gap"]),
                unknown: replays.with_label_values(&["unknown"]),
                off: replays.with_label_values(&["off"]),
            },
            repeats: counter("weft_publish_repeats_total", "Publications known by their key.")?,
            refused: RefusedStats::register(registry)?,
            store: StoreStats::register(registry)?,
            limited: LimitStats::register(registry)?,
        })
    }
}

#[cfg(test)]
impl Default for Stats {
    fn default() -> Self {
        Self::register(&Registry::new()).expect("fresh registry")
    }
}
