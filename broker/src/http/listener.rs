//! The accept loop: limits, one task per connection, deadlines, drain.
//!
//! `warp::serve` has neither deadlines nor limits, so weft runs `warp::service` in a loop of its own.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
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

use super::connection::{Deadlines, Peer, Place, Watched};
use super::headers;
use super::limits::{Gate, Refusal};
use super::stats::HttpStats;

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
    /// What is counted.
    pub stats: HttpStats,
    /// Connections at work.
    pub tasks: TaskTracker,
    /// Told when to accept no more and let each connection finish.
    pub stop: CancellationToken,
}

/// No larger head is read: 431 beyond it.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// How long to wait when the process has no descriptor left to accept with.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\
    Cache-Control: no-cache, no-store\r\nX-Content-Type-Options: nosniff\r\nRetry-After: 2\r\nContent-Length: 0\r\n\r\n";

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
        match self.gate.admit(address.ip()) {
            Ok(permit) => {
                self.stats.accepted.inc();
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%address, %error, "no TCP_NODELAY");
                }
                let one = One {
                    peer: Peer::new(stream, address, Place::new(permit, &self.stats.connections)),
                    options: self.options,
                    stats: self.stats.clone(),
                };
                self.tasks.spawn(one.serve(routes, self.stop.clone()));
            }
            Err(refusal) => {
                match refusal {
                    Refusal::Total => self.stats.refused_total.inc(),
                    Refusal::Address => self.stats.refused_address.inc(),
                }
                tracing::debug!(%address, ?refusal, "connection refused");
                self.stats.responded(StatusCode::SERVICE_UNAVAILABLE);
                // Best effort: the socket is new, so its buffer takes this or it is not worth more.
                let _ = stream.try_write(REFUSAL);
            }
        }
    }
}

/// One admitted connection.
struct One {
    peer: Arc<Peer>,
    options: ListenerOptions,
    stats: HttpStats,
}

impl One {
    async fn serve(self, routes: Routes, stop: CancellationToken) {
        let Self { peer, options, stats } = self;
        let io = TokioIo::new(Watched::new(Arc::clone(&peer), options.deadlines));
        let routes = warp::service(routes);
        let service = service_fn(|mut request: Request<Incoming>| {
            peer.busy();
            request.extensions_mut().insert(Arc::clone(&peer));
            let has_body = !request.body().is_end_stream();
            let takes_body = request.method() == Method::POST;
            let refusal = headers::refuse_head(request.version(), request.uri(), request.headers());
            let answer = refusal.is_none().then(|| routes.clone().call(request));
            let (peer, stats) = (&peer, &stats);
            async move {
                let response = match (answer, refusal) {
                    (Some(answer), _) => answer.await?,
                    (None, refusal) => refusal.unwrap_or_default().map(Into::into),
                };
                // Who is refused may be sending still.
                if has_body && (!takes_body || response.status().as_u16() >= 400) {
                    peer.leaves_unread();
                }
                peer.idle();
                stats.responded(response.status());
                Ok::<_, Infallible>(response)
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(options.idle)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(io, service)
            .with_upgrades();
        tokio::pin!(connection);
        let ended = tokio::select! {
            biased;
            ended = &mut connection => ended,
            // A head of which only a part has come is nothing under way.
            () = stop.cancelled() => if peer.is_amid_head() {
                Ok(())
            } else {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(address = %peer.address, %error, "connection ended early");
        }
        peer.closed();
    }
}
