//! `POST /publish/<channel>` and `POST /publish`: messages from servers, no Bayeux needed.

use std::pin::Pin;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use http::header::{CONTENT_TYPE, EXPECT};
use http::{HeaderMap, Response, StatusCode};
use tokio::sync::mpsc;
use tokio_stream::{Stream, StreamExt};
use weft_protocol::{Error, KEY_BYTES_MAX, publish_array, publish_data};

use super::accept::takes_gzip;
use super::api::{Api, Refusal, answer, channel_of, published};
use super::bayeux::Head;
use super::body::{self, BodyFailure};
use super::headers;
use super::limited::Pace;
use super::ndjson::Lines;
use crate::core::held::Wakes;
use crate::core::publishing::{Publication, Publishing};
use crate::guard::{Asker, Guard};
use crate::hook::Event;
use crate::limits::{Payer, What};

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
    if !is_of_lines(&path, &head.headers) {
        return Answered::Whole(answer_whole(&api, &head, &path, body).await);
    }
    let outcome = match admit(&api, &head, &path).await {
        Ok(Ok(Asked { durable, asker, .. })) => {
            match stream(&api, &head, (durable, asker), body).await {
                Ok((response, lines)) => return Answered::Stream(response, lines),
                Err(refusal) => refusal,
            }
        }
        // Lines may never end.
        Ok(Err(refusal)) => refusal,
        Err(response) => return Answered::Whole(response),
    };
    Answered::Whole(spell(&api, &head, Err(outcome)).await)
}

/// Whether a body is published line by line as it comes, rather than as a whole.
#[must_use]
pub fn is_of_lines(path: &str, headers: &HeaderMap) -> bool {
    path.is_empty() && is_ndjson(headers)
}

/// Answers a request below `/publish` whose body is published as a whole.
pub async fn answer_whole<S, B, E>(api: &Api, head: &Head, path: &str, body: S) -> Response<Bytes>
where
    S: Stream<Item = Result<B, E>>,
    B: Buf,
{
    match admit(api, head, path).await {
        Ok(asked) => spell(api, head, whole(api, head, asked, body).await).await,
        Err(response) => response,
    }
}

/// What a request asks for, or why it may not; or the answer to somebody who is not even asked that.
async fn admit<'h>(
    api: &Api,
    head: &'h Head,
    path: &str,
) -> Result<Result<Asked<'h>, Refusal>, Response<Bytes>> {
    let refused = &api.broker.stats.refused;
    if let Some(response) = api.refuse(&head.method, &head.headers, METHODS) {
        match response.status() {
            StatusCode::FORBIDDEN => refused.origin.inc(),
            StatusCode::METHOD_NOT_ALLOWED => refused.method.inc(),
            _ => {}
        }
        return Err(response);
    }
    Ok(match api.admit(head, "publish").await {
        Ok(asker) => asked(api, head, path, asker),
        Err(refusal) => Err(refusal),
    })
}

async fn spell(api: &Api, head: &Head, outcome: Result<String, Refusal>) -> Response<Bytes> {
    let mut response = match outcome {
        Ok(text) => {
            let taken = takes_gzip(&head.headers);
            let (body, coding) = api.endpoint.gzip.code(taken, text.into_bytes()).await;
            let mut response = answer(body);
            coding.tell(&mut response);
            response
        }
        Err(refusal) => {
            api.broker.stats.refused.inc(refusal.status);
            refusal.response(METHODS)
        }
    };
    api.allow(&head.headers, &mut response);
    response
}

/// What a request's head asks for.
struct Asked<'h> {
    channel: Option<String>,
    durable: bool,
    key: Option<&'h str>,
    asker: Asker,
}

fn asked<'h>(api: &Api, head: &'h Head, path: &str, asker: Asker) -> Result<Asked<'h>, Refusal> {
    if !api.publish {
        return Err(Refusal::new(404, "publishing is not served here"));
    }
    let channel = if path.is_empty() { None } else { Some(channel_of(path)?) };
    if let Some(channel) = &channel {
        api.name(channel)?;
        api.guard().may_publish(&asker, channel)?;
    }
    let durable = wants_durable(&head.query)?;
    let key = key(&head.headers)?;
    if channel.is_none() && key.is_some() {
        let text = "an Idempotency-Key stands for one message; give each its id";
        return Err(Refusal::new(400, text));
    }
    Ok(Asked { channel, durable, key, asker })
}

fn is_ndjson(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    ["application/x-ndjson", "application/ndjson", "application/jsonl"]
        .iter()
        .any(|known| kind.eq_ignore_ascii_case(known))
}

async fn stream<S, B, E>(
    api: &Arc<Api>,
    head: &Head,
    (durable, asker): (bool, Asker),
    mut body: S,
) -> Result<(Response<Bytes>, mpsc::Receiver<Bytes>), Refusal>
where
    S: Stream<Item = Result<B, E>> + Send + Unpin + 'static,
    B: Buf + Send + 'static,
    E: Send + 'static,
{
    // The sender is told to go on when its body is asked for, and not once the answer has begun.
    let first = if head.headers.contains_key(EXPECT) {
        let first = tokio::time::timeout(api.endpoint.body.time, body.next()).await;
        first.map_err(|_| BodyFailure::TooSlow)?
    } else {
        None
    };
    let kind = http::HeaderValue::from_static("application/x-ndjson");
    let mut response = headers::response(StatusCode::OK, kind, Bytes::new());
    api.allow(&head.headers, &mut response);
    let body = tokio_stream::iter(first).chain(body);
    let pace = Pace::new(api, head, &asker);
    let peer = Arc::clone(&head.peer);
    Ok((response, Lines::start(Arc::clone(api), peer, (durable, asker, pace), body)))
}

