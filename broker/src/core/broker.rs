//! The broker core: who is there, who subscribed to what, and one publication to all of them.
//!
//! Synchronous: every call does its work and returns; only a held connect waits, in `held`. Each
//! lock is short and none is held while anything is awaited.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use weft_persistence::Marked;
use weft_protocol::{Advice, ChannelLimits, ChannelName, Error, Gap, Pattern, Reconnect, Replay};

use super::browsers::Browsers;
pub use super::census::Census;
use super::channels::{Channels, Store, blocking};
use super::clock::Clock;
use super::crowd::POLL_MOST;
use super::deadlines::Deadlines;
use super::frame::FrameBytes;
use super::granting::Grant;
use super::held::{Release, Wakes};
use super::id::{BrowserId, SessionId};
use super::marks::Marks;
use super::options::Options;
use super::positions::Positions;
use super::principal::Principal;
use super::registry::Registry;
use super::session::{OwnSubscriptions, Session, SessionHandle};
use super::stats::Stats;
use super::subscriptions::Subscriptions;
use crate::limits::Limits;

/// The core.
#[derive(Debug)]
pub struct Broker {
    pub(crate) options: Options,
    pub(crate) stats: Stats,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) limits: Limits,
    pub(crate) registry: Registry,
    pub(crate) subscriptions: Subscriptions,
    pub(crate) browsers: Browsers,
    pub(crate) deadlines: Deadlines,
    pub(crate) draining: AtomicBool,
    pub(crate) channels: Channels,
    pub(crate) positions: Positions,
    pub(crate) marks: Marks,
    pub(crate) alive: Arc<FrameBytes>,
    /// What replies cost that are being written.
    pub(crate) replies: Arc<FrameBytes>,
    /// The longest, in microseconds, that a message had its number before it was out.
    pub(crate) longest_wait: AtomicI64,
    /// Notified whenever the store has settled something.
    pub(crate) settled: Notify,
    keys: AtomicU64,
    pub(crate) next_relief: Mutex<Option<Instant>>,
    /// Sessions whose queues have passed their bounds since somebody last made room.
    pub(crate) overfull: Mutex<Vec<Arc<SessionHandle>>>,
}

/// Nobody may speak for a session with this clientId.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stranger {
    /// Whether the session exists all the same: then only a connect is advised to handshake, lest
    /// a stranger's message throw the owner out (decisions 3.6).
    pub exists: bool,
}

/// What a client asks for when it shakes hands.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Wishes {
    /// Events carry their positions (decisions 5).
    pub replay: bool,
    /// Connect replies carry numbers, which the client acknowledges (checklist X1).
    pub ack: bool,
    /// Whom the session is to speak for, where that is asked.
    pub who: Option<Arc<Principal>>,
}

/// A refused handshake.
#[derive(Debug)]
pub struct Refused {
    /// What the client is told.
    pub error: Error,
    /// When to come again.
    pub advice: Advice,
}

/// What there is from before the start.
#[derive(Debug, Default)]
pub struct Origin {
    /// The store of channels' pasts.
    pub store: Option<Store>,
    /// No position up to here is given out again.
    pub floor: i64,
    /// Up to here, what was not awaited on disk may have been lost by an unclean stop; 0 = never.
    pub doubt: i64,
    /// The highest position that may be given out at first; `None` = no bound.
    pub ceiling: Option<i64>,
}

impl Broker {
    /// A broker with its seams: time, and what there is from before (a store for what is published;
    /// without one, memory is all there is).
    #[must_use]
    pub fn new(options: Options, stats: Stats, clock: Arc<dyn Clock>, past: Origin) -> Arc<Self> {
        let Origin { store, floor, doubt, ceiling } = past;
        let positions = Positions::new(clock.now(), clock.wall_us(), floor, ceiling);
        let alive = Arc::new(FrameBytes::default());
        let channels = Channels::new(
            options.rules.clone(),
            store,
            options.past,
            (positions.last(), doubt),
            Arc::clone(&alive),
        );
        Arc::new(Self {
            registry: Registry::new(options.sessions_max),
            subscriptions: Subscriptions::new(options.subscriptions_total),
            browsers: Browsers::new(options.held_per_browser),
            deadlines: Deadlines::default(),
            draining: AtomicBool::new(false),
            channels,
            positions,
            marks: Marks::new(options.repeat_window, options.repeat_keys),
            alive,
            replies: Arc::default(),
            longest_wait: AtomicI64::new(0),
            settled: Notify::new(),
            limits: Limits::new(&options.limits, stats.limited.clone(), clock.now()),
            keys: AtomicU64::new(1),
            next_relief: Mutex::new(None),
            overfull: Mutex::default(),
            options,
            stats,
            clock,
        })
    }

