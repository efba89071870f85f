//! One request of a living session, message by message.

use std::sync::Arc;

use weft_protocol::{
    Array, ChannelLimits, ChannelName, ClientAdvice, ConnectionType, Error, Message, RawValue,
    Receipt, Reconnect, Replay, Reply, ReplyExt, Request, acknowledged, publish_key,
    publish_status, publisher_ext,
};

use super::asking::{Verdict, Verdicts};
use super::connect::{
    HeldConnect, PendingConnect, asked_timesync, carried, frames_len, push_frames,
};
use super::meter::Meter;
use super::{Answer, Caller, Exchanged, SocketTurn};
use crate::core::broker::{Broker, Stranger};
use crate::core::connect::{Connected, Received, TOKEN_EXPIRED};
use crate::core::held::Wakes;
use crate::core::id::SessionId;
use crate::core::policy::Action;
use crate::core::proof::Carrier;
use crate::core::publishing::{Publication, Published, Publishing};
use crate::core::session::SessionHandle;
use crate::guard::{Asker, Guard, Who};
use crate::limits::Payer;

/// A session's part in one request: who speaks, what it set off, what it is answered.
pub(super) struct Turn<'x, 'm> {
    pub(super) broker: &'x Arc<Broker>,
    pub(super) guard: &'x Guard,
    pub(super) caller: Caller,
    /// Whom the session speaks for.
    pub(super) asker: Asker,
    /// Why nothing is done for whoever speaks.
    pub(super) barred: Option<Error>,
    /// What its messages are counted by, where there are limits.
    pub(super) meter: Option<Meter<'x>>,
    /// Whether it is the request's only message.
    alone: bool,
    pub(super) client_id: Option<&'m str>,
    pub(super) speaker: Result<Arc<SessionHandle>, Stranger>,
    pub(super) wakes: Wakes,
    pub(super) replies: Vec<Reply<'m>>,
    /// Publications that are not settled, with the place of their reply and whether that is to say
    /// what became of them.
    pending: Vec<(usize, bool, Publishing)>,
    /// The session lives, and its cookie did not come: no reason to hurry to a new handshake.
    shunned: bool,
    pub(super) connects: Vec<PendingConnect<&'m RawValue>>,
    /// Whether a subscription asked for what was published before.
    replays: bool,
    /// What the hook said of its messages.
    pub(super) verdicts: Verdicts,
}

