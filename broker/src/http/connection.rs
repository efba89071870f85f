//! What the edge knows of one connection, and of the requests on it: whether the other end is still
//! there, how far a response has come, and whose events it carries.
//!
//! By HTTP/1.1 a connection is one request after another, by HTTP/2 it is many at once; a request is
//! asked by its [`Peer`], which is the connection in the one case and one of its streams in the other.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use http::HeaderMap;
use parking_lot::Mutex;
use prometheus::IntGauge;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::limits::{Permit, Refusal};
use super::proxies::Proxies;
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

/// One connection.
#[derive(Debug)]
pub struct Connection {
    /// Who connected; behind a proxy that says it in a PROXY header, for whom.
    pub address: IpAddr,
    /// If a proxy connected that is believed: what to believe.
    proxies: Option<Arc<Proxies>>,
    /// Whether it came over TLS.
    tls: bool,
    pub(super) stream: TcpStream,
    /// Bytes that the system took, less than all: enough to see that it took some.
    pub(super) sent: AtomicUsize,
    phase: AtomicU8,
    unread: AtomicBool,
    streaming: AtomicBool,
    /// The next request came before the last response was written.
    ahead: AtomicBool,
    writing: AtomicU8,
    carried: Mutex<Option<(Arc<SessionHandle>, u64)>>,
    /// What HTTP/2 needs besides.
    streams: OnceLock<Box<Streams>>,
    _place: Place,
}

/// A connection's place among all of them, for as long as it lives, whatever it turns into.
#[derive(Debug)]
pub struct Place {
    permit: Permit,
    _open: Counted,
}

impl Place {
    /// A place that was given, counted in this gauge.
    #[must_use]
    pub fn new(permit: Permit, open: &IntGauge) -> Self {
        Self { permit, _open: Counted::new(open) }
    }

    /// A proxy has said whom the connection is for.
    ///
    /// # Errors
    /// When that address has as many as it may have.
    pub fn count(&mut self, address: IpAddr) -> Result<(), Refusal> {
        self.permit.count(address)
    }
}

const IDLE: u8 = 0;
const HEAD: u8 = 1;
const BUSY: u8 = 2;

/// How far the last response has come: nothing of it was written, a part, all, or it never will be.
const UNWRITTEN: u8 = 0;
pub(super) const PARTLY: u8 = 1;
const WRITTEN: u8 = 2;
pub(super) const FAILED: u8 = 3;

impl Connection {
    /// A fresh connection.
    #[must_use]
    pub fn new(
        stream: TcpStream,
        address: IpAddr,
        proxies: Option<Arc<Proxies>>,
        tls: bool,
        place: Place,
    ) -> Arc<Self> {
        Arc::new(Self {
            address,
            proxies,
            tls,
            stream,
            sent: AtomicUsize::new(0),
            // The first head is late like any other, and it is owed from the beginning: a connection
            // that says nothing at all is half open, or an attack (R37).
            phase: AtomicU8::new(HEAD),
            unread: AtomicBool::new(false),
            streaming: AtomicBool::new(false),
            ahead: AtomicBool::new(false),
            writing: AtomicU8::new(UNWRITTEN),
            carried: Mutex::new(None),
            streams: OnceLock::new(),
            _place: place,
        })
    }

    /// A request's head is complete and the request is worked on. If all of it came after the response
    /// before it was written, this shows that that was read: then it says whose events were in that.
    pub fn busy(&self) -> Option<(Arc<SessionHandle>, u64)> {
        self.phase.store(BUSY, Ordering::Relaxed);
        let came_after = !self.ahead.swap(false, Ordering::Relaxed);
        let read = came_after && self.writing.load(Ordering::Relaxed) == WRITTEN;
        if read { self.carried.lock().take() } else { None }
    }

    /// The next request came before the last response is written, so that it shows nothing of that.
    pub(super) fn came_ahead(&self) {
        self.ahead.store(true, Ordering::Relaxed);
    }

    /// The request is answered.
    pub fn idle(&self) {
        if !self.streaming.load(Ordering::Relaxed) {
            self.phase.store(IDLE, Ordering::Relaxed);
        }
    }