    /// Takes in the idempotency keys that the store has kept, oldest first.
    pub fn restore_marks(&self, stored: &[Marked]) {
        self.marks.restore(stored, self.clock.now(), self.clock.wall_us());
    }

    /// Where the ceiling of positions should be now, for whoever keeps it on disk.
    #[must_use]
    pub fn wanted_ceiling(&self) -> i64 {
        self.positions.wanted_ceiling(self.clock.now(), self.clock.wall_us())
    }

    /// The ceiling is on disk: positions up to it may be given out.
    pub fn raise_ceiling(&self, ceiling: i64) {
        self.positions.raise_ceiling(ceiling);
    }

    /// The last position given out.
    #[must_use]
    pub fn last_position(&self) -> i64 {
        self.positions.last()
    }

    /// Why the store cannot write, if it cannot.
    #[must_use]
    pub fn store_trouble(&self) -> Option<String> {
        let Store { writer, .. } = self.channels.store.as_ref()?;
        writer.trouble().map(|error| error.to_string())
    }

    /// The clock that all deadlines are read from.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Makes a session (Bayeux 1.0 §4.1). Its expiry starts at once (E17).
    ///
    /// # Errors
    /// 503 while draining or when there is no room, with advice to come again later.
    pub fn handshake(&self, id: SessionId, wishes: Wishes) -> Result<Advice, Refused> {
        let refused =
            |error| Refused { error, advice: self.later(Reconnect::Handshake, id.spread()) };
        if self.draining.load(Ordering::Acquire) {
            return Err(refused(Error::Draining));
        }
        let now = self.clock.now();
        let idle = now + self.options.max_interval + self.options.interval;
        let grant = Grant::to(wishes.who, now, self.clock.wall_us());
        let armed = grant.bound(Some(idle), Duration::ZERO).unwrap_or(idle);
        let key = self.keys.fetch_add(1, Ordering::Relaxed);
        let session = Arc::new(SessionHandle::new(id, key, now, armed, grant));
        {
            let mut state = session.state.lock();
            state.with_replay = wishes.replay;
            if wishes.ack {
                state.proof.number_replies();
            }
        }
        if !self.registry.insert(Arc::clone(&session)) {
            return Err(refused(Error::Overloaded));
        }
        self.deadlines.arm(armed, session);
        self.stats.handshakes.inc();
        Ok(self.advice(Reconnect::Retry))
    }

    /// The session that a message speaks for; any message is a sign of life (L14).
    ///
    /// # Errors
    /// When there is none, or another browser's cookie or somebody else's credentials came with it (L15).
    pub fn find(
        &self,
        client_id: Option<&str>,
        browser: Option<BrowserId>,
        who: Option<&Principal>,
    ) -> Result<Arc<SessionHandle>, Stranger> {
        let id = client_id.and_then(SessionId::parse).ok_or(Stranger { exists: false })?;
        let session = self.registry.get(&id).ok_or(Stranger { exists: false })?;
        let mut state = session.state.lock();
        if state.ended.is_some() {
            return Err(Stranger { exists: false });
        }
        if !state.grant.admits(who) || !state.admits(browser, self.options.require_cookie) {
            return Err(Stranger { exists: true });
        }
        self.touch(&session, &mut state);
        drop(state);
        Ok(session)
    }

    /// Whether a session of this id lives.
    #[must_use]
    pub fn knows(&self, id: &SessionId) -> bool {
        self.registry.get(id).is_some()
    }

