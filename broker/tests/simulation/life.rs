//! One life of the broker after another, over a store that outlives them.

use std::sync::Arc;

use weft_broker::core::broker::{Broker, Origin};
use weft_broker::core::channels::Store;
use weft_broker::core::stats::Stats;
use weft_broker::exchange::Exchange;
use weft_broker::guard::Guard;
use weft_persistence::Backlog;
use weft_protocol::{ConnectionType, DecodeLimits};

use super::plan::Plan;
use super::seams::{SeededIds, VirtualClock};
use crate::common::disk::Disk;
use crate::common::hand::Hand;

/// The broker, from its start to its end.
#[derive(Debug)]
pub struct Life {
    pub number: u32,
    pub broker: Arc<Broker>,
    pub exchange: Arc<Exchange>,
    pub hand: Arc<Hand>,
    pub stats: Stats,
    /// The position at which it began.
    pub started: i64,
    /// The most that its channels' pasts have cost.
    pub most_past: usize,
    /// Up to here, an unclean stop may have lost what did not await the disk.
    pub doubt: i64,
}

/// How far ahead of the last position the ceiling of an unclean stop may have been.
const AHEAD: i64 = 10_000_000;

impl Life {
    /// Begins with positions above a floor, and doubts what was not awaited on disk up to another.
    pub fn begin(
        number: u32,
        plan: &Plan,
        disk: &Arc<Disk>,
        clock: &Arc<VirtualClock>,
        ids: &Arc<SeededIds>,
        (floor, doubt): (i64, i64),
    ) -> Self {
        let hand = Hand::new(Arc::clone(disk));
        let store = Store { backlog: Arc::<Disk>::clone(disk), writer: Arc::<Hand>::clone(&hand) };
        let origin = Origin { store: Some(store), floor, doubt, ceiling: None };
        let stats = Stats::register(&prometheus::Registry::new()).expect("fresh registry");
        let clock = Arc::<VirtualClock>::clone(clock);
        let broker = Broker::new(plan.options.clone(), stats.clone(), clock, origin);
        broker.restore_marks(&disk.marks(0).expect("readable"));
        hand.settler.attach(&broker);
        let offered = vec![ConnectionType::LongPolling, ConnectionType::CallbackPolling];
        let ids = Arc::<SeededIds>::clone(ids);
        let exchange = Exchange::new(
            Arc::clone(&broker),
            Arc::new(Guard::open(Arc::clone(broker.clock()))),
            ids,
            DecodeLimits::default(),
            offered,
        );
        let started = broker.last_position();
        Self {
            number,
            broker,
            exchange: Arc::new(exchange),
            hand,
            stats,
            started,
            most_past: 0,
            doubt,
        }
    }

    /// Where the next life begins.
    pub fn end(&self, clean: bool) -> (i64, i64) {
        let last = self.broker.last_position();
        let doubt = if clean { self.doubt } else { last + AHEAD };
        (last.max(doubt), doubt)
    }
}
