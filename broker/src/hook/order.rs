//! Requests of one session wait for each other while the hook is asked, so that what a client says is
//! done in the order in which it came. A request that asks nothing, and finds nobody waiting, does not
//! come here at all.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Sessions of which a request asks something right now.
#[derive(Debug)]
pub(super) struct Lines {
    by_session: Mutex<HashMap<u64, Line>>,
    /// Most requests in one line.
    most: usize,
}

#[derive(Debug)]
struct Line {
    turn: Arc<Semaphore>,
    length: usize,
}

/// Too many requests of one session wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooMany;

/// A place in the line of a session. Whoever stands behind goes on when it is dropped.
#[derive(Debug)]
pub struct Place<'l> {
    // Given up before the line may be forgotten: fields are dropped in their order.
    _turn: Option<OwnedSemaphorePermit>,
    _standing: Standing<'l>,
}

/// Counts one who stands in line, be it their turn or not.
#[derive(Debug)]
struct Standing<'l> {
    lines: &'l Lines,
    session: u64,
}

impl Drop for Standing<'_> {
    fn drop(&mut self) {
        let mut lines = self.lines.by_session.lock();
        if let Some(line) = lines.get_mut(&self.session) {
            line.length -= 1;
            if line.length == 0 {
                lines.remove(&self.session);
            }
        }
    }
}

impl Lines {
    pub(super) fn new(most: usize) -> Self {
        Self { by_session: Mutex::default(), most: most.max(1) }
    }

    /// Joins the line of a session if `must`, or if there is one, and waits for its turn. Dropping
    /// the future leaves the line.
    pub(super) async fn join(
        &self,
        session: u64,
        must: bool,
    ) -> Result<Option<Place<'_>>, TooMany> {
        let (turn, standing) = {
            let mut lines = self.by_session.lock();
            if !must && !lines.contains_key(&session) {
                return Ok(None);
            }
            let line = lines
                .entry(session)
                .or_insert_with(|| Line { turn: Arc::new(Semaphore::new(1)), length: 0 });
            if line.length >= self.most {
                return Err(TooMany);
            }
            line.length += 1;
            (Arc::clone(&line.turn), Standing { lines: self, session })
        };
        // It is never closed.
        let turn = turn.acquire_owned().await.ok();
        Ok(Some(Place { _turn: turn, _standing: standing }))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn waits<T>(future: &mut (impl Future<Output = T> + Unpin)) -> bool {
        tokio::time::timeout(Duration::from_millis(20), future).await.is_err()
    }

    #[tokio::test(flavor = "current_thread")]
    async fn p1_requests_of_one_session_go_in_their_order() {
        let lines = Lines::new(3);
        assert!(lines.join(1, false).await.expect("room").is_none(), "nobody is there");
        let first = lines.join(1, true).await.expect("room").expect("a place");
        let mut second = Box::pin(lines.join(1, false));
        let mut third = Box::pin(lines.join(1, true));
        assert!(waits(&mut second).await && waits(&mut third).await);
        assert!(lines.join(2, true).await.expect("room").is_some(), "others do not wait");
        assert_eq!(lines.join(1, true).await.err(), Some(TooMany));
        drop(first);
        assert!(waits(&mut third).await, "the second comes first");
        let second = second.await.expect("room");
        drop(second);
        assert!(third.await.expect("room").is_some());
        assert!(lines.by_session.lock().is_empty());
    }

    #[tokio::test(flavor = "current_thread")]
    async fn whoever_goes_away_leaves_the_line() {
        let lines = Lines::new(9);
        let first = lines.join(1, true).await.expect("room");
        let mut second = Box::pin(lines.join(1, true));
        assert!(waits(&mut second).await);
        drop(second);
        drop(first);
        assert!(lines.by_session.lock().is_empty());
        assert!(lines.join(1, false).await.expect("room").is_none());
    }
}
