//! `websocket` (CometD's and Faye's custom; checklist X5): frames of messages over one socket.
//!
//! Events go out as soon as they come, without a connect; the connect is a heartbeat. A frame carries
//! as many events as wait, up to a bound, so under load a message costs less. What went out stays in
//! the session's queue until a pong proves that it arrived; whatever socket or poll the client comes
//! back by gets the rest (decisions section 4).

mod ending;
mod frames;
mod pulse;
mod reader;

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::AsyncWrite;
use tokio::task::yield_now;
use tokio::time::{Sleep, sleep_until};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};
use weft_protocol::Body;

use self::ending::Ending;
use self::frames::Outbox;
use self::pulse::Pulse;
pub use self::reader::{Fault, Message, Reader};
use crate::core::held::Release;
use crate::core::id::SessionId;
use crate::core::outlet::{Outlet, OutletKind, Push, Pushed};
use crate::core::queue::Batch;
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

/// So much is written at once, at the least; what fits into one write goes in one.
const FULL: usize = 64 << 10;
/// Who goes on after so many refusals is not read from until there is room again: the rest waits on its
/// side (R35).
const REFUSALS: u32 = 10;
/// How long a peer has to answer a close.
const CLOSING: Duration = Duration::from_secs(2);

/// A socket's other end: messages come from it, bytes go to it.
pub trait Line: AsyncWrite + Unpin {
    /// The next message. After a fault there is none.
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<Message, Fault>>;

    /// Whether more has been read than was asked for.
    fn has_more(&self) -> bool;
}

/// What a socket waits for.
enum News {
    Stop,
    Message(Result<Message, Fault>),
    /// There are events, unless it is something else about the outlet.
    Events,
    /// It is time to look at something.
    Look,
}

/// A socket at work.
struct Socket<'x, L> {
    exchange: &'x Exchange,
    options: &'x SocketOptions,
    line: &'x mut L,
    caller: &'x Caller,
    pulse: Pulse,
    /// What is to go out before anything is waited for.
    out: Outbox,
    /// The session it speaks for.
    bound: Option<SessionId>,
    outlet: Option<Outlet>,
    /// The newest connect, while it is not answered.
    held: Option<Box<HeldConnect>>,
    /// When that is to be looked at if nothing happens.
    held_due: Option<Instant>,
    /// Whether all but the outlet has nothing, and rings if that changes: so it was since the task last
    /// slept.
    asked: bool,
    /// When a client last said something by it.
    spoken: Instant,
    /// How much more often it was refused something at a limit than not.
    refusals: u32,
    /// Until when nothing is read from it.
    paused: Option<Instant>,
}

/// Serves a socket until it ends.
pub async fn serve<L: Line>(
    exchange: &Exchange,
    line: &mut L,
    caller: &Caller,
    options: &SocketOptions,
    stop: &CancellationToken,
) {
    let now = exchange.now();
    let mut socket = Socket {
        exchange,
        options,
        line,
        caller,
        pulse: Pulse::new(options.ping_interval, options.pong_timeout, now),
        out: Outbox::default(),
        bound: None,
        outlet: None,
        held: None,
        held_due: None,
        asked: false,
        spoken: now,
        refusals: 0,
        paused: None,
    };
    let Err(ending) = socket.run(stop).await;
    // Whatever is unproven goes again from here on, however long the goodbye takes.
    (socket.outlet, socket.held) = (None, None);
    if let Ending::Close(code, reason) = ending {
        socket.out.close(Some((code, &reason)));
        // On the heap, so that a socket at work is no larger for it.
        let goodbye = Box::pin(async {
            poll_fn(|cx| socket.out.poll_write(cx, socket.line)).await?;
            let mut last = Ok(Message::Close(None));
            while !matches!(last, Err(_) | Ok(Message::Close(_))) {
                last = poll_fn(|cx| socket.line.poll_message(cx)).await;
            }
            Ok::<_, std::io::Error>(())
        });
        let _ = tokio::time::timeout(CLOSING, goodbye).await;
    }
}

