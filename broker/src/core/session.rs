//! One session's state: what a client may rely on between two of its requests.
//!
//! Plain data under one short lock; `now` is an argument, nothing here waits or wakes anybody.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::behind::{Behind, CHANNELS_MAX};
use super::crowd::Crowd;
use super::frame::Frame;
use super::gaps::everywhere;
use super::granting::Grant;
use super::held::Hold;
use super::id::{BrowserId, SessionId};
use super::options::{Bounds, QueueLimits, ResponseLimits};
use super::outlet::Tap;
use super::proof::{ConnectRequest, Proof, Verdict};
use super::queue::{Batch, Queue};
use super::rules::Rule;
use crate::limits::SessionBuckets;

pub(crate) use self::own::OwnSubscriptions;

/// A session as the registry, the subscriptions and transports share it.
pub struct SessionHandle {
    /// The clientId.
    pub id: SessionId,
    /// A small number, unique while the process lives: the key in tables.
    pub key: u64,
    /// What it may do in a time.
    pub buckets: SessionBuckets,
    pub(crate) state: Mutex<Session>,
    pub(crate) subscriptions: Mutex<OwnSubscriptions>,
}

impl SessionHandle {
    /// Has the processor fetch what a lock will want, and waits for nothing.
    pub(crate) fn approach(&self) {
        std::hint::black_box(self.state.is_locked());
    }

    pub(crate) fn new(id: SessionId, key: u64, now: Instant, armed: Instant, grant: Grant) -> Self {
        let state = Mutex::new(Session { grant, ..Session::new(now, armed) });
        let buckets = SessionBuckets::default();
        Self { id, key, buckets, state, subscriptions: Mutex::default() }
    }

    /// The reply numbered `reply_no` is known not to have been written: its events go again.
    pub fn write_failed(&self, reply_no: u64) {
        let mut state = self.state.lock();
        if state.reply_no == reply_no {
            state.proof.write_failed();
        }
    }
}

impl fmt::Debug for SessionHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({:?})", self.id)
    }
}

/// Who may speak for a session besides knowing its id (decisions 3.11).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binding {
    /// No message has come since the handshake.
    Undecided,
    /// The first message carried this browser's cookie, so all must.
    Browser(BrowserId),
    /// The first message carried no cookie: the clientId alone counts, for life.
    Free,
}

/// Clients keep the last advice they saw, so after a demotion the normal one must be told, in every
/// reply until one is known to have arrived (decisions 3.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdviceDebt {
    /// The client has the normal advice.
    None,
    /// It was told otherwise since.
    Owed,
    /// It was told; the next connect shows whether that arrived.
    Sent,
}

/// What became of a live message.
#[derive(Debug, Default)]
pub(crate) struct Enqueued {
    /// Whether the session gets it.
    pub(crate) taken: bool,
    /// The hold to wake.
    pub(crate) wake: Option<Arc<Hold>>,
    /// How many old ones had to go for it.
    pub(crate) dropped: usize,
    /// Whether its queue is past its bounds, and nobody knows yet.
    pub(crate) overfull: bool,
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The client said so.
    Disconnected,
    /// Nothing came in time.
    Expired,
    /// Its queue passed its bounds, where that ends a session (P5).
    Overrun,
    /// Whom it spoke for may not do that any more.
    Revoked,
}

