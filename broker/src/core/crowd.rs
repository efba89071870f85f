//! What is bounded at once, from a session's side: its place among the sessions of its address and its
//! principal, and whether its connects may wait (checklist R33).

use std::sync::Arc;
use std::time::Duration;

use weft_protocol::{Advice, Reconnect};

use super::broker::Broker;
use super::id::SessionId;
use super::principal::{Kind, Principal};
use super::proof::ConnectRequest;
use super::session::{AdviceDebt, SessionHandle};
use crate::limits::tally::Place;
use crate::limits::{Limited, Limits, Payer};

/// A session's part in what is bounded at once.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    /// Its place among sessions, where these are counted.
    pub(crate) place: Option<Box<Place>>,
    /// As many connects are held as may be, so its client was asked to poll.
    pub(crate) polls: bool,
}

/// How often those are asked to poll whose connects find no room to wait, at least.
const POLL: Duration = Duration::from_secs(2);
/// The same, at most.
pub(super) const POLL_MOST: Duration = Duration::from_secs(3);

impl Broker {
    /// The limits that hold here.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whom something counts for: an address, and whoever they showed to be. All who did not say who
    /// they are are nobody in particular.
    #[must_use]
    pub fn payer(&self, at: Payer, who: Option<&Principal>) -> Payer {
        match who {
            Some(Principal { kind, subject, .. }) if *kind != Kind::Anonymous => {
                self.limits.with_principal(at, *kind as u8, subject)
            }
            _ => at,
        }
    }

    /// A session keeps its place among those of its address and principal until it ends.
    pub fn give_place(&self, id: &SessionId, place: Option<Place>) {
        let Some(place) = place else { return };
        let Some(session) = self.registry.get(id) else { return };
        let mut state = session.state.lock();
        if state.ended.is_none() {
            state.crowd.place = Some(Box::new(place));
        }
    }

    /// Finds a connect a place to wait in for so long. Where as many wait as may it is answered at once,
    /// in all other ways as ever, and its client is asked to poll: it loses nothing by that but time.
    pub(super) fn place_to_wait(
        &self,
        session: &SessionHandle,
        connect: &ConnectRequest<'_>,
        wait: Duration,
    ) -> (Duration, Option<Place>) {
        if !self.limits.counts_held() {
            return (wait, None);
        }
        let polls = {
            let state = session.state.lock();
            // A socket has its place itself, whatever waits on it.
            if state.outlet.is_some() {
                return (wait, None);
            }
            state.crowd.polls
        };
        // Whoever polls asks each time, lest busy channels keep it from ever waiting again.
        if wait.is_zero() && !polls {
            return (wait, None);
        }
        let place = self.limits.hold(connect.payer).ok();
        let found = place.is_some();
        if polls || !found {
            let mut state = session.state.lock();
            state.crowd.polls = !found;
            state.advice = AdviceDebt::Owed;
        }
        (if found { wait } else { Duration::ZERO }, place.flatten())
    }

    /// Takes in what a connect says of the reply before it, though the connect itself is refused.
    pub fn hear_refused(&self, session: &SessionHandle, connect: &ConnectRequest<'_>) {
        let mut state = session.state.lock();
        if state.ended.is_some() || state.overrun || state.pushes() {
            return;
        }
        if state.is_stale(connect) {
            return state.hear_late(connect);
        }
        let resent = state.receive_connect(connect);
        self.stats.resent.inc_by(resent as u64);
    }

    /// How long between two connects of one that found no room to wait: each another time.
    pub(super) fn crowded_interval(session: &SessionHandle) -> Duration {
        POLL + Duration::from_millis(session.id.spread() % 1_000)
    }

    /// Advice to come again once there may be room. Clients keep the last advice that they saw, so a
    /// session is owed the normal one from then on (decisions 3.7).
    #[must_use]
    pub fn advice_limited(
        &self,
        reconnect: Reconnect,
        limited: Limited,
        session: Option<&Arc<SessionHandle>>,
    ) -> Advice {
        if let Some(session) = session {
            session.state.lock().advice = AdviceDebt::Owed;
        }
        let most = match reconnect {
            // Whoever stays away for longer finds its session gone.
            Reconnect::Retry => self.options.max_interval,
            Reconnect::Handshake | Reconnect::None => HANDSHAKE_MOST,
        };
        let normal = self.advice(reconnect);
        let interval_ms = limited.interval_ms(most, self.limits.spread());
        Advice { interval_ms: interval_ms.max(normal.interval_ms), ..normal }
    }
}

/// Whoever may not shake hands is asked to stay away for three quarters of this at most.
const HANDSHAKE_MOST: Duration = Duration::from_secs(80);
