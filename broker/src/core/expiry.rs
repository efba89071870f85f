//! The end of sessions: by disconnect, or since nothing came (Bayeux 1.0 §4.2, E17, E18, L14).

use std::sync::Arc;
use std::time::Instant;

use super::broker::{Broker, own};
use super::held::Release;
use super::queue::Queue;
use super::session::{End, SessionHandle};

/// How many sessions are looked at before others get their turn: a flood of handshakes expires all
/// at once.
const AT_A_TIME: usize = 1_000;

impl Broker {
    /// The client says goodbye: its state goes and its held connect is released (E18).
    pub fn disconnect(&self, session: &Arc<SessionHandle>) {
        self.end(session, End::Disconnected);
    }

    /// Ends the sessions that are due, a bounded number at a time, and arms those that turn out to
    /// live. Returns when to come again; `None` when no session is left.
    pub fn expire(&self) -> Option<Instant> {
        let now = self.clock.now();
        for _ in 0..AT_A_TIME {
            let Some((at, session)) = self.deadlines.pop_due(now) else { break };
            let mut state = session.state.lock();
            // Ended or armed anew between the pop and the lock: its new entry is what counts.
            if state.ended.is_some() || state.armed != at {
                continue;
            }
            let idle_max = self.idle_max(&state);
            if state.expires_at(idle_max).is_some_and(|due| due <= now) && state.grant.ends_by(now)
            {
                self.lapse(&session, &mut state);
            }
            let due = state.expires_at(idle_max).unwrap_or(now + idle_max);
            if due > now {
                state.armed = due;
                self.deadlines.arm(due, Arc::clone(&session));
                continue;
            }
            drop(state);
            self.end(&session, End::Expired);
        }
        self.deadlines.next()
    }

    pub(super) fn end(&self, session: &Arc<SessionHandle>, why: End) {
        let (browser, connected) = {
            let mut state = session.state.lock();
            if state.ended.is_some() {
                return;
            }
            // Between the sweeper's look and this lock the client may have come back.
            if why == End::Expired && !self.is_due(&state) {
                let at = self.clock.now() + self.idle_max(&state);
                self.rearm(session, &mut state, at);
                return;
            }
            state.ended = Some(why);
            state.queue = Queue::default();
            state.behind = None;
            state.crowd.place = None;
            state.subscriptions = 0;
            self.deadlines.disarm(state.armed, session.key);
            if let Some(hold) = state.hold.take() {
                hold.release(Release::Ended);
            }
            if let Some(tap) = state.outlet.take() {
                tap.hold.release(Release::Ended);
            }
            (state.browser(), state.connected)
        };
        self.registry.remove(&session.id);
        if let Some(browser) = browser {
            self.browsers.leave(browser, session.key);
        }
        let patterns = {
            let mut own = own(session);
            own.ended = true;
            own.take_all()
        };
        for pattern in &patterns {
            self.subscriptions.leave(pattern, session);
        }
        match (why, connected) {
            (End::Disconnected, _) => self.stats.disconnected.inc(),
            (End::Expired, true) => self.stats.expired.inc(),
            (End::Expired, false) => self.stats.never_connected.inc(),
            (End::Overrun, _) => self.stats.overrun.inc(),
            (End::Revoked, _) => self.stats.revoked.inc(),
        }
    }

    fn is_due(&self, state: &super::session::Session) -> bool {
        state.expires_at(self.idle_max(state)).is_some_and(|at| at <= self.clock.now())
    }
}