    /// Subscribes to all of the patterns, or to none (L6). Below `/service` it has no effect (G3).
    /// Where the client asks for replay, the new ones begin in the past (decisions 5); what is
    /// missing from there is told.
    ///
    /// # Errors
    /// 403 naming each pattern below `/meta`; 413 past the bounds; 402 if the session just ended; 503
    /// if the past is wanted and cannot be read.
    pub fn subscribe(
        &self,
        session: &Arc<SessionHandle>,
        patterns: &[Cow<'_, str>],
        replay: Option<&Replay<'_>>,
        wakes: &mut Wakes,
    ) -> Result<Vec<Gap>, Error> {
        let limits = ChannelLimits { bytes: usize::MAX, segments: usize::MAX };
        let parsed: Vec<_> =
            patterns.iter().filter_map(|text| Pattern::parse(text, &limits).ok()).collect();
        let denied: Vec<String> = parsed
            .iter()
            .filter(|pattern| pattern.is_meta())
            .map(|pattern| pattern.as_str().to_owned())
            .collect();
        if !denied.is_empty() {
            return Err(Error::SubscribeDenied(denied));
        }
        let mut own = own(session);
        if own.ended {
            return Err(Error::SessionUnknown);
        }
        let new: Vec<Arc<str>> = parsed
            .iter()
            .filter(|pattern| !pattern.is_service() && !own.has(pattern.as_str()))
            .map(|pattern| Arc::from(pattern.as_str()))
            .collect();
        if own.len() + new.len() > self.options.subscriptions_per_session {
            return Err(Error::TooManySubscriptions);
        }
        // Before the look at what is missing: whatever goes from now on is yet to be told.
        let last = self.positions.last();
        let beginning = self.begin(session, &new, replay)?;
        if !self.subscriptions.reserve(new.len()) {
            return Err(Error::TooManySubscriptions);
        }
        let opening = self.opening(&new, replay, &beginning, last);
        self.set_cursors(session, &beginning, opening, replay.is_some());
        let joined = new.iter().map(|pattern| self.subscriptions.join(pattern, session));
        own.add(joined);
        self.opened(session);
        session.state.lock().subscriptions = own.len();
        drop(own);
        self.wake_if_news(session, wakes);
        let gaps = self.tell(beginning, patterns.len());
        self.stats.gaps.inc_by(gaps.len() as u64);
        Ok(gaps)
    }

    /// Unsubscribes; from what was never subscribed, too (L7). Nothing published after this returns
    /// is queued for the session on these patterns (E25), and nothing more of their past is read.
    pub fn unsubscribe(&self, session: &SessionHandle, patterns: &[Cow<'_, str>]) {
        const ANY: ChannelLimits = ChannelLimits { bytes: usize::MAX, segments: usize::MAX };
        let mut own = own(session);
        for pattern in own.take(patterns) {
            self.subscriptions.leave(&pattern, session);
        }
        let mut state = session.state.lock();
        state.subscriptions = own.len();
        // What comes while nothing of a channel is wanted is not to be read by going back.
        state.queue.fix();
        let Some(behind) = &mut state.behind else { return };
        let unread = behind.retain(|name| {
            let mut wanted = false;
            if let Ok(channel) = ChannelName::parse(name, &ANY) {
                channel.patterns(|pattern| wanted |= own.has(pattern));
            }
            wanted
        });
        let to = self.positions.last();
        for (channel, from) in unread.into_iter().filter(|(_, from)| *from < to) {
            state.queue.note_gap(Gap { channel, from, to });
        }
        let Some(behind) = &mut state.behind else { return };
        if behind.is_done() {
            state.caught_up();
        }
    }

    /// Whether anybody would get a message of this channel by a pattern that begins with `below`:
    /// whoever subscribes to everything does not ask for this channel in particular.
    #[must_use]
    pub fn has_subscribers(&self, channel: ChannelName<'_>, below: &str) -> bool {
        self.subscriptions.has_members(channel, below)
    }

    /// The next subscription, whoever makes it: what an idle publisher waits for.
    pub fn arrival(&self) -> tokio::sync::futures::Notified<'_> {
        self.subscriptions.arrival()
    }

    /// Waits until a session's deadline is armed that is due before all others.
    pub async fn earlier_deadline(&self) {
        self.deadlines.earlier().await;
    }

    /// Answers every held connect with advice to come back a little later, and holds none any more.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
        self.registry.for_each(|session| {
            self.let_go(session, Release::Drained);
            if let Some(tap) = &session.state.lock().outlet {
                tap.hold.release(Release::Drained);
            }
        });
    }

