//! The limits of one request: what it may do, asked message by message (decisions 3.6, 3.19).
//!
//! A message that is refused costs a reply and nothing else. A disconnect of a living session is never
//! refused: it makes room.

use std::time::{Duration, Instant};

use weft_protocol::{Advice, Error, Message, Reconnect, Request};

use super::Caller;
use crate::core::broker::Broker;
use crate::core::id::SessionId;
use crate::core::session::SessionHandle;
use crate::limits::tally::Place;
use crate::limits::{Limited, Limits, SessionBuckets, What, Who};

/// What a request has to ask of limits.
#[derive(Debug)]
pub(super) struct Meter<'x> {
    limits: &'x Limits,
    who: Who,
    now: Instant,
    /// Why none of the request's messages is let through.
    all: Option<Limited>,
    /// The longest that somebody was asked to wait.
    pub(super) wait: Option<Duration>,
}

impl<'x> Meter<'x> {
    /// The meter of a request with its bytes counted; `None` where nothing is limited.
    pub(super) fn new(
        broker: &'x Broker,
        caller: &Caller,
        session: Option<&SessionHandle>,
    ) -> Option<Self> {
        let limits = broker.limits();
        if limits.is_off() {
            return None;
        }
        let (who, now) = (caller.who, broker.clock().now());
        let own = session.map(|session| &session.buckets);
        let bytes = limits.take(What::Bytes, who, own, caller.bytes as u64, now);
        Some(Self { limits, who, now, all: bytes.err(), wait: None })
    }

    /// Lets a message through.
    pub(super) fn allow(
        &mut self,
        message: &Message<'_>,
        session: Option<&SessionHandle>,
    ) -> Result<(), Limited> {
        let goodbye = matches!(message.request, Ok(Request::Disconnect)) && session.is_some();
        if goodbye {
            return Ok(());
        }
        let allowed = self.ask(message, session.map(|session| &session.buckets));
        if let Err(limited) = allowed {
            self.wait = self.wait.max(limited.after);
        }
        allowed
    }

    fn ask(&self, message: &Message<'_>, own: Option<&SessionBuckets>) -> Result<(), Limited> {
        if let Some(limited) = self.all {
            return Err(limited);
        }
        self.limits.take(What::Messages, self.who, own, 1, self.now)?;
        if let Ok(Request::Subscribe { patterns }) = &message.request {
            let names = patterns.len() as u64;
            self.limits.take(What::Subscriptions, self.who, own, names, self.now)?;
        }
        Ok(())
    }

    /// Lets a handshake through, with the place that its session is to have.
    pub(super) fn allow_handshake(&mut self) -> Result<Option<Place>, Limited> {
        let allowed = match self.all {
            Some(limited) => Err(limited),
            None => self.limits.take(What::Handshakes, self.who, None, 1, self.now),
        };
        let allowed = allowed.and_then(|()| self.limits.begin(self.who));
        if let Err(limited) = allowed {
            self.wait = self.wait.max(limited.after);
        }
        allowed
    }
}

/// What a message is told that a limit stopped.
pub(super) fn error(limited: Limited) -> Error {
    match (limited.after, limited.what) {
        (None, What::Subscriptions) => Error::TooManySubscriptions,
        _ => Error::RateLimited,
    }
}

/// When its client is to come again.
pub(super) fn advice(
    broker: &Broker,
    limited: Limited,
    session: Option<&SessionHandle>,
    chance: Option<&SessionId>,
) -> Advice {
    match session {
        Some(session) => broker.advice_limited(Reconnect::Retry, limited, session.id.spread()),
        None => {
            let spread = chance.map_or(0, SessionId::spread);
            broker.advice_limited(Reconnect::Handshake, limited, spread)
        }
    }
}
