//! Outlets: a socket or a stream by which a session's events go out unasked, as soon as they come.
//!
//! What went out stays in the queue, bounded like all that stands there, until its receipt is proven.
//! An outlet that is gone, or gives way to another or to a poll, leaves what is unproven to go again
//! (decisions section 4). While one is there, connects are heartbeats: their replies tell losses and
//! carry no events, unless the client acknowledges replies (checklist X1).

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use weft_protocol::Gap;

use super::broker::Broker;
use super::clock::Clock;
use super::held::{Hold, Release};
use super::options::ResponseLimits;
use super::queue::Batch;
use super::receipts::Reach;
use super::session::{Session, SessionHandle};

/// How soon to look again where memory, or the store, kept events back.
const RETRY: Duration = Duration::from_millis(200);

/// Fewer events than this, and all of them small, may wait for company: no queue is near its bound.
const LITTLE: usize = 8;
const LITTLE_BYTES: usize = 1 << 10;

/// What an outlet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutletKind {
    /// A WebSocket: the client's connects come by it too, and tell it of gaps.
    Socket,
    /// Faye's event stream: the client's connects come beside it, and tell it of gaps.
    EventSource,
    /// A stream for one who speaks no Bayeux: it is told of gaps itself, and its session ends with it.
    Reader,
}

/// The part of an outlet that its session keeps.
#[derive(Debug)]
pub(crate) struct Tap {
    pub(crate) hold: Arc<Hold>,
    pub(crate) kind: OutletKind,
    /// How far it had got when a connect last came beside it.
    pub(crate) heartbeat: Reach,
    /// What the last connect said of it.
    pub(crate) word: Word,
}

/// Whether a client knows of its event stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    /// No connect has come since it was opened.
    None,
    /// One named a poll: it may have left before the client knew, or the client does without the stream.
    /// The next one tells.
    Doubtful,
    /// One named the stream.
    Known,
}

/// How far a session's events have gone out: what proof of receipt names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mark(Reach);

impl Mark {
    /// How many of the session's events had gone out, since its beginning.
    #[must_use]
    pub fn events(self) -> u64 {
        self.0.frames
    }

    /// So many of the session's events.
    #[must_use]
    pub fn of_events(frames: u64) -> Self {
        Self(Reach { frames, gaps: 0 })
    }
}

/// What is to go out.
#[derive(Debug)]
pub struct Pushed {
    /// Events, and for readers losses to tell before them.
    pub batch: Batch,
    /// How far that goes.
    pub mark: Mark,
    /// Whether the client has yet to be told of a loss.
    pub untold: bool,
    /// Whether there may be more to go out.
    pub more: bool,
}

/// What an outlet is to do.
#[derive(Debug)]
pub enum Push {
    /// Events go out.
    Events(Pushed),
    /// Nothing more goes out by it.
    Over(Release),
}

/// An outlet from the transport's side. Dropping it detaches it; a reader's session ends.
#[derive(Debug)]
pub struct Outlet {
    broker: Arc<Broker>,
    session: Arc<SessionHandle>,
    hold: Arc<Hold>,
    kind: OutletKind,
    limits: ResponseLimits,
}

impl Broker {
    /// Lets a session's events go out by a new outlet, at most so many at a time. Another that it has
    /// gives way.
    pub fn attach(
        self: &Arc<Self>,
        session: &Arc<SessionHandle>,
        kind: OutletKind,
        limits: ResponseLimits,
    ) -> Outlet {
        let hold = Arc::new(Hold::default());
        let mut state = session.state.lock();
        if state.ended.is_some() {
            hold.release(Release::Ended);
        } else if self.is_draining() {
            hold.release(Release::Drained);
        } else {
            self.detach_from(session, &mut state, Release::Superseded);
            let heartbeat = Reach::default();
            let word = Word::None;
            state.outlet = Some(Box::new(Tap { hold: Arc::clone(&hold), kind, heartbeat, word }));
            if kind == OutletKind::EventSource
                && let Some(hold) = state.hold.take()
            {
                // It was held for want of a stream; beside one, connects are answered at once.
                hold.release(Release::Overtaken);
            }
            if let Some(browser) = state.browser() {
                // It holds nothing any more that another tab could want.
                self.browsers.leave(browser, session.key);
            }
        }
        drop(state);
        let (broker, session) = (Arc::clone(self), Arc::clone(session));
        Outlet { broker, session, hold, kind, limits }
    }

    /// The same for one that has come to a session before its first connect: it gives way to whatever
    /// there is.
    pub fn attach_early(
        self: &Arc<Self>,
        session: &Arc<SessionHandle>,
        kind: OutletKind,
        limits: ResponseLimits,
    ) -> Option<Outlet> {
        let free = {
            let state = session.state.lock();
            !state.connected && state.outlet.is_none() && state.hold.is_none()
        };
        free.then(|| self.attach(session, kind, limits))
    }

    /// Takes a session's outlet away, if it has one: what is unproven goes again.
    pub(crate) fn detach_from(
        &self,
        session: &Arc<SessionHandle>,
        state: &mut Session,
        why: Release,
    ) {
        let pushed = state.pushes();
        let Some(tap) = state.outlet.take() else { return };
        tap.hold.release(why);
        if pushed {
            state.lazy_until = None;
            self.stats.resent.inc_by(state.queue.unsend() as u64);
        }
        if let Some(hold) = state.wake() {
            hold.wake();
        }
        self.touch(session, state);
    }
}