    /// Whether the broker is going away.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Releases a session's held connect, if there is one.
    pub(crate) fn let_go(&self, session: &Arc<SessionHandle>, why: Release) {
        let mut state = session.state.lock();
        if let Some(hold) = state.hold.take() {
            hold.release(why);
            self.touch(session, &mut state);
        }
    }

    /// Notes a sign of life, and moves the session's deadline forward if that is now too late.
    pub(crate) fn touch(&self, session: &Arc<SessionHandle>, state: &mut Session) {
        self.touch_at(session, state, self.clock.now());
    }

    /// The same where the time is known already.
    pub(crate) fn touch_at(&self, session: &Arc<SessionHandle>, state: &mut Session, now: Instant) {
        state.contact = now;
        let idle_max = self.idle_max(state);
        if let Some(at) = state.expires_at(idle_max).filter(|&at| at < state.armed) {
            self.rearm(session, state, at);
        }
    }

    pub(crate) fn rearm(&self, session: &Arc<SessionHandle>, state: &mut Session, at: Instant) {
        self.deadlines.disarm(state.armed, session.key);
        state.armed = at;
        self.deadlines.arm(at, Arc::clone(session));
    }

    /// How long a session may be silent: `max_interval` and the gap it was advised (decisions 3.12).
    pub(crate) fn idle_max(&self, state: &Session) -> Duration {
        let demoted = if state.demoted { self.options.browser_interval } else { Duration::ZERO };
        let crowded = if state.crowd.polls { POLL_MOST } else { Duration::ZERO };
        self.options.max_interval + self.interval(state).max(demoted).max(crowded)
    }

    /// The gap between connects: ours, or the client's own if longer, within bounds.
    pub(crate) fn interval(&self, state: &Session) -> Duration {
        self.options.interval.max(state.client_interval.min(self.options.max_interval))
    }

    /// Complete advice with the normal numbers.
    #[must_use]
    pub fn advice(&self, reconnect: Reconnect) -> Advice {
        Advice {
            reconnect,
            interval_ms: millis(self.options.interval),
            timeout_ms: millis(self.options.timeout),
            multiple_clients: false,
        }
    }

    /// Advice to come again a little later.
    #[must_use]
    pub fn advice_later(&self, reconnect: Reconnect) -> Advice {
        self.later(reconnect, self.keys.load(Ordering::Relaxed))
    }

    /// Advice to come again after a second or three, each client at another time.
    pub(crate) fn later(&self, reconnect: Reconnect, spread: u64) -> Advice {
        let interval_ms = millis(self.options.interval).max(1_000) + spread % 2_000;
        Advice { interval_ms, ..self.advice(reconnect) }
    }

    /// How many browsers have sessions that hold or held; none when no session is left.
    #[must_use]
    pub fn browsers_known(&self) -> usize {
        self.browsers.len()
    }

    /// What memory keeps of the past: channels, and what they cost in bytes.
    #[must_use]
    pub fn past_kept(&self) -> (usize, usize) {
        self.channels.kept()
    }

    /// How many idempotency keys are remembered.
    #[must_use]
    pub fn keys_known(&self) -> usize {
        self.marks.len()
    }

    /// The store, if there is one: for gauges.
    #[must_use]
    pub fn store(&self) -> Option<&Store> {
        self.channels.store.as_ref()
    }

    /// Bytes of message text alive, each message counted once.
    #[must_use]
    pub fn frame_bytes(&self) -> usize {
        self.alive.get()
    }
}

/// A session's subscriptions, locked. Whoever replays holds them while a disk is read, so a request of
/// the same session that comes meanwhile must not keep a worker of the runtime waiting.
pub(crate) fn own(session: &SessionHandle) -> MutexGuard<'_, OwnSubscriptions> {
    session.subscriptions.try_lock().unwrap_or_else(|| blocking(|| session.subscriptions.lock()))
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
