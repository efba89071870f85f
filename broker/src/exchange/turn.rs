//! One request of a living session, message by message.

use std::sync::Arc;

use weft_protocol::{
    Array, ChannelLimits, ChannelName, ClientAdvice, ConnectionType, Error, Message, RawValue,
    Reconnect, Reply, ReplyExt, Request, publisher_ext,
};

use super::connect::{
    HeldConnect, PendingConnect, asked_timesync, carried, frames_len, push_frames,
};
use super::{Answer, Caller, Exchanged};
use crate::core::broker::{Broker, Stranger};
use crate::core::connect::{Connected, Received};
use crate::core::held::Wakes;
use crate::core::session::SessionHandle;

/// A session's part in one request: who speaks, what it set off, what it is answered.
pub(super) struct Turn<'x, 'm> {
    broker: &'x Arc<Broker>,
    caller: Caller,
    /// Whether it is the request's only message.
    alone: bool,
    client_id: Option<&'m str>,
    speaker: Result<Arc<SessionHandle>, Stranger>,
    wakes: Wakes,
    replies: Vec<Reply<'m>>,
    /// The session lives, and its cookie did not come: no reason to hurry to a new handshake.
    shunned: bool,
    connects: Vec<PendingConnect<&'m RawValue>>,
}

impl<'x, 'm> Turn<'x, 'm> {
    /// The session is chosen by the first clientId among the messages.
    pub(super) fn new(
        broker: &'x Arc<Broker>,
        caller: Caller,
        messages: &'m [Message<'m>],
    ) -> Self {
        let client_id = messages.iter().find_map(|message| message.client_id.as_deref());
        Self {
            broker,
            caller,
            alone: messages.len() == 1,
            client_id,
            speaker: broker.find(client_id, caller.browser),
            wakes: Wakes::default(),
            replies: Vec::with_capacity(messages.len()),
            shunned: false,
            connects: Vec::new(),
        }
    }

    /// Works off a message.
    pub(super) fn take(&mut self, message: &'m Message<'m>) {
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
        let broker = self.broker;
        let outcome = match request {
            Request::Connect { advice } => return self.connect(message, &session, *advice),
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
    ) {
        let broker = self.broker;
        let mut pending = PendingConnect {
            arrived: self.caller.arrived,
            id: message.id,
            channel: message.channel,
            outcome: Ok(Received::Newest),
            advice,
            timesync: asked_timesync(message, broker),
        };
        if !self.alone {
            pending.outcome = broker.receive_connect(session, &pending.request(false));
        }
        self.connects.push(pending);
    }

    fn publish(&mut self, message: &Message<'_>, channel: &str, data: &str) -> Result<(), Error> {
        let any = ChannelLimits { bytes: usize::MAX, segments: usize::MAX };
        let name = ChannelName::parse(channel, &any).map_err(|_| Error::ChannelInvalid)?;
        let ext = message.ext.and_then(|ext| publisher_ext(ext, None));
        let broker = self.broker;
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
            self.shunned = stranger.exists && self.caller.browser.is_none();
            return self.refuse_connect(message, Error::SessionUnknown);
        }
        self.reply(message, Err(Error::SessionUnknown));
        if let Some(reply) = self.replies.last_mut().filter(|_| !stranger.exists) {
            reply.advice = Some(self.broker.advice(Reconnect::Handshake));
        }
    }

    fn refuse_connect(&mut self, message: &'m Message<'m>, error: Error) {
        self.connects.push(PendingConnect {
            arrived: self.caller.arrived,
            id: message.id,
            channel: message.channel,
            outcome: Err(error),
            advice: None,
            timesync: asked_timesync(message, self.broker),
        });
    }

    /// Puts the answer together, or leaves a connect that stands alone to wait.
    pub(super) fn finish(mut self) -> Exchanged {
        let broker = self.broker;
        let session = self.speaker.clone().ok();
        if let (true, [pending], Some(session)) = (self.alone, self.connects.as_slice(), &session)
            && pending.outcome.is_ok()
        {
            return Exchanged::Hold(Box::new(HeldConnect::new(broker, session, pending)));
        }
        let mut carries = None;
        let mut frames = Vec::new();
        if let (true, Some(session)) = (self.rides_on_any_reply(), &session) {
            let (taken, reply_no) = broker.take_for_any_reply(session);
            carries = (!taken.is_empty()).then(|| (Arc::clone(session), reply_no));
            frames = taken;
        }
        // Everything published is queued: wake those who wait for it, once each.
        drop(std::mem::take(&mut self.wakes));
        let overtakes = self.caller.transport == ConnectionType::CallbackPolling;
        if let (true, false, Some(session)) = (overtakes, self.replies.is_empty(), &session) {
            broker.overtake(session);
        }
        let mut connected: Vec<Connected> =
            self.connects.iter().map(|pending| self.answer(pending)).collect();
        for connected in &mut connected {
            if let Some(session) = &session {
                carries = carried(session, &connected.batch, connected.reply_no).or(carries);
            }
            frames.append(&mut connected.batch.frames);
        }
        let mut array = Array::with_capacity(frames_len(&frames) + self.replies.len() * 96 + 256);
        push_frames(&mut array, &frames);
        for reply in &self.replies {
            array.push(reply);
        }
        for (pending, connected) in self.connects.iter().zip(connected) {
            pending.write(connected, broker, &mut array);
        }
        Exchanged::Answer(Answer { text: array.finish(), handshaken: false, carries })
    }

    fn rides_on_any_reply(&self) -> bool {
        self.broker.delivers_on_any_reply()
            && self.connects.is_empty()
            && self.caller.transport != ConnectionType::CallbackPolling
            && self.replies.iter().any(|reply| reply.outcome.is_ok())
    }

    /// Answers a connect that shares its request with other messages, or failed.
    fn answer(&self, pending: &PendingConnect<&RawValue>) -> Connected {
        let broker = self.broker;
        let asked = pending.advice.is_some();
        match (&pending.outcome, &self.speaker) {
            (Ok(Received::Newest), Ok(session)) => {
                broker.answer_connect(session, pending.id.map(RawValue::get), asked)
            }
            (Ok(Received::Stale), Ok(session)) => broker.answer_superseded(session, asked),
            // The request itself disconnected.
            (Ok(_), Err(_)) => broker.farewell(),
            (Err(error), _) => broker.refuse_connect(error.clone(), self.shunned),
        }
    }
}
