//! The limits of one request: what it may do, asked message by message (decisions 3.6, 3.19).
//!
//! A message that is refused costs a reply and nothing else. A disconnect of a living session is never
//! refused: it makes room.

use std::time::{Duration, Instant};

use weft_protocol::{Advice, Error, Message, Reconnect, Request};

use super::{Caller, Exchange};
use crate::core::broker::Broker;
use crate::core::id::SessionId;
use crate::core::principal::Principal;
use crate::core::session::SessionHandle;
use crate::limits::tally::Place;
use crate::limits::{Limited, Limits, Payer, What};

/// What a request has to ask of limits.
#[derive(Debug)]
pub(super) struct Meter<'x> {
    limits: &'x Limits,
    payer: Payer,
    now: Instant,
    /// Why none of the request's messages is let through.
    all: Option<Limited>,
    /// The longest that a message of it was asked to wait.
    wait: Option<Duration>,
}

impl<'x> Meter<'x> {
    /// The meter of a request, whose bytes are counted here; `None` where nothing is limited.
    pub(super) fn new(
        broker: &'x Broker,
        caller: &Caller,
        who: Option<&Principal>,
        session: Option<&SessionHandle>,
    ) -> Option<Self> {
        let limits = broker.limits();
        if limits.is_off() {
            return None;
        }
        let (payer, now) = (broker.payer(caller.payer, who), broker.clock().now());
        let own = session.map(|session| &session.buckets);
        let bytes = limits.take(What::Bytes, payer, own, caller.bytes as u64, now);
        Some(Self { limits, payer, now, all: bytes.err(), wait: None })
    }

    /// Whom the request counts for.
    pub(super) fn payer(&self) -> Payer {
        self.payer
    }

    /// How long its client is to be made to wait, if any of its messages was refused.
    pub(super) fn wait(&self) -> Option<Duration> {
        self.wait
    }

    /// Lets a message through.
    pub(super) fn allow(
        &mut self,
        message: &Message<'_>,
        session: Option<&SessionHandle>,
    ) -> Result<(), Limited> {
        if session.is_some() && matches!(message.request, Ok(Request::Disconnect)) {
            return Ok(());
        }
        let own = session.map(|session| &session.buckets);
        let names = match &message.request {
            Ok(Request::Subscribe { patterns }) => patterns.len() as u64,
            _ => 0,
        };
        let (limits, payer, now) = (self.limits, self.payer, self.now);
        let take = |what, n| limits.take(what, payer, own, n, now);
        let allowed = self.whole();
        let allowed = allowed.and_then(|()| take(What::Messages, 1));
        self.note(allowed.and_then(|()| take(What::Subscriptions, names)))
    }

    /// Lets a handshake through, before it is known whose it is.
    fn allow_handshake(&mut self) -> Result<(), Limited> {
        let allowed = self.whole();
        let taken = allowed
            .and_then(|()| self.limits.take(What::Handshakes, self.payer, None, 1, self.now));
        self.note(taken)
    }

    /// Lets a session begin, once it is known whose it is to be.
    fn allow_session(
        &mut self,
        broker: &Broker,
        who: Option<&Principal>,
    ) -> Result<Option<Place>, Limited> {
        let at = std::mem::take(&mut self.payer);
        self.payer = broker.payer(at, who);
        // What counts for its address is taken.
        let only = Payer { address: None, ..self.payer };
        let taken = self.limits.take_of_principal(What::Handshakes, only, 1, self.now);
        let place = taken.and_then(|()| self.limits.begin(self.payer));
        self.note(place)
    }

    fn whole(&self) -> Result<(), Limited> {
        self.all.map_or(Ok(()), Err)
    }

    fn note<T>(&mut self, allowed: Result<T, Limited>) -> Result<T, Limited> {
        if let Err(limited) = &allowed {
            self.wait = self.wait.max(limited.after);
        }
        allowed
    }
}

impl Exchange {
    /// Makes a session for whoever shakes hands, if the limits allow it and they may.
    pub(super) async fn begin(
        &self,
        caller: &Caller,
        message: &Message<'_>,
        meter: &mut Option<Meter<'_>>,
        (replay, ack): (bool, bool),
    ) -> Result<(SessionId, Advice), (Error, Advice)> {
        let broker = &self.broker;
        let limited = |limited| {
            (Error::RateLimited, broker.advice_limited(Reconnect::Handshake, limited, None))
        };
        if let Some(meter) = meter {
            meter.allow_handshake().map_err(limited)?;
        }
        match &message.request {
            Ok(Request::Handshake { offered }) if offered.shares_with(&self.offered) => {}
            Ok(_) => return Err((Error::ConnectionTypes, broker.advice(Reconnect::None))),
            Err(error) => return Err((error.clone(), broker.advice(Reconnect::None))),
        }
        // Who is nobody costs no more than this answer (R34).
        let asker = self.newcomer(caller, message).await;
        let asker = asker.map_err(|error| (error.clone(), self.advice_to_refused(&error)))?;
        let place = match meter {
            Some(meter) => meter.allow_session(broker, asker.who.as_deref()).map_err(limited)?,
            None => None,
        };
        let (id, advice) = self.open_session(replay, ack, &asker)?;
        broker.give_place(&id, place);
        Ok((id, advice))
    }
}

/// What a message is told that a limit stopped.
pub(super) fn error(limited: Limited) -> Error {
    match (limited.after, limited.what) {
        (None, What::Subscriptions) => Error::TooManySubscriptions,
        _ => Error::RateLimited,
    }
}
