//! Time, ids, chance and the store, all from one seed.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use weft_broker::core::id::{SessionId, SessionIds};
use weft_broker::core::publishing::Commit;
use weft_persistence::{
    Backlog, BacklogError, Job, Marked, Page, Record, Retention, Submit, Usage,
};

pub use crate::common::{Chance, VirtualClock};

/// Ids that the seed decides.
#[derive(Debug)]
pub struct SeededIds(pub Mutex<Chance>);

impl SessionIds for SeededIds {
    fn next(&self) -> Option<SessionId> {
        let mut entropy = [0; 32];
        let mut chance = self.0.lock();
        for chunk in entropy.chunks_mut(8) {
            chunk.copy_from_slice(&chance.next().to_be_bytes());
        }
        Some(SessionId::from_entropy(entropy))
    }
}

/// A store that remembers what was appended since it was last asked, and fails when told to.
#[derive(Debug, Default)]
pub struct Recorder {
    appended: Mutex<Vec<Record>>,
    last: Mutex<i64>,
    pub failing: AtomicBool,
}

impl Recorder {
    pub fn take(&self) -> Vec<Record> {
        std::mem::take(&mut self.appended.lock())
    }
}

impl Submit<Commit> for Recorder {
    fn submit(&self, job: Job<Commit>) {
        self.append(&job.records).expect("it said that it has room");
    }

    fn has_room(&self) -> bool {
        !self.failing.load(Ordering::Relaxed)
    }

    fn trouble(&self) -> Option<BacklogError> {
        None
    }

    fn queued(&self) -> usize {
        0
    }
}

impl Backlog for Recorder {
    fn append(&self, batch: &[Record]) -> Result<(), BacklogError> {
        if self.failing.load(Ordering::Relaxed) {
            return Err(BacklogError::Closed);
        }
        let mut last = self.last.lock();
        for record in batch {
            assert!(record.position > *last, "positions rise: {} after {last}", record.position);
            *last = record.position;
        }
        self.appended.lock().extend_from_slice(batch);
        Ok(())
    }

    fn read_after(&self, _: &str, _: i64, _: Page) -> Result<Vec<Record>, BacklogError> {
        Ok(Vec::new())
    }

    fn last(&self, _: &str, _: usize) -> Result<Vec<Record>, BacklogError> {
        Ok(Vec::new())
    }

    fn floor(&self, _: &str) -> Result<i64, BacklogError> {
        Ok(0)
    }

    fn head(&self, _: &str) -> Result<Option<i64>, BacklogError> {
        Ok(None)
    }

    fn trim(&self, _: &str, _: &Retention, _: i64) -> Result<u64, BacklogError> {
        Ok(0)
    }

    fn raise_floor(&self, _: &str, _: i64) -> Result<(), BacklogError> {
        Ok(())
    }

    fn names(&self, _: &str) -> Result<Vec<Arc<str>>, BacklogError> {
        Ok(Vec::new())
    }

    fn marks(&self, _: i64) -> Result<Vec<Marked>, BacklogError> {
        Ok(Vec::new())
    }

    fn forget_marks(&self, _: i64, _: u64) -> Result<u64, BacklogError> {
        Ok(0)
    }

    fn tidy(&self) -> Result<bool, BacklogError> {
        Ok(false)
    }

    fn usage(&self) -> Result<Usage, BacklogError> {
        Ok(Usage::default())
    }

    fn health(&self) -> Result<(), BacklogError> {
        Ok(())
    }

    fn recover(&self) -> Result<(), BacklogError> {
        Ok(())
    }

    fn close(&self) -> Result<(), BacklogError> {
        Ok(())
    }
}

/// The outcome of what never waits, since no channel awaits the disk.
pub fn at_once<T>(future: impl Future<Output = T>) -> T {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => panic!("it waits"),
    }
}
