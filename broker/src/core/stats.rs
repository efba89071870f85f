//! What the core counts with: prometheus handles made once, so that no label is looked up on the
//! hot path. Nothing here renders text, and gauges are not here: they are recounted at scrape time.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, Registry};

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
    /// Held connects whose client went away.
    pub abandoned: IntCounter,
    /// Connects that made way for a newer one of the same session.
    pub superseded: IntCounter,
    /// Connects released or not held since another tab of the browser holds.
    pub demoted: IntCounter,
}

impl Stats {
    /// Makes the handles and registers them.
    ///
    /// # Errors
    /// When a name is registered twice.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str| -> Result<IntCounter, prometheus::Error> {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let histogram = |name: &str, help: &str, buckets: Vec<f64>| {
            let histogram = Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets))?;
            registry.register(Box::new(histogram.clone()))?;
            Ok::<_, prometheus::Error>(histogram)
        };
        let ended = IntCounterVec::new(
            Opts::new("weft_sessions_ended_total", "Sessions that ended, by cause."),
            &["cause"],
        )?;
        registry.register(Box::new(ended.clone()))?;
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
            abandoned: counter("weft_connects_abandoned_total", "Held connects that were cut.")?,
            superseded: counter(
                "weft_connects_superseded_total",
                "Connects a newer one replaced.",
            )?,
            demoted: counter("weft_connects_demoted_total", "Connects not held: another tab is.")?,
        })
    }
}

#[cfg(test)]
impl Default for Stats {
    fn default() -> Self {
        Self::register(&Registry::new()).expect("fresh registry")
    }
}