    /// Bytes have come; when none are expected, they begin a head.
    pub(super) fn received(&self) {
        let _ = self.phase.compare_exchange(IDLE, HEAD, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Whether no more than a part of a head has come.
    #[must_use]
    pub fn is_amid_head(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == HEAD
    }

    /// Whoever is answered may be sending still, or is about to.
    pub fn leaves_unread(&self) {
        self.unread.store(true, Ordering::Relaxed);
    }

    /// Whether that is so.
    pub(super) fn lingers(&self) -> bool {
        self.unread.load(Ordering::Relaxed)
    }

    /// Whether the other end has closed its side, also when bytes that came before hide that from
    /// whoever reads in order.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        // Nothing has come since the last read: the usual case, and no need to ask the system.
        self.stream.try_io(Interest::READABLE, || Ok(())).is_ok() && is_shut(&self.stream)
    }

    /// It speaks HTTP/2 from here on: no head is late, since hyper reads them all at once, and what
    /// comes last is seldom a request.
    pub fn becomes_http2(&self) {
        self.streaming.store(true, Ordering::Relaxed);
        self.phase.store(BUSY, Ordering::Relaxed);
        self.leaves_unread();
        let _ = self.streams.set(Box::new(Streams {
            open: AtomicUsize::new(0),
            last: Mutex::new(Instant::now()),
            carried: Mutex::new(Some(VecDeque::new())),
        }));
    }

    /// Waits until it has had no stream for so long.
    pub async fn quiet(&self, time: Duration) {
        let Some(streams) = self.streams.get() else { return };
        loop {
            let since = *streams.last.lock();
            let now = Instant::now();
            let open = streams.open.load(Ordering::Relaxed) > 0;
            let until = if open { now + time } else { since + time };
            if until <= now {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }

    /// The connection is over. If its last response was not written to its end, the events that it
    /// carried go again: a write may have failed, or a read that came before the next write. So they
    /// do if the other end has reset the connection since: it did not take all that was written.
    pub fn closed(&self) {
        let reset = !matches!(self.stream.take_error(), Ok(None));
        let failed = self.writing.load(Ordering::Relaxed) == FAILED || reset;
        if let Some(streams) = self.streams.get() {
            let handed = streams.carried.lock().take();
            for carried in handed.unwrap_or_default() {
                if let Some(session) = carried.session.upgrade()
                    && (failed || !carried.written)
                {
                    session.write_failed(carried.reply_no);
                }
            }
        }
        let Some((session, reply_no)) = self.carried.lock().take() else { return };
        if failed || self.writing.load(Ordering::Relaxed) != WRITTEN {
            session.write_failed(reply_no);
        }
    }

    /// The response has come so far.
    pub(super) fn wrote(&self, progress: u8) {
        self.writing.fetch_max(progress, Ordering::Relaxed);
    }

    /// All that hyper had to write is with the system.
    pub(super) fn flushed(&self) {
        if let Some(streams) = self.streams.get() {
            let mut handed = streams.carried.lock();
            handed.iter_mut().flatten().for_each(|carried| carried.written = true);
        }
        let _ =
            self.writing.compare_exchange(PARTLY, WRITTEN, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// Whether the other end has closed its side of a socket.
pub(super) fn is_shut(stream: &TcpStream) -> bool {
    let gone = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
    let mut watched = [PollFd::new(stream, gone)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut watched, Some(&now)).is_ok() && watched[0].revents().intersects(gone)
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

/// The streams of an HTTP/2 connection.
#[derive(Debug)]
struct Streams {
    open: AtomicUsize,
    /// When the last one ended.
    last: Mutex<Instant>,
    /// What was handed over to the connection, and not proven to have arrived; none once it is over.
    carried: Mutex<Option<VecDeque<Handed>>>,
}

/// As many replies are remembered until the connection ends; of older ones the next connect, or its
/// like, has told long since what became of them.
const HANDED_MAX: usize = 128;

#[derive(Debug)]
struct Handed {
    session: Weak<SessionHandle>,
    reply_no: u64,
    written: bool,
}

/// Who asks: a connection, or a stream of one. Requests carry it as an extension.
#[derive(Debug)]
pub struct Peer {
    connection: Arc<Connection>,
    stream: Option<Stream>,
}

/// One request of an HTTP/2 connection.
#[derive(Debug)]
struct Stream {
    carried: Mutex<Option<Carried>>,
    /// Whether a piece of the response waits for the client to make room, and for which it does.
    waits: AtomicBool,
    pieces: AtomicUsize,
}

impl Peer {
    /// The connection as the one who asks.
    #[must_use]
    pub fn new(connection: Arc<Connection>) -> Arc<Self> {
        Arc::new(Self { connection, stream: None })
    }

    /// A new stream of an HTTP/2 connection.
    #[must_use]
    pub fn stream(connection: &Arc<Connection>) -> Arc<Self> {
        if let Some(streams) = connection.streams.get() {
            streams.open.fetch_add(1, Ordering::Relaxed);
        }
        let (waits, pieces) = (AtomicBool::new(false), AtomicUsize::new(0));
        let stream = Stream { carried: Mutex::default(), waits, pieces };
        Arc::new(Self { connection: Arc::clone(connection), stream: Some(stream) })
    }

    /// Whether the client speaks HTTP/2. What a proxy speaks says nothing of its clients.
    #[must_use]
    pub fn is_http2(&self) -> bool {
        self.stream.is_some() && self.connection.proxies.is_none()
    }

    /// The client's address, as far as one is believed who may say it, and whether one did.
    #[must_use]
    pub fn client(&self, headers: &HeaderMap) -> (IpAddr, bool) {
        let connection = &self.connection;
        let proxies = connection.proxies.as_ref();
        match proxies.and_then(|proxies| proxies.client(headers)) {
            Some(named) => (named, true),
            // A proxy may have said it of the whole connection; of itself, it need not.
            None => {
                let itself = connection.address.to_canonical().is_loopback();
                (connection.address, proxies.is_some() && !itself)
            }
        }
    }

    /// Whether the client speaks TLS, to us or to a proxy that is believed.
    #[must_use]
    pub fn is_over_tls(&self, headers: &HeaderMap) -> bool {
        let Connection { tls, proxies, .. } = &*self.connection;
        *tls || proxies.as_ref().is_some_and(|_| {
            let said = headers.get_all("x-forwarded-proto").iter().next_back();
            let said = said.and_then(|value| value.to_str().ok()?.rsplit(',').next());
            said.is_some_and(|scheme| scheme.trim().eq_ignore_ascii_case("https"))
        })
    }

    /// The answer has begun while the request's body is still coming, or has come to its end: what
    /// comes in between is no head.
    pub fn streams(&self, streaming: bool) {
        if self.stream.is_none() {
            let connection = &self.connection;
            connection.streaming.store(streaming, Ordering::Relaxed);
            connection.phase.store(if streaming { BUSY } else { IDLE }, Ordering::Relaxed);
        }
    }

    /// The request is answered before its body was read.
    pub fn leaves_unread(&self) {
        self.connection.leaves_unread();
    }

    /// Whether the other end is known to be gone. That it gave up only this stream is seen by whoever
    /// waits for the answer, and drops it.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.connection.is_gone()
    }

    /// The response about to be written carries a session's events.
    pub fn carries(&self, mut carried: Carried) {
        if let Some(stream) = &self.stream {
            *stream.carried.lock() = Some(carried);
            return;
        }
        self.connection.writing.store(UNWRITTEN, Ordering::Relaxed);
        *self.connection.carried.lock() = carried.0.take();
    }

    /// The response of a stream is with the connection, from its first byte to its last.
    pub(super) fn handed_over(&self) {
        let (Some(stream), Some(streams)) = (&self.stream, self.connection.streams.get()) else {
            return;
        };
        let Some(mut carried) = stream.carried.lock().take() else { return };
        let mut handed = streams.carried.lock();
        // If the connection is over already, dropping them tells.
        let Some(handed) = handed.as_mut() else { return };
        let Some((session, reply_no)) = carried.0.take() else { return };
        let session = Arc::downgrade(&session);
        handed.retain(|older| !Weak::ptr_eq(&older.session, &session));
        if handed.len() >= HANDED_MAX {
            handed.pop_front();
        }
        handed.push_back(Handed { session, reply_no, written: false });
    }

    /// The response is over; what it carried and was not handed over goes again.
    pub(super) fn broke_off(&self) {
        if let Some(stream) = &self.stream {
            drop(stream.carried.lock().take());
        }
    }

    /// Whether the response carries events that are not handed over.
    pub(super) fn has_carried(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.carried.lock().is_some())
    }

    /// A piece of the response waits for room, or none does.
    pub(super) fn offers(&self, piece: bool) {
        if let Some(stream) = &self.stream {
            stream.waits.store(piece, Ordering::Relaxed);
            stream.pieces.fetch_add(usize::from(piece), Ordering::Relaxed);
        }
    }

    /// Which piece of the response waits for room.
    pub(super) fn offered(&self) -> Option<usize> {
        let stream = self.stream.as_ref()?;
        stream.waits.load(Ordering::Relaxed).then(|| stream.pieces.load(Ordering::Relaxed))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if self.stream.is_some()
            && let Some(streams) = self.connection.streams.get()
        {
            *streams.last.lock() = Instant::now();
            streams.open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
