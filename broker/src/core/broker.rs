//! The broker core: who is there, who subscribed to what, and one publication to all of them.
//!
//! Synchronous: every call does its work and returns; only a held connect waits, in `held`. Each
//! lock is short and none is held while anything is awaited.

use std::borrow::Cow;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use weft_persistence::{Backlog, Record};
use weft_protocol::{Advice, ChannelLimits, ChannelName, Error, Pattern, Reconnect};

use super::browsers::Browsers;
use super::clock::Clock;
use super::deadlines::Deadlines;
use super::frame::{Frame, FrameBytes};
use super::held::{Release, Wakes};
use super::id::{BrowserId, SessionId};
use super::options::{Options, QueueLimits};
use super::positions::Positions;
use super::registry::Registry;
use super::session::{Session, SessionHandle};
use super::stats::Stats;
use super::subscriptions::Subscriptions;

/// Publications of one channel are numbered and handed out under one of these locks, so that every
/// session sees them in the order of their positions (P1).
const ORDER_STRIPES: usize = 256;

/// The core.
#[derive(Debug)]
pub struct Broker {
    pub(crate) options: Options,
    pub(crate) stats: Stats,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) registry: Registry,
    pub(crate) subscriptions: Subscriptions,
    pub(crate) browsers: Browsers,
    pub(crate) deadlines: Deadlines,
    pub(crate) draining: AtomicBool,
    positions: Positions,
    order: Vec<Mutex<()>>,
    hasher: RandomState,
    alive: Arc<FrameBytes>,
    store: Option<Arc<dyn Backlog>>,
    keys: AtomicU64,
    next_relief: Mutex<Option<Instant>>,
}

/// Nobody may speak for a session with this clientId.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stranger {
    /// Whether the session exists all the same: then only a connect is advised to handshake, lest
    /// a stranger's message throw the owner out (decisions 3.6).
    pub exists: bool,
}

/// A refused handshake.
#[derive(Debug)]
pub struct Refused {
    /// What the client is told.
    pub error: Error,
    /// When to come again.
    pub advice: Advice,
}

/// What the gauges show, counted when asked.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Census {
    /// Sessions that live.
    pub sessions: usize,
    /// Connects held right now.
    pub held: usize,
    /// Messages queued, those that lack proof of receipt included.
    pub queued: usize,
    /// Bytes that these add up to, shared messages counted once per queue.
    pub queued_bytes: usize,
    /// Subscriptions that stand.
    pub subscriptions: usize,
}

