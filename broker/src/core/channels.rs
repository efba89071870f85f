//! The pasts of all channels: the recent part in memory, the rest with the store, read as one.
//!
//! Each channel belongs to a stripe. Whoever numbers, hands out or finishes reading a channel's
//! messages holds the lock of its stripe, so every reader sees them in the order of their positions
//! (P1), and a replay meets the live messages without a gap.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use weft_persistence::{self as persistence, Backlog, BacklogError, Record, Submit};
use weft_protocol::{ChannelName, Pattern};

use super::frame::{Frame, FrameBytes};
use super::past::{PAST_OVERHEAD, Page, Past, Slice};
use super::publishing::Commit;
use super::rules::{Durability, Rule, Rules};

const STRIPES: usize = 256;
/// How long most hold a stripe, at most.
const SHORT: Duration = Duration::from_micros(100);

/// A store, and the way to it.
#[derive(Debug, Clone)]
pub struct Store {
    /// Where the past is read.
    pub backlog: Arc<dyn Backlog>,
    /// Where it is written.
    pub writer: Arc<dyn Submit<Commit>>,
}

/// Bounds of what memory keeps of the past.
#[derive(Debug, Clone, Copy)]
pub struct PastLimits {
    /// Bytes, all channels together.
    pub bytes: usize,
    /// Most channels.
    pub channels: usize,
}

/// All channels' pasts.
#[derive(Debug)]
pub(crate) struct Channels {
    stripes: Vec<Mutex<Stripe>>,
    hasher: RandomState,
    pub(crate) rules: Rules,
    pub(crate) store: Option<Store>,
    limits: PastLimits,
    alive: Arc<FrameBytes>,
    /// What all pasts cost, and how many there are.
    cost: AtomicUsize,
    count: AtomicUsize,
    /// The floor of channels that only memory keeps and that it does not know: at first the start of
    /// the process.
    forgotten: AtomicI64,
    /// Up to here, messages that were not awaited on disk may have been lost by an unclean stop.
    doubt: i64,
    evicting: Mutex<()>,
}

/// The channels of one stripe.
#[derive(Debug, Default)]
pub(crate) struct Stripe {
    pub(crate) pasts: HashMap<Arc<str>, Past>,
    /// How often a channel left memory: a reader that waited notices.
    evictions: u64,
}

/// What a reader wants.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    /// Messages with higher positions.
    pub(crate) after: i64,
    pub(crate) page: Page,
    /// The wall time, for age.
    pub(crate) now_us: i64,
    /// The last position given out.
    pub(crate) last: i64,
}

impl Channels {
    pub(crate) fn new(
        rules: Rules,
        store: Option<Store>,
        limits: PastLimits,
        (started, doubt): (i64, i64),
        alive: Arc<FrameBytes>,
    ) -> Self {
        Self {
            stripes: (0..STRIPES).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            rules,
            store,
            limits,
            alive,
            cost: AtomicUsize::new(0),
            count: AtomicUsize::new(0),
            forgotten: AtomicI64::new(started),
            doubt,
            evicting: Mutex::new(()),
        }
    }

    /// The stripe that a channel belongs to.
    #[expect(clippy::cast_possible_truncation, reason = "the remainder is small")]
    pub(crate) fn stripe_of(&self, channel: &str) -> usize {
        (self.hasher.hash_one(channel) % STRIPES as u64) as usize
    }

