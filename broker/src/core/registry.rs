//! All sessions by clientId, in shards, so that look-ups of different sessions do not meet.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hashbrown::HashTable;
use parking_lot::RwLock;

use super::id::SessionId;
use super::session::SessionHandle;

const SHARDS: usize = 64;

/// The sessions that live.
#[derive(Debug)]
pub struct Registry {
    shards: Vec<RwLock<HashTable<Arc<SessionHandle>>>>,
    count: AtomicUsize,
    max: usize,
}

impl Registry {
    /// A registry for at most `max` sessions.
    #[must_use]
    pub fn new(max: usize) -> Self {
        let shards = (0..SHARDS).map(|_| RwLock::default()).collect();
        Self { shards, count: AtomicUsize::new(0), max }
    }

    /// An id's hash and its shard, which goes by other bits of it than the table within.
    fn place(&self, id: &SessionId) -> (u64, &RwLock<HashTable<Arc<SessionHandle>>>) {
        let hash = id.hash();
        (hash, &self.shards[((hash >> 32) % SHARDS as u64) as usize])
    }

    /// Adds a session; false if there is no room.
    pub(crate) fn insert(&self, session: Arc<SessionHandle>) -> bool {
        if self.count.fetch_add(1, Ordering::Relaxed) >= self.max {
            self.count.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        let (hash, shard) = self.place(&session.id);
        shard.write().insert_unique(hash, session, |session| session.id.hash());
        true
    }

    /// Finds a session.
    #[must_use]
    pub fn get(&self, id: &SessionId) -> Option<Arc<SessionHandle>> {
        let (hash, shard) = self.place(id);
        shard.read().find(hash, |session| session.id == *id).cloned()
    }

    /// Takes a session out.
    pub(crate) fn remove(&self, id: &SessionId) {
        let (hash, shard) = self.place(id);
        if let Ok(found) = shard.write().find_entry(hash, |session| session.id == *id) {
            found.remove();
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Visits every session, a shard at a time; the shard is not locked during the visit.
    pub fn for_each(&self, mut visit: impl FnMut(&Arc<SessionHandle>)) {
        for shard in &self.shards {
            let sessions: Vec<_> = shard.read().iter().cloned().collect();
            sessions.iter().for_each(&mut visit);
        }
    }

    /// How many sessions live, by the counter that bounds them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Whether no session lives.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
