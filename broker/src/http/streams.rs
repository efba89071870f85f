//! `GET /events/<channel>` and `GET /stream/<channel>`: messages as they are published, as
//! server-sent events or as lines of JSON, no Bayeux needed (decisions section 2).
//!
//! The response is asked for its next piece only when there is room to write it, so who reads slowly
//! has at most one piece waiting here; all else waits in the session's queue, within its bounds.

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCESS_CONTROL_EXPOSE_HEADERS, HeaderName};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use parking_lot::Mutex;
use tokio_stream::Stream;
use weft_protocol::{ChannelLimits, Cursor, Error, InvalidCursor, Pattern};

use super::api::{Api, Refusal, channel_of};
use super::bayeux::Head;
use super::booked;
use super::connection::Peer;
use super::event_source;
use super::headers;
use super::history::time_us;
use super::stats::{Counted, StreamStats};
use crate::core::id::SessionIds;
use crate::core::reader::{Beginning, Reader};
use crate::limits::What;
use crate::limits::tally::Place;
use crate::transport::spelling::Spelling;
use crate::transport::streaming::{Piece, StreamOptions, Streaming};

const METHODS: &str = "GET, OPTIONS";
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// `text/event-stream`.
pub const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");
const LINES: HeaderValue = HeaderValue::from_static("application/x-ndjson");
/// No more is sent first, whatever is asked for.
const PADDING_MAX: usize = 64 << 10;
/// When to come again where there was no room.
const LATER: Duration = Duration::from_secs(10);

/// What streams are made by.
#[derive(Debug)]
pub struct Streams {
    /// Who may ask, and where messages come from.
    pub api: Arc<Api>,
    /// Their sessions' ids, which nobody hears.
    pub ids: Arc<dyn SessionIds>,
    /// Whether they are served.
    pub enabled: bool,
    /// How they live.
    pub options: StreamOptions,
    /// How many there are.
    pub stats: StreamStats,
}

/// The answer to a request.
#[derive(Debug)]
pub enum Answered {
    /// All of it.
    Whole(Response<Bytes>),
    /// A head, and a body that goes on.
    Stream(Response<Bytes>, Pieces<Streaming>),
}

/// Answers a request below `/events` or `/stream`; `path` is what stands behind that. May wait for
/// the disk.
pub async fn handle(streams: &Streams, spelling: Spelling, head: &Head, path: &str) -> Answered {
    let api = &streams.api;
    if let Some(response) = api.refuse(&head.method, &head.headers, METHODS) {
        return Answered::Whole(response);
    }
    match open(streams, spelling, head, path).await {
        Ok((streaming, place)) => {
            let kind = if spelling == Spelling::Events { EVENTS } else { LINES };
            let mut response = unbuffered(kind, Bytes::new());
            api.allow(&head.headers, &mut response);
            let headers = response.headers_mut();
            if let Ok(cursor) = HeaderValue::from_str(streaming.place()) {
                headers.insert(LAST_EVENT_ID, cursor);
                headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, LAST_EVENT_ID.into());
            }
            let StreamStats { events, lines, .. } = &streams.stats;
            let open = if spelling == Spelling::Events { events } else { lines };
            let open = (Counted::new(open), place);
            Answered::Stream(response, Pieces::new(&head.peer, open, streaming))
        }
        Err(refusal) => {
            let mut response = match (spelling, refusal.status) {
                // To EventSource any other answer would be the last.
                (Spelling::Events, 503) => unbuffered(EVENTS, later(&refusal.text, LATER)),
                (Spelling::Events, 429) if event_source::is_wanted(&head.method, &head.headers) => {
                    let after = Duration::from_secs(refusal.retry_after.unwrap_or(1));
                    unbuffered(EVENTS, later(&refusal.text, after))
                }
                _ => refusal.response(METHODS),
            };
            api.allow(&head.headers, &mut response);
            Answered::Whole(response)
        }
    }
}