    /// Locks a stripe. One whose messages go out to very many is locked for long: whoever waits for
    /// it is not to keep a worker of the runtime waiting.
    pub(crate) fn lock(&self, stripe: usize) -> MutexGuard<'_, Stripe> {
        let stripe = &self.stripes[stripe];
        stripe.try_lock_for(SHORT).unwrap_or_else(|| blocking(|| stripe.lock()))
    }

    /// Whether a store keeps channels of this rule.
    pub(crate) fn stored(&self, rule: &Rule) -> Option<&Store> {
        self.store.as_ref().filter(|_| rule.durability != Durability::Memory)
    }

    /// Begins the past of a channel that memory does not know, and that is about to get a message.
    pub(crate) fn begin(
        &self,
        stripe: &mut Stripe,
        channel: ChannelName<'_>,
        rule: &Arc<Rule>,
        position: i64,
    ) {
        let name = channel.as_str();
        let store = self.stored(rule);
        let floor = if store.is_some() { 0 } else { self.forgotten.load(Ordering::Acquire) };
        let mut past = Past::new(Arc::clone(rule), position, floor);
        // Times of such a channel never go back, not over a restart either.
        if let (true, Some(store)) = (rule.salesforce, store)
            && let Ok(last) = blocking(|| store.backlog.last(name, 1))
        {
            past.latest_us = last.last().map_or(i64::MIN, |record| record.time_us);
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        self.cost.fetch_add(past.cost(), Ordering::Relaxed);
        stripe.pasts.insert(Arc::from(name), past);
    }

    /// Changes a past and keeps the books.
    pub(crate) fn change<R>(&self, past: &mut Past, change: impl FnOnce(&mut Past) -> R) -> R {
        let before = past.cost();
        let result = change(past);
        book(&self.cost, before, past.cost());
        result
    }

    /// A frame of a stored record.
    fn frame(&self, record: &Record) -> Frame {
        let text = Arc::clone(&record.value);
        Frame::new(text, record.channel.len(), record.position, record.time_us, &self.alive)
    }

    /// Reads what is out after a position, from memory or from the store. `then` gets the piece; at
    /// the end of what is out it runs under the lock of the channel, so that whatever is published
    /// next comes after it.
    pub(crate) fn read<R>(
        &self,
        channel: ChannelName<'_>,
        reading: Reading,
        then: impl FnOnce(Slice) -> R,
    ) -> R {
        let name = channel.as_str();
        let stripe = self.stripe_of(name);
        let mut slice = Slice::default();
        let mut at = reading.after;
        // The store was read to its end when the stripe had seen so many evictions.
        let mut exhausted = None;
        // What was read while memory knew nothing of the channel: is it full, if anything was.
        let mut unchecked: Option<bool> = None;
        loop {
            let mut stripe = self.lock(stripe);
            let evictions = stripe.evictions;
            let known_after = match stripe.pasts.get_mut(name) {
                Some(past) => {
                    self.change(past, |past| past.retire(reading.now_us));
                    past.used = past.used.max(reading.last);
                    slice.floor = slice.floor.max(past.floor());
                    // The store may lag behind the rule: what is no longer kept is not handed out.
                    slice.retired = past.retired();
                    slice.frames.retain(|frame| frame.position() > slice.retired);
                    at = at.max(slice.retired);
                    if let Some(full) = unchecked.take() {
                        // The store may have been ahead of what is out.
                        let out = past.kept_after();
                        if at > out.max(reading.after) {
                            slice.frames.retain(|frame| frame.position() <= out);
                            at = out;
                        } else if full {
                            return then(slice);
                        }
                    }
                    if at >= past.kept_after() || self.stored(&past.rule).is_none() {
                        past.collect(at, reading.page, &mut slice);
                        return then(slice);
                    }
                    Some(past.kept_after())
                }
                None if self.stored(self.rules.of(channel)).is_none() => {
                    slice.floor = slice.floor.max(self.forgotten.load(Ordering::Acquire));
                    slice.end = true;
                    return then(slice);
                }
                None if unchecked.take() == Some(true) => return then(slice),
                None if exhausted == Some(evictions) => {
                    slice.end = true;
                    return then(slice);
                }
                None => None,
            };
            drop(stripe);
            let before = at;
            let full = self.read_store(channel, reading, &mut at, known_after, &mut slice);
            match known_after {
                Some(_) if full => return then(slice),
                Some(_) => {}
                None => unchecked = Some(full),
            }
            // A page may end for its bytes: the store is at its end when it gives nothing more.
            if at > before && known_after.is_none_or(|known_after| at < known_after) {
                continue;
            }
            match known_after {
                Some(known_after) => at = at.max(known_after),
                None => exhausted = Some(evictions),
            }
        }
    }

    /// Reads on from the store, up to where memory takes over. True if the page is full.
    fn read_store(
        &self,
        channel: ChannelName<'_>,
        reading: Reading,
        at: &mut i64,
        known_after: Option<i64>,
        slice: &mut Slice,
    ) -> bool {
        let Some(store) = &self.store else { return false };
        let taken: usize = slice.frames.iter().map(|frame| frame.text().len()).sum();
        let page = persistence::Page {
            records: reading.page.messages.saturating_sub(slice.frames.len()),
            bytes: reading.page.bytes.saturating_sub(taken),
        };
        if !reading.page.has_room(&slice.frames, taken) {
            return true;
        }
        let keep = self.rules.of(channel).keep;
        let read = blocking(|| {
            store.backlog.trim(channel.as_str(), &keep, reading.now_us)?;
            // Where some could not be written, older ones may still stand below the floor.
            let after = store.backlog.floor(channel.as_str())?.max(*at);
            let records = store.backlog.read_after(channel.as_str(), after, page)?;
            Ok::<_, BacklogError>((records, store.backlog.floor(channel.as_str())?))
        });
        let Ok((records, floor)) = read else {
            // What cannot be read may be missing.
            slice.failed = true;
            slice.floor = slice.floor.max(known_after.unwrap_or(reading.last));
            return false;
        };
        slice.floor = slice.floor.max(floor);
        // Between two looks at it, the store may have lost what stood behind what was read: what is
        // told to be missing is not handed out.
        slice.frames.retain(|frame| frame.position() > floor);
        let full = records.len() >= page.records
            || records.iter().map(|record| record.value.len()).sum::<usize>() >= page.bytes;
        for record in records.into_iter().filter(|record| record.position > floor) {
            // Newer ones are memory's to hand out, once they are out.
            if known_after.is_some_and(|known_after| record.position > known_after) {
                return false;
            }
            *at = record.position;
            slice.frames.push(self.frame(&record));
        }
        full
    }

    /// The highest position of a channel that cannot be replayed any more.
    pub(crate) fn floor(&self, channel: ChannelName<'_>, now_us: i64) -> Result<i64, BacklogError> {
        let name = channel.as_str();
        let known = {
            let mut stripe = self.lock(self.stripe_of(name));
            stripe.pasts.get_mut(name).map(|past| {
                self.change(past, |past| past.retire(now_us));
                past.floor()
            })
        };
        let rule = self.rules.of(channel);
        let Some(store) = self.stored(rule) else {
            return Ok(known.unwrap_or_else(|| self.forgotten.load(Ordering::Acquire)));
        };
        let stored = blocking(|| {
            store.backlog.trim(name, &rule.keep, now_us)?;
            store.backlog.floor(name)
        })?;
        Ok(stored.max(known.unwrap_or(0)).max(self.doubt_of(rule)))
    }

    /// The position above which all that is out can be read, as things stand.
    pub(crate) fn kept_above(&self, channel: ChannelName<'_>) -> Result<i64, BacklogError> {
        let name = channel.as_str();
        let known = self.lock(self.stripe_of(name)).pasts.get(name).map(Past::floor);
        let Some(store) = self.stored(self.rules.of(channel)) else {
            return Ok(known.unwrap_or_else(|| self.forgotten.load(Ordering::Acquire)));
        };
        Ok(known.unwrap_or(0).max(blocking(|| store.backlog.floor(name))?))
    }

    /// The floor of all channels that nobody knows anything about.
    pub(crate) fn floor_of_unknown(&self, rule: &Rule) -> Result<i64, BacklogError> {
        match self.stored(rule) {
            // No channel has the empty name.
            Some(store) => Ok(blocking(|| store.backlog.floor(""))?.max(self.doubt_of(rule))),
            None => Ok(self.forgotten.load(Ordering::Acquire)),
        }
    }

    fn doubt_of(&self, rule: &Rule) -> i64 {
        if rule.durability == Durability::Sync { 0 } else { self.doubt }
    }

    /// The newest position of a channel that is out, if any is known.
    pub(crate) fn head(&self, channel: ChannelName<'_>) -> Result<Option<i64>, BacklogError> {
        let name = channel.as_str();
        let newest = self.lock(self.stripe_of(name)).pasts.get(name).map(Past::newest);
        match (newest, self.stored(self.rules.of(channel))) {
            (Some(Some(newest)), _) => Ok(Some(newest)),
            (_, Some(store)) => blocking(|| store.backlog.head(name)),
            (_, None) => Ok(None),
        }
    }

    /// A number without what nobody can have seen: what comes out later, from the disk or at all, has
    /// higher ones.
    pub(crate) fn seen_at_most(&self, channel: ChannelName<'_>, after: i64, last: i64) -> i64 {
        let name = channel.as_str();
        let awaited = self.lock(self.stripe_of(name)).pasts.get(name).and_then(Past::first_awaited);
        after.min(awaited.map_or(last, |position| position - 1))
    }

    /// The channels with a past that a pattern means, sorted.
    pub(crate) fn matching(
        &self,
        pattern: Pattern<'_>,
    ) -> Result<BTreeSet<Arc<str>>, BacklogError> {
        let prefix = pattern.as_str().trim_end_matches('*');
        let any = weft_protocol::ChannelLimits { bytes: usize::MAX, segments: usize::MAX };
        let meant = |name: &str| {
            ChannelName::parse(name, &any).is_ok_and(|channel| pattern.matches(channel))
        };
        blocking(|| {
            let stored = self.store.as_ref().map(|store| store.backlog.names(prefix));
            let mut names = stored.transpose()?.unwrap_or_default();
            let known: HashSet<Arc<str>> = names.iter().cloned().collect();
            for stripe in 0..STRIPES {
                let stripe = self.lock(stripe);
                let some = stripe.pasts.keys().filter(|name| name.starts_with(prefix));
                names.extend(some.filter(|name| !known.contains(*name)).cloned());
            }
            // Most are sorted already: a set that is made of a list makes use of that.
            Ok(names.into_iter().filter(|name| meant(name)).collect())
        })
    }

    /// Comes back within the limits if they are passed: the channels that were not used for longest
    /// leave memory first. What the store holds is not lost by that; what it does not hold yet
    /// stays, unless the store cannot write and memory runs out.
    pub(crate) fn relieve(&self) {
        if !self.is_over(1.0) {
            return;
        }
        let Some(_one_at_a_time) = self.evicting.try_lock() else { return };
        let mut names: Vec<(i64, Arc<str>)> = Vec::new();
        for stripe in 0..STRIPES {
            let stripe = self.lock(stripe);
            names.extend(stripe.pasts.iter().map(|(name, past)| (past.used, Arc::clone(name))));
        }
        names.sort_unstable();
        let broken =
            self.store.as_ref().is_some_and(|Store { writer, .. }| writer.trouble().is_some());
        // What waits for the disk is bounded by the store's queue; it is given up only where it
        // waits in vain.
        for hard in [false, true].into_iter().take(1 + usize::from(broken)) {
            for (at, (_, name)) in names.iter().enumerate() {
                if !self.is_over(if hard { 1.25 } else { 0.9 }) {
                    return;
                }
                self.evict(name, hard, at + 1 == names.len());
            }
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        clippy::cast_possible_truncation,
        reason = "a threshold, not an account"
    )]
    fn is_over(&self, part: f64) -> bool {
        let over = |used: &AtomicUsize, limit: usize| {
            used.load(Ordering::Relaxed) > (limit as f64 * part) as usize
        };
        over(&self.cost, self.limits.bytes) || over(&self.count, self.limits.channels)
    }

    /// Makes a channel leave memory, or, the last one left, lose its oldest messages.
    fn evict(&self, name: &Arc<str>, hard: bool, last: bool) {
        let at = self.stripe_of(name);
        let stored = {
            let stripe = self.lock(at);
            let Some(past) = stripe.pasts.get(name) else { return };
            self.stored(&past.rule)
        };
        let head = stored.and_then(|store| store.backlog.head(name).ok().flatten());
        let stored_up_to = match stored {
            // A channel that the store has dropped is not there up to the floor, for good.
            Some(store) => head.or_else(|| store.backlog.floor(name).ok()).unwrap_or(0),
            None => i64::MAX,
        };
        let held_by_store = head.unwrap_or(0);
        let up_to = if hard { i64::MAX } else { stored_up_to };
        let mut stripe = self.lock(at);
        let Some(past) = stripe.pasts.get_mut(name) else { return };
        let enough = self.limits.bytes / 10 * 9;
        let cost = self.cost.load(Ordering::Relaxed);
        let before = past.cost();
        self.change(past, |past| {
            past.evict(up_to, held_by_store, |past| last && cost - before + past.cost() <= enough);
        });
        if !past.is_idle(stored_up_to) || (last && self.count.load(Ordering::Relaxed) == 1) {
            return;
        }
        if stored.is_none() {
            self.forgotten
                .fetch_max(past.newest().unwrap_or(0).max(past.floor()), Ordering::AcqRel);
        }
        self.cost.fetch_sub(past.cost(), Ordering::Relaxed);
        self.count.fetch_sub(1, Ordering::Relaxed);
        stripe.pasts.remove(name);
        stripe.evictions += 1;
    }

    /// What memory keeps: channels, and what they cost in bytes.
    pub(crate) fn kept(&self) -> (usize, usize) {
        (self.count.load(Ordering::Relaxed), self.cost.load(Ordering::Relaxed))
    }

    /// What the messages cost that memory keeps.
    pub(crate) fn kept_frames(&self) -> usize {
        let (channels, cost) = self.kept();
        cost.saturating_sub(channels * PAST_OVERHEAD)
    }

    /// Visits every frame that memory keeps of a past, and recounts what [`Channels::kept`] says.
    pub(crate) fn recount(&self, mut visit: impl FnMut(&Frame)) -> (usize, usize) {
        let (mut count, mut cost) = (0, 0);
        for stripe in 0..STRIPES {
            for past in self.lock(stripe).pasts.values() {
                count += 1;
                cost += past.cost();
                past.frames().for_each(&mut visit);
            }
        }
        (count, cost)
    }
}

fn book(total: &AtomicUsize, before: usize, after: usize) {
    if after >= before {
        total.fetch_add(after - before, Ordering::Relaxed);
    } else {
        total.fetch_sub(before - after, Ordering::Relaxed);
    }
}

/// Does what may wait for a disk, where possible without keeping a worker of the runtime from
/// other work.
pub(crate) fn blocking<T>(work: impl FnOnce() -> T) -> T {
    use tokio::runtime::{Handle, RuntimeFlavor};
    let on_worker = Handle::try_current()
        .is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread);
    if on_worker { tokio::task::block_in_place(work) } else { work() }
}
