//! `/meta/connect`: take it in, hold it or answer it, let it go (Bayeux 1.0 §4.2, decisions 3.1-3.4).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use weft_protocol::{Advice, Error, Reconnect};

use super::broker::{Broker, millis};
use super::browsers::Claim;
use super::frame::Booked;
use super::held::{Held, Hold, Release};
use super::options::ResponseLimits;
use super::outlet::OutletKind;
use super::proof::ConnectRequest;
use super::queue::Batch;
use super::session::{AdviceDebt, End, Session, SessionHandle};

/// How a connect was taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// It is the session's newest, the so-manieth: to be held or answered.
    Newest(u64),
    /// It arrived before the session's last reply went out, or before its newest connect: it settles
    /// nothing, replaces nothing and gets no events.
    Stale,
    /// The session's queue has passed its bounds: it ends with this connect.
    Overrun,
}

/// The answer to a connect.
#[derive(Debug)]
pub struct Connected {
    /// Success, or 402.
    pub outcome: Result<(), Error>,
    /// Advice to send along.
    pub advice: Option<Advice>,
    /// Events that go before the reply, and losses to tell in it.
    pub batch: Batch,
    /// Names this reply for [`SessionHandle::write_failed`].
    pub reply_no: u64,
    /// The reply's number, for clients that acknowledge.
    pub ack: Option<u64>,
}

/// What whoever speaks for a session is told once their credentials have expired (checklist K2).
pub const TOKEN_EXPIRED: Error = Error::Unauthorized("token_expired");

/// What a reply may take without asking: most are smaller.
const REPLY_FREE: usize = 16 << 10;

impl Broker {
    /// Takes in a connect, before anything else is done with it: settles what became of the last
    /// reply, and makes an older held connect of the session give way (E12, L5).
    ///
    /// # Errors
    /// 402 if the session just ended, 401 if its credentials are not valid any more.
    pub fn receive_connect(
        &self,
        session: &Arc<SessionHandle>,
        connect: &ConnectRequest<'_>,
    ) -> Result<Received, Error> {
        let mut state = session.state.lock();
        let now = self.clock.now();
        if state.ended.is_some() {
            return Err(Error::SessionUnknown);
        }
        if state.grant.is_over(now) {
            return Err(TOKEN_EXPIRED);
        }
        if state.overrun {
            return Ok(Received::Overrun);
        }
        self.touch_at(session, &mut state, now);
        if state.is_stale(connect) {
            state.hear_late(connect);
            self.stats.superseded.inc();
            return Ok(Received::Stale);
        }
        if state.ends_stream(connect.carrier) {
            self.detach_from(session, &mut state, Release::Superseded);
        }
        if state.pushes() {
            state.receive_heartbeat(connect);
        } else {
            let resent = state.receive_connect(connect);
            self.stats.resent.inc_by(resent as u64);
        }
        if let Some((older, why)) = state.supersede(now) {
            self.stats.superseded.inc();
            older.release(why);
        }
        self.touch_at(session, &mut state, now);
        let (behind, number) = (state.is_behind() && !state.pushes(), state.connects);
        drop(state);
        if behind {
            self.catch_up(session);
        }
        Ok(Received::Newest(number))
    }

    /// Holds a connect that was received so, and stands alone in its request. The first of a session,
    /// one that asks for it, and one whose browser holds another are held for no time at all; so is
    /// any while events wait.
    pub fn hold_connect(
        self: &Arc<Self>,
        session: &Arc<SessionHandle>,
        connect: &ConnectRequest<'_>,
        received: Received,
    ) -> Held {
        let number = match received {
            Received::Newest(number) => number,
            // Whatever is its newest, it is another.
            Received::Stale | Received::Overrun => 0,
        };
        let wait = if connect.wants_answer_now() || !self.may_wait(session, connect.holds_up) {
            Duration::ZERO
        } else {
            let asked = connect.advice.and_then(|advice| advice.timeout_ms);
            asked.map_or(self.options.timeout, Duration::from_millis).min(self.options.timeout)
        };
        let (wait, place) = self.place_to_wait(session, connect, wait);
        let now = self.clock.now();
        let hold = Arc::new(Hold::default());
        let mut state = session.state.lock();
        if state.ended.is_some() {
            hold.release(Release::Ended);
            // It may have ended after its place was claimed.
            if let Some(browser) = state.browser() {
                self.browsers.leave(browser, session.key);
            }
        } else if state.grant.is_over(now) {
            hold.release(Release::Lapsed);
        } else if self.draining.load(Ordering::Acquire) {
            hold.release(Release::Drained);
        } else if state.connects != number {
            // Between its coming and this, a newer one came.
            hold.release(Release::Superseded);
        } else {
            if let Some((older, why)) = state.supersede(now) {
                older.release(why);
            }
            state.hold = Some(Arc::clone(&hold));
        }
        let id = connect.id.map(|id| state.proof.kept(id));
        drop(state);
        Held {
            broker: Arc::clone(self),
            session: Arc::clone(session),
            hold,
            deadline: now + wait,
            number,
            id,
            asked_advice: connect.advice.is_some(),
            since: now,
            waited: false,
            answered: false,
            _place: place.map(Box::new),
        }
    }

