//! The accept loop: limits, one task per connection, deadlines, drain.
//!
//! `warp::serve` has neither deadlines nor limits, so weft runs `warp::service` in a loop of its own.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, StatusCode};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service;
use warp::filters::BoxedFilter;

use super::arrival::{Arrived, Entrance, Turned, arrive};
use super::connection::{Connection, Deadlines, Peer, Place};
use super::lean::{self, Lean};
use super::limits::{Gate, Refusal};
use super::socket::Watched;
use super::stats::HttpStats;
use super::{headers, http2};

/// What a listener serves.
pub type Routes = BoxedFilter<(warp::reply::Response,)>;

/// How a listener treats its connections.
#[derive(Debug, Clone, Copy)]
pub struct ListenerOptions {
    /// Deadlines for heads and writes.
    pub deadlines: Deadlines,
    /// How long a connection may idle between two requests.
    pub idle: Duration,
}

/// A bound socket, ready to serve.
#[derive(Debug)]
pub struct Listener {
    /// The socket.
    pub socket: TcpListener,
    /// How to treat connections.
    pub options: ListenerOptions,
    /// Who gets in.
    pub gate: Arc<Gate>,
    /// By which way.
    pub entrance: Entrance,
    /// What is served by the lean path, if anything is.
    pub lean: Option<Lean>,
    /// What is counted.
    pub stats: HttpStats,
    /// Connections at work.
    pub tasks: TaskTracker,
    /// Told when to accept no more and let each connection finish.
    pub stop: CancellationToken,
}

/// No larger head is read: 431 beyond it.
pub(super) const HEAD_BYTES_MAX: usize = 16 << 10;
/// How long to wait when the process has no descriptor left to accept with.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
const NO_ROOM: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\
    Cache-Control: no-cache, no-store\r\nX-Content-Type-Options: nosniff\r\nRetry-After: 2\r\nContent-Length: 0\r\n\r\n";
const TOO_MANY: &[u8] = b"HTTP/1.1 429 Too Many Requests\r\nConnection: close\r\n\
    Cache-Control: no-cache, no-store\r\nX-Content-Type-Options: nosniff\r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n";

impl Listener {
    /// The address in use.
    ///
    /// # Errors
    /// When the socket is gone.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Accepts until told to stop.
    pub async fn serve(self, routes: Routes) {
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                accepted = self.socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, address)) => self.admit(stream, address, routes.clone()),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn admit(&self, stream: TcpStream, address: SocketAddr, routes: Routes) {
        let ip = address.ip();
        let proxy = self.entrance.proxies.trusts(ip);
        let admitted = if proxy { self.gate.admit_proxy() } else { self.gate.admit(ip) };
        let tls = self.entrance.tls.is_some();
        match admitted {
            Ok(permit) => {
                self.stats.accepted.inc();
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%address, %error, "no TCP_NODELAY");
                }
                let place = Place::new(permit, &self.stats.connections);
                let entrance = self.entrance.clone();
                let (options, stats, lean) = (self.options, self.stats.clone(), self.lean.clone());
                let one = One { options, stats, lean };
                let stop = self.stop.clone();
                self.tasks.spawn(async move {
                    let arrived = tokio::select! {
                        biased;
                        () = stop.cancelled() => return,
                        arrived = arrive(stream, ip, place, &entrance, &one.options) => arrived,
                    };
                    match arrived {
                        Ok(arrived) => one.serve(arrived, routes, stop).await,
                        Err(Turned::Refused(refusal, stream)) => {
                            refuse(&one.stats, &stream, ip, refusal, tls);
                        }
                        Err(Turned::Broken(error)) => {
                            tracing::debug!(%address, %error, "a connection asked nothing");
                        }
                    }
                });
            }
            Err(refusal) => refuse(&self.stats, &stream, ip, refusal, tls),
        }
    }
}

/// Says why there is no more room, where that can be said.
fn refuse(stats: &HttpStats, stream: &TcpStream, address: IpAddr, refusal: Refusal, tls: bool) {
    let (refused, status, text) = match refusal {
        Refusal::Total => (&stats.refused_total, StatusCode::SERVICE_UNAVAILABLE, NO_ROOM),
        Refusal::Address => (&stats.refused_address, StatusCode::TOO_MANY_REQUESTS, TOO_MANY),
    };
    refused.inc();
    tracing::debug!(%address, ?refusal, "connection refused");
    if !tls {
        stats.responded(status);
        // Best effort: the socket is new, so its buffer takes this or it is not worth more.
        let _ = stream.try_write(text);
    }
}

/// One admitted connection.
struct One {
    options: ListenerOptions,
    stats: HttpStats,
    lean: Option<Lean>,
}

impl One {
    async fn serve(self, arrived: Arrived, routes: Routes, stop: CancellationToken) {
        let Arrived { connection, io, http2 } = arrived;
        if let Err(error) = self.speak(&connection, io, http2, routes, stop).await {
            tracing::debug!(address = %connection.address, %error, "connection ended early");
        }
        connection.closed();
    }

    async fn speak(
        &self,
        connection: &Arc<Connection>,
        io: Watched,
        http2: bool,
        routes: Routes,
        stop: CancellationToken,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let Self { options, stats, lean } = self;
        if http2 {
            Box::pin(http2::serve(io, connection, *options, stats, routes, &stop)).await?;
            return Ok(());
        }
        let io = match lean {
            Some(lean) => lean::serve(lean, io, connection, options, stats, &stop).await?,
            None => Some(io),
        };
        if let Some(io) = io {
            // On the heap, so that a connection that never comes here is no larger for it.
            Box::pin(serve_http1(io, connection, *options, stats, routes, &stop)).await?;
        }
        Ok(())
    }
}

async fn serve_http1(
    io: Watched,
    connection: &Arc<Connection>,
    options: ListenerOptions,
    stats: &HttpStats,
    routes: Routes,
    stop: &CancellationToken,
) -> hyper::Result<()> {
    let peer = Peer::new(Arc::clone(connection));
    let routes = warp::service(routes);
    let service = service_fn(|mut request: Request<Incoming>| {
        connection.busy();
        request.extensions_mut().insert(Arc::clone(&peer));
        let has_body = !request.body().is_end_stream();
        let takes_body = request.method() == Method::POST;
        let refusal = headers::refuse_head(request.version(), request.uri(), request.headers());
        let answer = refusal.is_none().then(|| routes.clone().call(request));
        async move {
            let response = match (answer, refusal) {
                (Some(answer), _) => answer.await?,
                (None, refusal) => refusal.unwrap_or_default().map(Into::into),
            };
            // Who is refused may be sending still.
            if has_body && (!takes_body || response.status().as_u16() >= 400) {
                connection.leaves_unread();
            }
            connection.idle();
            stats.responded(response.status());
            Ok::<_, Infallible>(response)
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(options.idle)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(io), service)
        .with_upgrades();
    tokio::pin!(served);
    tokio::select! {
        biased;
        ended = &mut served => return ended,
        () = stop.cancelled() => {}
    }
    // A head of which only a part has come is nothing under way.
    if connection.is_amid_head() {
        return Ok(());
    }
    served.as_mut().graceful_shutdown();
    served.await
}
