//! What the edge counts.

use http::StatusCode;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

/// Counted in a gauge for as long as it lives, however it ends.
#[derive(Debug)]
pub struct Counted(IntGauge);

impl Counted {
    /// One more.
    #[must_use]
    pub fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Streams open now, by kind.
#[derive(Debug, Clone)]
pub struct StreamStats {
    /// `/events`.
    pub events: IntGauge,
    /// `/stream`.
    pub lines: IntGauge,
    /// Faye's `eventsource`.
    pub event_source: IntGauge,
}

impl StreamStats {
    fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let opts = Opts::new("weft_streams", "Responses that go on, open now, by kind.");
        let streams = IntGaugeVec::new(opts, &["kind"])?;
        registry.register(Box::new(streams.clone()))?;
        Ok(Self {
            events: streams.with_label_values(&["events"]),
            lines: streams.with_label_values(&["stream"]),
            event_source: streams.with_label_values(&["eventsource"]),
        })
    }
}

/// Counters and gauges of sockets and HTTP.
#[derive(Debug, Clone)]
pub struct HttpStats {
    /// Connections open now.
    pub connections: IntGauge,
    /// Connections that have become WebSockets.
    pub sockets: IntGauge,
    /// Connections accepted.
    pub accepted: IntCounter,
    /// Connections refused: no room in all.
    pub refused_total: IntCounter,
    /// Connections refused: no room for this address.
    pub refused_address: IntCounter,
    /// Responses that go on.
    pub streams: StreamStats,
    responses: [IntCounter; 5],
}

impl HttpStats {
    /// Makes the handles and registers them.
    ///
    /// # Errors
    /// When a name is registered twice.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let connections = IntGauge::new("weft_connections", "Connections open now.")?;
        let sockets = IntGauge::new("weft_websockets", "WebSockets open now.")?;
        let accepted = IntCounter::new("weft_connections_total", "Connections accepted.")?;
        let refused = IntCounterVec::new(
            Opts::new("weft_connections_refused_total", "Connections refused, by limit."),
            &["limit"],
        )?;
        let responses = IntCounterVec::new(
            Opts::new("weft_responses_total", "HTTP responses, by class of status."),
            &["status"],
        )?;
        registry.register(Box::new(connections.clone()))?;
        registry.register(Box::new(sockets.clone()))?;
        registry.register(Box::new(accepted.clone()))?;
        registry.register(Box::new(refused.clone()))?;
        registry.register(Box::new(responses.clone()))?;
        let class = |label: &str| responses.with_label_values(&[label]);
        Ok(Self {
            connections,
            sockets,
            accepted,
            refused_total: refused.with_label_values(&["total"]),
            refused_address: refused.with_label_values(&["address"]),
            streams: StreamStats::register(registry)?,
            responses: [class("1xx"), class("2xx"), class("3xx"), class("4xx"), class("5xx")],
        })
    }

    /// Counts a response.
    pub fn responded(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).saturating_sub(1);
        if let Some(counter) = self.responses.get(class) {
            counter.inc();
        }
    }
}
