//! One life of the broker after another, over a store that outlives them.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use weft_broker::core::broker::{Broker, Origin};
use weft_broker::core::channels::Store;
use weft_broker::core::clock::Clock;
use weft_broker::core::held::Wakes;
use weft_broker::core::options::Options;
use weft_broker::core::publishing::{Commit, Publication, Publishing};
use weft_broker::core::settling::Settler;
use weft_persistence::{Backlog, BacklogError, Events, Job, Memory, Submit};

use super::rig::{broker, name};

/// A writer that writes when it is told to, and whose queue dies with the process.
#[derive(Debug)]
pub(crate) struct Hand {
    backlog: Arc<Memory>,
    pub(crate) jobs: Mutex<VecDeque<Job<Commit>>>,
}

impl Submit<Commit> for Hand {
    fn submit(&self, job: Job<Commit>) {
        self.jobs.lock().push_back(job);
    }

    fn has_room(&self) -> bool {
        true
    }

    fn trouble(&self) -> Option<BacklogError> {
        None
    }

    fn queued(&self) -> usize {
        self.jobs.lock().len()
    }
}

/// One life of the broker.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) broker: Arc<Broker>,
    pub(crate) hand: Arc<Hand>,
    settler: Settler,
}

impl Life {
    /// Begins with positions above a floor, and doubts what was not awaited on disk up to another.
    pub(crate) fn begin(
        backlog: &Arc<Memory>,
        options: Options,
        clock: Arc<dyn Clock>,
        (floor, doubt): (i64, i64),
    ) -> Self {
        let hand = Hand { backlog: Arc::clone(backlog), jobs: Mutex::default() };
        let hand = Arc::new(hand);
        let store =
            Store { backlog: Arc::<Memory>::clone(backlog), writer: Arc::<Hand>::clone(&hand) };
        let origin = Origin { store: Some(store), floor, doubt, ceiling: None };
        let broker = broker(options, clock, origin);
        broker.restore_marks(&backlog.marks(0).expect("readable"));
        let settler = Settler::default();
        settler.attach(&broker);
        Self { broker, hand, settler }
    }

    /// Writes the oldest jobs.
    pub(crate) fn commit(&self, jobs: usize) {
        for _ in 0..jobs {
            let Some(job) = self.hand.jobs.lock().pop_front() else { return };
            let outcome = self.hand.backlog.append(&job.records);
            outcome.as_ref().expect("room");
            self.settler.clone().settled(job.token.into_iter().collect(), &outcome);
        }
    }

    pub(crate) fn publish(&self, channel: &str, key: Option<&str>) -> Publishing {
        let publication = Publication { key, ..Publication::new(name(channel), "1") };
        self.broker.publish(&publication, &mut Wakes::default()).expect("room")
    }
}
