//! One connection's socket, with TLS or without, watched: half-sent heads and stuck writes meet a
//! deadline, and it is noted how far a response has come.
//!
//! The deadline for a head exists only while a part of one has come, so a held poll, or a client
//! that waits out its advised interval, is never cut by it (R15).

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{BufMut, Bytes};
use rustix::net::{Shutdown, shutdown};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};
use tokio_rustls::server::TlsStream;

use super::connection::{Connection, Deadlines, FAILED, PARTLY};

/// How long, and for how many bytes, a connection that is refused in the middle of a request goes
/// on reading: closing a socket with unread bytes resets it, and the peer, busy sending, would never
/// see the answer that says why.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES_MAX: usize = 64 << 20;

/// The socket, as it is.
#[derive(Debug)]
pub struct Raw(Arc<Connection>);

impl Raw {
    /// The socket of a connection.
    #[must_use]
    pub fn new(connection: Arc<Connection>) -> Self {
        Self(connection)
    }

    fn poll_try_write(
        &self,
        cx: &mut Context<'_>,
        mut write: impl FnMut(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let Connection { stream, sent, .. } = &*self.0;
        loop {
            ready!(stream.poll_write_ready(cx))?;
            match write(stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => {
                    sent.fetch_add(*written.as_ref().unwrap_or(&0), Ordering::Relaxed);
                    return Poll::Ready(written);
                }
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
        let stream = &self.0.stream;
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
}

impl AsyncRead for Raw {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_try_read(cx, buf).map_ok(|_| ())
    }
}

impl AsyncWrite for Raw {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_try_write(cx, |stream| stream.try_write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_try_write(cx, |stream| stream.try_write_vectored(bytes))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(shutdown(&self.0.stream, Shutdown::Write).map_err(Into::into))
    }
}

/// The socket under TLS.
pub type Secured = TlsStream<Raw>;

/// The socket, watched.
#[derive(Debug)]
pub struct Watched {
    connection: Arc<Connection>,
    line: Line,
    /// What was read from it, and is to be read again.
    unread: Option<Box<Bytes>>,
    deadlines: Deadlines,
    head: Option<Pin<Box<Sleep>>>,
    write: Option<Pin<Box<Sleep>>>,
    /// What had been sent when the deadline for writing was set.
    sent: usize,
    linger: Option<Box<Linger>>,
    closed: bool,
}

/// A goodbye: how much was read and thrown away, and until when that goes on.
#[derive(Debug)]
struct Linger {
    read: usize,
    end: Pin<Box<Sleep>>,
}

#[derive(Debug)]
enum Line {
    Plain(Raw),
    Tls(Box<Secured>),
}

/// The same, whichever it is.
macro_rules! on {
    ($line:expr, $io:ident => $call:expr) => {
        match $line {
            Line::Plain(raw) => {
                let $io = Pin::new(raw);
                $call
            }
            Line::Tls(tls) => {
                let $io = Pin::new(&mut **tls);
                $call
            }
        }
    };
}

impl Watched {
    /// Watches a connection's socket, with TLS on it or without.
    #[must_use]
    pub fn new(
        connection: Arc<Connection>,
        tls: Option<Box<Secured>>,
        deadlines: Deadlines,
    ) -> Self {
        let line = match tls {
            Some(tls) => Line::Tls(tls),
            None => Line::Plain(Raw::new(Arc::clone(&connection))),
        };
        let (head, write, linger) = (None, None, None);
        Self {
            connection,
            line,
            unread: None,
            deadlines,
            head,
            write,
            sent: 0,
            linger,
            closed: false,
        }
    }

    /// Gives back what was read, for whoever reads next.
    pub fn unread(&mut self, bytes: Bytes) {
        self.unread = Some(Box::new(bytes));
    }

    fn watch_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.connection.is_amid_head() {
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
        let Poll::Ready(result) = polled else {
            ready!(self.poll_stuck(cx));
            self.connection.wrote(FAILED);
            let error = io::Error::new(io::ErrorKind::TimedOut, "the reader takes nothing");
            return Poll::Ready(Err(error));
        };
        self.write = None;
        self.connection.wrote(if result.is_ok() { PARTLY } else { FAILED });
        Poll::Ready(result)
    }

    /// Ready once the system has taken nothing for too long.
    fn poll_stuck(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let sent = self.connection.sent.load(Ordering::Relaxed);
        if std::mem::replace(&mut self.sent, sent) != sent {
            self.write = None;
        }
        let write = self.deadlines.write;
        self.write.get_or_insert_with(|| Box::pin(sleep(write))).as_mut().poll(cx)
    }

    /// Reads and throws away what the peer is still sending, for a while.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let raw = Raw::new(Arc::clone(&self.connection));
        let mut scratch = [0; 8192];
        let linger = self
            .linger
            .get_or_insert_with(|| Box::new(Linger { read: 0, end: Box::pin(sleep(LINGER)) }));
        while linger.read < LINGER_BYTES_MAX {
            match raw.poll_try_read(cx, &mut scratch.as_mut_slice()) {
                Poll::Ready(Ok(read @ 1..)) => linger.read += read,
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return linger.end.as_mut().poll(cx),
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
        if let Some(unread) = &mut self.unread {
            let part = unread.len().min(buf.remaining());
            buf.put_slice(&unread.split_to(part));
            if unread.is_empty() {
                self.unread = None;
            }
            if part > 0 {
                return Poll::Ready(Ok(()));
            }
        }
        let before = buf.filled().len();
        let read = match &mut self.line {
            Line::Plain(raw) => Pin::new(raw).poll_read(cx, buf),
            Line::Tls(tls) => match Pin::new(tls).poll_read(cx, buf) {
                // Who closes without saying so in TLS has closed: HTTP knows where a message ends.
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    Poll::Ready(Ok(()))
                }
                read => read,
            },
        };
        let Poll::Ready(read) = read else { return self.watch_head(cx) };
        if read.is_err() {
            self.connection.wrote(FAILED);
        }
        read?;
        if buf.filled().len() > before {
            self.connection.received();
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
                self.connection.leaves_unread();
                let polled = on!(&mut self.line, io => io.poll_write(cx, &whole));
                polled.map_ok(|written| written.min(bytes.len()))
            }
            None => on!(&mut self.line, io => io.poll_write(cx, bytes)),
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
        let polled = on!(&mut self.line, io => io.poll_write_vectored(cx, bytes));
        self.watch_write(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = on!(&mut self.line, io => io.poll_flush(cx));
        let Poll::Ready(Ok(())) = polled else { return self.watch_write(cx, polled) };
        // hyper flushes once its own buffer is empty.
        self.connection.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.closed {
            match on!(&mut self.line, io => io.poll_shutdown(cx)) {
                Poll::Ready(done) => done?,
                Poll::Pending => ready!(self.poll_stuck(cx)),
            }
            self.closed = true;
        }
        if self.connection.lingers() {
            ready!(self.poll_linger(cx));
        }
        Poll::Ready(Ok(()))
    }
}