/// The state itself.
#[derive(Debug)]
pub struct Session {
    pub(crate) queue: Queue,
    pub(crate) binding: Binding,
    /// Whom it speaks for.
    pub(crate) grant: Grant,
    pub(crate) hold: Option<Arc<Hold>>,
    /// What its events go out by unasked, if anything.
    pub(crate) outlet: Option<Box<Tap>>,
    pub(crate) ended: Option<End>,
    /// Last sign of life; the session may expire `idle_max` later, unless a connect is held or an
    /// outlet is there.
    pub(crate) contact: Instant,
    /// When its one entry among the deadlines stands.
    pub(crate) armed: Instant,
    /// Whether a connect has been answered: the first is answered at once.
    pub(crate) connected: bool,
    /// Whether another tab of the browser holds instead (R6a).
    pub(crate) demoted: bool,
    /// Whether the client must still be told the normal advice (decisions 3.7).
    pub(crate) advice: AdviceDebt,
    /// Number of the last reply that carried events.
    pub(crate) reply_no: u64,
    /// The latest moment at which a connect arrived or was answered: whatever arrived before that is
    /// out of date, and says nothing about receipt.
    latest: Instant,
    /// When its newest connect arrived.
    newest: Instant,
    /// How many connects it has sent, late ones apart.
    pub(crate) connects: u64,
    /// How many subscriptions it has: for gauges, which must not wait for those.
    pub(crate) subscriptions: usize,
    /// What it reads from the past, if anything.
    pub(crate) behind: Option<Box<Behind>>,
    /// Whether its events carry their positions (decisions 5).
    pub(crate) with_replay: bool,
    /// Until when all that is queued may wait; `None` = it leaves at once.
    pub(crate) lazy_until: Option<Instant>,
    /// The gap between connects that the client itself announced.
    pub(crate) client_interval: Duration,
    /// Its queue passed its bounds, and somebody is about to make room.
    pub(crate) overfull: bool,
    /// Its queue passed its bounds and was given up: it ends once its client was told.
    pub(crate) overrun: bool,
    pub(crate) proof: Proof,
    /// Its part in what is bounded at once.
    pub(crate) crowd: Crowd,
    /// When connects that it held were replaced, if any was.
    #[expect(
        clippy::box_collection,
        reason = "hardly any session has one, and all have room for it"
    )]
    superseded: Option<Box<VecDeque<Instant>>>,
}

impl Session {
    fn new(now: Instant, armed: Instant) -> Self {
        Self {
            queue: Queue::default(),
            binding: Binding::Undecided,
            grant: Grant::default(),
            hold: None,
            outlet: None,
            ended: None,
            contact: now,
            armed,
            connected: false,
            demoted: false,
            advice: AdviceDebt::None,
            reply_no: 0,
            latest: now,
            newest: now,
            connects: 0,
            subscriptions: 0,
            behind: None,
            with_replay: false,
            lazy_until: None,
            client_interval: Duration::ZERO,
            overfull: false,
            overrun: false,
            proof: Proof::default(),
            crowd: Crowd::default(),
            superseded: None,
        }
    }

    /// Whether a message with this browser cookie (or none) may speak for the session; the first
    /// message decides what is asked of all later ones.
    pub(crate) fn admits(&mut self, browser: Option<BrowserId>, require_cookie: bool) -> bool {
        if self.binding == Binding::Undecided {
            if browser.is_none() && require_cookie {
                return false;
            }
            self.binding = browser.map_or(Binding::Free, Binding::Browser);
        }
        match self.binding {
            Binding::Browser(bound) => browser == Some(bound),
            Binding::Free | Binding::Undecided => true,
        }
    }

    /// The browser whose tabs share one held connect.
    pub(crate) fn browser(&self) -> Option<BrowserId> {
        match self.binding {
            Binding::Browser(browser) => Some(browser),
            Binding::Free | Binding::Undecided => None,
        }
    }

    /// Whether a connect was overtaken by what happened since it arrived: it was sent before the last
    /// reply went out, or before the connect that is held now.
    pub(crate) fn is_stale(&self, connect: &ConnectRequest<'_>) -> bool {
        connect.arrived < self.latest
    }

    /// Takes in a connect: does it prove that the last reply arrived, or tell that it was lost
    /// (decisions section 4)? Returns how many events must go again.
    pub(crate) fn receive_connect(&mut self, connect: &ConnectRequest<'_>) -> usize {
        (self.latest, self.newest) = (connect.arrived, connect.arrived);
        self.connects += 1;
        // What becomes known later of the reply before it is settled here already.
        self.reply_no += 1;
        self.acknowledge(connect);
        let lost = self.proof.judge(connect) == Verdict::Lost;
        let resent = if lost {
            self.lazy_until = None;
            self.queue.unsend()
        } else {
            self.queue.confirm(self.queue.reach());
            0
        };
        self.advice = match self.advice {
            AdviceDebt::Sent if lost => AdviceDebt::Owed,
            AdviceDebt::Sent => AdviceDebt::None,
            debt => debt,
        };
        if let Some(advice) = connect.advice {
            self.client_interval = Duration::from_millis(advice.interval_ms.unwrap_or(0));
        }
        resent
    }