    /// Whether this session may wait now; takes the place of another tab if it must (R6, R6a).
    fn may_wait(&self, session: &Arc<SessionHandle>, holds_up: bool) -> bool {
        let (browser, demoted) = {
            let mut state = session.state.lock();
            if !state.connected || state.has_news(self.clock.now()) {
                return false;
            }
            if state.outlet.is_some() {
                // No request of a browser is held up by it (R6).
                state.demoted = false;
                return state.pushes_by() != Some(OutletKind::EventSource);
            }
            (state.browser(), state.demoted)
        };
        let Some(browser) = browser else { return true };
        if !holds_up {
            // It needs no place, and gives back the one that it had by HTTP/1.1 (R6b).
            session.state.lock().demoted = false;
            self.browsers.leave(browser, session.key);
            return true;
        }
        match self.browsers.claim(browser, session, demoted, self.clock.now()) {
            Claim::Poll => {
                self.demote(session);
                false
            }
            Claim::Hold(displaced) => {
                session.state.lock().demoted = false;
                if let Some(displaced) = displaced {
                    self.demote(&displaced);
                }
                true
            }
        }
    }

    /// Tells a session that another tab holds: now if it waits, else when it next connects.
    fn demote(&self, session: &Arc<SessionHandle>) {
        self.stats.demoted.inc();
        {
            let mut state = session.state.lock();
            state.demoted = true;
            state.advice = AdviceDebt::Owed;
        }
        self.let_go(session, Release::Demoted);
    }

    /// A connect is answered: the place that its session may have waits for the next one.
    fn step_back(&self, session: &SessionHandle, state: &Session) {
        if let Some(browser) = state.browser() {
            self.browsers.answered(browser, session.key, self.clock.now());
        }
    }

    /// Answers a received connect at once. What shares its request may have waited for the disk: if
    /// a newer one has come meanwhile, it gives way to that.
    pub fn answer_connect(
        &self,
        session: &Arc<SessionHandle>,
        received: Received,
        id: Option<&str>,
        asked_advice: bool,
    ) -> Connected {
        let number = match received {
            Received::Newest(number) => number,
            Received::Stale => return self.answer_superseded(session, asked_advice),
            Received::Overrun => return self.expel(session),
        };
        let mut state = session.state.lock();
        match state.ended {
            Some(End::Disconnected) => self.farewell(),
            Some(End::Expired | End::Overrun | End::Revoked) => self.unknown(),
            None if state.grant.is_over(self.clock.now()) => {
                self.refuse_connect(TOKEN_EXPIRED, false)
            }
            None if state.overrun => {
                drop(state);
                self.expel(session)
            }
            None if state.connects != number => self.give_way(session, &mut state, asked_advice),
            None => self.answer(session, &mut state, id, asked_advice),
        }
    }

    /// Answers a connect that a newer one has replaced, or that came too late: an ordinary reply, and
    /// no events (L5).
    pub fn answer_superseded(&self, session: &SessionHandle, asked_advice: bool) -> Connected {
        self.give_way(session, &mut session.state.lock(), asked_advice)
    }

    fn give_way(&self, session: &SessionHandle, state: &mut Session, asked: bool) -> Connected {
        let advice = self.advise(session, state, asked);
        succeeded(advice, 0)
    }

