//! One request in, its answer out: what Bayeux asks of every polling transport alike.
//!
//! The messages of a request are worked off in order; events are taken last, so that what the
//! request itself published is among them, and go first: events, then replies in the order of the
//! requests, the connect reply last (decisions 3.2). A connect that stands alone may be held.

use std::sync::Arc;

use weft_protocol::{
    Array, Body, BodyError, ChannelLimits, ChannelName, ClientAdvice, ConnectionType, DecodeLimits,
    Error, Message, RawValue, Reconnect, Reply, ReplyExt, Request, TimesyncAnswer, TimesyncRequest,
    publisher_ext, timesync,
};

use crate::core::broker::{Broker, Stranger};
use crate::core::connect::Connected;
use crate::core::held::{Held, Wakes};
use crate::core::id::{BrowserId, SessionId, SessionIds};
use crate::core::queue::Batch;
use crate::core::session::{ConnectRequest, SessionHandle};

/// Who sent a request, as far as sessions care.
#[derive(Debug, Clone, Copy)]
pub struct Caller {
    /// The browser that its cookie proves.
    pub browser: Option<BrowserId>,
    /// How the request came in.
    pub transport: ConnectionType,
}

/// Works off requests.
#[derive(Debug)]
pub struct Exchange {
    broker: Arc<Broker>,
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
    Hold(HeldConnect),
}

/// An answer: a JSON array of messages.
#[derive(Debug)]
pub struct Answer {
    /// The array.
    pub text: String,
    /// Whether a session was made: then the browser's cookie goes along.
    pub handshaken: bool,
    /// Whose events it carries: to be told if they cannot be written.
    pub carries: Option<(Arc<SessionHandle>, u64)>,
}

/// A held connect and what its reply needs.
#[derive(Debug)]
pub struct HeldConnect {
    held: Held,
    pending: PendingConnect<Box<RawValue>>,
}

/// A connect of which the reply is yet to be written.
#[derive(Debug)]
struct PendingConnect<Id> {
    id: Option<Id>,
    channel: Option<Id>,
    outcome: Result<(), Error>,
    advice: Option<ClientAdvice>,
    timesync: Option<(TimesyncRequest, i64)>,
}

impl<Id: std::ops::Deref<Target = RawValue>> PendingConnect<Id> {
    /// Writes events and the reply.
    fn write(&self, connected: Connected, broker: &Broker, array: &mut Array) {
        push_frames(array, &connected.batch);
        array.push(&Reply {
            channel: self.channel.as_deref(),
            id: self.id.as_deref(),
            subscription: None,
            client_id: None,
            outcome: connected.outcome,
            advice: connected.advice,
            ext: ReplyExt {
                timesync: answer_timesync(self.timesync.as_ref(), broker),
                gaps: connected.batch.gaps,
            },
            handshake: None,
        });
    }
}

impl HeldConnect {
    /// Waits until the connect is to be answered. Dropping the future means that the client went
    /// away: nothing is taken from its queue.
    pub async fn wait(self) -> Answer {
        let Self { held, pending } = self;
        let session = Arc::clone(held.session());
        let broker = Arc::clone(&held.broker);
        let connected = held.wait(&**broker.clock()).await;
        finish_connect(&pending, &session, connected, &broker)
    }

    /// The answer if it is time for one, without waiting: how the simulation drives it.
    pub fn poll(&mut self) -> Option<Answer> {
        let connected = self.held.poll(self.held.broker.clock().now())?;
        let session = Arc::clone(self.held.session());
        Some(finish_connect(&self.pending, &session, connected, &self.held.broker))
    }

    /// Whether it waits, rather than being let go and about to be answered.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.held.is_waiting()
    }
}