    /// Forgets what the client says it has seen, also if the connect that says so comes late.
    pub(crate) fn acknowledge(&mut self, connect: &ConnectRequest<'_>) {
        if let Some(reach) = self.proof.acknowledged(connect) {
            self.queue.confirm(reach);
        }
    }

    /// Takes what one connect reply carries and remembers whose answer it is. With it goes the
    /// reply's number, if the client wants one.
    pub(crate) fn answer(
        &mut self,
        now: Instant,
        id: Option<&str>,
        limits: ResponseLimits,
    ) -> (Batch, Option<u64>) {
        self.latest = self.latest.max(now);
        self.connected = true;
        let batch = Batch { with_replay: self.with_replay, ..self.queue.take(limits) };
        let ack = self.proof.answered(id, self.queue.reach());
        self.lazy_until = None;
        self.number(!batch.frames.is_empty() || !batch.gaps.is_empty());
        (batch, ack)
    }

    /// The same for a reply that takes nothing, since there is no memory for it: all goes on waiting.
    pub(crate) fn answer_without(
        &mut self,
        now: Instant,
        id: Option<&str>,
    ) -> (Batch, Option<u64>) {
        self.latest = self.latest.max(now);
        self.connected = true;
        (Batch::default(), self.proof.answered(id, self.queue.reach()))
    }

    /// Takes events for any other reply. Gaps wait for a connect reply.
    pub(crate) fn take_frames(&mut self, limits: ResponseLimits) -> Vec<Frame> {
        let frames = self.queue.take_frames(limits);
        self.lazy_until = None;
        self.number(!frames.is_empty());
        frames
    }

    fn number(&mut self, carries: bool) {
        self.reply_no += u64::from(carries);
    }

    /// Whether a connect has something to carry now: what is queued, unless all of it may wait, or
    /// what is yet to be read.
    pub(crate) fn has_news(&self, now: Instant) -> bool {
        if self.pushes() {
            return self.queue.has_untold();
        }
        self.is_behind() || (self.queue.has_news() && !self.waits(now))
    }

    /// Whether events are there to go out, however they do: queued, or yet to be read.
    pub(crate) fn has_events(&self, now: Instant) -> bool {
        self.is_behind() || (self.queue.has_unsent() && !self.waits(now))
    }

    /// Whether all that is queued may wait for company.
    pub(crate) fn waits(&self, now: Instant) -> bool {
        self.lazy_until.is_some_and(|until| now < until)
    }

    /// Whether anything of the past is yet to be read.
    pub(crate) fn is_behind(&self) -> bool {
        self.behind.as_ref().is_some_and(|behind| behind.has_more())
    }

    /// Adds a live message, unless the session will come to it reading. A message may wait for
    /// company until `lazy_until`.
    pub(crate) fn enqueue(
        &mut self,
        frame: Frame,
        rule: &Rule,
        bounds: Bounds,
        lazy_until: Option<Instant>,
    ) -> Enqueued {
        if self.ended.is_some() {
            return Enqueued::default();
        }
        if self.overrun {
            // It may have had its number before those that were given up.
            self.queue.note_gap(everywhere(frame.position() - 1, frame.position()));
            return Enqueued::default();
        }
        if self.behind.as_mut().is_some_and(|behind| behind.holds_back(&frame, rule)) {
            return Enqueued { taken: true, wake: self.wake(), ..Enqueued::default() };
        }
        if self.is_full_for(&frame, rule, bounds) {
            // It is in the backlog as surely as it is here.
            let channel = Arc::from(frame.channel());
            let behind = || Box::new(Behind::new(frame.account()));
            self.behind.get_or_insert_with(behind).go_back(&channel, frame.position());
            let overfull = !std::mem::replace(&mut self.overfull, true);
            return Enqueued { taken: true, wake: self.wake(), dropped: 0, overfull };
        }
        let first = lazy_until.filter(|_| !self.queue.has_news());
        let waits = self.lazy_until.or(first);
        let bounds = self.beside_the_past(bounds);
        self.queue.push(frame, rule.keeps());
        let (overfull, dropped) = self.keep_within(bounds);
        let until = lazy_until.and_then(|until| waits.map(|waits| waits.min(until)));
        // A message that may wait wakes nobody, but for the first, which sets the alarm.
        let alarm = lazy_until.is_none() || until != self.lazy_until;
        self.lazy_until = until;
        let wake = if alarm { self.wake() } else { None };
        Enqueued { taken: true, wake, dropped, overfull }
    }