    fn answer(
        &self,
        session: &Arc<SessionHandle>,
        state: &mut Session,
        id: Option<&str>,
        asked_advice: bool,
    ) -> Connected {
        let now = self.clock.now();
        if state.pushes() {
            let batch = state.answer_heartbeat(now);
            self.stats.gaps.inc_by(batch.gaps.len() as u64);
            let advice = self.advise(session, state, asked_advice);
            self.touch_at(session, state, now);
            return Connected { batch, ..succeeded(advice, state.reply_no) };
        }
        let limits = self.response_now(state);
        let withheld = limits.is_none();
        let (batch, ack) = match limits {
            Some(limits) => state.answer(now, id, limits),
            None => {
                state.advice = AdviceDebt::Owed;
                state.answer_without(now, id)
            }
        };
        self.step_back(session, state);
        self.stats.batch.observe(batch.frames.len() as f64);
        self.stats.messages_out.inc_by(batch.frames.len() as u64);
        self.stats.gaps.inc_by(batch.gaps.len() as u64);
        let advice = if withheld {
            Some(self.later(Reconnect::Retry, session.id.spread()))
        } else {
            self.advise(session, state, asked_advice)
        };
        self.touch_at(session, state, now);
        Connected { outcome: Ok(()), advice, batch, reply_no: state.reply_no, ack }
    }

    /// What a reply may carry now. Where slow readers have left no memory for large ones, a small part;
    /// an event that is larger than that waits, and its client is asked to come again a little later:
    /// then there is nothing.
    pub(crate) fn response_now(&self, state: &Session) -> Option<ResponseLimits> {
        let limits = self.options.response();
        let left = self.options.response_bytes_total.saturating_sub(self.replies.get());
        let waits = state.queue.next_bytes().is_some_and(|next| next > REPLY_FREE);
        let bytes = limits.bytes.min(left.max(REPLY_FREE));
        (left > REPLY_FREE || !waits).then_some(ResponseLimits { bytes, ..limits })
    }

    /// Books a reply's bytes while it is being written.
    #[must_use]
    pub fn book_reply(&self, bytes: usize) -> Booked {
        if bytes <= REPLY_FREE {
            return Booked::default();
        }
        let mut booked = Booked::to(&self.replies);
        booked.set(bytes);
        booked
    }

    /// Bytes of large replies that are being written.
    #[must_use]
    pub fn reply_bytes(&self) -> usize {
        self.replies.get()
    }

    /// The advice of a connect reply: always complete, and only when there is something to say.
    fn advise(&self, session: &SessionHandle, state: &mut Session, asked: bool) -> Option<Advice> {
        let normal =
            Advice { interval_ms: millis(self.interval(state)), ..self.advice(Reconnect::Retry) };
        if self.draining.load(Ordering::Acquire) {
            return Some(self.later(Reconnect::Retry, session.id.spread()));
        }
        if state.demoted {
            let interval_ms = millis(self.options.browser_interval).max(normal.interval_ms);
            return Some(Advice { interval_ms, multiple_clients: true, ..normal });
        }
        if state.crowd.polls {
            let interval_ms = millis(Self::crowded_interval(session)).max(normal.interval_ms);
            return Some(Advice { interval_ms, ..normal });
        }
        if let Some(pause) = state.stream_pause(self.options.timeout) {
            let interval_ms = millis(pause).max(normal.interval_ms);
            // It is told otherwise once it has no stream.
            state.advice = AdviceDebt::Owed;
            return Some(Advice { interval_ms, timeout_ms: 0, ..normal });
        }
        if state.advice == AdviceDebt::None {
            return asked.then_some(normal);
        }
        state.advice = AdviceDebt::Sent;
        Some(normal)
    }

    /// The answer to a held connect, if it is time for one.
    pub(crate) fn poll_held(&self, held: &Held, now: std::time::Instant) -> Option<Connected> {
        let behind = {
            let state = held.session.state.lock();
            state.is_behind() && !state.pushes()
        };
        if behind {
            self.catch_up(&held.session);
        }
        let mut state = held.session.state.lock();
        let id = held.id.as_deref();
        let answer = match held.hold.released() {
            Some(Release::Superseded) => {
                self.give_way(&held.session, &mut state, held.asked_advice)
            }
            _ if state.overrun => {
                drop(state);
                return Some(self.expel(&held.session));
            }
            Some(Release::Fought | Release::Overrun) => self.unknown(),
            Some(Release::Ended) if state.ended != Some(End::Disconnected) => self.unknown(),
            Some(Release::Ended) => self.farewell(),
            Some(Release::Lapsed) => self.refuse_connect(TOKEN_EXPIRED, false),
            // It was let go, and a newer one came before it was answered.
            Some(_) if state.connects != held.number => {
                self.give_way(&held.session, &mut state, held.asked_advice)
            }
            Some(Release::Demoted | Release::Drained | Release::Overtaken) => {
                self.answer(&held.session, &mut state, id, held.asked_advice)
            }
            None if state.has_news(now) || now >= held.deadline => {
                state.hold = None;
                self.answer(&held.session, &mut state, id, held.asked_advice)
            }
            None => {
                held.hold.sleep_on();
                return None;
            }
        };
        drop(state);
        if held.waited {
            self.stats.hold.observe(now.saturating_duration_since(held.since).as_secs_f64());
        }
        Some(answer)
    }

