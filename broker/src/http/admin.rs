//! The admin address: `/metrics`, `/healthz`, `/readyz`.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use prometheus::{Encoder, IntGauge, Registry, TextEncoder};

use super::body::BodyBudget;
use super::headers;
use super::origins::{Origins, Verdict};
use crate::core::broker::Broker;

/// What the admin address shows.
#[derive(Debug)]
pub struct Admin {
    broker: Arc<Broker>,
    bodies: Arc<BodyBudget>,
    origins: Origins,
    registry: Registry,
    gauges: Gauges,
}

/// Gauges are set from a recount at each scrape, so that they cannot drift.
#[derive(Debug)]
struct Gauges {
    sessions: IntGauge,
    held: IntGauge,
    queued: IntGauge,
    queued_bytes: IntGauge,
    frame_bytes: IntGauge,
    body_bytes: IntGauge,
    subscriptions: IntGauge,
}

impl Admin {
    /// Registers the gauges.
    ///
    /// # Errors
    /// When a name is registered twice.
    pub fn new(
        broker: Arc<Broker>,
        bodies: Arc<BodyBudget>,
        origins: Origins,
        registry: Registry,
    ) -> Result<Self, prometheus::Error> {
        let gauge = |name: &str, help: &str| -> Result<IntGauge, prometheus::Error> {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let gauges = Gauges {
            sessions: gauge("weft_sessions", "Sessions that live.")?,
            held: gauge("weft_held_connects", "Connects held right now.")?,
            queued: gauge("weft_queue_messages", "Messages queued for sessions.")?,
            queued_bytes: gauge("weft_queue_bytes", "Their bytes, counted once per session.")?,
            frame_bytes: gauge("weft_frame_bytes", "Bytes of messages in memory, counted once.")?,
            body_bytes: gauge("weft_body_bytes", "Bytes set aside for large bodies under way.")?,
            subscriptions: gauge("weft_subscriptions", "Subscriptions that stand.")?,
        };
        Ok(Self { broker, bodies, origins, registry, gauges })
    }

    /// Answers a request.
    #[must_use]
    pub fn handle(&self, method: &Method, path: &str, request: &HeaderMap) -> Response<Bytes> {
        if !self.origins.host_is_ours(request) || self.origins.judge(request) == Verdict::Foreign {
            return headers::text(StatusCode::FORBIDDEN, "this Host or Origin is not allowed");
        }
        if !matches!(path, "/metrics" | "/healthz" | "/readyz") {
            return headers::text(StatusCode::NOT_FOUND, "try /metrics, /healthz or /readyz");
        }
        if !matches!(*method, Method::GET | Method::HEAD) {
            return headers::method_not_allowed("GET, HEAD");
        }
        match path {
            "/metrics" => self.metrics(),
            "/readyz" if self.broker.is_draining() => {
                headers::text(StatusCode::SERVICE_UNAVAILABLE, "draining")
            }
            _ => headers::text(StatusCode::OK, "ok"),
        }
    }

    fn metrics(&self) -> Response<Bytes> {
        let census = self.broker.census();
        for (gauge, value) in [
            (&self.gauges.sessions, census.sessions),
            (&self.gauges.held, census.held),
            (&self.gauges.queued, census.queued),
            (&self.gauges.queued_bytes, census.queued_bytes),
            (&self.gauges.frame_bytes, self.broker.frame_bytes()),
            (&self.gauges.body_bytes, self.bodies.in_use()),
            (&self.gauges.subscriptions, census.subscriptions),
        ] {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        }
        let mut text = Vec::new();
        match TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            Ok(()) => {
                let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
                headers::response(StatusCode::OK, kind, text)
            }
            Err(error) => {
                tracing::error!(%error, "cannot encode metrics");
                headers::text(StatusCode::INTERNAL_SERVER_ERROR, "cannot encode metrics")
            }
        }
    }
}
