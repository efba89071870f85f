//! The store's writer without its thread: it writes when it is told to, so that a commit may come
//! at any moment, and what it has not written dies with the process.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use weft_broker::core::publishing::Commit;
use weft_broker::core::settling::Settler;
use weft_persistence::{Backlog, BacklogError, Events, Flush, Job, Record, Submit};

use super::disk::Disk;

/// Most records that are kept while the store cannot write; the oldest go first.
const KEPT_MAX: usize = 30;

/// See the module.
#[derive(Debug)]
pub struct Hand {
    disk: Arc<Disk>,
    queue: Mutex<Queue>,
    pub full: AtomicBool,
    pub settler: Settler,
}

#[derive(Debug, Default)]
struct Queue {
    jobs: VecDeque<Job<Commit>>,
    trouble: Option<BacklogError>,
    /// Delivered already, and to be written when the store works again.
    kept: VecDeque<Record>,
    /// What had to go of it: the highest positions by channel.
    lost: BTreeMap<Arc<str>, i64>,
}

impl Hand {
    pub fn new(disk: Arc<Disk>) -> Arc<Self> {
        let (queue, full) = (Mutex::default(), AtomicBool::new(false));
        Arc::new(Self { disk, queue, full, settler: Settler::default() })
    }

    /// Writes the oldest job, if there is one: `then` gets what awaited the disk and is on it.
    pub fn commit(&self, mut then: impl FnMut(&Record)) -> bool {
        let Some(job) = self.queue.lock().jobs.pop_front() else { return false };
        let outcome = self.write(&job);
        if job.refusable && outcome.is_ok() {
            job.records.iter().for_each(&mut then);
        }
        self.settler.clone().settled(job.token.into_iter().collect(), &outcome);
        self.flushed(job.records.len(), outcome.is_ok());
        true
    }

    fn flushed(&self, records: usize, ok: bool) {
        let flush = Flush { records, took: Duration::ZERO, ok };
        self.settler.clone().flushed(&flush);
    }

    fn write(&self, job: &Job<Commit>) -> Result<(), BacklogError> {
        let mut queue = self.queue.lock();
        let outcome = queue.trouble.clone().map_or_else(|| self.disk.append(&job.records), Err);
        if let Err(error) = &outcome {
            assert!(!matches!(error, BacklogError::OutOfOrder { .. }), "{error}");
            queue.trouble = Some(error.clone());
            if !job.refusable {
                queue.keep(&job.records);
            }
        }
        outcome
    }

    /// Tries to be able to write again, and to write what was kept. Says whether it can.
    pub fn recover(&self) -> bool {
        let mut queue = self.queue.lock();
        let Queue { trouble, kept, lost, .. } = &mut *queue;
        let recovered = self.disk.recover().and_then(|()| {
            lost.iter().try_for_each(|(channel, to)| self.disk.raise_floor(channel, *to))?;
            lost.clear();
            self.disk.append(kept.make_contiguous())
        });
        if recovered.is_ok() {
            kept.clear();
            *trouble = None;
        }
        drop(queue);
        self.flushed(0, recovered.is_ok());
        recovered.is_ok()
    }
}

impl Queue {
    fn keep(&mut self, records: &[Record]) {
        self.kept.extend(records.iter().cloned());
        while self.kept.len() > KEPT_MAX {
            let Some(oldest) = self.kept.pop_front() else { return };
            self.lost.insert(oldest.channel, oldest.position);
        }
    }
}

impl Submit<Commit> for Hand {
    fn submit(&self, job: Job<Commit>) {
        self.queue.lock().jobs.push_back(job);
    }

    fn has_room(&self) -> bool {
        !self.full.load(Ordering::Relaxed)
    }

    fn trouble(&self) -> Option<BacklogError> {
        self.queue.lock().trouble.clone()
    }

    fn queued(&self) -> usize {
        self.queue.lock().jobs.len()
    }
}