async fn whole<S, B, E>(
    api: &Api,
    head: &Head,
    asked: Result<Asked<'_>, Refusal>,
    body: S,
) -> Result<String, Refusal>
where
    S: Stream<Item = Result<B, E>>,
    B: Buf,
{
    // Who waits to hear whether the body is wanted hears it now, and lines may never end. To others
    // the answer comes once the body is there, so that it is seen, and the connection lives on.
    let at_once = head.headers.contains_key(EXPECT) || is_ndjson(&head.headers) || !api.publish;
    let asked = match asked {
        Err(refusal) if at_once || refusal.status == 401 => return Err(refusal),
        asked => asked,
    };
    let payer = match &asked {
        Ok(asked) => api.payer(head, &asked.asker),
        Err(_) => api.endpoint.payer(head),
    };
    // Where the head says how long the body is, nobody need read it to know that it is too much.
    let told = body::told_length(&head.headers, &api.endpoint.body);
    api.take(What::Bytes, payer, told.unwrap_or(0))?;
    let body = body::read(&head.headers, body, &api.endpoint.body).await?;
    if told.is_none() {
        api.take(What::Bytes, payer, body.len())?;
    }
    let asked = asked?;
    // They were let in with the head, and the body may have taken its time.
    if asked.asker.who.as_ref().is_some_and(|who| !api.guard().holds(who)) {
        return Err(Error::Unauthorized("token_expired").into());
    }
    match asked {
        Asked { channel: Some(channel), durable, key, asker, .. } => {
            api.take(What::Messages, payer, 1)?;
            one(api, &channel, (key, durable, &asker), &body).await
        }
        Asked { durable, asker, .. } => many(api, payer, (durable, &asker), &body).await,
    }
}

async fn one(
    api: &Api,
    channel: &str,
    (key, durable, asker): (Option<&str>, bool, &Asker),
    body: &[u8],
) -> Result<String, Refusal> {
    let data = publish_data(body, &api.limits)
        .map_err(|error| Refusal::new(error.status(), error.to_string()))?;
    api.guard().hook_may_publish(asker, None, (channel, &data)).await?;
    // Its body, or the hook, may have been waited for.
    api.guard().may_publish(asker, channel)?;
    let publication = Publication {
        key,
        durable,
        by: asker.who.as_deref(),
        ..Publication::new(api.name(channel)?, &data)
    };
    let publishing = api.broker.publish(&publication, &mut Wakes::default())?;
    Ok(published(channel, &publishing.outcome().await?))
}

/// All or nothing: one bad message refuses all of them, and says which.
async fn many(
    api: &Api,
    payer: Payer,
    (durable, asker): (bool, &Asker),
    body: &[u8],
) -> Result<String, Refusal> {
    let messages = publish_array(body, &api.limits, api.guard().token_field())
        .map_err(|error| Refusal::new(error.status(), error.to_string()))?;
    api.take(What::Messages, payer, messages.len())?;
    let mut publications = Vec::with_capacity(messages.len());
    for (index, message) in messages.iter().enumerate() {
        let message = message.as_ref();
        let message = message.map_err(|error| Refusal::of_one(index, error.to_string()))?;
        let channel = api.name(&message.channel);
        let channel = channel.map_err(|error| Refusal::of_one(index, error.to_string()))?;
        let may = api.guard().may_publish(asker, channel.as_str());
        may.map_err(|error| Refusal { index: Some(index), ..error.into() })?;
        publications.push(Publication {
            by: asker.who.as_deref(),
            ext: message.ext.as_deref(),
            key: message.key.as_deref(),
            durable,
            ..Publication::new(channel, &message.data)
        });
    }
    hook_lets_all(api, asker, &publications).await?;
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

/// One that the hook refuses refuses them all.
async fn hook_lets_all(
    api: &Api,
    asker: &Asker,
    publications: &[Publication<'_>],
) -> Result<(), Refusal> {
    let guard = api.guard();
    let Some(hook) = guard.hook().filter(|hook| hook.decides(Event::Publish)) else {
        return Ok(());
    };
    let ask = |(index, it)| lets(guard, asker, index, it);
    let asked: Vec<Lets<'_>> = publications.iter().enumerate().map(ask).collect();
    let mut lets = futures_util::StreamExt::buffered(tokio_stream::iter(asked), hook.at_once());
    while let Some(lets) = lets.next().await {
        lets?;
    }
    Ok(())
}

/// A question that is being asked.
type Lets<'a> = Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send + 'a>>;

fn lets<'a>(
    guard: &'a Guard,
    asker: &'a Asker,
    index: usize,
    asked: &'a Publication<'a>,
) -> Lets<'a> {
    let (channel, data) = (asked.channel.as_str(), asked.data);
    Box::pin(async move {
        let lets = guard.hook_may_publish(asker, None, (channel, data)).await;
        let lets = lets.and_then(|()| guard.may_publish(asker, channel));
        lets.map_err(|error| Refusal { index: Some(index), ..error.into() })
    })
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
        _ => Err(Error::KeyInvalid.into()),
    }
}
