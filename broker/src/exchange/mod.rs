//! One request in, its answer out: what Bayeux asks of every polling transport alike.
//!
//! The messages of a request are worked off in order; events are taken last, so that what the
//! request itself published is among them, and go first: events, then replies in the order of the
//! requests, the connect reply last (decisions 3.2). A connect that stands alone may be held.

mod asking;
mod connect;
mod identity;
mod meter;
mod stopping;
mod turn;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::yield_now;
use weft_protocol::{
    Ack, Array, Body, BodyError, ConnectionType, DecodeLimits, Error, Message, Reconnect, Reply,
    ReplyExt, announces_ack, announces_replay,
};

pub use self::connect::HeldConnect;
use self::connect::{answer_timesync, asked_timesync, frames_len, push_frames};
use self::meter::Meter;
use self::turn::Turn;
use crate::core::broker::{Broker, Wishes};
pub use crate::core::frame::Booked;
pub use crate::core::id::BrowserId;
use crate::core::id::{SessionId, SessionIds};
pub use crate::core::options::ResponseLimits as FrameLimits;
use crate::core::queue::Batch;
use crate::core::session::SessionHandle;
use crate::guard::{Asker, Guard, Who};
use crate::limits::Payer;

/// Who sent a request, as far as sessions care.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Where from: the client's address, as far as named proxies tell it.
    pub address: IpAddr,
    /// Whether by HTTP/2, where no request holds up another.
    pub http2: bool,
    /// Whom it counts for, as far as its address says.
    pub payer: Payer,
    /// How many bytes it brought.
    pub bytes: usize,
    /// Whose credentials its head brought.
    pub who: Who,
    /// The browser that its cookie proves.
    pub browser: Option<BrowserId>,
    /// How the request came in.
    pub transport: ConnectionType,
    /// When its head had come.
    pub arrived: Instant,
}

impl Caller {
    /// Somebody from an address, of whom nothing else is known.
    #[must_use]
    pub fn from(address: IpAddr, transport: ConnectionType, arrived: Instant) -> Self {
        let (payer, bytes) = (Payer::default(), 0);
        let who = Who::Unsaid;
        Self { address, http2: false, payer, bytes, who, browser: None, transport, arrived }
    }
}

/// How long one request is worked off before others have their turn.
const TURN: Duration = Duration::from_millis(2);

/// Works off requests.
#[derive(Debug)]
pub struct Exchange {
    broker: Arc<Broker>,
    guard: Arc<Guard>,
    ids: Arc<dyn SessionIds>,
    limits: DecodeLimits,
    offered: Vec<ConnectionType>,
}

/// What a request comes to.
#[derive(Debug)]
pub enum Exchanged {
    /// The whole answer.
    Answer(Answer),
    /// A connect that waits.
    Hold(Box<HeldConnect>),
}

/// What a frame that came by a socket comes to.
#[derive(Debug, Default)]
pub struct SocketTurn {
    /// What is answered at once.
    pub replies: Option<Answer>,
    /// Whether the replies go before events: a subscription reads what was published before, and
    /// its reply tells what of that is lost.
    pub replays: bool,
    /// Its connects: each waits by itself.
    pub connects: Vec<Box<HeldConnect>>,
    /// The session that spoke.
    pub speaker: Option<Arc<SessionHandle>>,
    /// The session that was made.
    pub handshaken: Option<SessionId>,
    /// It speaks for a session of a browser, whose cookie the socket did not bring: faye opens its
    /// socket before it has one. By a new one it will.
    pub lacks_cookie: bool,
    /// Its messages were refused at a limit, of which there may be room again after this time.
    pub limited: Option<Duration>,
}

/// An answer: a JSON array of messages.
#[derive(Debug)]
pub struct Answer {
    /// The array.
    pub text: String,
    /// The session that was made, if one was: then the browser's cookie goes along.
    pub handshaken: Option<SessionId>,
    /// Whose events it carries: to be told if they cannot be written.
    pub carries: Option<(Arc<SessionHandle>, u64)>,
    /// What it costs until it is written.
    pub booked: Booked,
}

impl Answer {
    fn new(broker: &Broker, array: Array, carries: Option<(Arc<SessionHandle>, u64)>) -> Self {
        let text = array.finish();
        let booked = broker.book_reply(text.len());
        Self { text, handshaken: None, carries, booked }
    }
}

/// Events that go out unasked, as one array.
#[must_use]
pub fn events(broker: &Broker, batch: &Batch) -> Answer {
    let mut array = Array::with_capacity(frames_len(&batch.frames) + 2);
    push_frames(&mut array, &batch.frames, batch.with_replay);
    Answer::new(broker, array, None)
}

impl Exchange {
    /// Works on `broker`, offering these connection types in handshakes.
    #[must_use]
    pub fn new(
        broker: Arc<Broker>,
        guard: Arc<Guard>,
        ids: Arc<dyn SessionIds>,
        limits: DecodeLimits,
        offered: Vec<ConnectionType>,
    ) -> Self {
        Self { broker, guard, ids, limits, offered }
    }