fn finish_connect<Id: std::ops::Deref<Target = RawValue>>(
    pending: &PendingConnect<Id>,
    session: &Arc<SessionHandle>,
    connected: Connected,
    broker: &Broker,
) -> Answer {
    let carries = carried(session, &connected.batch, connected.reply_no);
    let mut array = Array::with_capacity(frames_len(&connected.batch) + 128);
    pending.write(connected, broker, &mut array);
    Answer { text: array.finish(), handshaken: false, carries }
}

fn carried(
    session: &Arc<SessionHandle>,
    batch: &Batch,
    reply_no: u64,
) -> Option<(Arc<SessionHandle>, u64)> {
    let any = !batch.frames.is_empty() || !batch.gaps.is_empty();
    any.then(|| (Arc::clone(session), reply_no))
}

fn frames_len(batch: &Batch) -> usize {
    batch.frames.iter().map(|frame| frame.text().len() + 1).sum()
}

fn push_frames(array: &mut Array, batch: &Batch) {
    for frame in &batch.frames {
        array.push_text(frame.text());
    }
}

fn answer_timesync(
    asked: Option<&(TimesyncRequest, i64)>,
    broker: &Broker,
) -> Option<TimesyncAnswer> {
    let (request, received_ms) = asked?;
    request.answer(*received_ms, broker.clock().wall_us() / 1_000)
}

/// A session's part in one request: who speaks, what it set off, what it is answered.
struct Turn<'x, 'm> {
    exchange: &'x Exchange,
    caller: Caller,
    client_id: Option<&'m str>,
    speaker: Result<Arc<SessionHandle>, Stranger>,
    wakes: Wakes,
    replies: Vec<Reply<'m>>,
    connects: Vec<PendingConnect<&'m RawValue>>,
}

impl Exchange {
    /// Works on `broker`, offering these connection types in handshakes.
    #[must_use]
    pub fn new(
        broker: Arc<Broker>,
        ids: Arc<dyn SessionIds>,
        limits: DecodeLimits,
        offered: Vec<ConnectionType>,
    ) -> Self {
        Self { broker, ids, limits, offered }
    }

    /// Works off the messages of one request.
    ///
    /// # Errors
    /// When the body as a whole cannot be read; nothing was done then.
    pub fn handle(&self, caller: Caller, body: &Body<'_>) -> Result<Exchanged, BodyError> {
        let messages = body.messages(&self.limits)?;
        // A handshake stands alone, be it refused: whatever came with it is ignored (E4).
        if let Some(message) = messages.iter().find(|message| message.is_to("/meta/handshake")) {
            return Ok(Exchanged::Answer(self.handshake(message)));
        }
        let client_id = messages.iter().find_map(|message| message.client_id.as_deref());
        let mut turn = Turn {
            exchange: self,
            caller,
            client_id,
            speaker: self.broker.find(client_id, caller.browser),
            wakes: Wakes::default(),
            replies: Vec::with_capacity(messages.len()),
            connects: Vec::new(),
        };
        let alone = messages.len() == 1;
        for message in &messages {
            turn.take(message, alone);
        }
        Ok(turn.finish(alone))
    }

    fn handshake(&self, message: &Message<'_>) -> Answer {
        let asked = asked_timesync(message, &self.broker);
        let opened = match &message.request {
            Ok(Request::Handshake { offered }) if offered.shares_with(&self.offered) => {
                self.open_session()
            }
            Ok(_) => Err((Error::ConnectionTypes, self.broker.advice(Reconnect::None))),
            Err(error) => Err((error.clone(), self.broker.advice(Reconnect::None))),
        };
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
                gaps: Vec::new(),
            },
            handshake: Some(&self.offered),
        });
        Answer { text: array.finish(), handshaken: id.is_some(), carries: None }
    }

    fn open_session(
        &self,
    ) -> Result<(SessionId, weft_protocol::Advice), (Error, weft_protocol::Advice)> {
        let overloaded = || (Error::Overloaded, self.broker.advice_later(Reconnect::Handshake));
        let id = self.ids.next().ok_or_else(overloaded)?;
        match self.broker.handshake(id) {
            Ok(advice) => Ok((id, advice)),
            Err(refused) => Err((refused.error, refused.advice)),
        }
    }
}

