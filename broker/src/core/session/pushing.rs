//! A session whose events go out by an outlet, and what its connects are then.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{AdviceDebt, Session};
use crate::core::held::Hold;
use crate::core::outlet::{OutletKind, Word};
use crate::core::proof::{Carrier, ConnectRequest};
use crate::core::queue::Batch;

/// How soon a client comes again whose connect named a poll while its event stream is open. Faye's leaves
/// its first connects before it knows of the stream.
const DOUBT: Duration = Duration::from_secs(1);

impl Session {
    /// Whether events go out unasked: not where they wait for an acknowledgement of each reply.
    pub(crate) fn pushes(&self) -> bool {
        self.outlet.is_some() && !self.proof.has_numbers()
    }

    /// Whether it is this outlet that the session has.
    pub(crate) fn is_tapped_by(&self, hold: &Arc<Hold>) -> bool {
        self.outlet.as_ref().is_some_and(|tap| Arc::ptr_eq(&tap.hold, hold))
    }

    /// What kind of outlet its events go out by, if they do.
    pub(crate) fn pushes_by(&self) -> Option<OutletKind> {
        self.outlet.as_ref().filter(|_| self.pushes()).map(|tap| tap.kind)
    }

    /// Takes in what a connect says of the event stream that its client may have; whether that gives
    /// way to it.
    pub(crate) fn ends_stream(&mut self, carrier: Carrier) -> bool {
        let streams = self.pushes_by() == Some(OutletKind::EventSource);
        let Some(tap) = self.outlet.as_mut().filter(|_| streams) else {
            return carrier == Carrier::Poll;
        };
        let before = tap.word;
        tap.word = if carrier == Carrier::Poll { Word::Doubtful } else { Word::Known };
        carrier == Carrier::Poll && before != Word::None
    }

    /// How soon a client comes again whose events go out by its event stream: its connects tell no more than
    /// that it lives. If the last one named a poll, it is asked soon whether it knows of its stream.
    pub(crate) fn stream_pause(&self, timeout: Duration) -> Option<Duration> {
        let streams = self.pushes_by() == Some(OutletKind::EventSource);
        let tap = self.outlet.as_ref().filter(|_| streams)?;
        Some(if tap.word == Word::Doubtful { DOUBT } else { timeout })
    }

    /// Takes in a connect of a session whose events go out by its outlet. It settles nothing of what
    /// a socket carried; one that comes beside a stream shows that this was alive at the one before.
    pub(crate) fn receive_heartbeat(&mut self, connect: &ConnectRequest<'_>) {
        (self.latest, self.newest) = (connect.arrived, connect.arrived);
        self.connects += 1;
        if self.advice == AdviceDebt::Sent {
            self.advice = AdviceDebt::None;
        }
        if let Some(advice) = connect.advice {
            self.client_interval = Duration::from_millis(advice.interval_ms.unwrap_or(0));
        }
        let reach = self.queue.reach();
        let Some(tap) = self.outlet.as_mut().filter(|tap| tap.kind == OutletKind::EventSource)
        else {
            return;
        };
        let before = std::mem::replace(&mut tap.heartbeat, reach);
        self.queue.confirm(before);
    }

    /// The same when it is answered: losses are told, events go another way.
    pub(crate) fn answer_heartbeat(&mut self, now: Instant) -> Batch {
        self.latest = self.latest.max(now);
        self.connected = true;
        let gaps = self.queue.take_gaps();
        self.number(!gaps.is_empty());
        Batch { gaps, ..Batch::default() }
    }
}
