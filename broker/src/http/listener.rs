//! The accept loop: limits, one task per connection, deadlines, drain.
//!
//! `warp::serve` has neither deadlines nor limits, so weft runs `warp::service` in a loop of its own.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
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
use super::lean::{After, Around, Lean, Line};
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
        let Self { socket, options, gate, entrance, lean, stats, tasks, stop } = self;
        let serving = Arc::new(Serving { options, entrance, lean, stats, routes, stop });
        loop {
            let accepted = tokio::select! {
                biased;
                () = serving.stop.cancelled() => return,
                accepted = socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, address)) => serving.admit(stream, address, &gate, &tasks),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// What connections share.
struct Serving {
    options: ListenerOptions,
    entrance: Entrance,
    lean: Option<Lean>,
    stats: HttpStats,
    routes: Routes,
    stop: CancellationToken,
}

impl Serving {
    fn admit(
        self: &Arc<Self>,
        stream: TcpStream,
        address: SocketAddr,
        gate: &Arc<Gate>,
        tasks: &TaskTracker,
    ) {
        let ip = address.ip();
        let proxy = self.entrance.proxies.trusts(ip);
        let permit = match if proxy { gate.admit_proxy() } else { gate.admit(ip) } {
            Ok(permit) => permit,
            Err(refusal) => return self.refuse(&stream, ip, refusal),
        };
        self.stats.accepted.inc();
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%address, %error, "no TCP_NODELAY");
        }
        let place = Place::new(permit, &self.stats.connections);
        let service = Arc::clone(self);
        // What a task begins with it carries to its end, so that is on the heap until it is done.
        let arriving = Box::pin(async move {
            let Self { entrance, options, stop, .. } = &*service;
            tokio::select! {
                biased;
                () = stop.cancelled() => None,
                arrived = arrive(stream, ip, place, entrance, options) => match arrived {
                    Ok(arrived) => Some(arrived),
                    Err(Turned::Refused(refusal, stream)) => {
                        service.refuse(&stream, ip, refusal);
                        None
                    }
                    Err(Turned::Broken(error)) => {
                        tracing::debug!(%address, %error, "a connection asked nothing");
                        None
                    }
                },
            }
        });
        let service = Arc::clone(self);
        tasks.spawn(async move {
            let Some(Arrived { connection, io, http2 }) = arriving.await else { return };
            let Self { options, stats, lean, stop, .. } = &*service;
            let ended = match lean {
                Some(lean) if !http2 => {
                    let mut line = Line::new(io, Arc::clone(&connection));
                    let around = Around { options, stats, stop };
                    match lean.serve(&mut line, &around).await {
                        Ok(After::Closed) => Ok(()),
                        Ok(After::Others) => {
                            service.speak(line.hand_over(), &connection, false).await
                        }
                        Err(error) => Err(error.into()),
                    }
                }
                _ => service.speak(io, &connection, http2).await,
            };
            if let Err(error) = ended {
                tracing::debug!(address = %connection.address, %error, "connection ended early");
            }
            connection.closed();
        });
    }

    /// Lets the library serve a connection. On the heap, so that one that never comes here is no larger
    /// for it.
    fn speak<'a>(
        &'a self,
        io: Watched,
        connection: &'a Arc<Connection>,
        http2: bool,
    ) -> BoxFuture<'a, Result<(), Box<dyn Error + Send + Sync>>> {
        let Self { options, stats, routes, stop, .. } = self;
        let routes = routes.clone();
        Box::pin(async move {
            if http2 {
                http2::serve(io, connection, *options, stats, routes, stop).await?;
            } else {
                serve_http1(io, connection, *options, stats, routes, stop).await?;
            }
            Ok(())
        })
    }

    /// Says why there is no more room, where that can be said.
    fn refuse(&self, stream: &TcpStream, address: IpAddr, refusal: Refusal) {
        let stats = &self.stats;
        let (refused, status, text) = match refusal {
            Refusal::Total => (&stats.refused_total, StatusCode::SERVICE_UNAVAILABLE, NO_ROOM),
            Refusal::Address => (&stats.refused_address, StatusCode::TOO_MANY_REQUESTS, TOO_MANY),
        };
        refused.inc();
        tracing::debug!(%address, ?refusal, "connection refused");
        if self.entrance.tls.is_none() {
            stats.responded(status);
            // Best effort: the socket is new, so its buffer takes this or it is not worth more.
            let _ = stream.try_write(text);
        }
    }
}

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

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
        let _ = connection.busy();
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