impl<'x, 'm> Turn<'x, 'm> {
    /// The session is chosen by the first clientId among the messages.
    pub(super) fn new(
        broker: &'x Arc<Broker>,
        guard: &'x Guard,
        caller: Caller,
        said: &Who,
        messages: &'m [Message<'m>],
    ) -> Self {
        let client_id = messages.iter().find_map(|message| message.client_id.as_deref());
        let known = if let Who::Known(known) = said { Some(known) } else { None };
        let mut speaker = broker.find(client_id, caller.browser, known.map(|known| &**known));
        if let (Ok(session), Some(known)) = (&speaker, known) {
            let may = |pattern: &str| guard.may(Some(known), Action::Subscribe, pattern);
            if !broker.renew(session, known, may) {
                speaker = Err(Stranger { exists: false });
            }
        }
        let who = speaker.as_ref().ok().and_then(|session| broker.principal(session));
        let barred = match (said, &speaker) {
            (Who::Refused(why), _) => Some(Error::Unauthorized(why)),
            (_, Ok(session)) if broker.is_lapsed(session) => Some(TOKEN_EXPIRED),
            _ => None,
        };
        let own = speaker.as_ref().ok().map(|session| &**session);
        let meter = Meter::new(broker, &caller, who.as_deref(), own);
        Self {
            broker,
            guard,
            asker: Asker { who, address: caller.address },
            caller,
            barred,
            meter,
            alone: messages.len() == 1,
            client_id,
            speaker,
            wakes: Wakes::default(),
            replies: Vec::with_capacity(messages.len()),
            pending: Vec::new(),
            shunned: false,
            connects: Vec::new(),
            replays: false,
            verdicts: Verdicts::default(),
        }
    }

    /// A socket speaks for one session at a time: as long as that lives, another one is a stranger.
    pub(super) fn bind(&mut self, bound: Option<SessionId>) {
        let other = |session: &Arc<SessionHandle>| bound.is_some_and(|id| id != session.id);
        if self.speaker.as_ref().is_ok_and(other) && bound.is_some_and(|id| self.broker.knows(&id))
        {
            self.speaker = Err(Stranger { exists: true });
        }
    }

    /// Whether the session is a browser's, and no cookie came.
    pub(super) fn lacks_cookie(&self) -> bool {
        self.caller.browser.is_none()
            && self.speaker.as_ref().is_err_and(|stranger| stranger.exists)
    }

    /// Works off a message, which stands at this place of its request.
    pub(super) fn take(&mut self, place: usize, message: &'m Message<'m>) {
        let allowed = self.verdicts.allowed(place).unwrap_or_else(|| self.allow(message));
        if let Err(limited) = allowed {
            return self.stop(message, limited);
        }
        let request = match &message.request {
            Ok(request) => request,
            Err(error) if message.is_to("/meta/connect") => {
                return self.refuse_connect(message, error.clone());
            }
            Err(error) => return self.deny(message, error.clone()),
        };
        let session = match self.speaker_of(message) {
            Ok(session) => session,
            Err(stranger) => return self.refuse(message, stranger),
        };
        if let Some(error) = self.barred.clone().filter(|_| *request != Request::Disconnect) {
            return self.bar_out(message, error);
        }
        let verdict = self.verdicts.take(place);
        if let Some(Verdict::Refused(error)) = verdict {
            return self.deny(message, error);
        }
        let broker = self.broker;
        let outcome = match request {
            Request::Connect { advice, by } => {
                return self.connect(message, &session, *advice, *by);
            }
            Request::Subscribe { patterns } => {
                let replay = message.ext.and_then(Replay::read);
                self.replays |= replay.is_some();
                let may = self.guard.may_subscribe(&self.asker, patterns, replay.as_ref());
                let gaps = may.and_then(|()| {
                    broker.subscribe(&session, patterns, replay.as_ref(), &mut self.wakes)
                });
                let ext = |gaps| ReplyExt { gaps, ..ReplyExt::default() };
                return self.reply_with(message, gaps.map(ext));
            }
            Request::Unsubscribe { patterns } => {
                broker.unsubscribe(&session, patterns);
                Ok(())
            }
            Request::Disconnect => {
                broker.disconnect(&session);
                self.speaker = Err(Stranger { exists: false });
                Ok(())
            }
            Request::Publish { channel, data } => {
                return self.publish(message, &session, channel, data);
            }
            Request::Service { channel, .. } => {
                self.answer_call(&session, message, channel, verdict)
            }
            // Found and answered before any turn begins.
            Request::Handshake { .. } => Err(Error::ChannelInvalid),
        };
        self.reply(message, outcome);
    }

    /// The session is chosen by the first clientId of the request; another one in it is a stranger.
    pub(super) fn speaker_of(&self, message: &Message<'_>) -> Result<Arc<SessionHandle>, Stranger> {
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
        by: Option<ConnectionType>,
    ) {
        let broker = self.broker;
        let mut pending = PendingConnect {
            arrived: self.caller.arrived,
            alone: self.alone,
            id: message.id,
            channel: message.channel,
            outcome: Ok(Received::Newest(0)),
            advice,
            ack: message.ext.and_then(acknowledged),
            carrier: carrier_of(by),
            holds_up: !self.caller.http2,
            payer: self.meter.as_ref().map_or_else(Payer::default, Meter::payer),
            limited: None,
            timesync: asked_timesync(message, broker).map(Box::new),
        };
        if !self.alone && self.caller.transport != ConnectionType::WebSocket {
            pending.outcome = broker.receive_connect(session, &pending.request());
        }
        self.connects.push(pending);
    }

    fn publish(
        &mut self,
        message: &'m Message<'m>,
        session: &SessionHandle,
        channel: &str,
        data: &str,
    ) {
        let any = ChannelLimits { bytes: usize::MAX, segments: usize::MAX };
        let Ok(channel) = ChannelName::parse(channel, &any) else {
            return self.refuse_publication(message, Error::ChannelInvalid);
        };
        if let Err(error) = self.guard.may_publish(&self.asker, channel.as_str()) {
            return self.refuse_publication(message, error);
        }
        let Ok(key) = message.ext.map_or(Ok(None), publish_key) else {
            return self.refuse_publication(message, Error::KeyInvalid);
        };
        let ext = message.ext.and_then(|ext| publisher_ext(ext, self.guard.token_field()));
        let publication = Publication {
            channel,
            data,
            ext: ext.as_deref(),
            from: Some(session),
            by: self.asker.who.as_deref(),
            key: key.as_deref(),
            durable: false,
        };
        match self.broker.publish(&publication, &mut self.wakes) {
            Ok(Publishing::Done(published)) => {
                self.reply_with(message, Ok(receipt(published, key.is_some())));
            }
            Ok(pending) => {
                self.pending.push((self.replies.len(), key.is_some(), pending));
                self.reply(message, Ok(()));
            }
            Err(error) => self.refuse_publication(message, error),
        }
    }

    /// Refuses a message that is no connect.
    fn deny(&mut self, message: &'m Message<'m>, error: Error) {
        if is_to_subscribers(message) {
            self.count_refused(&error);
        }
        self.reply(message, Err(error));
    }

    fn refuse_publication(&mut self, message: &'m Message<'m>, error: Error) {
        self.count_refused(&error);
        self.reply(message, Err(error));
    }

    fn count_refused(&self, error: &Error) {
        self.broker.stats.refused.inc(publish_status(error));
    }

    /// Waits for the publications that are not accepted before they are on disk. What the request
    /// published otherwise goes out meanwhile.
    pub(super) async fn settle(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        drop(std::mem::take(&mut self.wakes));
        for (place, has_key, publishing) in std::mem::take(&mut self.pending) {
            let outcome = publishing.outcome().await;
            let Some(reply) = self.replies.get_mut(place) else { continue };
            match outcome {
                Ok(published) => reply.ext = receipt(published, has_key),
                Err(error) => {
                    self.broker.stats.refused.inc(publish_status(&error));
                    reply.outcome = Err(error);
                }
            }
        }
    }

    fn reply(&mut self, message: &'m Message<'m>, outcome: Result<(), Error>) {
        self.reply_with(message, outcome.map(|()| ReplyExt::default()));
    }

    fn reply_with(&mut self, message: &'m Message<'m>, outcome: Result<ReplyExt, Error>) {
        let (outcome, ext) = match outcome {
            Ok(ext) => (Ok(()), ext),
            Err(error) => (Err(error), ReplyExt::default()),
        };
        self.replies.push(Reply {
            channel: message.channel,
            id: message.id,
            subscription: message.subscription,
            client_id: None,
            outcome,
            advice: None,
            ext,
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
        self.deny(message, Error::SessionUnknown);
        if let Some(reply) = self.replies.last_mut().filter(|_| !stranger.exists) {
            reply.advice = Some(self.broker.advice(Reconnect::Handshake));
        }
    }

    /// Answers 401: whoever speaks must show good credentials first.
    pub(super) fn bar(&mut self, message: &'m Message<'m>, error: Error) {
        if message.is_to("/meta/connect") {
            return self.refuse_connect(message, error);
        }
        if is_to_subscribers(message) {
            self.count_refused(&error);
        }
        self.reply(message, Err(error));
    }

    fn refuse_connect(&mut self, message: &'m Message<'m>, error: Error) {
        self.connects.push(PendingConnect {
            arrived: self.caller.arrived,
            alone: self.alone,
            id: message.id,
            channel: message.channel,
            outcome: Err(error),
            advice: None,
            ack: None,
            carrier: Carrier::Poll,
            holds_up: !self.caller.http2,
            payer: Payer::default(),
            limited: None,
            timesync: asked_timesync(message, self.broker).map(Box::new),
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
        let mut with_replay = false;
        if let (true, Some(session)) = (self.rides_on_any_reply(), &session) {
            let (taken, reply_no) = broker.take_for_any_reply(session);
            carries = (!taken.frames.is_empty()).then(|| (Arc::clone(session), reply_no));
            with_replay = taken.with_replay;
            frames = taken.frames;
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
            with_replay |= connected.batch.with_replay;
            frames.append(&mut connected.batch.frames);
        }
        let mut array = Array::with_capacity(frames_len(&frames) + self.replies.len() * 96 + 256);
        push_frames(&mut array, &frames, with_replay);
        for reply in &self.replies {
            array.push(reply);
        }
        for (pending, connected) in self.connects.iter().zip(connected) {
            pending.write(connected, broker, &mut array);
        }
        Exchanged::Answer(Answer::new(broker, array, carries))
    }

    /// Puts together what a socket is answered at once; each connect is left to wait by itself.
    pub(super) fn finish_on_socket(mut self) -> SocketTurn {
        let broker = self.broker;
        // Everything published is queued: wake those who wait for it, once each.
        drop(std::mem::take(&mut self.wakes));
        let session = self.speaker.clone().ok();
        let mut array = Array::with_capacity(self.replies.len() * 96 + 256);
        for reply in &self.replies {
            array.push(reply);
        }
        let mut answered = !self.replies.is_empty();
        let mut connects = Vec::new();
        for pending in &self.connects {
            match (&pending.outcome, &session) {
                (Ok(_), Some(session)) => {
                    connects.push(Box::new(HeldConnect::new(broker, session, pending)));
                }
                _ => {
                    pending.write(self.answer(pending), broker, &mut array);
                    answered = true;
                }
            }
        }
        let replies = answered.then(|| Answer::new(broker, array, None));
        let replays = self.replays;
        let limited = self.meter.and_then(|meter| meter.wait());
        SocketTurn {
            replies,
            replays,
            connects,
            speaker: session,
            limited,
            ..SocketTurn::default()
        }
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
            (Ok(received), Ok(session)) => {
                let id = pending.id.map(RawValue::get);
                broker.answer_connect(session, *received, id, asked)
            }
            // The request itself disconnected.
            (Ok(_), Err(_)) => broker.farewell(),
            (Err(error), session) => {
                let mut refused = broker.refuse_connect(error.clone(), self.shunned);
                if let Some(limited) = pending.limited {
                    let session = session.as_ref().ok();
                    let advice = broker.advice_limited(Reconnect::Retry, limited, session);
                    refused.advice = Some(advice);
                }
                refused
            }
        }
    }
}

/// By what a connect of this type comes.
pub(super) fn carrier_of(by: Option<ConnectionType>) -> Carrier {
    match by {
        Some(ConnectionType::EventSource) => Carrier::Outlet,
        _ => Carrier::Poll,
    }
}

/// Whether it is a publication, be it right or wrong.
fn is_to_subscribers(message: &Message<'_>) -> bool {
    message.channel.is_some_and(|channel| {
        !["\"/meta/", "\"/service/"].iter().any(|start| channel.get().starts_with(start))
    })
}

/// What a publisher is told: nothing, unless it gave a key.
fn receipt(published: Published, has_key: bool) -> ReplyExt {
    let Published { position, repeat, .. } = published;
    ReplyExt { receipt: has_key.then_some(Receipt { position, repeat }), ..ReplyExt::default() }
}
