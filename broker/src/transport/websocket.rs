//! `websocket` (CometD's and Faye's custom; checklist X5): frames of messages over one socket.
//!
//! Events go out as soon as they come, without a connect; the connect is a heartbeat. A frame carries
//! as many events as wait, up to a bound, so under load a message costs less. What went out stays in
//! the session's queue until a pong proves that it arrived; whatever socket or poll the client comes
//! back by gets the rest (decisions section 4).

mod frames;
mod pulse;

use std::borrow::Cow;
use std::convert::Infallible;
use std::time::{Duration, Instant};

use futures_util::SinkExt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_stream::StreamExt;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as WsError, Message, Utf8Bytes};
use tokio_util::sync::CancellationToken;
use weft_protocol::{Body, BodyError};

use self::frames::Outbox;
use self::pulse::Pulse;
use crate::core::held::Release;
use crate::core::id::SessionId;
use crate::core::outlet::{Outlet, OutletKind, Push, Pushed};
use crate::exchange::{Answer, Caller, Exchange, FrameLimits, HeldConnect, SocketTurn, events};

/// How sockets are treated.
#[derive(Debug, Clone, Copy)]
pub struct SocketOptions {
    /// How long nothing is written before a ping is.
    pub ping_interval: Duration,
    /// How long a peer may be silent while a ping is unanswered.
    pub pong_timeout: Duration,
    /// Bounds of one frame's events; one event always fits.
    pub frame: FrameLimits,
    /// The longest message that a client may send, in bytes.
    pub message_bytes: usize,
    /// How long a socket may be open that no session uses.
    pub idle: Duration,
}

/// The buffer that each socket reads into: the smallest that most messages fit.
const READ_BUFFER: usize = 4 << 10;
/// So much is written at once, at the least; what fits into one write goes in one.
const FULL: usize = 64 << 10;
/// Who goes on after so many refusals is not read from until there is room again: the rest waits on its
/// side (R35).
const REFUSALS: u32 = 10;
/// How long a peer has to answer a close.
const CLOSING: Duration = Duration::from_secs(2);

/// Why a socket ends.
#[derive(Debug)]
enum Ending {
    /// The other side closed it, or it broke.
    Gone,
    /// We close it.
    Close(CloseCode, Cow<'static, str>),
}

impl Ending {
    fn close(code: CloseCode, text: &'static str) -> Self {
        Self::Close(code, Cow::Borrowed(text))
    }
}

impl From<std::io::Error> for Ending {
    fn from(_: std::io::Error) -> Self {
        Self::Gone
    }
}

impl From<WsError> for Ending {
    fn from(error: WsError) -> Self {
        match error {
            WsError::Capacity(_) => Self::close(CloseCode::Size, "the message is too large"),
            WsError::Utf8(_) => Self::close(CloseCode::Invalid, "not UTF-8"),
            WsError::Protocol(
                ProtocolError::ResetWithoutClosingHandshake | ProtocolError::ReceivedAfterClosing,
            ) => Self::Gone,
            WsError::Protocol(_) => Self::close(CloseCode::Protocol, "not WebSocket (RFC 6455)"),
            _ => Self::Gone,
        }
    }
}

impl From<BodyError> for Ending {
    fn from(error: BodyError) -> Self {
        let code = match error {
            BodyError::TooMany | BodyError::TooDeep => CloseCode::Policy,
            _ => CloseCode::Invalid,
        };
        Self::Close(code, Cow::Owned(error.to_string()))
    }
}

/// A socket at work.
struct Socket<'x, S> {
    exchange: &'x Exchange,
    options: SocketOptions,
    ws: WebSocketStream<S>,
    caller: Caller,
    pulse: Pulse,
    /// What is to go out before anything is waited for.
    out: Outbox,
    /// The session it speaks for.
    bound: Option<SessionId>,
    outlet: Option<Outlet>,
    /// The newest connect, while it is not answered.
    held: Option<Box<HeldConnect>>,
    /// When a client last said something by it.
    spoken: Instant,
    /// How much more often it was refused something at a limit than not.
    refusals: u32,
    /// Until when nothing is read from it.
    paused: Option<Instant>,
}