impl<L: Line> Socket<'_, L> {
    async fn run(&mut self, stop: &CancellationToken) -> Result<Infallible, Ending> {
        let mut stopped = pin!(stop.cancelled());
        let mut alarm = pin!(sleep_until(self.pulse.due().into()));
        let mut news = News::Look;
        loop {
            let now = self.exchange.now();
            match news {
                News::Stop => {
                    self.answer_held();
                    return Err(Ending::close(CloseCode::Away, "the broker is going away"));
                }
                News::Message(message) => {
                    self.hear(message?, now).await?;
                    self.hear_more().await?;
                    // A connect that came may have its answer at once.
                    self.answer_held();
                }
                News::Events => self.gather(now).await,
                News::Look => self.answer_held(),
            }
            self.push(now).await?;
            self.see_to_the_peer(now)?;
            self.write(now).await?;
            self.paused = self.paused.filter(|until| *until > now);
            let due = self.due(now).into();
            // One that rings early does no harm; to be set anew each time costs more.
            if due < alarm.deadline() || alarm.is_elapsed() {
                alarm.as_mut().reset(due);
                self.asked = false;
            }
            news = poll_fn(|cx| self.poll_news(cx, stopped.as_mut(), alarm.as_mut())).await;
        }
    }

    fn poll_news(
        &mut self,
        cx: &mut Context<'_>,
        stopped: Pin<&mut WaitForCancellationFuture<'_>>,
        alarm: Pin<&mut Sleep>,
    ) -> Poll<News> {
        if !self.asked {
            if stopped.poll(cx).is_ready() {
                return Poll::Ready(News::Stop);
            }
            if self.paused.is_none()
                && let Poll::Ready(message) = self.line.poll_message(cx)
            {
                return Poll::Ready(News::Message(message));
            }
            let held = self.held.as_ref().map_or(Poll::Pending, |held| held.poll_woken(cx));
            if held.is_ready() || alarm.poll(cx).is_ready() {
                return Poll::Ready(News::Look);
            }
        }
        let woken = self.outlet.as_ref().map_or(Poll::Pending, |outlet| outlet.poll_woken(cx));
        self.asked = woken.is_ready();
        woken.map(|()| News::Events)
    }

    /// There are events. Under load whoever publishes goes on first: so a frame carries more of them.
    async fn gather(&mut self, now: Instant) {
        let little = || self.outlet.as_ref().is_some_and(Outlet::has_little);
        if self.pulse.wrote_lately(now) && little() {
            self.asked = false;
            yield_now().await;
        }
    }

    /// When to look again if nothing happens.
    fn due(&self, now: Instant) -> Instant {
        let outlet = self.outlet.as_ref().filter(|_| self.pulse.has_room());
        let times = [
            Some(self.pulse.due()),
            outlet.and_then(|outlet| outlet.due(now)),
            self.held_due,
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
            let Some(outlet) = &mut self.outlet else { break };
            match outlet.poll(now) {
                None => break,
                Some(Push::Over(why)) => {
                    self.outlet = None;
                    if why == Release::Lapsed {
                        // Fresh credentials may come by it.
                        self.spoken = now;
                    }
                }
                Some(Push::Events(Pushed { batch, untold, more, .. })) => {
                    if untold {
                        // A loss before these is told before them.
                        self.answer_held();
                    }
                    self.tell(batch, now);
                    if self.out.len() >= FULL {
                        self.write(now).await?;
                    }
                    if !more {
                        return Ok(());
                    }
                }
            }
        }
        // The client may have to be told something else.
        self.answer_held();
        Ok(())
    }

    fn tell(&mut self, batch: Batch, now: Instant) {
        let (broker, count) = (self.exchange.broker(), batch.frames.len());
        let bytes = if batch.with_replay {
            let Answer { text, booked, .. } = events(broker, &batch);
            let bytes = text.len();
            self.out.text(text, booked);
            bytes
        } else {
            self.out.events(batch.frames, |bytes| broker.book_reply(bytes))
        };
        self.pulse.wrote_events(count, bytes, now);
    }

    /// Writes all that is to go out, and a ping behind it if one is due, at once: what is said in one
    /// breath arrives in one piece.
    async fn write(&mut self, now: Instant) -> Result<(), Ending> {
        if self.pulse.wants_ping(now) {
            let mark = self.outlet.as_ref().map(Outlet::mark);
            self.out.ping(self.pulse.ping(mark, now));
        }
        if self.out.len() > 0 {
            let Self { line, out, asked, .. } = self;
            let written = poll_fn(|cx| {
                let polled = out.poll_write(cx, *line);
                *asked &= polled.is_ready();
                polled
            });
            written.await?;
            self.pulse.wrote(now);
        }
        Ok(())
    }

    fn reply(&mut self, answer: Answer) {
        self.out.text(answer.text, answer.booked);
    }

    /// Answers the held connect if it is time to.
    fn answer_held(&mut self) {
        let Some(held) = &mut self.held else { return };
        match held.poll() {
            Some(answer) => {
                (self.held, self.held_due) = (None, None);
                self.reply(answer);
            }
            None => self.held_due = held.due(),
        }
    }

    async fn hear(&mut self, message: Message, now: Instant) -> Result<(), Ending> {
        self.pulse.heard(now);
        match message {
            Message::Text(text) => self.work_off(&text, now).await,
            Message::Ping(payload) => {
                self.out.pong(&payload);
                Ok(())
            }
            Message::Pong(payload) => {
                let mark = self.pulse.pong(&payload);
                if let (Some(mark), Some(outlet)) = (mark, &self.outlet) {
                    outlet.confirm(mark);
                }
                Ok(())
            }
            Message::Close(code) => {
                self.out.close(code.map(|code| (code, "")));
                self.write(now).await?;
                Err(Ending::Gone)
            }
        }
    }

    /// Messages that came with another are answered with it.
    async fn hear_more(&mut self) -> Result<(), Ending> {
        while self.line.has_more() && self.paused.is_none() && self.out.len() < FULL {
            let polled = poll_fn(|cx| Poll::Ready(self.line.poll_message(cx))).await;
            let Poll::Ready(message) = polled else { return Ok(()) };
            // A connect that waits for nothing is answered first: the next one comes after it.
            self.answer_held();
            self.hear(message?, self.exchange.now()).await?;
        }
        Ok(())
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
                () = woken(self.outlet.as_ref()) => {
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
            (self.outlet, self.held, self.held_due, self.bound) = (None, None, None, id);
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
            None => {
                self.held_due = connect.due();
                self.held = Some(connect);
            }
        }
    }
}

async fn woken(outlet: Option<&Outlet>) {
    match outlet {
        Some(outlet) => outlet.woken().await,
        None => std::future::pending().await,
    }
}