fn asked_timesync(message: &Message<'_>, broker: &Broker) -> Option<(TimesyncRequest, i64)> {
    let request = timesync(message.ext?)?;
    Some((request, broker.clock().wall_us() / 1_000))
}

impl<'m> Turn<'_, 'm> {
    fn take(&mut self, message: &'m Message<'m>, alone: bool) {
        let request = match &message.request {
            Ok(request) => request,
            Err(error) if message.is_to("/meta/connect") => {
                return self.refuse_connect(message, error.clone());
            }
            Err(error) => return self.reply(message, Err(error.clone())),
        };
        let session = match self.speaker_of(message) {
            Ok(session) => session,
            Err(stranger) => return self.refuse(message, stranger),
        };
        let broker = &self.exchange.broker;
        let outcome = match request {
            Request::Connect { advice } => return self.connect(message, &session, *advice, alone),
            Request::Subscribe { patterns } => broker.subscribe(&session, patterns),
            Request::Unsubscribe { patterns } => {
                broker.unsubscribe(&session, patterns);
                Ok(())
            }
            Request::Disconnect => {
                broker.disconnect(&session);
                self.speaker = Err(Stranger { exists: false });
                Ok(())
            }
            Request::Publish { channel, data } => self.publish(message, channel, data),
            Request::Service { channel, .. } => {
                Err(Error::ServiceUnknown(channel.clone().into_owned()))
            }
            // Found and answered before any turn begins.
            Request::Handshake { .. } => Err(Error::ChannelInvalid),
        };
        self.reply(message, outcome);
    }

    /// The session is chosen by the first clientId of the request; another one in it is a stranger.
    fn speaker_of(&self, message: &Message<'_>) -> Result<Arc<SessionHandle>, Stranger> {
        match message.client_id.as_deref() {
            Some(id) if Some(id) == self.client_id => self.speaker.clone(),
            Some(_) => Err(Stranger { exists: true }),
            // Beside a message of a living session this is a slip, no reason to start over.
            None => Err(Stranger { exists: self.speaker.is_ok() }),
        }
    }

    fn connect(
        &mut self,
        message: &'m Message<'m>,
        session: &Arc<SessionHandle>,
        advice: Option<ClientAdvice>,
        alone: bool,
    ) {
        let broker = &self.exchange.broker;
        let connect = ConnectRequest { id: message.id.map(RawValue::get), alone, advice };
        let outcome = broker.receive_connect(session, &connect);
        self.connects.push(PendingConnect {
            id: message.id,
            channel: message.channel,
            outcome,
            advice,
            timesync: asked_timesync(message, broker),
        });
    }

    fn publish(&mut self, message: &Message<'_>, channel: &str, data: &str) -> Result<(), Error> {
        let any = ChannelLimits { bytes: usize::MAX, segments: usize::MAX };
        let name = ChannelName::parse(channel, &any).map_err(|_| Error::ChannelInvalid)?;
        let ext = message.ext.and_then(|ext| publisher_ext(ext, None));
        let broker = &self.exchange.broker;
        broker.publish(name, data, ext.as_deref(), &mut self.wakes).map(|_| ())
    }

    fn reply(&mut self, message: &'m Message<'m>, outcome: Result<(), Error>) {
        self.replies.push(Reply {
            channel: message.channel,
            id: message.id,
            subscription: message.subscription,
            client_id: None,
            outcome,
            advice: None,
            ext: ReplyExt::default(),
            handshake: None,
        });
    }

    /// Answers 402. A connect is told to handshake; any other message only if the session is truly
    /// gone, lest whoever guesses at ids make an owner's client start over (decisions 3.6).
    fn refuse(&mut self, message: &'m Message<'m>, stranger: Stranger) {
        if message.is_to("/meta/connect") {
            return self.refuse_connect(message, Error::SessionUnknown);
        }
        self.reply(message, Err(Error::SessionUnknown));
        if let Some(reply) = self.replies.last_mut().filter(|_| !stranger.exists) {
            reply.advice = Some(self.exchange.broker.advice(Reconnect::Handshake));
        }
    }

    fn refuse_connect(&mut self, message: &'m Message<'m>, error: Error) {
        self.connects.push(PendingConnect {
            id: message.id,
            channel: message.channel,
            outcome: Err(error),
            advice: None,
            timesync: asked_timesync(message, &self.exchange.broker),
        });
    }

    fn finish(mut self, alone: bool) -> Exchanged {
        let broker = &self.exchange.broker;
        let session = self.speaker.clone().ok();
        if let (true, [pending], Some(session)) = (alone, self.connects.as_slice(), &session)
            && pending.outcome.is_ok()
        {
            return Exchanged::Hold(hold(broker, session, pending));
        }
        let mut carries = None;
        let mut batch = Batch::default();
        if let (true, Some(session)) = (self.rides_on_any_reply(), &session) {
            let (taken, reply_no) = broker.take_for_any_reply(session);
            carries = carried(session, &taken, reply_no);
            batch = taken;
        }
        // Everything published is queued: wake those who wait for it, once each.
        drop(std::mem::take(&mut self.wakes));
        let overtakes = self.caller.transport == ConnectionType::CallbackPolling;
        if let (true, false, Some(session)) = (overtakes, self.replies.is_empty(), &session) {
            broker.overtake(session);
        }
        let connected =
            self.connects.iter().map(|pending| self.answer(pending)).collect::<Vec<_>>();
        let batches = || std::iter::once(&batch).chain(connected.iter().map(|c| &c.batch));
        let bytes = batches().map(frames_len).sum::<usize>() + self.replies.len() * 96 + 256;
        let mut array = Array::with_capacity(bytes);
        batches().for_each(|batch| push_frames(&mut array, batch));
        for reply in &self.replies {
            array.push(reply);
        }
        for (pending, mut connected) in self.connects.iter().zip(connected) {
            if let Some(session) = &session {
                carries = carried(session, &connected.batch, connected.reply_no).or(carries);
            }
            connected.batch.frames.clear();
            pending.write(connected, broker, &mut array);
        }
        Exchanged::Answer(Answer { text: array.finish(), handshaken: false, carries })
    }

    fn rides_on_any_reply(&self) -> bool {
        self.exchange.broker.delivers_on_any_reply()
            && self.connects.is_empty()
            && self.caller.transport != ConnectionType::CallbackPolling
            && self.replies.iter().any(|reply| reply.outcome.is_ok())
    }

    /// Answers a connect that shares its request with other messages, or failed.
    fn answer(&self, pending: &PendingConnect<&RawValue>) -> Connected {
        let broker = &self.exchange.broker;
        match (&pending.outcome, &self.speaker) {
            (Ok(()), Ok(session)) => {
                let id = pending.id.map(RawValue::get);
                broker.answer_connect(session, id, pending.advice.is_some())
            }
            // The request itself disconnected.
            (Ok(()), Err(_)) => broker.farewell(),
            (Err(error), _) => broker.refuse_connect(error.clone()),
        }
    }
}

fn hold(
    broker: &Arc<Broker>,
    session: &Arc<SessionHandle>,
    pending: &PendingConnect<&RawValue>,
) -> HeldConnect {
    let advice = pending.advice;
    let connect = ConnectRequest { id: pending.id.map(RawValue::get), alone: true, advice };
    HeldConnect {
        held: broker.hold_connect(session, &connect),
        pending: PendingConnect {
            id: pending.id.map(ToOwned::to_owned),
            channel: pending.channel.map(ToOwned::to_owned),
            outcome: Ok(()),
            advice,
            timesync: pending.timesync,
        },
    }
}