/// Serves a socket until it ends; returns its stream. `read` are the bytes that came with the upgrade.
pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    exchange: &Exchange,
    (io, read): (S, Vec<u8>),
    caller: Caller,
    options: SocketOptions,
    stop: &CancellationToken,
) -> S {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_message_size(Some(options.message_bytes))
        .max_frame_size(Some(options.message_bytes));
    let ws = WebSocketStream::from_partially_read(io, read, Role::Server, Some(config)).await;
    let now = exchange.now();
    let mut socket = Socket {
        exchange,
        options,
        ws,
        caller,
        pulse: Pulse::new(options.ping_interval, options.pong_timeout, now),
        out: Outbox::default(),
        bound: None,
        outlet: None,
        held: None,
        spoken: now,
        refusals: 0,
        paused: None,
    };
    let Err(ending) = socket.run(stop).await;
    // Whatever is unproven goes again from here on, however long the goodbye takes.
    (socket.outlet, socket.held) = (None, None);
    let Socket { mut ws, mut out, .. } = socket;
    if let Ending::Close(code, reason) = ending {
        let reason = Utf8Bytes::from(short(&reason));
        let goodbye = async {
            ws.flush().await?;
            out.write(ws.get_mut()).await?;
            ws.send(Message::Close(Some(CloseFrame { code, reason }))).await?;
            while ws.next().await.is_some() {}
            Ok::<_, WsError>(())
        };
        let _ = tokio::time::timeout(CLOSING, goodbye).await;
    }
    ws.into_inner()
}

