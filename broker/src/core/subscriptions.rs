//! Who gets what: a flat map from pattern to members, asked n + 2 times per publication.
//!
//! Bayeux wildcards stand last, so `/a/b` can only match `/a/b`, `/a/*`, `/a/**`, `/**` (and `/*` one
//! level up): no tree is needed. Each pattern's members have a lock of their own, so a long fan-out
//! delays nobody but subscribers of that very pattern, and these not for long.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hashbrown::HashTable;
use parking_lot::RwLock;
use tokio::sync::Notify;
use weft_protocol::ChannelName;

use super::members::{self, Left, Members};
use super::session::SessionHandle;

const SHARDS: usize = 64;

/// All subscriptions.
#[derive(Debug)]
pub struct Subscriptions {
    shards: Vec<RwLock<Shard>>,
    hasher: RandomState,
    count: AtomicUsize,
    max: usize,
    arrived: Notify,
}

/// The patterns of one shard, each found by a hash that its caller knows.
#[derive(Debug, Default)]
struct Shard(HashTable<Arc<Members>>);

impl Shard {
    fn get(&self, hash: u64, pattern: &str) -> Option<&Arc<Members>> {
        self.0.find(hash, |members| *members.pattern == *pattern)
    }
}

impl Subscriptions {
    /// A table for at most `max` subscriptions.
    #[must_use]
    pub fn new(max: usize) -> Self {
        let shards = (0..SHARDS).map(|_| RwLock::default()).collect();
        let hasher = RandomState::new();
        Self { shards, hasher, count: AtomicUsize::new(0), max, arrived: Notify::new() }
    }

    /// A pattern's hash and its shard, which goes by other bits of it than the table within.
    fn place(&self, pattern: &str) -> (u64, &RwLock<Shard>) {
        let hash = self.hasher.hash_one(pattern);
        (hash, &self.shards[((hash >> 32) % SHARDS as u64) as usize])
    }

    fn get(&self, pattern: &str) -> Option<Arc<Members>> {
        let (hash, shard) = self.place(pattern);
        shard.read().get(hash, pattern).cloned()
    }

    fn get_or_insert(&self, pattern: &Arc<str>) -> Arc<Members> {
        let (hash, shard) = self.place(pattern);
        let mut shard = shard.write();
        let same = |members: &Arc<Members>| members.pattern == *pattern;
        let rehash = |members: &Arc<Members>| self.hasher.hash_one(&*members.pattern);
        let entry = shard.0.entry(hash, same, rehash);
        Arc::clone(entry.or_insert_with(|| Members::new(pattern)).get())
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

    /// Adds a member whose room is reserved. The caller keeps a session from joining twice. Returns the
    /// pattern as it stands here, for all who subscribe to it to share.
    pub(crate) fn join(&self, pattern: &Arc<str>, session: &Arc<SessionHandle>) -> Arc<str> {
        loop {
            let members = self.get(pattern).unwrap_or_else(|| self.get_or_insert(pattern));
            if members.join(session) {
                self.arrived.notify_waiters();
                return Arc::clone(&members.pattern);
            }
            self.bury(&members);
        }
    }

    /// Removes a member and gives its room back.
    pub(crate) fn leave(&self, pattern: &str, session: &SessionHandle) {
        let Some(members) = self.get(pattern) else { return };
        let left = members.leave(session.key);
        if left != Left::Nothing {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
        if left == Left::Dead {
            self.bury(&members);
        }
    }

    fn bury(&self, members: &Arc<Members>) {
        let (hash, shard) = self.place(&members.pattern);
        let mut shard = shard.write();
        if let Ok(found) = shard.0.find_entry(hash, |found| Arc::ptr_eq(found, members)) {
            found.remove();
        }
    }

    /// Visits each session subscribed to the channel, once, whatever patterns of its overlap (L8).
    pub(crate) fn for_each_member(
        &self,
        channel: ChannelName<'_>,
        visit: impl FnMut(&Arc<SessionHandle>),
    ) {
        let mut matching = Vec::new();
        channel.patterns(|pattern| matching.extend(self.get(pattern)));
        members::visit(&matching, visit);
    }

    /// Whether anybody would get a message of this channel by a pattern that begins with `below`.
    #[must_use]
    pub fn has_members(&self, channel: ChannelName<'_>, below: &str) -> bool {
        let mut any = false;
        channel.patterns(|pattern| {
            if !any && pattern.starts_with(below) {
                let (hash, shard) = self.place(pattern);
                any = shard.read().get(hash, pattern).is_some();
            }
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
            let members: Vec<_> = shard.read().0.iter().cloned().collect();
            members.iter().map(|members| members.len()).sum::<usize>()
        });
        shards.sum()
    }
}
