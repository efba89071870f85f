//! A held connect: what it waits for, and how it is let go.
//!
//! Nothing is taken from the queue before the moment of answering, so a held connect whose socket
//! dies loses nothing: its future is dropped and the session simply stops being held.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use parking_lot::Mutex;

use super::broker::Broker;
use super::channels::blocking;
use super::clock::Clock;
use super::connect::Connected;
use super::session::SessionHandle;
use crate::limits::tally::Place;

/// Why a held connect is answered although it has neither events nor reached its deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// A newer connect of the same session is held instead.
    Superseded,
    /// The same, once too often in a short time.
    Fought,
    /// Another tab of the same browser holds now (R6).
    Demoted,
    /// The session ended.
    Ended,
    /// The broker is going away.
    Drained,
    /// Another message of this session came by callback-polling (J5), or its stream was opened.
    Overtaken,
    /// The session's queue passed its bounds, and was given up (P5).
    Overrun,
    /// Whoever it speaks for has no valid credentials any more.
    Lapsed,
}

/// Rings for the one who waits; a ring that finds nobody is kept for whoever comes.
#[derive(Debug, Default)]
struct Bell(Mutex<Ring>);

#[derive(Debug, Default)]
enum Ring {
    #[default]
    Silent,
    Awaited(Waker),
    Rung,
}

impl Bell {
    fn ring(&self) {
        let before = std::mem::replace(&mut *self.0.lock(), Ring::Rung);
        if let Ring::Awaited(waiter) = before {
            waiter.wake();
        }
    }

    fn poll_rung(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut ring = self.0.lock();
        match &*ring {
            Ring::Rung => {
                *ring = Ring::Silent;
                return Poll::Ready(());
            }
            Ring::Awaited(waiter) if waiter.will_wake(cx.waker()) => {}
            _ => *ring = Ring::Awaited(cx.waker().clone()),
        }
        Poll::Pending
    }
}

/// The part that the session keeps of a held connect, or of an outlet: how to wake it.
#[derive(Debug, Default)]
pub struct Hold {
    release: OnceLock<Release>,
    woken: AtomicBool,
    bell: Bell,
}

impl Hold {
    /// Lets it go; the first reason given counts.
    pub(crate) fn release(&self, why: Release) {
        let _ = self.release.set(why);
        self.bell.ring();
    }

    /// Wakes it now.
    pub(crate) fn wake(&self) {
        self.bell.ring();
    }

    pub(crate) fn released(&self) -> Option<Release> {
        self.release.get().copied()
    }

    /// True once: whoever gets it must wake the hold, at the end of the publisher's batch.
    pub(crate) fn claim_wake(&self) -> bool {
        !self.woken.swap(true, Ordering::Relaxed)
    }

    /// Waits until it is woken or let go.
    pub(crate) async fn woken(&self) {
        poll_fn(|cx| self.poll_woken(cx)).await;
    }

    /// Whether it was woken or let go since this was last so.
    pub(crate) fn poll_woken(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.bell.poll_rung(cx)
    }

    /// What woke it went another way; it may be woken again.
    pub(crate) fn sleep_on(&self) {
        self.woken.store(false, Ordering::Relaxed);
    }
}

/// Holds to wake when a request's publications are all queued, so that one POST of many publishes
/// wakes each poll once, with all of them (decisions 3.3). Dropping it wakes them.
#[derive(Debug, Default)]
pub struct Wakes(Vec<Arc<Hold>>);

impl Wakes {
    pub(crate) fn push(&mut self, hold: Arc<Hold>) {
        self.0.push(hold);
    }
}

impl Drop for Wakes {
    fn drop(&mut self) {
        let (some, more) = self.0.split_at(self.0.len().min(AT_A_TIME));
        some.iter().for_each(|hold| hold.wake());
        if !more.is_empty() {
            // What takes long does not keep the runtime from its work.
            blocking(|| more.iter().for_each(|hold| hold.wake()));
        }
    }
}

/// How many are woken before other work has its turn.
const AT_A_TIME: usize = 1_000;

/// A held connect from the transport's side. Dropping it unanswered means: the client went away.
#[derive(Debug)]
pub struct Held {
    pub(crate) broker: Arc<Broker>,
    pub(crate) session: Arc<SessionHandle>,
    pub(crate) hold: Arc<Hold>,
    /// When it is answered at the latest.
    pub(crate) deadline: Instant,
    /// Which of its session's connects it is.
    pub(crate) number: u64,
    pub(crate) id: Option<Arc<str>>,
    pub(crate) asked_advice: bool,
    pub(crate) since: Instant,
    pub(crate) waited: bool,
    pub(crate) answered: bool,
    /// Its place among those that wait, where these are counted.
    pub(crate) _place: Option<Box<Place>>,
}

impl Held {
    /// The answer, if it is time for one. Never waits: the simulation calls it after each step.
    pub fn poll(&mut self, now: Instant) -> Option<Connected> {
        let answer = self.broker.poll_held(self, now);
        self.waited |= answer.is_none();
        self.answered = answer.is_some();
        answer
    }

    /// It waits no longer than until now.
    pub fn hurry(&mut self) {
        self.deadline = self.broker.clock().now();
    }

    /// When [`Held::poll`] has an answer at the latest, as things stand.
    #[must_use]
    pub fn due(&self) -> Instant {
        let lazy_until = {
            let state = self.session.state.lock();
            state.lazy_until.filter(|_| !state.pushes())
        };
        lazy_until.map_or(self.deadline, |until| until.min(self.deadline))
    }

    /// Whether there may be an answer.
    pub fn poll_woken(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.hold.poll_woken(cx)
    }

    /// Whether it waits, rather than being let go and about to be answered.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        !self.answered && self.hold.released().is_none()
    }

    /// The session that waits.
    #[must_use]
    pub fn session(&self) -> &Arc<SessionHandle> {
        &self.session
    }

    /// Waits for events, the deadline or a release. Cancel-safe: nothing is taken before the end.
    ///
    /// `gone` tells whether the client has closed its socket where the edge cannot see it by itself,
    /// since bytes of another request lie before the end; then nothing is taken either.
    pub async fn wait(&mut self, clock: &dyn Clock, gone: &(dyn Fn() -> bool + Sync)) -> Connected {
        loop {
            let now = clock.now();
            if self.is_due(now) && gone() {
                return self.give_up();
            }
            if let Some(answer) = self.poll(now) {
                return answer;
            }
            tokio::select! {
                biased;
                () = self.hold.woken() => {}
                () = tokio::time::sleep_until(self.due().into()) => {}
            }
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        self.hold.released().is_some()
            || now >= self.deadline
            || self.session.state.lock().has_news(now)
    }

    /// There is nobody to answer.
    fn give_up(&mut self) -> Connected {
        self.answered = true;
        self.broker.abandon(self);
        self.broker.answer_superseded(&self.session, false)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.answered {
            self.broker.abandon(self);
        }
    }
}
