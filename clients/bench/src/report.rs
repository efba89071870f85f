//! All figures of a run, as they go into the JSON. docs/bench.md explains each.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::process::Sample;
use crate::rig::SetUp;
use crate::tally::{Tally, Times};

/// Above this share of a core the generator may be what is measured.
const LIMITED: f64 = 0.85;

/// Above this share of the bound of latencies too few publishers may be what is measured.
const HELD_BACK: f64 = 0.2;

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Report {
    pub(crate) tool_version: &'static str,
    pub(crate) command: &'static str,
    pub(crate) options: Value,
    pub(crate) seed: u32,
    pub(crate) subscribers: usize,
    #[serde(flatten)]
    pub(crate) figures: Figures,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) idle: Option<Idle>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) publish: Option<Publish>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sweep: Option<Sweep>,
}

/// What was measured in one go.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figures {
    /// `None` if the server's process is not known.
    pub(crate) server: Option<Server>,
    pub(crate) generator: Generator,
    pub(crate) latency_ms: Percentiles,
    pub(crate) ack_ms: Percentiles,
    pub(crate) held_back_ms: Percentiles,
    pub(crate) held_back: bool,
    pub(crate) published: u64,
    pub(crate) expected: u64,
    pub(crate) received: u64,
    pub(crate) lost: u64,
    pub(crate) repeated: u64,
    pub(crate) reordered: u64,
    pub(crate) foreign: u64,
    pub(crate) responses: u64,
    pub(crate) messages_per_response: f64,
    pub(crate) wire_bytes_per_message: f64,
    pub(crate) rate_intended: f64,
    pub(crate) rate_achieved: f64,
    pub(crate) deliveries_per_second: f64,
    pub(crate) kept_up: bool,
    pub(crate) errors: BTreeMap<&'static str, u64>,
    #[serde(skip)]
    pub(crate) latency: Times,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Server {
    pub(crate) cpu_us_per_message: f64,
    pub(crate) cpu_seconds: f64,
    pub(crate) core_share: f64,
    pub(crate) wait_share: f64,
    pub(crate) rss_before: u64,
    pub(crate) rss_after: u64,
    pub(crate) rss_peak: u64,
    pub(crate) per_session_bytes: f64,
    pub(crate) cpu_us_per_session: f64,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Generator {
    pub(crate) core_share: f64,
    pub(crate) wait_share: f64,
    pub(crate) cpu_us_per_message: f64,
    pub(crate) limited: bool,
    pub(crate) lateness_ms: Percentiles,
}

#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Idle {
    pub(crate) set_up_seconds: f64,
    pub(crate) set_up_per_second: f64,
    pub(crate) set_up_generator_share: f64,
    pub(crate) hold_seconds: f64,
    pub(crate) idle_cpu_percent: Option<f64>,
    pub(crate) broadcast_ms: f64,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Publish {
    pub(crate) accepted: u64,
    pub(crate) accepted_per_second: f64,
    pub(crate) cpu_us_per_publish: Option<f64>,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Sweep {
    /// The highest rate that was kept up; 0 if none was.
    pub(crate) highest_rate: f64,
    pub(crate) peak_deliveries_per_second: f64,
    pub(crate) peak_cpu_us_per_message: Option<f64>,
    pub(crate) steps: Vec<Figures>,
}

impl Percentiles {
    /// In milliseconds, of times in microseconds.
    pub(crate) fn of(times: &Times) -> Self {
        let at = |quantile| times.value_at_quantile(quantile) as f64 / 1e3;
        Self { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: at(1.0) }
    }
}

/// What was seen around a measurement.
#[derive(Debug)]
pub(crate) struct Window {
    /// From the first message's time to the last arrival, in seconds.
    pub(crate) seconds: f64,
    /// The generator before and after.
    pub(crate) own: (Sample, Sample),
    pub(crate) server: Option<(Sample, Sample)>,
    /// Messages a second; 0 if there is no such thing.
    pub(crate) rate_intended: f64,
    pub(crate) rate_achieved: f64,
}

impl Figures {
    pub(crate) fn new(
        tally: &Tally,
        window: &Window,
        set_up: &SetUp,
        sessions: usize,
        limit_ms: f64,
    ) -> Self {
        let ledger = &tally.ledger;
        let per = |total: f64, count: u64| if count == 0 { 0.0 } else { total / count as f64 };
        let seconds = window.seconds.max(1e-6);
        let own_cpu = window.own.1.cpu_since(&window.own.0);
        let core_share = own_cpu / seconds;
        let server = window.server.as_ref().map(|(before, after)| {
            let cpu = after.cpu_since(before);
            let (start, crowd) = (&set_up.before, &set_up.settled);
            let grown = start
                .as_ref()
                .zip(crowd.as_ref())
                .map_or(0.0, |(start, crowd)| crowd.rss as f64 - start.rss as f64);
            let spent = start.as_ref().zip(set_up.connected.as_ref());
            let spent = spent.map_or(0.0, |(start, end)| end.cpu_since(start));
            Server {
                cpu_us_per_message: per(cpu * 1e6, tally.received),
                cpu_seconds: cpu,
                core_share: cpu / seconds,
                wait_share: after.waited_since(before) / seconds,
                rss_before: start.as_ref().map_or(0, |start| start.rss),
                rss_after: after.rss,
                rss_peak: after.peak,
                per_session_bytes: per(grown, sessions as u64),
                cpu_us_per_session: per(spent * 1e6, sessions as u64),
            }
        });
        let latency_ms = Percentiles::of(&tally.latency);
        let held_back_ms = Percentiles::of(&tally.held_back);
        let exact = ledger.lost() + ledger.repeated() + ledger.reordered() + ledger.foreign() == 0;
        let taken = !tally.errors.keys().any(|kind| kind.starts_with("publish_"));
        Self {
            server,
            generator: Generator {
                core_share,
                wait_share: window.own.1.waited_since(&window.own.0) / seconds,
                cpu_us_per_message: per(own_cpu * 1e6, tally.received),
                limited: core_share > LIMITED,
                lateness_ms: Percentiles::of(&tally.lateness),
            },
            latency_ms,
            ack_ms: Percentiles::of(&tally.acks),
            held_back_ms,
            held_back: held_back_ms.p99 > limit_ms * HELD_BACK,
            published: ledger.published(),
            expected: ledger.expected(),
            received: tally.received,
            lost: ledger.lost(),
            repeated: ledger.repeated(),
            reordered: ledger.reordered(),
            foreign: ledger.foreign(),
            responses: tally.responses,
            messages_per_response: per(tally.received as f64, tally.responses),
            wire_bytes_per_message: per(tally.wire_bytes as f64, tally.received),
            rate_intended: window.rate_intended,
            rate_achieved: window.rate_achieved,
            deliveries_per_second: tally.received as f64 / seconds,
            kept_up: taken && exact && latency_ms.p99 <= limit_ms,
            errors: tally.errors.clone(),
            latency: tally.latency.clone(),
        }
    }
}
