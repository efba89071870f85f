//! HTTP/2 (RFC 9113): many requests at once on one connection, each bounded like one of its own.
//!
//! hyper and h2 bound what a client sends: streams, heads, windows, resets (CVE-2023-44487), frames
//! that carry nothing. What they leave to us is a client that makes no room for what it asked for:
//! responses go out in pieces, and a stream whose piece finds no room in time is reset.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, HeaderValue};
use http::{Request, Response, StatusCode};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use super::connection::{Connection, Peer};
use super::headers;
use super::listener::{HEAD_BYTES_MAX, ListenerOptions, Routes};
use super::socket::Watched;
use super::stats::HttpStats;

/// Requests of one connection at a time: more than a browser has tabs.
const STREAMS_MAX: u32 = 128;
/// What may come of bodies that nobody has read yet: of one stream, and of all of a connection.
const STREAM_WINDOW: u32 = 64 << 10;
const CONNECTION_WINDOW: u32 = 128 << 10;
/// What of a response waits with hyper at a time.
const PIECE: usize = 16 << 10;
/// The last piece of a response waits with hyper unwatched, so it is small.
const LAST_PIECE: usize = 1 << 10;
const SEND_BUFFER: usize = 64 << 10;
/// Streams that the client has given up before hyper has seen them, and those that hyper has to give
/// up, before the connection is taken for an attack: the defaults of h2, which are not promised.
const RESETS_PENDING_MAX: usize = 20;
const RESETS_LOCAL_MAX: usize = 1_024;
/// How often a silent client is asked whether it lives, and how long it may take to say so: held
/// polls of one that is not there any more end after both.
const PING: Duration = Duration::from_secs(30);
const PONG: Duration = Duration::from_secs(20);
/// How long a client that has no stream may take to go when it is asked to.
const GRACE: Duration = Duration::from_secs(2);

/// Serves a connection until it ends.
pub async fn serve(
    io: Watched,
    connection: &Arc<Connection>,
    options: ListenerOptions,
    stats: &HttpStats,
    routes: Routes,
    stop: &CancellationToken,
) -> hyper::Result<()> {
    connection.becomes_http2();
    let spawner = Spawner { next: Arc::default(), stuck: options.deadlines.write };
    let next = Arc::clone(&spawner.next);
    let stats = Arc::new(stats.clone());
    let routes = warp::service(routes);
    let service = service_fn(|mut request: Request<Incoming>| {
        let peer = Peer::stream(connection);
        *next.lock() = Some(Arc::clone(&peer));
        let refusal = name_host(&mut request)
            .or_else(|| headers::refuse_head(request.version(), request.uri(), request.headers()));
        request.extensions_mut().insert(Arc::clone(&peer));
        let answer = refusal.is_none().then(|| routes.clone().call(request));
        let stats = Arc::clone(&stats);
        async move {
            let response = match (answer, refusal) {
                (Some(answer), _) => answer.await?,
                (None, refusal) => refusal.unwrap_or_default().map(Into::into),
            };
            stats.responded(response.status());
            Ok::<_, Infallible>(response.map(|body| Tended::new(body, peer)))
        }
    });
    let served = http2::Builder::new(spawner)
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEAD_BYTES_MAX as u32)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(RESETS_PENDING_MAX)
        .max_local_error_reset_streams(RESETS_LOCAL_MAX)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PONG)
        .serve_connection(TokioIo::new(io), service);
    tokio::pin!(served);
    tokio::select! {
        biased;
        ended = &mut served => return ended,
        () = stop.cancelled() => {}
        () = connection.quiet(options.idle) => {}
    }
    served.as_mut().graceful_shutdown();
    tokio::select! {
        biased;
        ended = &mut served => ended,
        // What has begun meanwhile is served; a client that has nothing to ask may not stay.
        () = async { sleep(GRACE).await; connection.quiet(GRACE).await } => Ok(()),
    }
}

/// HTTP/2 names the host beside the headers; all else here looks for it among them. 400 where both do,
/// and differ.
fn name_host<B>(request: &mut Request<B>) -> Option<Response<Bytes>> {
    let host = HeaderValue::from_str(request.uri().authority()?.as_str());
    let mut named = request.headers().get_all(HOST).iter();
    match host {
        Ok(host) if named.all(|named| *named == host) => {
            request.headers_mut().insert(HOST, host);
            None
        }
        _ => Some(headers::text(StatusCode::BAD_REQUEST, "a request names one Host")),
    }
}

/// Starts hyper's part of each stream, and ends it if its response finds no room.
#[derive(Debug, Clone)]
struct Spawner {
    /// Whose part comes next: hyper asks the service for an answer, then starts its part.
    next: Arc<Mutex<Option<Arc<Peer>>>>,
    stuck: Duration,
}

impl<F> Executor<F> for Spawner
where
    F: Future + Send + 'static,
{
    fn execute(&self, stream: F) {
        let peer = self.next.lock().take();
        tokio::spawn(tend(stream, peer, self.stuck));
    }
}

/// Drops a stream, which resets it, once a piece of its response has waited too long.
async fn tend<F: Future>(stream: F, peer: Option<Arc<Peer>>, time: Duration) {
    tokio::pin!(stream);
    let mut stuck = None;
    std::future::poll_fn(|cx| {
        if stream.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let Some(piece) = peer.as_ref().and_then(|peer| peer.offered()) else {
            stuck = None;
            return Poll::Pending;
        };
        if stuck.as_ref().is_none_or(|(offered, _)| *offered != piece) {
            stuck = Some((piece, Box::pin(sleep(time))));
        }
        stuck.as_mut().map_or(Poll::Pending, |(_, deadline)| deadline.as_mut().poll(cx))
    })
    .await;
    // Before the client hears of it, and comes back.
    if let Some(peer) = peer {
        peer.broke_off();
    }
}

/// A response's body, in pieces. The events in it count as handed over once hyper has asked for what
/// comes after the last piece; if it never does, they go again.
struct Tended<B> {
    body: B,
    rest: Bytes,
    peer: Arc<Peer>,
}

impl<B> fmt::Debug for Tended<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tended")
    }
}

impl<B> Tended<B> {
    fn new(body: B, peer: Arc<Peer>) -> Self {
        Self { body, rest: Bytes::new(), peer }
    }
}

/// How much of what is left goes next.
fn piece(left: usize) -> usize {
    match left {
        ..=LAST_PIECE => left,
        _ => PIECE.min(left - LAST_PIECE),
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Tended<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        self.peer.offers(false);
        while self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => {
                    self.peer.handed_over();
                    return Poll::Ready(None);
                }
            }
        }
        let next = piece(self.rest.len());
        let next = self.rest.split_to(next);
        self.peer.offers(true);
        Poll::Ready(Some(Ok(Frame::data(next))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream() && !self.peer.has_carried()
    }

    fn size_hint(&self) -> SizeHint {
        let (hint, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut whole = SizeHint::new();
        whole.set_lower(hint.lower().saturating_add(rest));
        if let Some(upper) = hint.upper().and_then(|upper| upper.checked_add(rest)) {
            whole.set_upper(upper);
        }
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_ends_with_a_small_piece() {
        for total in [0, 1, LAST_PIECE, LAST_PIECE + 1, PIECE, PIECE + 1, 100_000] {
            let (mut left, mut last) = (total, 0);
            while left > 0 {
                last = piece(left);
                assert!(last > 0 && last <= PIECE, "{total}: {last}");
                left -= last;
            }
            assert!(last <= LAST_PIECE, "{total}: {last}");
        }
    }
}
