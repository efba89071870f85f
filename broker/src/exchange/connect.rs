//! A connect within a request: what its reply needs, and how it waits when it stands alone.

use std::ops::Deref;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use weft_protocol::{
    Ack, Array, ClientAdvice, Error, Message, RawValue, Reply, ReplyExt, TimesyncAnswer,
    TimesyncRequest, timesync,
};

use super::Answer;
use crate::core::broker::Broker;
use crate::core::connect::{Connected, Received};
use crate::core::frame::Frame;
use crate::core::held::Held;
use crate::core::outlet::Outlet;
use crate::core::proof::{Carrier, ConnectRequest};
use crate::core::queue::Batch;
use crate::core::session::SessionHandle;
use crate::limits::{Limited, Payer};

/// A connect that waits by itself, and what its reply needs. Nothing is done with it
/// before it is first polled: by then the edge has had a look at its socket.
#[derive(Debug)]
pub struct HeldConnect {
    broker: Arc<Broker>,
    session: Arc<SessionHandle>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// It is still to be taken in.
    Fresh(Box<PendingConnect<Box<RawValue>>>),
    /// It waits, perhaps for long, so nothing is kept but what its reply needs.
    Held(Held, Told),
    /// It was answered as soon as it was taken in.
    Over,
}

/// What of a connect its reply needs.
#[derive(Debug, Default)]
struct Told {
    id: Option<Box<RawValue>>,
    channel: Option<Box<RawValue>>,
    timesync: Option<Box<(TimesyncRequest, i64)>>,
}

/// A connect of which the reply is yet to be written.
#[derive(Debug)]
pub(super) struct PendingConnect<Id> {
    pub(super) arrived: Instant,
    /// Whether it is its request's, or its frame's, only message.
    pub(super) alone: bool,
    pub(super) id: Option<Id>,
    pub(super) channel: Option<Id>,
    pub(super) outcome: Result<Received, Error>,
    pub(super) advice: Option<ClientAdvice>,
    pub(super) ack: Option<u64>,
    pub(super) carrier: Carrier,
    pub(super) holds_up: bool,
    pub(super) payer: Payer,
    /// The limit that stopped it, if one did.
    pub(super) limited: Option<Limited>,
    /// In a box, since few ask for it and many wait.
    pub(super) timesync: Option<Box<(TimesyncRequest, i64)>>,
}

impl<Id: Deref<Target = RawValue>> PendingConnect<Id> {
    pub(super) fn request(&self) -> ConnectRequest<'_> {
        let id = self.id.as_deref().map(RawValue::get);
        ConnectRequest {
            arrived: self.arrived,
            id,
            alone: self.alone,
            advice: self.advice,
            ack: self.ack,
            carrier: self.carrier,
            holds_up: self.holds_up,
            payer: self.payer,
        }
    }

    /// Writes the reply.
    pub(super) fn write(&self, connected: Connected, broker: &Broker, array: &mut Array) {
        let (id, channel) = (self.id.as_deref(), self.channel.as_deref());
        write(id, channel, self.timesync.as_deref(), connected, broker, array);
    }
}

impl PendingConnect<Box<RawValue>> {
    fn told(self) -> Told {
        let Self { id, channel, timesync, .. } = self;
        Told { id, channel, timesync }
    }
}

fn write(
    id: Option<&RawValue>,
    channel: Option<&RawValue>,
    timesync: Option<&(TimesyncRequest, i64)>,
    connected: Connected,
    broker: &Broker,
    array: &mut Array,
) {
    array.push(&Reply {
        channel,
        id,
        subscription: None,
        client_id: None,
        outcome: connected.outcome,
        advice: connected.advice,
        ext: ReplyExt {
            timesync: answer_timesync(timesync, broker),
            gaps: connected.batch.gaps,
            ack: connected.ack.map(Ack::Number),
            ..ReplyExt::default()
        },
        handshake: None,
    });
}

impl HeldConnect {
    pub(super) fn new(
        broker: &Arc<Broker>,
        session: &Arc<SessionHandle>,
        pending: &PendingConnect<&RawValue>,
    ) -> Self {
        Self {
            broker: Arc::clone(broker),
            session: Arc::clone(session),
            stage: Stage::Fresh(Box::new(PendingConnect {
                arrived: pending.arrived,
                alone: pending.alone,
                id: pending.id.map(ToOwned::to_owned),
                channel: pending.channel.map(ToOwned::to_owned),
                outcome: pending.outcome.clone(),
                advice: pending.advice,
                ack: pending.ack,
                carrier: pending.carrier,
                holds_up: pending.holds_up,
                payer: pending.payer,
                limited: None,
                timesync: pending.timesync.clone(),
            })),
        }
    }

    /// Whether this reply of this session was its last, and no events wait: then the connect that was sent
    /// after it was read has nothing to settle, and nothing to answer yet.
    #[must_use]
    pub fn follows(&self, session: &SessionHandle, reply_no: u64) -> bool {
        session.key == self.session.key && {
            let state = self.session.state.lock();
            state.reply_no == reply_no && !state.has_news(self.broker.clock().now())
        }
    }

    /// Waits until the connect is to be answered. Dropping the future means that the client went
    /// away: nothing is taken from its queue. `gone` tells of a closed socket that hides behind the
    /// bytes of another request.
    pub async fn wait(mut self: Box<Self>, gone: &(dyn Fn() -> bool + Sync)) -> Answer {
        // The client may be gone already: one turn lets the edge look at the socket and drop this.
        tokio::task::yield_now().await;
        if let Some(answer) = self.begin() {
            return answer;
        }
        let connected = match &mut self.stage {
            Stage::Held(held, _) => held.wait(&**self.broker.clock(), gone).await,
            Stage::Fresh(_) | Stage::Over => self.broker.farewell(),
        };
        self.finish(connected)
    }

