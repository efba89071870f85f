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

use bytes::BufMut;
use parking_lot::Mutex;
use prometheus::IntGauge;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{Shutdown, shutdown};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use super::limits::Permit;
use super::stats::Counted;
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
    stream: TcpStream,
    phase: AtomicU8,
    unread: AtomicBool,
    streaming: AtomicBool,
    writing: AtomicU8,
    carried: Mutex<Option<(Arc<SessionHandle>, u64)>>,
    _place: Place,
}

/// A connection's place among all of them, for as long as it lives, whatever it turns into.
#[derive(Debug)]
pub struct Place {
    _permit: Permit,
    _open: Counted,
}

impl Place {
    /// A place that was given, counted in this gauge.
    #[must_use]
    pub fn new(permit: Permit, open: &IntGauge) -> Self {
        Self { _permit: permit, _open: Counted::new(open) }
    }
}

/// How long, and for how many bytes, a connection that is refused in the middle of a request goes
/// on reading: closing a socket with unread bytes resets it, and the peer, busy sending, would never
/// see the answer that says why.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES_MAX: usize = 64 << 20;

const IDLE: u8 = 0;
const HEAD: u8 = 1;
const BUSY: u8 = 2;

/// How far the last response has come: nothing of it was written, a part, all, or it never will be.
const UNWRITTEN: u8 = 0;
const PARTLY: u8 = 1;
const WRITTEN: u8 = 2;
const FAILED: u8 = 3;

impl Peer {
    /// A fresh connection.
    #[must_use]
    pub fn new(stream: TcpStream, address: SocketAddr, place: Place) -> Arc<Self> {
        Arc::new(Self {
            address,
            stream,
            // The first head is late like any other, and it is owed from the beginning: a connection
            // that says nothing at all is half open, or an attack (R37).
            phase: AtomicU8::new(HEAD),
            unread: AtomicBool::new(false),
            streaming: AtomicBool::new(false),
            writing: AtomicU8::new(UNWRITTEN),
            carried: Mutex::new(None),
            _place: place,
        })
    }

    /// A request's head is complete and the request is worked on; that it came after the response
    /// before it was written shows that this was read.
    pub fn busy(&self) {
        self.phase.store(BUSY, Ordering::Relaxed);
        if self.writing.load(Ordering::Relaxed) == WRITTEN {
            *self.carried.lock() = None;
        }
    }

    /// The request is answered.
    pub fn idle(&self) {
        if !self.streaming.load(Ordering::Relaxed) {
            self.phase.store(IDLE, Ordering::Relaxed);
        }
    }

    /// The answer has begun while the request's body is still coming, or has come to its end: what
    /// comes in between is no head.
    pub fn streams(&self, streaming: bool) {
        self.streaming.store(streaming, Ordering::Relaxed);
        self.phase.store(if streaming { BUSY } else { IDLE }, Ordering::Relaxed);
    }

    /// Whether no more than a part of a head has come.
    #[must_use]
    pub fn is_amid_head(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == HEAD
    }

    /// The request is answered before its body was read.
    pub fn leaves_unread(&self) {
        self.unread.store(true, Ordering::Relaxed);
    }

