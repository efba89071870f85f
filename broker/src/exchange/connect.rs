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
    pending: PendingConnect<Box<RawValue>>,
    held: Option<Held>,
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
    pub(super) timesync: Option<(TimesyncRequest, i64)>,
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
                ack: connected.ack.map(Ack::Number),
                ..ReplyExt::default()
            },
            handshake: None,
        });
    }
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
            pending: PendingConnect {
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
                timesync: pending.timesync,
            },
            held: None,
        }
    }

    /// Waits until the connect is to be answered. Dropping the future means that the client went
    /// away: nothing is taken from its queue. `gone` tells of a closed socket that hides behind the
    /// bytes of another request.
    pub async fn wait(mut self: Box<Self>, gone: &(dyn Fn() -> bool + Sync)) -> Answer {
        // The client may be gone already: one turn lets the edge look at the socket and drop this.
        tokio::task::yield_now().await;
        let connected = match self.begin() {
            Some(connected) => connected,
            None => match &mut self.held {
                Some(held) => held.wait(&**self.broker.clock(), gone).await,
                None => self.broker.farewell(),
            },
        };
        self.finish(connected)
    }

    /// The answer if it is time for one, without waiting: how the simulation drives it.
    pub fn poll(&mut self) -> Option<Answer> {
        let connected = match self.begin() {
            Some(connected) => connected,
            None => self.held.as_mut()?.poll(self.broker.clock().now())?,
        };
        Some(self.finish(connected))
    }

    /// Takes the connect in, once: an answer, or it is held from here on.
    fn begin(&mut self) -> Option<Connected> {
        if self.held.is_some() {
            return None;
        }
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
        self.pending.carrier = if here { Carrier::Outlet } else { Carrier::Poll };
        let connected = self.begin_with(|broker, session| {
            if !here {
                *outlet = Some(attach(broker, session));
            }
        });
        connected.map(|connected| self.finish(connected))
    }

    fn begin_with(
        &mut self,
        received: impl FnOnce(&Arc<Broker>, &Arc<SessionHandle>),
    ) -> Option<Connected> {
        let connect = self.pending.request();
        let outcome = self.broker.receive_connect(&self.session, &connect);
        if matches!(outcome, Ok(Received::Newest(_))) {
            received(&self.broker, &self.session);
        }
        match outcome {
            Ok(received @ Received::Newest(_)) => {
                self.held = Some(self.broker.hold_connect(&self.session, &connect, received));
                None
            }
            Ok(Received::Stale) => {
                let asked = connect.advice.is_some();
                Some(self.broker.answer_superseded(&self.session, asked))
            }
            Ok(Received::Overrun) => Some(self.broker.expel(&self.session)),
            Err(error) => Some(self.broker.refuse_connect(error, false)),
        }
    }

    fn finish(&self, connected: Connected) -> Answer {
        let batch = &connected.batch;
        let carries = carried(&self.session, &connected.batch, connected.reply_no);
        let mut array = Array::with_capacity(frames_len(&batch.frames) + 128);
        push_frames(&mut array, &batch.frames, batch.with_replay);
        self.pending.write(connected, &self.broker, &mut array);
        Answer::new(&self.broker, array, carries)
    }

    /// When [`HeldConnect::poll`] has an answer at the latest.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.held.as_ref().map(Held::due)
    }

    /// Whether [`HeldConnect::poll`] may have an answer.
    pub fn poll_woken(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.held.as_ref().map_or(Poll::Pending, |held| held.poll_woken(cx))
    }

    /// Whether it waits, rather than being let go and about to be answered.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.held.as_ref().is_some_and(Held::is_waiting)
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
