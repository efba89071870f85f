//! One life of the broker after another, over a store that outlives them.

use std::sync::Arc;

use weft_broker::core::broker::{Broker, Origin};
use weft_broker::core::channels::Store;
use weft_broker::core::clock::Clock;
use weft_broker::core::held::Wakes;
use weft_broker::core::options::Options;
use weft_broker::core::publishing::{Publication, Publishing};
use weft_persistence::Backlog;

use super::common::disk::Disk;
use super::common::hand::Hand;
use super::rig::{broker, name};

/// One life of the broker.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) broker: Arc<Broker>,
    pub(crate) hand: Arc<Hand>,
}

impl Life {
    /// Begins with positions above a floor, and doubts what was not awaited on disk up to another.
    pub(crate) fn begin(
        disk: &Arc<Disk>,
        options: Options,
        clock: Arc<dyn Clock>,
        (floor, doubt): (i64, i64),
    ) -> Self {
        let hand = Hand::new(Arc::clone(disk));
        let store = Store { backlog: Arc::<Disk>::clone(disk), writer: Arc::<Hand>::clone(&hand) };
        let origin = Origin { store: Some(store), floor, doubt, ceiling: None };
        let broker = broker(options, clock, origin);
        broker.restore_marks(&disk.marks(0).expect("readable"));
        hand.settler.attach(&broker);
        Self { broker, hand }
    }

    /// Writes the oldest jobs.
    pub(crate) fn commit(&self, jobs: usize) {
        for _ in 0..jobs {
            if !self.hand.commit(|_| {}) {
                return;
            }
        }
    }

    pub(crate) fn publish(&self, channel: &str, key: Option<&str>) -> Publishing {
        let publication = Publication { key, ..Publication::new(name(channel), "1") };
        self.broker.publish(&publication, &mut Wakes::default()).expect("room")
    }
}
