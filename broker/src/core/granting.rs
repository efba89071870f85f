//! What a session may do hangs on who it speaks for, and that may end before the session does: a token
//! expires, a fresh one comes, a key is taken away (checklist K2, R34).

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::broker::{Broker, own};
use super::held::Release;
use super::id::SessionId;
use super::principal::{Kind, Principal};
use super::session::{End, Session, SessionHandle};

/// Whom a session speaks for.
#[derive(Debug, Default)]
pub(crate) struct Grant {
    who: Option<Arc<Principal>>,
    /// Until when that holds; `None` = as long as the session lives.
    until: Option<Instant>,
    /// It holds no more, and whoever waited was told.
    lapsed: bool,
}

impl Grant {
    /// For somebody, by a clock that shows this time.
    pub(crate) fn to(who: Option<Arc<Principal>>, now: Instant, wall_us: i64) -> Self {
        let expires = who.as_ref().and_then(|who| who.expires);
        let left = |expires: i64| {
            let left_us = expires.saturating_mul(1_000_000).saturating_sub(wall_us);
            // Beyond what any clock tells, it is for good.
            now.checked_add(Duration::from_micros(u64::try_from(left_us).unwrap_or(0)))
        };
        Self { who, until: expires.and_then(left), lapsed: false }
    }

    /// Whom it speaks for.
    pub(crate) fn who(&self) -> Option<&Arc<Principal>> {
        self.who.as_ref()
    }

    /// Whether somebody may speak for the session, who did or did not say who they are.
    pub(crate) fn admits(&self, who: Option<&Principal>) -> bool {
        who.is_none_or(|who| self.who.as_ref().is_some_and(|own| own.is(who)))
    }

    /// Whether it holds no more.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        self.lapsed || self.until.is_some_and(|until| now >= until)
    }

    /// Whether it ends now, and nobody was told yet.
    pub(crate) fn ends_by(&self, now: Instant) -> bool {
        !self.lapsed && self.is_over(now)
    }

    /// When a session is to be looked at that would expire then: when its grant ends, and once that
    /// is over, when the time is up in which a fresh one may come.
    pub(crate) fn bound(&self, expires: Option<Instant>, grace: Duration) -> Option<Instant> {
        match self.until {
            Some(until) if self.lapsed => Some(until + grace),
            Some(until) => Some(expires.map_or(until, |at| at.min(until))),
            None => expires,
        }
    }
}

impl Broker {
    /// Whom a session speaks for.
    #[must_use]
    pub fn principal(&self, session: &SessionHandle) -> Option<Arc<Principal>> {
        session.state.lock().grant.who().map(Arc::clone)
    }

    /// Whether whoever a session speaks for has no valid credentials any more: nothing is done for it
    /// then, until fresh ones come.
    #[must_use]
    pub fn is_lapsed(&self, session: &SessionHandle) -> bool {
        session.state.lock().grant.is_over(self.clock.now())
    }

    /// Whether the grant of a session ends so soon, or is over, and its client may be waited for to
    /// bring fresh credentials.
    #[must_use]
    pub fn ends_within(&self, client_id: Option<&str>, time: Duration) -> bool {
        let session = client_id.and_then(SessionId::parse).and_then(|id| self.registry.get(&id));
        session.is_some_and(|session| session.state.lock().grant.is_over(self.clock.now() + time))
    }

    /// Fresh credentials of whom a session speaks for: they hold from now on. A session that subscribes
    /// to what they do not allow ends, and its client starts over with what they do. Whether it lives.
    pub fn renew(
        &self,
        session: &Arc<SessionHandle>,
        who: &Arc<Principal>,
        allowed: impl Fn(&str) -> bool,
    ) -> bool {
        {
            let mut state = session.state.lock();
            let fresher = |own: &Arc<Principal>| {
                let rank = |expires: Option<i64>| expires.unwrap_or(i64::MAX);
                **own != **who && rank(own.expires) <= rank(who.expires)
            };
            if state.ended.is_some() || !state.grant.who().is_some_and(fresher) {
                return state.ended.is_none();
            }
            state.grant = Grant::to(Some(Arc::clone(who)), self.clock.now(), self.clock.wall_us());
            let idle_max = self.idle_max(&state);
            if let Some(at) = state.expires_at(idle_max).filter(|&at| at < state.armed) {
                self.rearm(session, &mut state, at);
            }
        }
        self.stats.renewed.inc();
        let patterns = own(session).all().to_vec();
        let all = patterns.iter().all(|pattern| allowed(pattern));
        if !all {
            self.end(session, End::Revoked);
        }
        all
    }

    /// Ends the sessions of which this does not hold any more: whom they speak for, and what they
    /// subscribe to. Returns how many.
    pub fn revoke(&self, holds: impl Fn(&Principal, &[Arc<str>]) -> bool) -> usize {
        let mut sessions = Vec::new();
        self.registry.for_each(|session| sessions.push(Arc::clone(session)));
        let mut ended = 0;
        for session in sessions {
            let Some(who) = self.principal(&session) else { continue };
            let patterns: Vec<_> = own(&session).all().to_vec();
            if !holds(&who, &patterns) {
                self.end(&session, End::Revoked);
                ended += 1;
            }
        }
        ended
    }

    /// A grant is over: what waits is told, nothing goes out any more.
    pub(super) fn lapse(&self, session: &Arc<SessionHandle>, state: &mut Session) {
        state.grant.lapsed = true;
        self.stats.lapsed.inc();
        if let Some(hold) = state.hold.take() {
            hold.release(Release::Lapsed);
        }
        self.detach_from(session, state, Release::Lapsed);
        if let Some(browser) = state.browser() {
            self.browsers.leave(browser, session.key);
        }
    }
}

/// Names a publisher, for whom an idempotency key holds; all who do not say who they are are one.
pub(crate) fn publisher(who: Option<&Principal>) -> String {
    match who {
        None | Some(Principal { kind: Kind::Anonymous, .. }) => String::new(),
        Some(Principal { kind, subject, .. }) => format!("{kind:?}:{subject}"),
    }
}
