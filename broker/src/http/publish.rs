//! `POST /publish/<channel>` and `POST /publish`: messages from servers, no Bayeux needed.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Response, StatusCode};
use tokio::sync::mpsc;
use tokio_stream::Stream;
use weft_protocol::{KEY_BYTES_MAX, publish_array, publish_data};

use super::api::{Api, Refusal, answer, published};
use super::bayeux::Head;
use super::body;
use super::headers;
use super::ndjson::Lines;
use crate::core::held::Wakes;
use crate::core::publishing::{Publication, Publishing};

const METHODS: &str = "POST, OPTIONS";

/// The answer to a request.
#[derive(Debug)]
pub enum Answered {
    /// All of it.
    Whole(Response<Bytes>),
    /// A head, and a body that comes line by line.
    Stream(Response<Bytes>, mpsc::Receiver<Bytes>),
}

/// Answers a request below `/publish`; `path` is what stands behind that.
pub async fn handle<S, B, E>(api: Arc<Api>, head: Head, path: String, body: S) -> Answered
where
    S: Stream<Item = Result<B, E>> + Send + Unpin + 'static,
    B: Buf + Send + 'static,
    E: Send + 'static,
{
    if let Some(refused) = api.refuse(&head.method, &head.headers, METHODS) {
        head.peer.leaves_unread();
        return Answered::Whole(refused);
    }
    if path.is_empty() && is_ndjson(&head.headers) {
        return stream(&api, &head, body);
    }
    let outcome = if api.publish { whole(&api, &head, &path, body).await } else { Err(off()) };
    let mut response = match outcome {
        Ok(text) => answer(text),
        Err(refused) => {
            if matches!(refused.status, 404 | 413) {
                head.peer.leaves_unread();
            }
            api.refuse_publication(&refused)
        }
    };
    api.allow(&head.headers, &mut response);
    Answered::Whole(response)
}

fn off() -> Refusal {
    Refusal::new(404, "publishing is not served here")
}

fn is_ndjson(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    ["application/x-ndjson", "application/ndjson", "application/jsonl"]
        .iter()
        .any(|known| kind.eq_ignore_ascii_case(known))
}

fn stream<S, B, E>(api: &Arc<Api>, head: &Head, body: S) -> Answered
where
    S: Stream<Item = Result<B, E>> + Send + Unpin + 'static,
    B: Buf + Send + 'static,
    E: Send + 'static,
{
    let durable = match (api.publish, wants_durable(&head.query), key(&head.headers)) {
        (false, _, _) => Err(off()),
        (_, Err(refused), _) | (_, _, Err(refused)) => Err(refused),
        (_, _, Ok(Some(_))) => Err(key_of_many()),
        (_, Ok(durable), _) => Ok(durable),
    };
    match durable {
        Ok(durable) => {
            let kind = http::HeaderValue::from_static("application/x-ndjson");
            let mut response = headers::response(StatusCode::OK, kind, Bytes::new());
            api.allow(&head.headers, &mut response);
            Answered::Stream(
                response,
                Lines::start(Arc::clone(api), Arc::clone(&head.peer), durable, body),
            )
        }
        Err(refused) => {
            head.peer.leaves_unread();
            let mut response = api.refuse_publication(&refused);
            api.allow(&head.headers, &mut response);
            Answered::Whole(response)
        }
    }
}

fn key_of_many() -> Refusal {
    Refusal::new(400, "an Idempotency-Key stands for one message; give each its id")
}

async fn whole<S, B, E>(api: &Api, head: &Head, path: &str, body: S) -> Result<String, Refusal>
where
    S: Stream<Item = Result<B, E>>,
    B: Buf,
{
    let channel = if path.is_empty() { None } else { Some(api.channel_of(path)?) };
    let durable = wants_durable(&head.query)?;
    let key = key(&head.headers)?;
    let body = body::read(&head.headers, body, &api.endpoint.body)
        .await
        .map_err(|failure| Refusal::new(failure.status().as_u16(), failure.text()))?;
    match channel {
        Some(channel) => one(api, &channel, key, durable, &body).await,
        None if key.is_some() => Err(key_of_many()),
        None => many(api, durable, &body).await,
    }
}

async fn one(
    api: &Api,
    channel: &str,
    key: Option<&str>,
    durable: bool,
    body: &[u8],
) -> Result<String, Refusal> {
    let data = publish_data(body, &api.limits)
        .map_err(|error| Refusal::new(error.status(), error.to_string()))?;
    let publication = Publication { key, durable, ..Publication::new(api.name(channel)?, &data) };
    let publishing = api.broker.publish(&publication, &mut Wakes::default())?;
    Ok(published(channel, &publishing.outcome().await?))
}

/// All or nothing: one bad message refuses all of them, and says which.
async fn many(api: &Api, durable: bool, body: &[u8]) -> Result<String, Refusal> {
    let messages = publish_array(body, &api.limits)
        .map_err(|error| Refusal::new(error.status(), error.to_string()))?;
    let bad = |index, text: String| Refusal { status: 422, text, index: Some(index) };
    let mut publications = Vec::with_capacity(messages.len());
    for (index, message) in messages.iter().enumerate() {
        let message = message.as_ref().map_err(|error| bad(index, error.to_string()))?;
        let channel = api.name(&message.channel).map_err(|error| bad(index, error.to_string()))?;
        publications.push(Publication {
            ext: message.ext.as_deref(),
            key: message.key.as_deref(),
            durable,
            ..Publication::new(channel, &message.data)
        });
    }
    let all = api.broker.publish_all(&publications, &mut Wakes::default());
    let all = all.map_err(|(index, error)| Refusal { index: Some(index), ..error.into() })?;
    let mut out = String::from("[");
    for (index, (publication, publishing)) in publications.iter().zip(all).enumerate() {
        let outcome = Publishing::outcome(publishing).await;
        let outcome = outcome.map_err(|error| Refusal { index: Some(index), ..error.into() })?;
        out.push_str(if index == 0 { "" } else { "," });
        out.push_str(&published(publication.channel.as_str(), &outcome));
    }
    out.push(']');
    Ok(out)
}

fn wants_durable(query: &str) -> Result<bool, Refusal> {
    let mut durable = false;
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        durable = match (&*name, &*value) {
            ("durable", "1" | "true") => true,
            ("durable", "0" | "false") => false,
            ("durable", _) => return Err(Refusal::new(400, "durable is 1 or 0")),
            _ => durable,
        };
    }
    Ok(durable)
}

fn key(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let mut keys = headers.get_all("idempotency-key").iter();
    let Some(key) = keys.next() else { return Ok(None) };
    let key = key.to_str().ok().filter(|key| (1..=KEY_BYTES_MAX).contains(&key.len()));
    match (key, keys.next()) {
        (Some(key), None) => Ok(Some(key)),
        _ => Err(weft_protocol::Error::KeyInvalid.into()),
    }
}