impl Broker {
    /// A broker with its seams: time, and a store for what is published (none: nothing is kept).
    #[must_use]
    pub fn new(
        options: Options,
        stats: Stats,
        clock: Arc<dyn Clock>,
        store: Option<Arc<dyn Backlog>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            registry: Registry::new(options.sessions_max),
            subscriptions: Subscriptions::new(options.subscriptions_total),
            browsers: Browsers::new(options.held_per_browser),
            deadlines: Deadlines::default(),
            draining: AtomicBool::new(false),
            positions: Positions::new(clock.now(), clock.wall_us(), 0),
            order: (0..ORDER_STRIPES).map(|_| Mutex::new(())).collect(),
            hasher: RandomState::new(),
            alive: Arc::new(FrameBytes::default()),
            keys: AtomicU64::new(1),
            next_relief: Mutex::new(None),
            options,
            stats,
            clock,
            store,
        })
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
    pub fn handshake(&self, id: SessionId) -> Result<Advice, Refused> {
        let refused =
            |error| Refused { error, advice: self.later(Reconnect::Handshake, id.spread()) };
        if self.draining.load(Ordering::Acquire) {
            return Err(refused(Error::Draining));
        }
        let now = self.clock.now();
        let armed = now + self.options.max_interval + self.options.interval;
        let key = self.keys.fetch_add(1, Ordering::Relaxed);
        let session = Arc::new(SessionHandle::new(id, key, now, armed));
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
    /// When there is none, or another browser's cookie came with it (L15).
    pub fn find(
        &self,
        client_id: Option<&str>,
        browser: Option<BrowserId>,
    ) -> Result<Arc<SessionHandle>, Stranger> {
        let id = client_id.and_then(SessionId::parse).ok_or(Stranger { exists: false })?;
        let session = self.registry.get(&id).ok_or(Stranger { exists: false })?;
        let mut state = session.state.lock();
        if state.ended.is_some() {
            return Err(Stranger { exists: false });
        }
        if !state.admits(browser, self.options.require_cookie) {
            return Err(Stranger { exists: true });
        }
        self.touch(&session, &mut state);
        drop(state);
        Ok(session)
    }

    /// Subscribes to all of the patterns, or to none (L6). Below `/service` it has no effect (G3).
    ///
    /// # Errors
    /// 403 naming each pattern below `/meta`; 413 past the bounds; 402 if the session just ended.
    pub fn subscribe(
        &self,
        session: &Arc<SessionHandle>,
        patterns: &[Cow<'_, str>],
    ) -> Result<(), Error> {
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
        let mut own = session.subscriptions.lock();
        if own.ended {
            return Err(Error::SessionUnknown);
        }
        let new: Vec<Arc<str>> = parsed
            .iter()
            .filter(|pattern| !pattern.is_service() && !own.patterns.contains(pattern.as_str()))
            .map(|pattern| Arc::from(pattern.as_str()))
            .collect();
        let fits = own.patterns.len() + new.len() <= self.options.subscriptions_per_session;
        if !fits || !self.subscriptions.reserve(new.len()) {
            return Err(Error::TooManySubscriptions);
        }
        for pattern in new {
            self.subscriptions.join(&pattern, session);
            own.patterns.insert(pattern);
        }
        Ok(())
    }

    /// Unsubscribes; from what was never subscribed, too (L7). Nothing published after this returns
    /// is queued for the session on these patterns (E25).
    pub fn unsubscribe(&self, session: &SessionHandle, patterns: &[Cow<'_, str>]) {
        let mut own = session.subscriptions.lock();
        for text in patterns {
            if let Some(pattern) = own.patterns.take(&**text) {
                self.subscriptions.leave(&pattern, session);
            }
        }
    }

    /// Gives a publication its position and queues it for every subscriber. The polls that it
    /// wakes are woken when `wakes` is dropped.
    ///
    /// # Errors
    /// 503 when undelivered messages take all the memory they may, or the store refuses.
    pub fn publish(
        &self,
        channel: ChannelName<'_>,
        data: &str,
        ext: Option<&str>,
        wakes: &mut Wakes,
    ) -> Result<i64, Error> {
        let limits = self.queue_limits()?;
        let _order = self.order[self.stripe(channel)].lock();
        let wall_us = self.clock.wall_us();
        let position = self.positions.next(self.clock.now(), wall_us);
        let mut frame = None;
        let mut make = || Frame::new(channel, data, ext, position, &self.alive);
        if let Some(store) = &self.store {
            let made = frame.insert(make());
            store
                .append(&[Record {
                    channel: Arc::from(channel.as_str()),
                    position,
                    time_us: wall_us,
                    value: Arc::from(made.text()),
                }])
                .map_err(|_| Error::StoreUnavailable)?;
        }
        self.subscriptions.for_each_member(channel, |session| {
            let frame = frame.get_or_insert_with(&mut make).clone();
            let (hold, dropped) = session.state.lock().enqueue(frame, limits);
            if let Some(hold) = hold {
                wakes.push(hold);
            }
            if dropped > 0 {
                self.stats.dropped.inc_by(dropped as u64);
            }
        });
        self.stats.messages_in.inc();
        Ok(position)
    }

    #[expect(clippy::cast_possible_truncation, reason = "the remainder is small")]
    fn stripe(&self, channel: ChannelName<'_>) -> usize {
        (self.hasher.hash_one(channel.as_str()) % ORDER_STRIPES as u64) as usize
    }

    /// The bounds that hold for a queue now. When memory is short, each session keeps what fits its
    /// fair share; when that does not help, those that hold no connect lose what waits for them; and
    /// when even that does not help, publishers are refused (P5). Every loss is told.
    fn queue_limits(&self) -> Result<QueueLimits, Error> {
        let total = self.options.queue_bytes_total;
        let limits = self.options.queue;
        if self.alive.get() <= total {
            return Ok(limits);
        }
        let share = total / self.registry.len().max(1);
        let hard = total + total / 4;
        self.relieve(share, hard);
        if self.alive.get() > hard {
            return Err(Error::Overloaded);
        }
        Ok(QueueLimits { bytes: limits.bytes.min(share), ..limits })
    }

    /// Shortens all queues. It is a walk over all sessions, so it takes at most a tenth of the time.
    fn relieve(&self, share: usize, hard: usize) {
        let begun = self.clock.now();
        let Some(mut next) = self.next_relief.try_lock() else { return };
        if next.is_some_and(|next| begun < next) {
            return;
        }
        self.shrink_queues(share, 1, |_| true);
        if self.alive.get() > hard {
            self.shrink_queues(0, 0, |state| state.hold.is_none());
        }
        let ended = self.clock.now();
        *next = Some(ended + ended.saturating_duration_since(begun) * 10);
    }

    fn shrink_queues(&self, bytes: usize, keep: usize, which: impl Fn(&Session) -> bool) {
        let mut dropped = 0;
        self.registry.for_each(|session| {
            let mut state = session.state.lock();
            if which(&state) {
                dropped += state.queue.shrink(bytes, keep);
            }
        });
        self.stats.dropped.inc_by(dropped as u64);
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
        self.registry.for_each(|session| self.let_go(session, Release::Drained));
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
        state.contact = self.clock.now();
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
        self.options.max_interval + self.interval(state).max(demoted)
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

    /// Counts everything that the gauges show.
    #[must_use]
    pub fn census(&self) -> Census {
        let mut census = Census::default();
        self.registry.for_each(|session| {
            census.subscriptions += session.subscriptions.lock().patterns.len();
            let state = session.state.lock();
            census.sessions += 1;
            census.held += usize::from(state.hold.is_some());
            census.queued += state.queue.len();
            census.queued_bytes += state.queue.bytes();
        });
        census
    }

    /// How many browsers have sessions that hold or held; none when no session is left.
    #[must_use]
    pub fn browsers_known(&self) -> usize {
        self.browsers.len()
    }

    /// Bytes of message text alive, each message counted once.
    #[must_use]
    pub fn frame_bytes(&self) -> usize {
        self.alive.get()
    }
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
