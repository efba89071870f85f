//! What publishing and history over plain HTTP share: who may ask, which channel a path names, and
//! how an answer or a refusal is spelled (decisions section 2).

use std::fmt::Write;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use percent_encoding::percent_decode_str;
use weft_protocol::{ChannelName, DecodeLimits, Error, publish_channel, publish_status};

use super::bayeux::{Endpoint, Head};
use super::body::BodyFailure;
use super::credentials;
use super::headers;
use crate::core::broker::Broker;
use crate::core::publishing::Published;
use crate::guard::{Asker, Guard, Newcomer};

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
    /// In how many seconds to come again, if that is known.
    pub retry_after: Option<u64>,
}

impl Refusal {
    /// A refusal of the whole request. Where the text is an error of Bayeux, it begins with a code,
    /// and that is the status here.
    #[must_use]
    pub fn new(status: u16, text: impl Into<String>) -> Self {
        let mut text = text.into();
        let coded = text.split_once(':').is_some_and(|(code, _)| {
            code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_digit())
        });
        if coded {
            text.replace_range(..3, &status.to_string());
        }
        Self { status, text, index: None, retry_after: None }
    }

    /// A refusal for the sake of one message of an array: nothing of that is published.
    #[must_use]
    pub fn of_one(index: usize, text: impl Into<String>) -> Self {
        Self { index: Some(index), ..Self::new(422, text) }
    }

    /// The response, where a path has these methods.
    #[must_use]
    pub fn response(&self, methods: &'static str) -> Response<Bytes> {
        let mut body = format!(r#"{{"error":{}"#, quoted(&self.text));
        if let Some(index) = self.index {
            let _ = write!(body, r#","index":{index}"#);
        }
        body.push('}');
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::BAD_REQUEST);
        let mut response = headers::response(status, headers::JSON, body);
        let more = match self.status {
            401 => Some((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
            405 => Some((ALLOW, HeaderValue::from_static(methods))),
            408 => Some((CONNECTION, HeaderValue::from_static("close"))),
            429 | 503 => Some((RETRY_AFTER, self.retry_after.unwrap_or(1).into())),
            _ => None,
        };
        if let Some((name, value)) = more {
            response.headers_mut().insert(name, value);
        }
        response
    }

    /// The outcome of a line.
    #[must_use]
    pub fn line(&self, channel: Option<&str>) -> String {
        let channel = channel.map(|name| format!(r#""channel":"{name}","#)).unwrap_or_default();
        let Self { status, text, .. } = self;
        format!(r#"{{{channel}"error":{},"status":{status}}}"#, quoted(text))
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::new(publish_status(&error), error.to_string())
    }
}

impl From<BodyFailure> for Refusal {
    fn from(failure: BodyFailure) -> Self {
        let status = match failure {
            BodyFailure::TooLarge => 413,
            BodyFailure::TooSlow => 408,
            BodyFailure::Broken => 400,
        };
        Self::new(status, failure.text())
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
                let text = format!("use one of: {methods}");
                let mut response = Refusal::new(405, text).response(methods);
                self.allow(headers, &mut response);
                response
            })
        })
    }

    /// Lets a page of an allowed origin read the answer.
    pub fn allow(&self, request: &HeaderMap, response: &mut Response<Bytes>) {
        self.endpoint.allow(request, response);
    }

    /// Who asks, where that is asked.
    ///
    /// # Errors
    /// 401 without good credentials.
    pub async fn admit(&self, head: &Head, what: &str) -> Result<Asker, Refusal> {
        let shown = credentials::shown(self.guard(), &head.headers).await;
        let from = Newcomer { address: head.address, what, ext: None };
        Ok(self.guard().let_in(&shown, from).await?)
    }

    /// Who may do what.
    #[must_use]
    pub fn guard(&self) -> &Guard {
        self.endpoint.exchange.guard()
    }

    /// A name that may be published to and read.
    ///
    /// # Errors
    /// 405 if it is no name, 403 below `/meta` and `/service`.
    pub fn name<'a>(&self, name: &'a str) -> Result<ChannelName<'a>, Error> {
        publish_channel(name, &self.limits)
    }
}

/// What a path says: decoded once, segment by segment.
///
/// # Errors
/// 405 if it is no channel.
pub fn channel_of(path: &str) -> Result<String, Error> {
    let mut name = String::with_capacity(path.len());
    for segment in path.split('/').skip(1) {
        let decoded = percent_decode_str(segment).decode_utf8().unwrap_or_default();
        if decoded.contains('/') || decoded.is_empty() {
            return Err(Error::ChannelInvalid);
        }
        name.push('/');
        name.push_str(&decoded);
    }
    Ok(name)
}

fn quoted(text: &str) -> String {
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
pub fn answer(body: impl Into<Bytes>) -> Response<Bytes> {
    headers::response(StatusCode::OK, headers::JSON, body)
}