    /// The answer if it is time for one, without waiting.
    pub fn poll(&mut self) -> Option<Answer> {
        if let Some(answer) = self.begin() {
            return Some(answer);
        }
        let Stage::Held(held, _) = &mut self.stage else { return None };
        let connected = held.poll(self.broker.clock().now())?;
        Some(self.finish(connected))
    }

    /// The answer as things are, though the connect could wait longer.
    pub fn hurry(&mut self) -> Option<Answer> {
        self.poll().or_else(|| {
            if let Stage::Held(held, _) = &mut self.stage {
                held.hurry();
            }
            self.poll()
        })
    }

    /// Takes the connect in, once: an answer, or it is held from here on.
    fn begin(&mut self) -> Option<Answer> {
        self.begin_with(|_, _| ())
    }

    /// Takes in a connect that came by a socket, once: an answer, or it is held from here on. If the
    /// socket is not its session's outlet yet, it becomes that.
    pub fn begin_on(
        &mut self,
        outlet: &mut Option<Outlet>,
        attach: impl FnOnce(&Arc<Broker>, &Arc<SessionHandle>) -> Outlet,
    ) -> Option<Answer> {
        let here = outlet.as_ref().is_some_and(|outlet| outlet.serves(&self.session));
        if let Stage::Fresh(pending) = &mut self.stage {
            pending.carrier = if here { Carrier::Outlet } else { Carrier::Poll };
        }
        self.begin_with(|broker, session| {
            if !here {
                *outlet = Some(attach(broker, session));
            }
        })
    }

    fn begin_with(
        &mut self,
        received: impl FnOnce(&Arc<Broker>, &Arc<SessionHandle>),
    ) -> Option<Answer> {
        let Stage::Fresh(_) = &self.stage else { return None };
        let Stage::Fresh(pending) = std::mem::replace(&mut self.stage, Stage::Over) else {
            return None;
        };
        let Self { broker, session, .. } = &*self;
        let connect = pending.request();
        let outcome = broker.receive_connect(session, &connect);
        if matches!(outcome, Ok(Received::Newest(_))) {
            received(broker, session);
        }
        let connected = match outcome {
            Ok(received @ Received::Newest(_)) => {
                let held = broker.hold_connect(session, &connect, received);
                self.stage = Stage::Held(held, pending.told());
                return None;
            }
            Ok(Received::Stale) => broker.answer_superseded(session, connect.advice.is_some()),
            Ok(Received::Overrun) => broker.expel(session),
            Err(error) => broker.refuse_connect(error, false),
        };
        Some(self.spell(connected, &pending.told()))
    }

    fn finish(&self, connected: Connected) -> Answer {
        match &self.stage {
            Stage::Held(_, told) => self.spell(connected, told),
            Stage::Fresh(_) | Stage::Over => self.spell(connected, &Told::default()),
        }
    }

    fn spell(&self, connected: Connected, told: &Told) -> Answer {
        let Told { id, channel, timesync } = told;
        let batch = &connected.batch;
        let carries = carried(&self.session, &connected.batch, connected.reply_no);
        let mut array = Array::with_capacity(frames_len(&batch.frames) + 128);
        push_frames(&mut array, &batch.frames, batch.with_replay);
        let (id, channel) = (id.as_deref(), channel.as_deref());
        write(id, channel, timesync.as_deref(), connected, &self.broker, &mut array);
        Answer::new(&self.broker, array, carries)
    }

    /// When [`HeldConnect::poll`] has an answer at the latest.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.held().map(Held::due)
    }

    /// Whether [`HeldConnect::poll`] may have an answer.
    pub fn poll_woken(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.held().map_or(Poll::Pending, |held| held.poll_woken(cx))
    }

    /// Whether it waits, rather than being let go and about to be answered.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.held().is_some_and(Held::is_waiting)
    }

    fn held(&self) -> Option<&Held> {
        if let Stage::Held(held, _) = &self.stage { Some(held) } else { None }
    }
}

pub(super) fn carried(
    session: &Arc<SessionHandle>,
    batch: &Batch,
    reply_no: u64,
) -> Option<(Arc<SessionHandle>, u64)> {
    let any = !batch.frames.is_empty() || !batch.gaps.is_empty();
    any.then(|| (Arc::clone(session), reply_no))
}

pub(super) fn frames_len(frames: &[Frame]) -> usize {
    frames.iter().map(|frame| frame.text().len() + 1).sum()
}

/// Writes events, with their positions for those who asked for replay.
pub(super) fn push_frames(array: &mut Array, frames: &[Frame], with_replay: bool) {
    for frame in frames {
        if with_replay {
            array.push_with_replay(frame.text(), frame.replay_form(), frame.position());
        } else {
            array.push_text(frame.text());
        }
    }
}

pub(super) fn answer_timesync(
    asked: Option<&(TimesyncRequest, i64)>,
    broker: &Broker,
) -> Option<TimesyncAnswer> {
    let (request, received_ms) = asked?;
    request.answer(*received_ms, broker.clock().wall_us() / 1_000)
}

pub(super) fn asked_timesync(
    message: &Message<'_>,
    broker: &Broker,
) -> Option<(TimesyncRequest, i64)> {
    let request = timesync(message.ext?)?;
    Some((request, broker.clock().wall_us() / 1_000))
}