/// A reason as a close frame has room for it: 123 bytes (RFC 6455 §5.5).
fn short(reason: &str) -> &str {
    reason.get(..reason.floor_char_boundary(123)).unwrap_or_default()
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<'_, S> {
    async fn run(&mut self, stop: &CancellationToken) -> Result<Infallible, Ending> {
        loop {
            let now = self.exchange.now();
            self.push(now).await?;
            self.answer_held();
            self.see_to_the_peer(now)?;
            self.write(now).await?;
            self.paused = self.paused.filter(|until| *until > now);
            let due = self.due(now);
            let Self { ws, outlet, held, paused, .. } = self;
            tokio::select! {
                biased;
                () = stop.cancelled() => {
                    self.answer_held();
                    return Err(Ending::close(CloseCode::Away, "the broker is going away"));
                }
                message = ws.next(), if paused.is_none() => {
                    let message = message.ok_or(Ending::Gone)??;
                    self.hear(message).await?;
                }
                () = woken_outlet(outlet.as_ref()) => {}
                () = woken_connect(held.as_deref()) => {}
                () = tokio::time::sleep_until(due.into()) => {}
            }
        }
    }

    /// When to look again if nothing happens.
    fn due(&self, now: Instant) -> Instant {
        let outlet = self.outlet.as_ref().filter(|_| self.pulse.has_room());
        let times = [
            Some(self.pulse.due()),
            outlet.and_then(|outlet| outlet.due(now)),
            self.held.as_ref().and_then(|held| held.due()),
            self.outlet.is_none().then(|| self.spoken + self.options.idle),
            self.paused,
        ];
        times.into_iter().flatten().min().unwrap_or(now + self.options.idle)
    }

    /// Gives up a peer that is gone, closes what nobody uses.
    fn see_to_the_peer(&self, now: Instant) -> Result<(), Ending> {
        if self.pulse.is_dead(now) {
            tracing::debug!("a socket's peer answers no ping");
            return Err(Ending::Gone);
        }
        if self.outlet.is_none() && now >= self.spoken + self.options.idle {
            return Err(match self.bound {
                None => Ending::close(CloseCode::Policy, "no session came in time"),
                Some(_) => Ending::close(CloseCode::Normal, "no session uses this socket"),
            });
        }
        Ok(())
    }

    /// Lets events go out, as much as may be under way. Waits only where that is more than goes out
    /// at once.
    async fn push(&mut self, now: Instant) -> Result<(), Ending> {
        while self.pulse.has_room() {
            let Some(outlet) = &mut self.outlet else { return Ok(()) };
            match outlet.poll(now) {
                None => return Ok(()),
                Some(Push::Over(why)) => {
                    self.outlet = None;
                    if why == Release::Lapsed {
                        // Fresh credentials may come by it.
                        self.spoken = now;
                    }
                }
                Some(Push::Events(Pushed { batch, .. })) => {
                    // A loss before these is told before them.
                    self.answer_held();
                    let answer = events(self.exchange.broker(), &batch);
                    self.pulse.wrote_events(batch.frames.len(), answer.text.len(), now);
                    self.reply(answer);
                    if self.out.len() >= FULL {
                        self.write(now).await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Writes all that is to go out, and a ping behind it if one is due, at once: what is said in one
    /// breath arrives in one piece.
    async fn write(&mut self, now: Instant) -> Result<(), Ending> {
        if self.pulse.wants_ping(now) {
            let mark = self.outlet.as_ref().map(Outlet::mark);
            self.out.ping(self.pulse.ping(mark, now));
        }
        if self.out.len() > 0 {
            self.ws.flush().await?;
            self.out.write(self.ws.get_mut()).await?;
            self.pulse.wrote(self.exchange.now());
        }
        Ok(())
    }

    fn reply(&mut self, answer: Answer) {
        self.out.text(answer.text, answer.booked);
    }

    /// Answers the held connect if it is time to.
    fn answer_held(&mut self) {
        let Some(answer) = self.held.as_mut().and_then(|held| held.poll()) else { return };
        self.held = None;
        self.reply(answer);
    }

    async fn hear(&mut self, message: Message) -> Result<(), Ending> {
        let now = self.exchange.now();
        self.pulse.heard(now);
        match message {
            Message::Text(text) => self.work_off(&text, now).await,
            Message::Pong(payload) => {
                let mark = self.pulse.pong(&payload);
                if let (Some(mark), Some(outlet)) = (mark, &self.outlet) {
                    outlet.confirm(mark);
                }
                Ok(())
            }
            Message::Binary(_) => Err(Ending::close(CloseCode::Unsupported, "text frames only")),
            // The library answers both.
            Message::Ping(_) | Message::Close(_) | Message::Frame(_) => Ok(()),
        }
    }

    async fn work_off(&mut self, text: &str, now: Instant) -> Result<(), Ending> {
        // Some clients keep a socket busy so.
        if matches!(text.trim(), "" | "null") {
            return Ok(());
        }
        let caller = Caller { arrived: now, bytes: text.len(), ..self.caller.clone() };
        let body = Body::text(text);
        // On the heap, so that an idle socket is no larger for it.
        let mut turn = Box::pin(self.exchange.handle_frame(caller, &body, self.bound));
        let turn: SocketTurn = loop {
            tokio::select! {
                biased;
                turn = &mut turn => break turn?,
                () = woken_outlet(self.outlet.as_ref()) => {
                    let now = self.exchange.now();
                    self.push(now).await?;
                    self.write(now).await?;
                }
            }
        };
        // Whoever is refused does not keep a socket open by that.
        if turn.speaker.is_some() || turn.handshaken.is_some() {
            self.spoken = now;
        }
        if turn.lacks_cookie {
            return Err(Ending::close(CloseCode::Policy, "the session's cookie did not come"));
        }
        self.slow_down(turn.limited, now);
        self.answer(turn).await
    }

    /// Who floods a limit is answered a few times, and then kept waiting, but not for so long that a
    /// pong might not be heard in time.
    fn slow_down(&mut self, limited: Option<Duration>, now: Instant) {
        let Some(after) = limited else {
            // Not forgotten at once: of a flood a little always passes.
            self.refusals = self.refusals.saturating_sub(1);
            return;
        };
        self.refusals = self.refusals.saturating_add(1).min(REFUSALS + 1);
        if self.refusals > REFUSALS {
            self.paused = Some(now + after.min(self.options.pong_timeout / 2));
        }
    }

    /// Events first, unless the replies tell how they begin; then a connect that was let go, then the
    /// replies, then what new connects get.
    async fn answer(&mut self, turn: SocketTurn) -> Result<(), Ending> {
        let SocketTurn { replies, replays, connects, speaker, handshaken, .. } = turn;
        let id = handshaken.or_else(|| speaker.as_ref().map(|session| session.id));
        if id.is_some() && id != self.bound {
            // Another session, or the first: what was here is left to come back by another way.
            (self.outlet, self.held, self.bound) = (None, None, id);
            self.pulse.starts_over();
        }
        if let (None, Some(session)) = (&self.outlet, &speaker) {
            let (broker, limits) = (self.exchange.broker(), self.options.frame);
            self.outlet = broker.attach_early(session, OutletKind::Socket, limits);
        }
        if !replays {
            self.push(self.exchange.now()).await?;
        }
        self.answer_held();
        if let Some(replies) = replies {
            self.reply(replies);
        }
        for connect in connects {
            self.connect(connect);
        }
        Ok(())
    }

    fn connect(&mut self, mut connect: Box<HeldConnect>) {
        let limits = self.options.frame;
        let mut attached = false;
        let answer = connect.begin_on(&mut self.outlet, |broker, session| {
            attached = true;
            broker.attach(session, OutletKind::Socket, limits)
        });
        if attached {
            self.pulse.starts_over();
        }
        // The older one has given way to it.
        self.answer_held();
        match answer {
            Some(answer) => self.reply(answer),
            None => self.held = Some(connect),
        }
    }
}

async fn woken_outlet(outlet: Option<&Outlet>) {
    match outlet {
        Some(outlet) => outlet.woken().await,
        None => std::future::pending().await,
    }
}

async fn woken_connect(held: Option<&HeldConnect>) {
    match held {
        Some(held) => held.woken().await,
        None => std::future::pending().await,
    }
}
