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

use bytes::{Buf, BytesMut};
use http::Method;
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

/// Serves requests for the endpoint, one after another. Gives the socket back for others to go on
/// with, if something else comes.
///
/// # Errors
/// When the socket fails, or its deadlines pass.
pub async fn serve(
    lean: &Lean,
    io: Watched,
    connection: &Arc<Connection>,
    options: &ListenerOptions,
    stats: &HttpStats,
    stop: &CancellationToken,
) -> io::Result<Option<Watched>> {
    let mut line = Line { io, ahead: BytesMut::new(), leave: None, over: false };
    let peer = Peer::new(Arc::clone(connection));
    let mut alarm = Alarm::new(lean.now() + options.idle);
    let mut stopped = std::pin::pin!(stop.cancelled());
    // What came before a response was written does not show that this was read.
    let mut came_after = true;
    loop {
        let idle = lean.now() + options.idle;
        let request = select! {
            biased;
            next = line.next(&lean.mounts) => match next? {
                Next::Request(request) => request,
                Next::Other => return Ok(Some(line.hand_over())),
                Next::End => return Ok(None),
            },
            () = &mut stopped => break,
            () = alarm.rings(idle) => break,
        };
        if came_after {
            connection.busy();
        } else {
            connection.busy_already();
        }
        let close = request.close;
        let (response, whole) = match Box::pin(lean.begin(&mut line, *request, &peer)).await {
            (Begun::Answered(response), whole) => (response, whole),
            (Begun::Held(waiting), whole) => {
                let Waiting { mut connect, asked } = *waiting;
                let Some(answer) = line.hold(&mut connect, connection, &mut alarm).await? else {
                    // The client is gone. What it sent before that is heard.
                    if line.ahead.is_empty() {
                        return Ok(None);
                    }
                    connection.idle();
                    continue;
                };
                drop(connect);
                (Box::pin(lean.endpoint.finish(asked, answer)).await, whole)
            }
        };
        connection.idle();
        stats.responded(response.status());
        let last = close || !whole || line.over || stop.is_cancelled();
        came_after = line.ahead.is_empty();
        line.respond(response::spell(response, last, lean.wall_s())).await?;
        if last {
            break;
        }
        // Whoever sends many at once takes turns with others.
        tokio::task::coop::consume_budget().await;
    }
    line.io.shutdown().await?;
    Ok(None)
}

impl Lean {
    fn now(&self) -> Instant {
        self.endpoint.exchange.now()
    }

    fn wall_s(&self) -> u64 {
        let wall_us = self.endpoint.exchange.broker().clock().wall_us();
        u64::try_from(wall_us / 1_000_000).unwrap_or(0)
    }

    /// Works off a request. Whether all of it has been read by then.
    async fn begin(&self, line: &mut Line, request: Request, peer: &Arc<Peer>) -> (Begun, bool) {
        let Request { method, query, headers, mut framing, expects, .. } = request;
        let (has_body, takes_body) = (!framing.is_over(), method == Method::POST);
        line.leave = expects.then_some(CONTINUE);
        let head = Head::new(method, query, headers, Arc::clone(peer));
        let body = Body { source: line, framing: &mut framing };
        let begun = self.endpoint.begin(head, body).await;
        // What is at hand of a body that nobody wanted is passed over.
        while let Ok(Some(_)) = framing.take(&mut line.ahead) {}
        if let Begun::Answered(response) = &begun
            && has_body
            && (!takes_body || response.status().as_u16() >= 400)
        {
            // Who is refused may be sending still.
            peer.leaves_unread();
        }
        (begun, framing.is_over())
    }
}

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What comes next.
enum Next {
    Request(Box<Request>),
    Other,
    End,
}

/// A connection's socket, and what was read ahead from it.
struct Line {
    io: Watched,
    ahead: BytesMut,
    /// What is to be written before the client sends a body, if it waits for that.
    leave: Option<&'static [u8]>,
    /// The client has closed its side.
    over: bool,
}

impl Line {
    /// The socket for another to read from, with what was read ahead.
    fn hand_over(mut self) -> Watched {
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
            self.skip_blank();
            if !self.ahead.is_empty() {
                // What follows hides whether the client is still there.
                return Ok(if connection.is_gone() { None } else { connect.hurry() });
            }
            select! {
                biased;
                read = poll_fn(|cx| self.poll_read(cx)) => if read? == 0 {
                    self.over = true;
                    return Ok(None);
                },
                answer = answered(connect, alarm) => return Ok(Some(answer)),
            }
        }
    }

    /// Some clients send an empty line behind a body (RFC 9112 §2.2).
    fn skip_blank(&mut self) {
        let blank = self.ahead.iter().take_while(|byte| b"\r\n".contains(byte)).count();
        self.ahead.advance(blank);
    }

    async fn respond(&mut self, spelled: Spelled) -> io::Result<()> {
        if self.ahead.is_empty() {
            // An idle connection has no buffer.
            self.ahead = BytesMut::new();
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

/// Waits until a connect has its answer. Cancel-safe: nothing is taken before the end.
async fn answered(connect: &mut HeldConnect, alarm: &mut Alarm) -> Answer {
    loop {
        if let Some(answer) = connect.poll() {
            return answer;
        }
        let Some(due) = connect.due() else { continue };
        select! {
            biased;
            () = connect.woken() => {}
            () = alarm.rings(due) => {}
        }
    }
}
