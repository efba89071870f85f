//! Bounds of what waits: queues that pass theirs leave memory where a backlog holds what they held
//! (P5), each session within its own bounds, and all of them together within the broker's.
//!
//! Floors are looked up without a session's lock, since a channel's lock comes before it. Meanwhile
//! more may be queued; what is published while a cursor stands is held back, so nothing falls in
//! between.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use weft_protocol::{ChannelLimits, ChannelName, Error};

use super::behind::{Behind, CHANNELS_MAX};
use super::broker::Broker;
use super::gaps::everywhere;
use super::held::Release;
use super::options::{Bounds, QueueLimits};
use super::queue::Queue;
use super::session::{Session, SessionHandle};

const ANY: ChannelLimits = ChannelLimits { bytes: usize::MAX, segments: usize::MAX };

/// How long a publisher goes on making room for others.
const MOMENT: Duration = Duration::from_millis(2);

/// Where channels' floors were found in one pass: they only rise, and what is lost meanwhile is told.
type Floors = HashMap<Arc<str>, Option<i64>>;

impl Broker {
    /// The bounds that hold for a queue now. When memory is short, each session keeps what fits its
    /// fair share; when that does not help, those that hold no connect lose what waits for them; and
    /// when even that does not help, publishers are refused. Every loss is told.
    ///
    /// Not to be called under the lock of a channel.
    pub(crate) fn bounds(&self) -> Result<Bounds, Error> {
        let Some(share) = self.fair_share() else { return Ok(self.bounds_now()) };
        let hard = self.options.queue_bytes_total / 4 * 5;
        self.relieve(share, hard);
        if self.waiting_bytes() > hard {
            return Err(Error::Overloaded);
        }
        Ok(self.bounds_now())
    }

    /// The same, as things stand.
    pub(crate) fn bounds_now(&self) -> Bounds {
        let limits = self.options.queue;
        let share = self.fair_share().unwrap_or(usize::MAX);
        self.options.bounds(QueueLimits { bytes: limits.bytes.min(share), ..limits })
    }

    /// What messages cost that only sessions' queues keep alive: what memory keeps of the past has a
    /// bound of its own.
    fn waiting_bytes(&self) -> usize {
        self.alive.get().saturating_sub(self.channels.kept_frames())
    }

    /// What each session may keep waiting, if memory is short.
    pub(crate) fn fair_share(&self) -> Option<usize> {
        let total = self.options.queue_bytes_total;
        (self.waiting_bytes() > total).then(|| total / self.registry.len().max(1))
    }

    /// Shortens all queues. It is a walk over all sessions, so it takes at most a tenth of the time.
    fn relieve(&self, share: usize, hard: usize) {
        let begun = self.clock.now();
        let Some(mut next) = self.next_relief.try_lock() else { return };
        if next.is_some_and(|next| begun < next) {
            return;
        }
        let limits = QueueLimits { bytes: share, ..self.options.queue };
        let mut floors = Floors::default();
        self.registry.for_each(|session| {
            self.spill(session, limits, &mut floors);
            let mut state = session.state.lock();
            self.drop_from(&mut state, |queue| queue.drop_to(limits));
            self.give_up_past(&mut state, share);
        });
        if self.waiting_bytes() > hard {
            self.registry.for_each(|session| {
                let mut state = session.state.lock();
                if state.hold.is_none() && state.outlet.is_none() {
                    self.drop_from(&mut state, Queue::drop_all);
                    self.give_up_past(&mut state, 0);
                }
            });
        }
        let ended = self.clock.now();
        *next = Some(ended + ended.saturating_duration_since(begun) * 10);
    }

    fn drop_from(&self, state: &mut Session, drop: impl FnOnce(&mut Queue) -> usize) {
        let dropped = drop(&mut state.queue);
        self.stats.dropped.inc_by(dropped as u64);
    }