    /// A held connect's client went away: nothing was taken, the session is merely not held.
    pub(crate) fn abandon(&self, held: &Held) {
        let mut state = held.session.state.lock();
        let Some(hold) = &state.hold else {
            // Let go already, and never answered.
            return self.step_back(&held.session, &state);
        };
        if !Arc::ptr_eq(hold, &held.hold) {
            return;
        }
        state.hold = None;
        self.stats.abandoned.inc();
        self.touch(&held.session, &mut state);
        if let Some(browser) = state.browser() {
            self.browsers.leave(browser, held.session.key);
        }
    }

    /// The answer to a connect of a session that disconnected (E18).
    #[must_use]
    pub fn farewell(&self) -> Connected {
        succeeded(Some(self.advice(Reconnect::None)), 0)
    }

    /// The last answer of a session whose queue passed its bounds: what it missed, and to start over.
    pub(crate) fn expel(&self, session: &Arc<SessionHandle>) -> Connected {
        let gaps = {
            let mut state = session.state.lock();
            let mut gaps = state.queue.take(self.options.response()).gaps;
            // What has come since is missing, too.
            gaps.iter_mut().for_each(|gap| gap.to = self.positions.last());
            gaps
        };
        self.stats.gaps.inc_by(gaps.len() as u64);
        self.end(session, End::Overrun);
        let batch = Batch { gaps, ..Batch::default() };
        Connected { batch, ..self.unknown() }
    }

    fn unknown(&self) -> Connected {
        self.refuse_connect(Error::SessionUnknown, false)
    }

    /// A failed connect: without a session, handshake; else come again, but not at once (decisions
    /// 3.6). A handshake may be asked for later, too: who keeps no cookies where they are required
    /// would shake hands for ever.
    #[must_use]
    pub fn refuse_connect(&self, error: Error, later: bool) -> Connected {
        let advice = match error {
            Error::SessionUnknown if later => self.advice_later(Reconnect::Handshake),
            Error::SessionUnknown => self.advice(Reconnect::Handshake),
            _ => self.advice_later(Reconnect::Retry),
        };
        Connected {
            outcome: Err(error),
            advice: Some(advice),
            batch: Batch::default(),
            reply_no: 0,
            ack: None,
        }
    }

    /// Whether events ride on replies other than a connect's.
    #[must_use]
    pub fn delivers_on_any_reply(&self) -> bool {
        self.options.deliver_on_any_reply
    }

    /// Takes events for a reply other than a connect's, where the operator wants that. Gaps wait for
    /// a connect's.
    pub fn take_for_any_reply(&self, session: &SessionHandle) -> (Batch, u64) {
        // Where replies are acknowledged, only connect replies carry what that proves (checklist X1).
        let (behind, elsewhere) = {
            let state = session.state.lock();
            (state.is_behind(), state.proof.has_numbers() || state.outlet.is_some())
        };
        if elsewhere {
            return (Batch::default(), 0);
        }
        if behind {
            self.catch_up(session);
        }
        let mut state = session.state.lock();
        let Some(limits) = self.response_now(&state).filter(|_| state.ended.is_none()) else {
            return (Batch::default(), 0);
        };
        let frames = state.take_frames(limits);
        self.stats.messages_out.inc_by(frames.len() as u64);
        let batch = Batch { frames, gaps: Vec::new(), with_replay: state.with_replay };
        (batch, state.reply_no)
    }

    /// Releases the session's held connect, since another of its messages came by callback-polling:
    /// browsers run injected scripts in order, so the answer would wait behind the held one (J5).
    pub fn overtake(&self, session: &Arc<SessionHandle>) {
        self.let_go(session, Release::Overtaken);
    }
}

/// A reply that carries nothing.
fn succeeded(advice: Option<Advice>, reply_no: u64) -> Connected {
    Connected { outcome: Ok(()), advice, batch: Batch::default(), reply_no, ack: None }
}