    /// Whether the other end has closed its side, also when bytes that came before hide that from
    /// whoever reads in order.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        // Nothing has come since the last read: the usual case, and no need to ask the system.
        if self.stream.try_io(Interest::READABLE, || Ok(())).is_err() {
            return false;
        }
        let gone = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
        let mut watched = [PollFd::new(&self.stream, gone)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut watched, Some(&now)).is_ok() && watched[0].revents().intersects(gone)
    }

    /// The response about to be written carries a session's events.
    pub fn carries(&self, mut carried: Carried) {
        self.writing.store(UNWRITTEN, Ordering::Relaxed);
        *self.carried.lock() = carried.0.take();
    }

    /// The connection is over. If its last response was not written to its end, the events that it
    /// carried go again: a write may have failed, or a read that came before the next write. So they
    /// do if the other end has reset the connection since: it did not take all that was written.
    pub fn closed(&self) {
        let Some((session, reply_no)) = self.carried.lock().take() else { return };
        let written = self.writing.load(Ordering::Relaxed) == WRITTEN;
        if !written || !matches!(self.stream.take_error(), Ok(None)) {
            session.write_failed(reply_no);
        }
    }

    /// The response has come so far.
    fn wrote(&self, progress: u8) {
        self.writing.fetch_max(progress, Ordering::Relaxed);
    }

    /// All that hyper had to write is with the system.
    fn flushed(&self) {
        let _ =
            self.writing.compare_exchange(PARTLY, WRITTEN, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// A session's events in a response that is not with the connection yet, by the number of its reply.
/// If that is never to be, they go again.
#[derive(Debug)]
pub struct Carried(Option<(Arc<SessionHandle>, u64)>);

impl From<(Arc<SessionHandle>, u64)> for Carried {
    fn from(carried: (Arc<SessionHandle>, u64)) -> Self {
        Self(Some(carried))
    }
}

impl Drop for Carried {
    fn drop(&mut self) {
        if let Some((session, reply_no)) = self.0.take() {
            session.write_failed(reply_no);
        }
    }
}

/// The socket.
#[derive(Debug)]
pub struct Watched {
    peer: Arc<Peer>,
    deadlines: Deadlines,
    head: Option<Pin<Box<Sleep>>>,
    write: Option<Pin<Box<Sleep>>>,
    linger: Option<Pin<Box<Sleep>>>,
    lingered: usize,
}

impl Watched {
    /// Watches a connection's socket.
    #[must_use]
    pub fn new(peer: Arc<Peer>, deadlines: Deadlines) -> Self {
        Self { peer, deadlines, head: None, write: None, linger: None, lingered: 0 }
    }

    fn watch_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.peer.is_amid_head() {
            self.head = None;
            return Poll::Pending;
        }
        let head = self.deadlines.head;
        let deadline = self.head.get_or_insert_with(|| Box::pin(sleep(head)));
        ready!(deadline.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the head did not come in time")))
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
        self.peer.wrote(if result.is_ok() { PARTLY } else { FAILED });
        Poll::Ready(result)
    }

    fn poll_try_write(
        &self,
        cx: &mut Context<'_>,
        mut write: impl FnMut(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.peer.stream.poll_write_ready(cx))?;
            match write(&self.peer.stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }

    /// Reads what there is. The buffer is not cleared first, so what is not used of it costs
    /// nothing; and when less came than would have fitted, there is no more, so the socket is not
    /// asked again until the next event: `WouldBlock` is how tokio is told.
    fn poll_try_read(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut impl BufMut,
    ) -> Poll<io::Result<usize>> {
        let stream = &self.peer.stream;
        loop {
            ready!(stream.poll_read_ready(cx))?;
            let room = buffer.remaining_mut();
            let mut read = None;
            let emptied = stream.try_io(Interest::READABLE, || {
                let got = stream.try_read_buf(buffer)?;
                read = Some(got);
                if got < room { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
            });
            match (read, emptied) {
                (Some(read), _) => return Poll::Ready(Ok(read)),
                (None, Err(error)) if error.kind() != io::ErrorKind::WouldBlock => {
                    return Poll::Ready(Err(error));
                }
                (None, _) => {}
            }
        }
    }

    /// Reads and throws away what the peer is still sending, for a while.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut scratch = [0; 8192];
        while self.lingered < LINGER_BYTES_MAX {
            match self.poll_try_read(cx, &mut scratch.as_mut_slice()) {
                Poll::Ready(Ok(read @ 1..)) => self.lingered += read,
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => {
                    let linger = self.linger.get_or_insert_with(|| Box::pin(sleep(LINGER)));
                    return linger.as_mut().poll(cx);
                }
            }
        }
        Poll::Ready(())
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
        let Poll::Ready(read) = self.poll_try_read(cx, buf) else { return self.watch_head(cx) };
        if read.is_err() {
            self.peer.wrote(FAILED);
        }
        if read? > 0 {
            let phase = &self.peer.phase;
            let _ = phase.compare_exchange(IDLE, HEAD, Ordering::Relaxed, Ordering::Relaxed);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = match completed(bytes) {
            Some(whole) => {
                self.peer.leaves_unread();
                self.poll_try_write(cx, |stream| stream.try_write(&whole))
                    .map_ok(|written| written.min(bytes.len()))
            }
            None => self.poll_try_write(cx, |stream| stream.try_write(bytes)),
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
        let polled = self.poll_try_write(cx, |stream| stream.try_write_vectored(bytes));
        self.watch_write(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper flushes once its own buffer is empty.
        self.peer.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger.is_none() && self.lingered == 0 {
            shutdown(&self.peer.stream, Shutdown::Write)?;
        }
        if self.peer.unread.load(Ordering::Relaxed) {
            ready!(self.poll_linger(cx));
        }
        Poll::Ready(Ok(()))
    }
}