    /// Reads nothing more of the past if the cursors alone cost more than this.
    fn give_up_past(&self, state: &mut Session, most: usize) {
        let costs = |behind: &mut Box<Behind>| behind.cost() > most && !behind.is_opening();
        let Some(behind) = state.behind.take_if(costs) else { return };
        state.queue.fix();
        if let Some(from) = behind.first() {
            state.queue.note_gap(everywhere(from, self.positions.last()));
        }
    }

    /// Brings the queues back within their bounds that publications have taken past them. Called when
    /// no channel is locked.
    ///
    /// Whoever publishes does it for strangers, so only for a moment: the rest is left to the next.
    /// Meanwhile they stay at their bounds, and nobody waits for it.
    pub(crate) fn make_room(&self) {
        if self.overfull.lock().is_empty() {
            return;
        }
        let begun = self.clock.now();
        let mut floors = Floors::default();
        loop {
            let Some(session) = self.overfull.lock().pop() else { return };
            self.make_room_for(&session, self.bounds_now(), &mut floors);
            if self.clock.now().saturating_duration_since(begun) > MOMENT {
                return;
            }
        }
    }

    fn make_room_for(&self, session: &SessionHandle, bounds: Bounds, floors: &mut Floors) {
        if bounds.spills {
            self.spill(session, bounds.limits, floors);
        }
        let mut state = session.state.lock();
        state.overfull = false;
        if bounds.drops_oldest {
            self.drop_from(&mut state, |queue| queue.drop_to(bounds.limits));
        } else if state.queue.is_over(bounds.limits) {
            self.overrun(&mut state);
        }
    }

    /// Lets go of what a queue at these bounds can read again.
    fn spill(&self, session: &SessionHandle, limits: QueueLimits, floors: &mut Floors) {
        if !self.options.bounds(limits).spills {
            return;
        }
        let names = {
            let state = session.state.lock();
            let wanted = state.overfull || state.queue.is_over(limits);
            if !wanted || !state.queue.may_spill() {
                return;
            }
            state.queue.spillable()
        };
        let mut above: HashMap<Arc<str>, i64> = HashMap::with_capacity(names.len());
        for name in names {
            let floor = *floors.entry(Arc::clone(&name)).or_insert_with(|| self.kept_above(&name));
            above.extend(floor.map(|floor| (name, floor)));
        }
        let mut guard = session.state.lock();
        let state = &mut *guard;
        if state.ended.is_some() {
            return;
        }
        let behind = state.behind.get_or_insert_with(|| Box::new(Behind::new(&self.alive)));
        let mut reading = behind.len();
        above.retain(|name, _| {
            let more = usize::from(!behind.is_reading(name));
            let has_room = reading + more <= CHANNELS_MAX;
            reading += if has_room { more } else { 0 };
            has_room
        });
        let firsts = state.queue.spill(&above);
        for (channel, first) in &firsts {
            behind.go_back(channel, *first);
        }
        if behind.is_done() {
            state.behind = None;
        }
        self.stats.spills.inc_by(u64::from(!firsts.is_empty()));
    }

    /// The position above which all of a channel's messages can be read again, if any can.
    fn kept_above(&self, name: &str) -> Option<i64> {
        let channel = ChannelName::parse(name, &ANY).ok()?;
        self.channels.kept_above(channel).ok().filter(|_| self.channels.rules.of(channel).keeps())
    }

    /// Gives a session up whose queue is past its bounds: it gets nothing more, and its next connect
    /// is told so, and what it misses.
    fn overrun(&self, state: &mut Session) {
        let behind = state.behind.take().and_then(|behind| behind.first());
        let from = state.queue.after().into_iter().chain(behind).min().unwrap_or(0);
        state.queue = Queue::default();
        state.queue.note_gap(everywhere(from, self.positions.last()));
        state.overrun = true;
        if let Some(hold) = &state.hold {
            hold.release(Release::Overrun);
        }
        if let Some(tap) = &state.outlet {
            tap.hold.release(Release::Overrun);
        }
    }
}
