//! Who gets what: a flat map from pattern to members, asked n + 2 times per publication.
//!
//! Bayeux wildcards stand last, so `/a/b` can only match `/a/b`, `/a/*`, `/a/**`, `/**` (and `/*` one
//! level up): no tree is needed. Each pattern's members have a lock of their own, so a long fan-out
//! delays nobody but subscribers of that very pattern.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use indexmap::IndexMap;
use parking_lot::RwLock;
use tokio::sync::Notify;
use weft_protocol::ChannelName;

use super::session::SessionHandle;

const SHARDS: usize = 64;

/// All subscriptions.
#[derive(Debug)]
pub struct Subscriptions {
    shards: Vec<RwLock<HashMap<Arc<str>, Arc<Members>>>>,
    hasher: RandomState,
    count: AtomicUsize,
    max: usize,
    arrived: Notify,
}

/// The sessions subscribed to one pattern.
#[derive(Debug, Default)]
struct Members(RwLock<MembersState>);

#[derive(Debug, Default)]
struct MembersState {
    sessions: IndexMap<u64, Arc<SessionHandle>>,
    /// Emptied and about to leave the map: nobody may join any more.
    dead: bool,
}

impl Subscriptions {
    /// A table for at most `max` subscriptions.
    #[must_use]
    pub fn new(max: usize) -> Self {
        let shards = (0..SHARDS).map(|_| RwLock::default()).collect();
        let hasher = RandomState::new();
        Self { shards, hasher, count: AtomicUsize::new(0), max, arrived: Notify::new() }
    }

    #[expect(clippy::cast_possible_truncation, reason = "the remainder is small")]
    fn shard(&self, pattern: &str) -> &RwLock<HashMap<Arc<str>, Arc<Members>>> {
        &self.shards[(self.hasher.hash_one(pattern) % SHARDS as u64) as usize]
    }

    /// Reserves room for `n` subscriptions; false if there is none.
    pub(crate) fn reserve(&self, n: usize) -> bool {
        let before = self.count.fetch_add(n, Ordering::Relaxed);
        let room = before + n <= self.max;
        if !room {
            self.count.fetch_sub(n, Ordering::Relaxed);
        }
        room
    }

    /// Adds a member whose room is reserved. The caller keeps a session from joining twice.
    pub(crate) fn join(&self, pattern: &Arc<str>, session: &Arc<SessionHandle>) {
        loop {
            let found = self.shard(pattern).read().get(pattern).cloned();
            let members = found.unwrap_or_else(|| {
                Arc::clone(self.shard(pattern).write().entry(Arc::clone(pattern)).or_default())
            });
            let mut state = members.0.write();
            if !state.dead {
                state.sessions.insert(session.key, Arc::clone(session));
                drop(state);
                self.arrived.notify_waiters();
                return;
            }
            drop(state);
            self.bury(pattern, &members);
        }
    }

    /// Removes a member and gives its room back.
    pub(crate) fn leave(&self, pattern: &Arc<str>, session: &SessionHandle) {
        let found = self.shard(pattern).read().get(pattern).cloned();
        let Some(members) = found else { return };
        let mut state = members.0.write();
        if state.sessions.swap_remove(&session.key).is_none() {
            return;
        }
        self.count.fetch_sub(1, Ordering::Relaxed);
        state.dead = state.sessions.is_empty();
        let dead = state.dead;
        drop(state);
        if dead {
            self.bury(pattern, &members);
        }
    }

    fn bury(&self, pattern: &Arc<str>, members: &Arc<Members>) {
        let mut shard = self.shard(pattern).write();
        if shard.get(pattern).is_some_and(|found| Arc::ptr_eq(found, members)) {
            shard.remove(pattern);
        }
    }

    /// Visits each session subscribed to the channel, once, whatever patterns of its overlap (L8).
    pub(crate) fn for_each_member(
        &self,
        channel: ChannelName<'_>,
        mut visit: impl FnMut(&Arc<SessionHandle>),
    ) {
        let mut matching: Vec<Arc<Members>> = Vec::new();
        channel.patterns(|pattern| {
            let found = self.shard(pattern).read().get(pattern).cloned();
            matching.extend(found);
        });
        if let [only] = matching.as_slice() {
            only.0.read().sessions.values().for_each(visit);
            return;
        }
        let mut sessions: Vec<Arc<SessionHandle>> = Vec::new();
        for members in matching {
            sessions.extend(members.0.read().sessions.values().cloned());
        }
        sessions.sort_unstable_by_key(|session| session.key);
        sessions.dedup_by_key(|session| session.key);
        sessions.iter().for_each(&mut visit);
    }

    /// Whether anybody would get a message of this channel by a pattern that begins with `below`.
    #[must_use]
    pub fn has_members(&self, channel: ChannelName<'_>, below: &str) -> bool {
        let mut any = false;
        channel.patterns(|pattern| {
            any |= pattern.starts_with(below) && self.shard(pattern).read().contains_key(pattern);
        });
        any
    }

    /// Waits until somebody subscribes to anything, whoever it is.
    pub fn arrival(&self) -> tokio::sync::futures::Notified<'_> {
        self.arrived.notified()
    }

    /// How many subscriptions there are, by the counter that bounds them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many there are, counted one by one: for tests and the simulation.
    #[must_use]
    pub fn recount(&self) -> usize {
        let shards = self.shards.iter().map(|shard| {
            let members: Vec<_> = shard.read().values().cloned().collect();
            members.iter().map(|members| members.0.read().sessions.len()).sum::<usize>()
        });
        shards.sum()
    }
}