    /// The time by the broker's clock.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.broker.clock().now()
    }

    /// Works off the messages of one request. Waits only for publications that are not accepted
    /// before they are on disk.
    ///
    /// # Errors
    /// When the body as a whole cannot be read; nothing was done then.
    pub async fn handle(&self, caller: Caller, body: &Body<'_>) -> Result<Exchanged, BodyError> {
        let messages = body.messages(&self.limits)?;
        // A handshake stands alone, be it refused: whatever came with it is ignored (E4).
        if let Some(message) = messages.iter().find(|message| message.is_to("/meta/handshake")) {
            let mut meter = Meter::new(&self.broker, &caller, None, None);
            let answer = Box::pin(self.handshake(&caller, message, &mut meter)).await;
            return Ok(Exchanged::Answer(answer));
        }
        let who = self.speaker(&caller, &messages).await;
        let mut turn = Turn::new(&self.broker, &self.guard, caller, &who, &messages);
        self.take_all(&mut turn, &messages).await;
        turn.settle().await;
        Ok(turn.finish())
    }

    /// Works off one frame of a socket that speaks for the `bound` session, if for any yet.
    ///
    /// # Errors
    /// When the frame as a whole cannot be read; nothing was done then.
    pub async fn handle_frame(
        &self,
        caller: Caller,
        body: &Body<'_>,
        bound: Option<SessionId>,
    ) -> Result<SocketTurn, BodyError> {
        let messages = body.messages(&self.limits)?;
        if let Some(message) = messages.iter().find(|message| message.is_to("/meta/handshake")) {
            let mut meter = Meter::new(&self.broker, &caller, None, None);
            let answer = Box::pin(self.handshake(&caller, message, &mut meter)).await;
            let handshaken = answer.handshaken;
            let (replies, limited) = (Some(answer), meter.and_then(|meter| meter.wait()));
            return Ok(SocketTurn { replies, handshaken, limited, ..SocketTurn::default() });
        }
        let who = self.speaker(&caller, &messages).await;
        let mut turn = Turn::new(&self.broker, &self.guard, caller, &who, &messages);
        turn.bind(bound);
        if bound.is_none() && turn.lacks_cookie() {
            return Ok(SocketTurn { lacks_cookie: true, ..SocketTurn::default() });
        }
        self.take_all(&mut turn, &messages).await;
        turn.settle().await;
        Ok(turn.finish_on_socket())
    }

    /// Works off messages in their order. Each may be for very many, so others have their turn in
    /// between.
    async fn take_all<'m>(&self, turn: &mut Turn<'_, 'm>, messages: &'m [Message<'m>]) {
        let line = turn.ask(messages).await;
        let mut begun = self.now();
        for (place, message) in messages.iter().enumerate() {
            turn.take(place, message);
            let now = self.now();
            if now.saturating_duration_since(begun) > TURN {
                yield_now().await;
                begun = now;
            }
        }
        drop(line);
    }

    /// Who may do what.
    #[must_use]
    pub fn guard(&self) -> &Arc<Guard> {
        &self.guard
    }

    /// The broker that requests are worked off on.
    #[must_use]
    pub fn broker(&self) -> &Arc<Broker> {
        &self.broker
    }

    async fn handshake(
        &self,
        caller: &Caller,
        message: &Message<'_>,
        meter: &mut Option<Meter<'_>>,
    ) -> Answer {
        let asked = asked_timesync(message, &self.broker);
        let replay = message.ext.is_some_and(announces_replay);
        let ack = message.ext.is_some_and(announces_ack);
        let opened = self.begin(caller, message, meter, (replay, ack)).await;
        let (id, outcome, advice) = match opened {
            Ok((id, advice)) => (Some(id), Ok(()), advice),
            Err((error, advice)) => (None, Err(error), advice),
        };
        let mut array = Array::with_capacity(384);
        array.push(&Reply {
            channel: message.channel,
            id: message.id,
            subscription: None,
            client_id: id.as_ref().map(SessionId::as_str),
            outcome,
            advice: Some(advice),
            ext: ReplyExt {
                timesync: answer_timesync(asked.as_ref(), &self.broker),
                replay: replay && id.is_some(),
                ack: id.filter(|_| ack).map(|_| Ack::AtHand),
                ..ReplyExt::default()
            },
            handshake: Some(&self.offered),
        });
        Answer { handshaken: id, ..Answer::new(&self.broker, array, None) }
    }

    fn open_session(
        &self,
        replay: bool,
        ack: bool,
        asker: &Asker,
    ) -> Result<(SessionId, weft_protocol::Advice), (Error, weft_protocol::Advice)> {
        let overloaded = || (Error::Overloaded, self.broker.advice_later(Reconnect::Handshake));
        let id = self.ids.next().ok_or_else(overloaded)?;
        let wishes = Wishes { replay, ack, who: asker.who.clone() };
        match self.broker.handshake(id, wishes) {
            // What may have changed meanwhile was looked for among sessions before this was one.
            Ok(_) if asker.who.as_ref().is_some_and(|who| !self.guard.holds(who)) => {
                if let Ok(session) = self.broker.find(Some(id.as_str()), None, None) {
                    self.broker.disconnect(&session);
                }
                Err((Error::Unauthorized("token_denied"), self.broker.advice(Reconnect::None)))
            }
            Ok(advice) => {
                self.guard.opened(asker, &id);
                Ok((id, advice))
            }
            Err(refused) => Err((refused.error, refused.advice)),
        }
    }
}
