//! The lean path: the Bayeux endpoint's HTTP/1.1, spoken by the connection's own task.
//!
//! The library that serves everything else keeps two buffers of 8 KiB for each connection, and a held
//! poll is a connection that does nothing for half a minute. Here it is little more than its socket and
//! its session: buffers exist while bytes are in them. Whatever is not a plain request for the endpoint
//! is handed over with the bytes already read, and the connection stays there.
//!
//! A held connect is answered as soon as other bytes follow it (R8a): they may be a request that waits
//! for nothing else.

mod alarm;
mod framing;
mod head;
mod response;

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::poll;
use http::{Method, Response};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::select;
use tokio_util::sync::CancellationToken;

use self::alarm::Alarm;
use self::framing::{Body, Source};
use self::head::{Parsed, Request};
use self::response::Spelled;
use super::bayeux::{Begun, Endpoint, Head, Waiting};
use super::connection::{Connection, Peer};
use super::listener::ListenerOptions;
use super::socket::Watched;
use super::stats::HttpStats;
use crate::exchange::{Answer, HeldConnect};

/// What is read at a time, and while a connect is held.
const READ: usize = 8 << 10;

/// What the lean path serves.
#[derive(Debug, Clone)]
pub struct Lean {
    /// The endpoint.
    pub endpoint: Arc<Endpoint>,
    /// The paths it is mounted at.
    pub mounts: Arc<[String]>,
}

/// What a connection goes by.
#[derive(Debug)]
pub struct Around<'a> {
    /// Its deadlines.
    pub options: &'a ListenerOptions,
    /// What is counted.
    pub stats: &'a HttpStats,
    /// Told when to let what is under way finish, and end.
    pub stop: &'a CancellationToken,
}

/// How the lean path ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// With the connection.
    Closed,
    /// Something else has come, which others go on with.
    Others,
}

impl Lean {
    /// Serves requests for the endpoint, one after another.
    ///
    /// # Errors
    /// When the socket fails, or its deadlines pass.
    pub async fn serve(
        &self,
        line: &mut Line,
        connection: &Arc<Connection>,
        around: &Around<'_>,
    ) -> io::Result<After> {
        let Around { options, stop, .. } = around;
        let peer = Peer::new(Arc::clone(connection));
        let mut alarm = Alarm::new(self.now() + options.idle);
        // What came before a response was written does not show that this was read.
        let mut came_after = true;
        loop {
            let idle = self.now() + options.idle;
            let request = select! {
                biased;
                next = line.next(&self.mounts) => match next? {
                    Next::Request(request) => request,
                    Next::Other if line.mute => return Ok(After::Closed),
                    Next::Other => return Ok(After::Others),
                    Next::End => return Ok(After::Closed),
                },
                () = stop.cancelled() => break,
                () = alarm.rings(idle) => break,
            };
            connection.busy(came_after);
            // On the heap, like all that is over before a connection waits again.
            let spelled = match Box::pin(self.begin(line, request, &peer, around)).await {
                Step::Answered(spelled) => spelled,
                Step::Held(mut held) => {
                    let connect = &mut held.waiting.connect;
                    let answer = line.hold(connect, connection, &mut alarm).await?;
                    match answer {
                        Some(answer) => Box::pin(self.finish(held, answer, around)).await,
                        None if line.is_blank() => return Ok(After::Closed),
                        // What the client sent before it went is heard. No answer to it may come where
                        // one to the connect is due.
                        None => {
                            line.mute = true;
                            connection.idle();
                            continue;
                        }
                    }
                }
            };
            connection.idle();
            let last = spelled.close || line.over;
            came_after = line.ahead.is_empty();
            line.respond(spelled).await?;
            if last {
                break;
            }
            // Whoever sends many at once takes turns with others.
            tokio::task::coop::consume_budget().await;
        }
        line.io.shutdown().await?;
        Ok(After::Closed)
    }

    fn now(&self) -> Instant {
        self.endpoint.exchange.now()
    }

    fn wall_s(&self) -> u64 {
        let wall_us = self.endpoint.exchange.broker().clock().wall_us();
        u64::try_from(wall_us / 1_000_000).unwrap_or(0)
    }

    /// Works off a request. The connection ends with it if the client says so, or if a part of it will
    /// not be read.
    async fn begin(
        &self,
        line: &mut Line,
        request: Box<Request>,
        peer: &Arc<Peer>,
        around: &Around<'_>,
    ) -> Step {
        let Request { method, query, headers, mut framing, expects, close } = *request;
        let (has_body, takes_body) = (!framing.is_over(), method == Method::POST);
        line.leave = expects.then_some(CONTINUE);
        let head = Head::new(method, query, headers, Arc::clone(peer));
        let body = Body { source: line, framing: &mut framing };
        let response = match self.endpoint.begin(head, body).await {
            Begun::Answered(response) => response,
            Begun::Held(waiting) => return Step::Held(Held { close, waiting }),
        };
        // A piece that is at hand of a body that nobody wanted is passed over. If it is not all, the
        // connection ends.
        let _ = framing.take(&mut line.ahead);
        if has_body && (!takes_body || response.status().as_u16() >= 400) {
            // Who is refused may be sending still.
            peer.leaves_unread();
        }
        Step::Answered(self.spell(response, close || !framing.is_over(), around))
    }