/// A response that nobody on the way is to keep back until it is complete (R11).
#[must_use]
pub fn unbuffered(kind: HeaderValue, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = headers::response(StatusCode::OK, kind, body);
    let no = HeaderValue::from_static("no");
    response.headers_mut().insert(HeaderName::from_static("x-accel-buffering"), no);
    response
}

/// A stream that ends at once, and is to be asked for again when there may be room.
#[must_use]
pub fn later(why: &str, after: Duration) -> String {
    let mut text = format!(": {why}\n");
    Spelling::Events.retry(after, &mut text);
    text
}

async fn open(
    streams: &Streams,
    spelling: Spelling,
    head: &Head,
    path: &str,
) -> Result<(Streaming, Option<Place>), Refusal> {
    if !streams.enabled {
        return Err(Refusal::new(404, "streams are not served here"));
    }
    let api = &streams.api;
    let limits = &api.limits.channel;
    let Asked { patterns, from, padding } = asked(limits, path, &head.query, &head.headers)?;
    let asker = api.admit(head, "stream").await?;
    let payer = api.payer(head, &asker);
    api.take(What::Messages, payer, 1)?;
    api.take(What::Subscriptions, payer, patterns.len())?;
    let place = api.broker.limits().hold(payer)?;
    api.guard().may_subscribe(&asker, &patterns, None)?;
    let from = if from == Beginning::Now {
        from
    } else {
        let patterns: Vec<&str> = patterns.iter().map(AsRef::as_ref).collect();
        match api.guard().may_look_back(&asker, &patterns) {
            Ok(()) => from,
            // It was here before: it is told that it may have missed something, and goes on.
            Err(_) if head.headers.contains_key(LAST_EVENT_ID) => Beginning::Position(0),
            Err(error) => return Err(error.into()),
        }
    };
    let names: Vec<&str> = patterns.iter().map(AsRef::as_ref).collect();
    api.guard().hook_may_read(&asker, None, (&names, from != Beginning::Now)).await?;
    let id = streams.ids.next().ok_or(Error::Overloaded)?;
    let looks_back = !matches!(from, Beginning::Now | Beginning::Position(0));
    let reader = Reader::open(&api.broker, id, (&patterns, from), asker.who.clone())
        .map_err(|error| Refusal::new(error.code(), error.to_string()))?;
    // What may have changed meanwhile was looked for among sessions before this was one.
    api.guard().may_subscribe(&asker, &patterns, None)?;
    if looks_back {
        api.guard().may_look_back(&asker, &names)?;
    }
    let options =
        StreamOptions { padding: padding.unwrap_or(streams.options.padding), ..streams.options };
    Ok((Streaming::new(reader, spelling, options), place))
}

/// What is asked for.
#[derive(Debug)]
pub struct Asked {
    /// The channels and patterns: at least one, none below `/meta` or `/service`.
    pub patterns: Vec<Cow<'static, str>>,
    /// Where to begin.
    pub from: Beginning,
    /// How much is to be sent first that means nothing.
    pub padding: Option<usize>,
}

/// Reads what a request asks for; `path` is what stands behind `/events` or `/stream`.
///
/// # Errors
/// 400, 403 or 405, for what is wrong with it.
pub fn asked(
    limits: &ChannelLimits,
    path: &str,
    query: &str,
    headers: &HeaderMap,
) -> Result<Asked, Refusal> {
    let mut asked = Asked { patterns: Vec::new(), from: Beginning::Now, padding: None };
    if !matches!(path, "" | "/") {
        asked.patterns.push(channel_of(path)?.into());
    }
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "channel" => asked.patterns.push(value.into_owned().into()),
            "since" => asked.from = beginning(&value)?,
            "padding" => asked.padding = Some(padding(&value)?),
            _ => {}
        }
    }
    if let Some(id) = headers.get(LAST_EVENT_ID).filter(|id| !id.is_empty()) {
        let text = id.to_str().map_err(|_| Refusal::new(400, "Last-Event-ID is no cursor"))?;
        asked.from = beginning(text)
            .map_err(|Refusal { text, .. }| Refusal::new(400, format!("Last-Event-ID: {text}")))?;
    }
    if asked.patterns.is_empty() {
        let text = "name a channel, in the path or by channel=";
        return Err(Refusal::new(400, text));
    }
    for text in &asked.patterns {
        let pattern = Pattern::parse(text, limits);
        let pattern = pattern.map_err(|_| Refusal::from(Error::ChannelInvalid))?;
        if pattern.is_meta() || pattern.is_service() {
            let denied = Error::SubscribeDenied(vec![text.to_string()]);
            return Err(Refusal::new(403, denied.to_string()));
        }
    }
    Ok(asked)
}

