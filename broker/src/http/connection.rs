//! One connection's socket, watched: half-sent heads and stuck writes meet a deadline, and a write
//! that failed is told to the session whose events it carried.
//!
//! The deadline for a head exists only while a part of one has come, so a held poll, or a client
//! that waits out its advised interval, is never cut by it (R15).

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use crate::core::session::SessionHandle;

/// Deadlines of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// From the first byte of a request's head to its last.
    pub head: Duration,
    /// How long a write may make no progress.
    pub write: Duration,
}

/// What the edge knows of one connection; requests carry it as an extension.
#[derive(Debug)]
pub struct Peer {
    /// The other end.
    pub address: SocketAddr,
    phase: AtomicU8,
    write_failed: AtomicBool,
    carried: Mutex<Option<(Arc<SessionHandle>, u64)>>,
}

/// How much unread input is thrown away at the end of a connection.
const SWALLOW_MAX: usize = 256 << 10;

const IDLE: u8 = 0;
const HEAD: u8 = 1;
const BUSY: u8 = 2;

impl Peer {
    /// A fresh connection.
    #[must_use]
    pub fn new(address: SocketAddr) -> Arc<Self> {
        Arc::new(Self {
            address,
            phase: AtomicU8::new(IDLE),
            write_failed: AtomicBool::new(false),
            carried: Mutex::new(None),
        })
    }

    /// A request's head is complete and the request is worked on.
    pub fn busy(&self) {
        self.phase.store(BUSY, Ordering::Relaxed);
    }

    /// The request is answered.
    pub fn idle(&self) {
        self.phase.store(IDLE, Ordering::Relaxed);
    }

    /// The response now being written carries a session's events.
    pub fn carries(&self, session: Arc<SessionHandle>, reply_no: u64) {
        *self.carried.lock() = Some((session, reply_no));
    }

    /// The connection is over. If its last write failed, the events it carried go again.
    pub fn closed(&self) {
        if let (Some((session, reply_no)), true) =
            (self.carried.lock().take(), self.write_failed.load(Ordering::Relaxed))
        {
            session.write_failed(reply_no);
        }
    }
}

/// The socket.
#[derive(Debug)]
pub struct Watched {
    stream: TcpStream,
    peer: Arc<Peer>,
    deadlines: Deadlines,
    head: Option<Pin<Box<Sleep>>>,
    write: Option<Pin<Box<Sleep>>>,
}

impl Watched {
    /// Watches a socket.
    #[must_use]
    pub fn new(stream: TcpStream, peer: Arc<Peer>, deadlines: Deadlines) -> Self {
        Self { stream, peer, deadlines, head: None, write: None }
    }

    fn watch_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.peer.phase.load(Ordering::Relaxed) != HEAD {
            self.head = None;
            return Poll::Pending;
        }
        let head = self.deadlines.head;
        let deadline = self.head.get_or_insert_with(|| Box::pin(sleep(head)));
        ready!(deadline.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the head did not come in time")))
    }

    /// Throws away what has come and was not read: closing a socket with unread bytes resets it, and
    /// the peer might never see the answer that says why.
    fn swallow(&self) {
        let mut scratch = [0; 4096];
        let mut left = SWALLOW_MAX;
        while let Ok(read @ 1..) = self.stream.try_read(&mut scratch) {
            left = left.saturating_sub(read);
            if left == 0 {
                return;
            }
        }
    }

    /// Passes a write's result on, noting failures and cutting writes that make no progress.
    fn watch_write<T>(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let result = match polled {
            Poll::Ready(result) => {
                self.write = None;
                result
            }
            Poll::Pending => {
                let write = self.deadlines.write;
                let deadline = self.write.get_or_insert_with(|| Box::pin(sleep(write)));
                ready!(deadline.as_mut().poll(cx));
                Err(io::Error::new(io::ErrorKind::TimedOut, "the reader takes nothing"))
            }
        };
        if result.is_err() {
            self.peer.write_failed.store(true, Ordering::Relaxed);
        }
        Poll::Ready(result)
    }
}

/// hyper itself answers a head that it cannot read, with a few headers of its own. This gives such
/// an answer those that every response has; the result is longer than what it replaces, and small
/// enough for one write to a socket that has nothing else to send. `None` for all other bytes.
fn completed(bytes: &[u8]) -> Option<Vec<u8>> {
    const HEADERS: &[u8] =
        b"cache-control: no-cache, no-store\r\nx-content-type-options: nosniff\r\n";
    if !bytes.starts_with(b"HTTP/1.1 4") {
        return None;
    }
    let ours = bytes.windows(13).any(|window| window == b"cache-control");
    let line = bytes.windows(2).position(|window| window == b"\r\n")? + 2;
    let (status, rest) = bytes.split_at_checked(line)?;
    (!ours).then(|| [status, HEADERS, rest].concat())
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, buf) {
            Poll::Pending => self.watch_head(cx),
            Poll::Ready(result) => {
                if buf.filled().len() > before {
                    let phase = &self.peer.phase;
                    let _ =
                        phase.compare_exchange(IDLE, HEAD, Ordering::Relaxed, Ordering::Relaxed);
                }
                Poll::Ready(result)
            }
        }
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = match completed(bytes) {
            Some(whole) => Pin::new(&mut self.stream)
                .poll_write(cx, &whole)
                .map_ok(|written| written.min(bytes.len())),
            None => Pin::new(&mut self.stream).poll_write(cx, bytes),
        };
        self.watch_write(cx, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Some(first) = bytes.first().filter(|first| completed(first).is_some()) {
            return self.poll_write(cx, first);
        }
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.watch_write(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.swallow();
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
