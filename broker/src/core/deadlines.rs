//! When sessions may expire: exactly one armed entry per session.
//!
//! A contact does not move the entry. An entry that comes due early (since the session was in
//! contact meanwhile, or holds a connect) is armed again at the right time; so contacts cost
//! nothing, and an idle session costs one small step per `max_interval`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::session::SessionHandle;

/// All armed entries, earliest first.
#[derive(Debug, Default)]
pub struct Deadlines {
    entries: Mutex<BTreeMap<(Instant, u64), Arc<SessionHandle>>>,
    earlier: Notify,
}

impl Deadlines {
    /// Arms a session's entry. The caller keeps the time in the session's state.
    pub(crate) fn arm(&self, at: Instant, session: Arc<SessionHandle>) {
        let mut entries = self.entries.lock();
        let first = entries.first_key_value().is_none_or(|(&(first, _), _)| at < first);
        entries.insert((at, session.key), session);
        drop(entries);
        if first {
            self.earlier.notify_one();
        }
    }

    /// Takes an entry out.
    pub(crate) fn disarm(&self, at: Instant, key: u64) {
        self.entries.lock().remove(&(at, key));
    }

    /// Takes out one entry that is due.
    pub(crate) fn pop_due(&self, now: Instant) -> Option<(Instant, Arc<SessionHandle>)> {
        let mut entries = self.entries.lock();
        let (&(at, _), _) = entries.first_key_value()?;
        if at > now {
            return None;
        }
        entries.pop_first().map(|(_, session)| (at, session))
    }

    /// Whether a session's entry stands where its state says.
    #[must_use]
    pub fn has(&self, at: Instant, key: u64) -> bool {
        self.entries.lock().contains_key(&(at, key))
    }

    /// When the next entry is due.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        self.entries.lock().first_key_value().map(|(&(at, _), _)| at)
    }

    /// How many entries are armed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.lock().len()
    }

    /// Whether none is armed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits until an entry is armed that is due before all others.
    pub async fn earlier(&self) {
        self.earlier.notified().await;
    }
}
