//! What publishing and history over plain HTTP share: who may ask, which channel a path names, and
//! how an answer or a refusal is spelled (decisions section 2).

use std::fmt::Write;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use percent_encoding::percent_decode_str;
use prometheus::{IntCounterVec, Opts, Registry};
use weft_protocol::{ChannelName, DecodeLimits, Error, publish_channel, publish_status};

use super::bayeux::Endpoint;
use super::headers;
use super::origins::Verdict;
use crate::core::broker::Broker;
use crate::core::publishing::Published;

/// The API beside Bayeux.
#[derive(Debug)]
pub struct Api {
    /// Where messages go and come from.
    pub broker: Arc<Broker>,
    /// Whose rules of origin and whose bounds of bodies hold here, too.
    pub endpoint: Arc<Endpoint>,
    /// Bounds of a message.
    pub limits: DecodeLimits,
    /// Whether publishing is served.
    pub publish: bool,
    /// Whether history is served.
    pub history: bool,
    /// What is counted.
    pub stats: ApiStats,
}

/// Refused publications, by cause.
#[derive(Debug, Clone)]
pub struct ApiStats(IntCounterVec);

impl ApiStats {
    /// Makes the counter and registers it.
    ///
    /// # Errors
    /// When the name is taken.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let help = "Publications refused over HTTP, by cause.";
        let refused =
            IntCounterVec::new(Opts::new("weft_publish_refused_total", help), &["cause"])?;
        registry.register(Box::new(refused.clone()))?;
        // Causes are there before they are met.
        for status in [400, 403, 405, 413, 422, 429, 503] {
            refused.with_label_values(&[cause(status)]).inc_by(0);
        }
        Ok(Self(refused))
    }

    fn refused(&self, status: u16) {
        self.0.with_label_values(&[cause(status)]).inc();
    }
}

fn cause(status: u16) -> &'static str {
    match status {
        403 => "denied",
        405 => "channel",
        413 => "too_large",
        422 => "invalid",
        429 => "rate",
        503 => "unavailable",
        _ => "unreadable",
    }
}

/// Why a request is refused, and how that is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// A short text.
    pub text: String,
    /// The place in an array of the message that is to blame.
    pub index: Option<usize>,
}

impl Refusal {
    /// A refusal of the whole request.
    #[must_use]
    pub fn new(status: u16, text: impl Into<String>) -> Self {
        Self { status, text: text.into(), index: None }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::new(publish_status(&error), error.to_string())
    }
}

impl Api {
    /// What is answered without a look at what is asked: strangers, preflights, wrong methods.
    #[must_use]
    pub fn refuse(
        &self,
        method: &Method,
        headers: &HeaderMap,
        methods: &'static str,
    ) -> Option<Response<Bytes>> {
        self.endpoint.refuse_stranger(method, headers, methods).or_else(|| {
            let known = methods.split(", ").any(|known| known == method.as_str());
            (!known).then(|| {
                let mut response = refusal(&Refusal::new(405, format!("use one of: {methods}")));
                response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
                response
            })
        })
    }

    /// Lets a page of an allowed origin read the answer.
    pub fn allow(&self, request: &HeaderMap, response: &mut Response<Bytes>) {
        if let Verdict::Allowed(origin) = self.endpoint.origins.judge(request) {
            headers::allow_origin(response, origin);
        }
    }

    /// Counts a refused publication and spells the refusal.
    #[must_use]
    pub fn refuse_publication(&self, refused: &Refusal) -> Response<Bytes> {
        self.stats.refused(refused.status);
        refusal(refused)
    }

    /// Counts a refused line of a stream.
    pub fn count_refused(&self, status: u16) {
        self.stats.refused(status);
    }

    /// The channel that a path names: decoded once, segment by segment.
    ///
    /// # Errors
    /// 405 if it is none, 403 if it is not published to.
    pub fn channel_of(&self, path: &str) -> Result<String, Refusal> {
        let mut name = String::with_capacity(path.len());
        for segment in path.split('/').skip(1) {
            let decoded = percent_decode_str(segment).decode_utf8().unwrap_or_default();
            if decoded.contains('/') || decoded.is_empty() {
                return Err(Error::ChannelInvalid.into());
            }
            name.push('/');
            name.push_str(&decoded);
        }
        publish_channel(&name, &self.limits)?;
        Ok(name)
    }

    /// A name that was checked, as the core takes it.
    ///
    /// # Errors
    /// 405, if it was not checked.
    pub fn name<'a>(&self, name: &'a str) -> Result<ChannelName<'a>, Error> {
        publish_channel(name, &self.limits)
    }
}

/// A JSON string.
#[must_use]
pub fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// What became of a publication, as JSON.
#[must_use]
pub fn published(channel: &str, published: &Published) -> String {
    let Published { position, durable, subscribers, repeat } = published;
    let repeat = if *repeat { r#","repeat":true"# } else { "" };
    // A channel's name needs no escaping, by its grammar.
    format!(
        r#"{{"channel":"{channel}","position":{position},"durable":{durable},"subscribers":{subscribers}{repeat}}}"#
    )
}

/// An answer.
#[must_use]
pub fn answer(body: String) -> Response<Bytes> {
    headers::response(StatusCode::OK, headers::JSON, body)
}

/// A refusal, as JSON.
#[must_use]
pub fn refusal(refused: &Refusal) -> Response<Bytes> {
    let mut body = format!(r#"{{"error":{}"#, quoted(&refused.text));
    if let Some(index) = refused.index {
        let _ = write!(body, r#","index":{index}"#);
    }
    body.push('}');
    let status = StatusCode::from_u16(refused.status).unwrap_or(StatusCode::BAD_REQUEST);
    let mut response = headers::response(status, headers::JSON, body);
    if refused.status == 503 || refused.status == 429 {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}
