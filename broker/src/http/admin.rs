//! The admin address: `/metrics`, `/healthz`, `/readyz`.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use prometheus::{Encoder, IntGauge, Registry, TextEncoder};

use super::accept::takes_gzip;
use super::body::BodyBudget;
use super::gzip::Gzip;
use super::headers;
use super::origins::{Origins, Verdict};
use crate::core::broker::Broker;

/// What the admin address shows.
#[derive(Debug)]
pub struct Admin {
    broker: Arc<Broker>,
    bodies: Arc<BodyBudget>,
    origins: Origins,
    gzip: Arc<Gzip>,
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
    behind: IntGauge,
    frame_bytes: IntGauge,
    body_bytes: IntGauge,
    reply_bytes: IntGauge,
    subscriptions: IntGauge,
    past_channels: IntGauge,
    past_bytes: IntGauge,
    keys: IntGauge,
    store_up: IntGauge,
    store_queued: IntGauge,
    store_channels: IntGauge,
    store_records: IntGauge,
    store_bytes: IntGauge,
    store_disk_bytes: IntGauge,
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
        gzip: Arc<Gzip>,
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
            behind: gauge("weft_sessions_behind", "Sessions with a past yet to be read.")?,
            frame_bytes: gauge("weft_frame_bytes", "What messages and queues cost, in bytes.")?,
            body_bytes: gauge("weft_body_bytes", "Bytes set aside for bodies under way.")?,
            reply_bytes: gauge("weft_reply_bytes", "Bytes of large replies being written.")?,
            subscriptions: gauge("weft_subscriptions", "Subscriptions that stand.")?,
            past_channels: gauge("weft_past_channels", "Channels with messages in memory.")?,
            past_bytes: gauge("weft_past_bytes", "What the past in memory costs, in bytes.")?,
            keys: gauge("weft_publish_keys", "Idempotency keys that are remembered.")?,
            store_up: gauge("weft_store_up", "1 while the store can write, else 0.")?,
            store_queued: gauge("weft_store_queued_records", "Messages on their way to disk.")?,
            store_channels: gauge("weft_store_channels", "Channels in the store.")?,
            store_records: gauge("weft_store_records", "Messages in the store.")?,
            store_bytes: gauge("weft_store_bytes", "Their bytes.")?,
            store_disk_bytes: gauge("weft_store_disk_bytes", "Bytes of the store's files.")?,
        };
        Ok(Self { broker, bodies, origins, gzip, registry, gauges })
    }

    /// Answers a request.
    pub async fn handle(
        &self,
        method: &Method,
        path: &str,
        request: &HeaderMap,
    ) -> Response<Bytes> {
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
            "/metrics" => self.metrics(takes_gzip(request)).await,
            "/readyz" => self.ready(),
            _ => headers::text(StatusCode::OK, "ok"),
        }
    }

    /// Whether all that is promised can be kept now; if not, why.
    fn ready(&self) -> Response<Bytes> {
        let unready = |text: &str| headers::text(StatusCode::SERVICE_UNAVAILABLE, text);
        if self.broker.is_draining() {
            return unready("draining");
        }
        match self.broker.store_trouble() {
            Some(trouble) => {
                unready(&format!("the store cannot write ({trouble}); messages stay in memory"))
            }
            None => headers::text(StatusCode::OK, "ok"),
        }
    }

    /// What the store says of itself. Reading how much is on disk takes a look at the directory.
    fn note_store(&self) {
        let Some(store) = self.broker.store() else { return };
        let usage = store.backlog.usage().unwrap_or_default();
        let gauges = &self.gauges;
        for (gauge, value) in [
            (&gauges.store_channels, usage.channels),
            (&gauges.store_records, usage.records),
            (&gauges.store_bytes, usage.bytes),
            (&gauges.store_disk_bytes, usage.disk_bytes),
            (&gauges.store_queued, store.writer.queued() as u64),
            (&gauges.store_up, u64::from(store.writer.trouble().is_none())),
        ] {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        }
    }

    async fn metrics(&self, taken: bool) -> Response<Bytes> {
        self.note_store();
        let census = self.broker.census();
        let (past_channels, past_bytes) = self.broker.past_kept();
        for (gauge, value) in [
            (&self.gauges.sessions, census.sessions),
            (&self.gauges.held, census.held),
            (&self.gauges.queued, census.queued),
            (&self.gauges.queued_bytes, census.queued_bytes),
            (&self.gauges.behind, census.behind),
            (&self.gauges.frame_bytes, self.broker.frame_bytes()),
            (&self.gauges.body_bytes, self.bodies.in_use()),
            (&self.gauges.reply_bytes, self.broker.reply_bytes()),
            (&self.gauges.subscriptions, census.subscriptions),
            (&self.gauges.past_channels, past_channels),
            (&self.gauges.past_bytes, past_bytes),
            (&self.gauges.keys, self.broker.keys_known()),
        ] {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        }
        let mut text = Vec::new();
        match TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            Ok(()) => {
                let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
                let (body, coding) = self.gzip.code(taken, text).await;
                let mut response = headers::response(StatusCode::OK, kind, body);
                coding.tell(&mut response);
                response
            }
            Err(error) => {
                tracing::error!(%error, "cannot encode metrics");
                headers::text(StatusCode::INTERNAL_SERVER_ERROR, "cannot encode metrics")
            }
        }
    }
}