    /// Spells the answer to a connect that was held.
    async fn finish(&self, held: Held, answer: Answer, around: &Around<'_>) -> Box<Spelled> {
        let Held { waiting, close } = held;
        let response = self.endpoint.finish(waiting.asked, answer).await;
        self.spell(response, close, around)
    }

    fn spell(&self, response: Response<Bytes>, close: bool, around: &Around<'_>) -> Box<Spelled> {
        around.stats.responded(response.status());
        let close = close || around.stop.is_cancelled();
        Box::new(response::spell(response, close, self.wall_s()))
    }
}

/// What a request comes to.
enum Step {
    Answered(Box<Spelled>),
    Held(Held),
}

/// A connect that waits, and whether the connection ends with it.
struct Held {
    close: bool,
    waiting: Box<Waiting>,
}

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What comes next.
#[derive(Debug)]
enum Next {
    Request(Box<Request>),
    Other,
    End,
}

/// A connection's socket, and what was read ahead from it.
#[derive(Debug)]
pub struct Line {
    io: Watched,
    ahead: BytesMut,
    /// What is to be written before the client sends a body, if it waits for that.
    leave: Option<&'static [u8]>,
    /// The client has closed its side.
    over: bool,
    /// Nothing more is written: a response is missing, and others would be taken for it.
    mute: bool,
}

impl Line {
    /// Nothing was read yet.
    #[must_use]
    pub fn new(io: Watched) -> Self {
        Self { io, ahead: BytesMut::new(), leave: None, over: false, mute: false }
    }

    /// The socket for another to read from, with what was read ahead.
    #[must_use]
    pub fn hand_over(mut self) -> Watched {
        self.io.unread(self.ahead.freeze());
        self.io
    }

    /// Waits for a request. Cancel-safe.
    async fn next(&mut self, mounts: &[String]) -> io::Result<Next> {
        loop {
            if !self.ahead.is_empty() {
                match head::parse(&mut self.ahead, mounts) {
                    Parsed::Ours(request) => return Ok(Next::Request(request)),
                    Parsed::Other => return Ok(Next::Other),
                    Parsed::Partial => {}
                }
            }
            if self.over || poll_fn(|cx| self.poll_read(cx)).await? == 0 {
                return Ok(Next::End);
            }
        }
    }

    /// Waits until a connect is to be answered; `None` if the client goes away before, and nothing is
    /// taken from its queue then.
    async fn hold(
        &mut self,
        connect: &mut HeldConnect,
        connection: &Connection,
        alarm: &mut Alarm,
    ) -> io::Result<Option<Answer>> {
        loop {
            if !self.is_blank() {
                // What follows hides whether the client is still there.
                return Ok(if connection.is_gone() { None } else { connect.hurry() });
            }
            // The socket first: nothing is taken for a client that is known to be gone.
            let mut read = poll!(poll_fn(|cx| self.poll_read(cx)));
            if read.is_pending() {
                if let Some(answer) = connect.poll() {
                    return Ok(Some(answer));
                }
                let due = connect.due().unwrap_or_else(|| alarm.set_for());
                read = select! {
                    biased;
                    read = poll_fn(|cx| self.poll_read(cx)) => Poll::Ready(read),
                    () = connect.woken() => Poll::Pending,
                    () = alarm.rings(due) => Poll::Pending,
                };
            }
            if let Poll::Ready(read) = read
                && read? == 0
            {
                self.over = true;
                return Ok(None);
            }
        }
    }

    /// Whether no more than empty lines were read ahead: some clients send one behind a body
    /// (RFC 9112 §2.2).
    fn is_blank(&mut self) -> bool {
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

    async fn respond(&mut self, spelled: Box<Spelled>) -> io::Result<()> {
        self.shed();
        if self.mute {
            return Ok(());
        }
        let mut all = spelled.head.chain(spelled.rest());
        self.io.write_all_buf(&mut all).await?;
        self.io.flush().await
    }

    /// Reads what there is, behind what was read ahead; nothing at the end.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut room = [const { MaybeUninit::uninit() }; READ];
        let mut read = ReadBuf::uninit(&mut room);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut read))?;
        self.ahead.extend_from_slice(read.filled());
        Poll::Ready(Ok(read.filled().len()))
    }

    /// Gives leave for the body, if that is awaited.
    fn poll_leave(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(owed @ [_, ..]) = self.leave {
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, owed))?;
            self.leave = owed.get(written..);
        }
        Pin::new(&mut self.io).poll_flush(cx)
    }
}

impl Source for Line {
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.leave.is_some() {
            ready!(self.poll_leave(cx))?;
            self.leave = None;
        }
        self.poll_read(cx)
    }

    fn at_hand(&mut self) -> &mut BytesMut {
        &mut self.ahead
    }
}
