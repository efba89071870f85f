//! A connection's bytes: what was read ahead, a connect that waits, and what is written.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::alarm::Alarm;
use super::framing::Source;
use super::head::{self, Parsed, Request};
use super::response::Spelled;
use crate::exchange::{Answer, HeldConnect};
use crate::http::connection::{Connection, Peer};
use crate::http::socket::Watched;

/// What is read at a time.
const READ: usize = 8 << 10;
/// The leave to send a body (RFC 9110 §10.1.1).
const CONTINUE: &[u8; 25] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What a connect was held until.
enum Heard {
    Read(io::Result<usize>),
    Answer(Box<Answer>),
}

/// What comes next.
#[derive(Debug)]
pub(super) enum Next {
    Request(Box<Request>),
    Other,
    /// Nothing more comes.
    End,
}

/// A connection's socket, and what was read ahead from it.
#[derive(Debug)]
pub struct Line {
    io: Watched,
    pub(super) connection: Arc<Connection>,
    pub(super) peer: Arc<Peer>,
    pub(super) alarm: Alarm,
    pub(super) ahead: BytesMut,
    /// So much of the leave to send a body is still to be written, since the client waits for it.
    pub(super) leave_owed: u8,
    /// The client has closed its side.
    pub(super) over: bool,
    /// Nothing more is written: a response is missing, and others would be taken for it.
    pub(super) mute: bool,
}

impl Line {
    /// A connection of which nothing was read yet.
    #[must_use]
    pub fn new(io: Watched, connection: Arc<Connection>) -> Self {
        let peer = Peer::new(Arc::clone(&connection));
        Self {
            io,
            connection,
            peer,
            alarm: Alarm::new(),
            ahead: BytesMut::new(),
            leave_owed: 0,
            over: false,
            mute: false,
        }
    }

    /// The socket for another to read from, with what was read ahead.
    #[must_use]
    pub fn hand_over(mut self) -> Watched {
        self.io.unread(self.ahead.freeze());
        self.io
    }

    /// Waits for a request until then. Cancel-safe.
    pub(super) async fn next(&mut self, mounts: &[String], idle: Instant) -> io::Result<Next> {
        loop {
            if !self.ahead.is_empty() {
                match head::parse(&mut self.ahead, mounts) {
                    Parsed::Ours(request) => return Ok(Next::Request(request)),
                    Parsed::Other => return Ok(Next::Other),
                    Parsed::Partial => {}
                }
            }
            if self.over {
                return Ok(Next::End);
            }
            let Self { io, alarm, ahead, .. } = self;
            let read = poll_fn(|cx| match poll_read(io, ahead, cx) {
                Poll::Pending => alarm.poll(cx, idle).map(|()| Ok(0)),
                read => read,
            });
            let read = read.await?;
            if read == 0 {
                return Ok(Next::End);
            }
        }
    }

    /// Waits until a connect is to be answered; `None` if the client goes away before, and nothing is
    /// taken from its queue then. It `follows` if it was surely sent by one who had read the last reply.
    pub(super) async fn hold(
        &mut self,
        connect: &mut HeldConnect,
        follows: bool,
    ) -> io::Result<Option<Box<Answer>>> {
        // A connect proves that the last reply was read. If it comes since another connection broke, one
        // turn lets that be seen first: the system is asked for news, and who has some goes before. Under
        // load more events have come by then, too.
        if !follows {
            tokio::task::yield_now().await;
        }
        loop {
            if !self.is_blank() {
                // What follows hides whether the client is still there.
                let gone = self.connection.is_gone();
                return Ok(if gone { None } else { connect.hurry().map(Box::new) });
            }
            let Self { io, ahead, alarm, .. } = self;
            let heard = poll_fn(|cx| {
                loop {
                    // The socket first: nothing is taken for a client that is known to be gone.
                    if let Poll::Ready(read) = poll_read(io, ahead, cx) {
                        return Poll::Ready(Heard::Read(read));
                    }
                    if let Some(answer) = connect.poll() {
                        return Poll::Ready(Heard::Answer(Box::new(answer)));
                    }
                    if connect.poll_woken(cx).is_pending() {
                        // It waits, so there is such a time.
                        let Some(due) = connect.due() else { return Poll::Pending };
                        ready!(alarm.poll(cx, due));
                    }
                }
            });
            match heard.await {
                Heard::Answer(answer) => return Ok(Some(answer)),
                Heard::Read(read) => {
                    if read? == 0 {
                        self.over = true;
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Whether no more than empty lines were read ahead: some clients send one behind a body
    /// (RFC 9112 §2.2).
    pub(super) fn is_blank(&mut self) -> bool {
        while let Some(end) = match &*self.ahead {
            [b'\r', b'\n', ..] => Some(2),
            [b'\n', ..] => Some(1),
            _ => None,
        } {
            self.ahead.advance(end);
        }
        self.shed();
        // The other half of one may be on its way.
        matches!(&*self.ahead, [] | [b'\r'])
    }

    /// An idle connection has no buffer.
    fn shed(&mut self) {
        if self.ahead.is_empty() {
            self.ahead = BytesMut::new();
        }
    }

    /// Writes a response.
    pub(super) async fn respond(&mut self, spelled: Box<Spelled>) -> io::Result<()> {
        self.shed();
        if self.mute {
            return Ok(());
        }
        if spelled.rest().is_empty() {
            self.io.write_all(&spelled.head).await?;
        } else {
            let mut all = spelled.head.chain(spelled.rest());
            self.io.write_all_buf(&mut all).await?;
        }
        self.io.flush().await
    }

    /// Whether all that was read is taken.
    pub(super) fn is_at_end(&self) -> bool {
        self.ahead.is_empty()
    }

    /// Closes it, in order.
    pub(super) async fn shut(&mut self) -> io::Result<()> {
        self.io.shutdown().await
    }

    /// Whether the client waits for leave to send a body, so that it gets that before the body is read.
    /// What was owed before, and not needed, is owed no more.
    pub(super) fn owe_leave(&mut self, expects: bool) {
        self.leave_owed = if expects { CONTINUE.len() as u8 } else { 0 };
    }

    fn poll_leave(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.leave_owed > 0 {
            let owed = CONTINUE.len().saturating_sub(usize::from(self.leave_owed));
            let owed = CONTINUE.get(owed..).unwrap_or_default();
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, owed))?;
            self.leave_owed = self.leave_owed.saturating_sub(written.min(owed.len()) as u8);
        }
        Pin::new(&mut self.io).poll_flush(cx)
    }
}

/// Reads what there is, behind what was read ahead; nothing at the end.
fn poll_read(
    io: &mut Watched,
    ahead: &mut BytesMut,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let mut room = [const { MaybeUninit::uninit() }; READ];
    let mut read = ReadBuf::uninit(&mut room);
    ready!(Pin::new(io).poll_read(cx, &mut read))?;
    ahead.extend_from_slice(read.filled());
    Poll::Ready(Ok(read.filled().len()))
}

impl Source for Line {
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.leave_owed > 0 {
            ready!(self.poll_leave(cx))?;
        }
        poll_read(&mut self.io, &mut self.ahead, cx)
    }

    fn at_hand(&mut self) -> &mut BytesMut {
        &mut self.ahead
    }
}