impl Outlet {
    /// The session.
    #[must_use]
    pub fn session(&self) -> &Arc<SessionHandle> {
        &self.session
    }

    /// Whether it is this session's outlet now.
    #[must_use]
    pub fn serves(&self, session: &SessionHandle) -> bool {
        self.session.key == session.key && self.session.state.lock().is_tapped_by(&self.hold)
    }

    /// Whether so little waits to go out that it may wait for more.
    #[must_use]
    pub fn has_little(&self) -> bool {
        let state = self.session.state.lock();
        state.queue.unsent() < LITTLE
            && state.queue.next_bytes().is_none_or(|next| next < LITTLE_BYTES)
    }

    /// How far its session's events have gone out.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark(self.session.state.lock().queue.reach())
    }

    /// What goes out now, if anything does. Never waits.
    pub fn poll(&mut self, now: Instant) -> Option<Push> {
        if let Some(why) = self.hold.released() {
            return Some(Push::Over(why));
        }
        let mut state = self.session.state.lock();
        if state.is_behind() {
            if self.kind == OutletKind::EventSource && !state.queue.has_unsent() {
                // Proof comes with the client's connects, which are far between: so long, no more than
                // half of the queue waits for it. The rest is a gap if it turns out lost.
                state.queue.drop_to(self.broker.options.queue.halved());
            }
            drop(state);
            self.broker.catch_up(&self.session);
            state = self.session.state.lock();
        }
        let pushed = self.take(&mut state, now);
        if pushed.as_ref().is_none_or(|pushed| !pushed.more) {
            self.hold.sleep_on();
        }
        pushed.map(Push::Events)
    }

    fn take(&self, state: &mut Session, now: Instant) -> Option<Pushed> {
        if !state.pushes() || !state.is_tapped_by(&self.hold) {
            return None;
        }
        let tells = self.kind == OutletKind::Reader;
        let due = state.queue.has_unsent() && !state.waits(now);
        let gaps: Vec<Gap> = if tells { state.queue.take_gaps() } else { Vec::new() };
        let frames = match self.broker.response_now(state).filter(|_| due) {
            Some(limits) => state.take_frames(ResponseLimits {
                messages: limits.messages.min(self.limits.messages),
                bytes: limits.bytes.min(self.limits.bytes),
            }),
            None => Vec::new(),
        };
        if frames.is_empty() && gaps.is_empty() {
            return None;
        }
        let stats = &self.broker.stats;
        stats.batch.observe(frames.len() as f64);
        stats.messages_out.inc_by(frames.len() as u64);
        stats.gaps.inc_by(gaps.len() as u64);
        let batch = Batch { frames, gaps, with_replay: state.with_replay };
        let more = state.queue.has_unsent() || state.is_behind();
        let (mark, untold) = (Mark(state.queue.reach()), state.queue.has_untold());
        Some(Pushed { batch, mark, untold, more })
    }

    /// When to [`Outlet::poll`] again although nothing wakes it, as things stand after a poll that
    /// gave nothing.
    #[must_use]
    pub fn due(&self, now: Instant) -> Option<Instant> {
        let state = self.session.state.lock();
        if !state.pushes() {
            return None;
        }
        if state.has_events(now) {
            return Some(now + RETRY);
        }
        state.lazy_until.filter(|_| state.queue.has_unsent())
    }

    /// Whether [`Outlet::poll`] may have something, lazy messages apart.
    pub fn poll_woken(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.hold.poll_woken(cx)
    }

    /// Waits until [`Outlet::poll`] may have something, lazy messages apart. Cancel-safe.
    pub async fn woken(&self) {
        self.hold.woken().await;
    }

    /// Waits for what is to go out. Cancel-safe: nothing is taken before the end.
    pub async fn wait(&mut self, clock: &dyn Clock) -> Push {
        loop {
            let now = clock.now();
            if let Some(push) = self.poll(now) {
                return push;
            }
            let due = self.due(now);
            let alarm = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.hold.woken() => {}
                () = alarm => {}
            }
        }
    }

    /// All that went out up to this mark has arrived: it is forgotten.
    pub fn confirm(&self, mark: Mark) {
        self.session.state.lock().queue.confirm(mark.0);
    }

    /// The client says so: what has not gone out yet is kept, whatever it says.
    pub fn confirm_sent(&self, mark: Mark) {
        self.session.state.lock().queue.confirm_sent(mark.0);
    }

    /// How far the session's events are known to have arrived, or are not kept any more.
    #[must_use]
    pub fn confirmed(&self) -> Mark {
        Mark::of_events(self.session.state.lock().queue.confirmed())
    }

    /// A reader's session was given up at its bounds: what it is still to be told.
    #[must_use]
    pub fn last_words(&self) -> Vec<Gap> {
        self.broker.expel(&self.session).batch.gaps
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        if self.kind == OutletKind::Reader {
            return self.broker.disconnect(&self.session);
        }
        let mut state = self.session.state.lock();
        if state.is_tapped_by(&self.hold) {
            self.broker.detach_from(&self.session, &mut state, Release::Ended);
        }
    }
}