/// A position, -1 for what is new, -2 for all, a time, or a cursor.
fn beginning(text: &str) -> Result<Beginning, Refusal> {
    const HELP: &str = "since is a position, -1 for what is new, -2 for all, a time (RFC 3339), or \
                        the id of an event";
    match text.trim().parse::<i64>() {
        Ok(-1) => return Ok(Beginning::Now),
        Ok(-2) => return Ok(Beginning::All),
        Ok(position @ 0..) => return Ok(Beginning::Position(position)),
        Ok(_) => return Err(Refusal::new(400, HELP)),
        Err(_) => {}
    }
    match Cursor::parse(text) {
        Ok(cursor) => Ok(Beginning::Cursor(cursor)),
        Err(InvalidCursor::Foreign) => {
            time_us(text).map(Beginning::Time).ok_or_else(|| Refusal::new(400, HELP))
        }
        Err(error) => Err(Refusal::new(400, error.to_string())),
    }
}

fn padding(text: &str) -> Result<usize, Refusal> {
    let bytes = text.parse::<usize>().map_err(|_| Refusal::new(400, "padding is in bytes"))?;
    Ok(bytes.min(PADDING_MAX))
}

/// What gives the pieces of a body.
pub trait Source: Send + Unpin + 'static {
    /// The next one; `None` ends the body.
    fn next(&mut self) -> impl Future<Output = Option<Piece>> + Send;
}

impl Source for Streaming {
    fn next(&mut self) -> impl Future<Output = Option<Piece>> + Send {
        Self::next(self)
    }
}

/// A body that goes on. All that it needs is given back when it ends, or is dropped with its
/// connection.
///
/// The lock is never taken: it makes a future of one thread at a time out of one that is sent about.
pub struct Pieces<S>(Mutex<Option<Next<S>>>);

type Next<S> = Pin<Box<dyn Future<Output = Option<(Flow<S>, Bytes)>> + Send>>;

struct Flow<S> {
    source: S,
    _open: (Counted, Option<Place>),
    _busy: Busy,
}

impl<S> fmt::Debug for Pieces<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pieces")
    }
}

impl<S: Source> Pieces<S> {
    /// What comes from a source, for this peer; `open` is given back at its end.
    #[must_use]
    pub fn new(peer: &Arc<Peer>, open: (Counted, Option<Place>), source: S) -> Self {
        let flow = Flow { source, _open: open, _busy: Busy::new(peer) };
        Self(Mutex::new(Some(Box::pin(flow.next()))))
    }
}

impl<S: Source> Flow<S> {
    async fn next(mut self) -> Option<(Self, Bytes)> {
        let Piece { text, booked } = self.source.next().await?;
        Some((self, booked::bytes(text.into_bytes(), booked)))
    }
}

impl<S: Source> Stream for Pieces<S> {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let state = self.0.get_mut();
        let Some(next) = state else { return Poll::Ready(None) };
        let piece = ready!(next.as_mut().poll(cx));
        let (next, bytes) = piece.map_or((None, None), |(flow, bytes)| {
            let next: Next<S> = Box::pin(flow.next());
            (Some(next), Some(Ok(bytes)))
        });
        *state = next;
        Poll::Ready(bytes)
    }
}

/// As long as this lives, what comes from the peer is no head that is late.
struct Busy(Arc<Peer>);

impl Busy {
    fn new(peer: &Arc<Peer>) -> Self {
        peer.streams(true);
        Self(Arc::clone(peer))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.streams(false);
    }
}
