//! What the gauges show. It is recounted whenever somebody asks, so that it cannot go wrong; nobody
//! else pays for it.

use std::sync::Arc;

use super::broker::Broker;
use super::channels::blocking;
use super::session::SessionHandle;

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
    /// Sessions that have yet to read from the backlog.
    pub behind: usize,
    /// Subscriptions that stand.
    pub subscriptions: usize,
}

impl Broker {
    /// Counts everything that the gauges show.
    #[must_use]
    pub fn census(&self) -> Census {
        let mut census = Census::default();
        let mut count = |session: &Arc<SessionHandle>| {
            let state = session.state.lock();
            census.subscriptions += state.subscriptions;
            census.sessions += 1;
            census.held += usize::from(state.hold.is_some());
            census.queued += state.queue.len();
            census.queued_bytes += state.queue.bytes();
            census.behind += usize::from(state.is_behind());
        };
        // A look at each takes a while where there are very many.
        blocking(|| self.registry.for_each(&mut count));
        census
    }
}