    /// Whether a message that the backlog keeps is to be read from there, since there is no room.
    fn is_full_for(&self, frame: &Frame, rule: &Rule, bounds: Bounds) -> bool {
        let channels = self.behind.as_ref().map_or(0, |behind| behind.len());
        bounds.spills
            && rule.keeps()
            && self.queue.is_full_for(frame, bounds.limits)
            && channels < CHANNELS_MAX
    }

    /// Where a session cannot read the past for the live messages that no backlog keeps, these leave
    /// it half of the queue: beyond that, two go for each that comes.
    pub(super) fn beside_the_past(&self, bounds: Bounds) -> Bounds {
        if !self.behind.as_ref().is_some_and(|behind| behind.is_squeezed()) {
            return bounds;
        }
        let half = bounds.limits.halved();
        let limits = QueueLimits {
            messages: half
                .messages
                .max(self.queue.len().saturating_sub(1))
                .min(bounds.limits.messages),
            bytes: half.bytes.max(self.queue.bytes()).min(bounds.limits.bytes),
        };
        Bounds { limits, ..bounds }
    }

    /// Sees to the bounds, as far as that needs no other lock: says whether somebody must make room,
    /// and how many unsent messages were dropped.
    pub(super) fn keep_within(&mut self, bounds: Bounds) -> (bool, usize) {
        if !self.queue.is_over(bounds.limits) {
            return (false, 0);
        }
        if bounds.drops_oldest && !(bounds.spills && self.queue.may_spill()) {
            return (false, self.queue.drop_to(bounds.limits));
        }
        let overfull = !std::mem::replace(&mut self.overfull, true);
        // However long that takes, nothing grows without bounds.
        (overfull, self.queue.drop_to(bounds.limits.doubled()))
    }

    /// A message that its patterns mean is not for this session. What is queued before it cannot be
    /// read again without coming upon it, unless it is remembered.
    pub(crate) fn pass_by(&mut self, frame: &Frame, rule: &Rule) {
        if !self.behind.as_mut().is_some_and(|behind| behind.spare(frame, rule)) {
            self.queue.fix();
        }
    }

    /// All of the past is read: whoever reads it again starts over.
    pub(crate) fn caught_up(&mut self) {
        if self.behind.take().is_some_and(|behind| behind.has_spared()) {
            self.queue.fix();
        }
    }

    /// The hold to wake, if one waits for events and nobody woke it yet.
    pub(crate) fn wake(&self) -> Option<Arc<Hold>> {
        let tap = self.outlet.as_ref().filter(|_| self.pushes());
        let hold = tap.map(|tap| &tap.hold).or(self.hold.as_ref());
        hold.filter(|hold| hold.claim_wake()).map(Arc::clone)
    }

    /// When it expires if nothing comes, or what it may do is to be looked at again; `None` while a
    /// connect is held or an outlet is there, and that has no end.
    pub(crate) fn expires_at(&self, idle_max: Duration) -> Option<Instant> {
        let present = self.hold.is_some() || self.outlet.is_some();
        self.grant.bound((!present).then(|| self.contact + idle_max), idle_max)
    }
}

mod late;
mod own;
mod pushing;

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test needs some instant to start from")]
mod tests;
