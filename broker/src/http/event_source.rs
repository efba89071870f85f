//! `GET <mount>/<clientId>` with `Accept: text/event-stream`: Faye's eventsource transport.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, HeaderName};
use http::{HeaderMap, Method, Response, StatusCode};
use weft_protocol::Error;

use super::bayeux::{Endpoint, Head};
use super::credentials;
use super::headers;
use super::stats::Counted;
use super::streams::{EVENTS, Pieces, Source, Streams, later, unbuffered};
use crate::guard::Who;
use crate::transport::event_source::{Asked, EventStream, gone};
use crate::transport::streaming::Piece;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

impl Source for EventStream {
    fn next(&mut self) -> impl Future<Output = Option<Piece>> + Send {
        Self::next(self)
    }
}

/// Whether a request asks for a session's stream.
#[must_use]
pub fn is_wanted(method: &Method, headers: &HeaderMap) -> bool {
    let kinds = || headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    method == Method::GET
        && kinds().flat_map(|value| value.split(',')).any(|kind| {
            let kind = kind.split(';').next().unwrap_or_default().trim();
            kind.eq_ignore_ascii_case("text/event-stream")
        })
}

/// Answers such a request: with a head, and a body that goes on if there is one.
#[must_use]
pub async fn answer(
    endpoint: &Endpoint,
    streams: &Streams,
    head: &Head,
    path: &str,
) -> (Response<Bytes>, Option<Pieces<EventStream>>) {
    if let Some(refusal) = endpoint.refuse_stranger(&head.method, &head.headers, "GET, POST") {
        return (refusal, None);
    }
    let broker = endpoint.exchange.broker();
    let shown = credentials::shown(endpoint.exchange.guard(), &head.headers).await;
    let who = match &shown {
        Who::Refused(why) => {
            let error = Error::Unauthorized(why);
            return (headers::text(StatusCode::UNAUTHORIZED, &error.to_string()), None);
        }
        Who::Known(who) => Some(&**who),
        // Whom the session speaks for was judged when it began.
        Who::Unsaid | Who::Claimed(_) => None,
    };
    let last = head.headers.get(LAST_EVENT_ID).filter(|id| !id.is_empty());
    let asked = Asked {
        client_id: path.rsplit('/').next().unwrap_or_default(),
        who,
        browser: endpoint.cookies.browser(&head.headers),
        // What is no number proves nothing: all goes again.
        last: last.and_then(|id| id.to_str().ok()?.parse().ok()),
    };
    let place = match broker.limits().hold(broker.payer(endpoint.payer(head), who)) {
        Ok(place) => place,
        Err(limited) => {
            let after = Duration::from_secs(limited.retry_after());
            let mut response = unbuffered(EVENTS, later("as many are held as may be", after));
            endpoint.allow(&head.headers, &mut response);
            return (response, None);
        }
    };
    let (mut response, pieces) = match EventStream::open(broker, asked, streams.options) {
        Ok(stream) => {
            let open = (Counted::new(&streams.stats.event_source), place);
            (unbuffered(EVENTS, Bytes::new()), Some(Pieces::new(&head.peer, open, stream)))
        }
        Err(error @ Error::Unauthorized(_)) => {
            (headers::text(StatusCode::UNAUTHORIZED, &error.to_string()), None)
        }
        // It had a stream, so its session is gone: EventSource would take any other status for good.
        Err(_) if last.is_some() => (unbuffered(EVENTS, gone(broker)), None),
        Err(error) => (headers::text(StatusCode::NOT_FOUND, &error.to_string()), None),
    };
    endpoint.allow(&head.headers, &mut response);
    (response, pieces)
}
