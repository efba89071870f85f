//! All sessions by clientId, in shards, so that look-ups of different sessions do not meet.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::RwLock;

use super::id::SessionId;
use super::session::SessionHandle;

const SHARDS: usize = 64;

/// The sessions that live.
#[derive(Debug)]
pub struct Registry {
    shards: Vec<RwLock<HashMap<SessionId, Arc<SessionHandle>>>>,
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

    fn shard(&self, id: &SessionId) -> &RwLock<HashMap<SessionId, Arc<SessionHandle>>> {
        let byte = id.as_str().bytes().last().unwrap_or(0);
        let next = id.as_str().bytes().next().unwrap_or(0);
        &self.shards[(usize::from(byte) * 7 + usize::from(next)) % SHARDS]
    }

    /// Adds a session; false if there is no room.
    pub(crate) fn insert(&self, session: Arc<SessionHandle>) -> bool {
        if self.count.fetch_add(1, Ordering::Relaxed) >= self.max {
            self.count.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        self.shard(&session.id).write().insert(session.id, session);
        true
    }

    /// Finds a session.
    #[must_use]
    pub fn get(&self, id: &SessionId) -> Option<Arc<SessionHandle>> {
        self.shard(id).read().get(id).cloned()
    }

    /// Takes a session out.
    pub(crate) fn remove(&self, id: &SessionId) {
        if self.shard(id).write().remove(id).is_some() {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Visits every session, a shard at a time; the shard is not locked during the visit.
    pub fn for_each(&self, mut visit: impl FnMut(&Arc<SessionHandle>)) {
        for shard in &self.shards {
            let sessions: Vec<_> = shard.read().values().cloned().collect();
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
