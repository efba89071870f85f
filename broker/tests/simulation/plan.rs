//! What a seed decides before anything happens: the broker's bounds.

use std::time::Duration;

use weft_broker::core::channels::PastLimits;
use weft_broker::core::options::{Options, QueueLimits, QueuePolicy, UnkeptPolicy};

use super::channels;
use super::seams::Chance;

/// The bounds of a run, and what follows from them.
#[derive(Debug, Clone)]
pub struct Plan {
    pub options: Options,
    /// Memory keeps so little of the past that it forgets channels.
    pub forgets: bool,
    /// Sessions may end since their queues pass their bounds.
    pub ends_overrun: bool,
    /// Memory for what waits is so short that all must make room.
    pub poor: bool,
    /// What a backlog keeps is never lost at a bound.
    pub spills: bool,
    pub temper: Temper,
}

/// How often what happens, of a thousand steps.
#[derive(Debug, Clone, Copy)]
pub struct Temper {
    pub publish: usize,
    pub commit: usize,
    pub pass: usize,
    pub trouble: usize,
    pub crash: usize,
    pub stop: usize,
    pub leave: usize,
}

impl Temper {
    fn draw(chance: &mut Chance) -> Self {
        let mut one_of = |choice: [usize; 3]| choice[chance.below(3)];
        Self {
            publish: one_of([50, 110, 200]),
            commit: one_of([20, 80, 120]),
            pass: one_of([30, 70, 150]),
            trouble: one_of([0, 4, 12]),
            crash: one_of([0, 1, 3]),
            stop: one_of([0, 1, 3]),
            leave: one_of([0, 2, 8]),
        }
    }
}

impl Plan {
    pub fn draw(chance: &mut Chance) -> Self {
        let usual = Options::default();
        let narrow = [
            QueueLimits { messages: 6, bytes: 4_096 },
            QueueLimits { messages: 14, bytes: 1 << 20 },
            QueueLimits { messages: 10_000, bytes: 400 },
        ];
        let queue = if chance.percent(50) { narrow[chance.below(3)] } else { usual.queue };
        let (queue_policy, unkept_policy) = match chance.below(10) {
            0..6 => (QueuePolicy::Spill, UnkeptPolicy::DropOldest),
            6 => (QueuePolicy::Spill, UnkeptPolicy::Disconnect),
            7..9 => (QueuePolicy::DropOldest, UnkeptPolicy::DropOldest),
            _ => (QueuePolicy::Disconnect, UnkeptPolicy::DropOldest),
        };
        let forgets = chance.percent(25);
        let past = if forgets {
            [PastLimits { bytes: 4_000, channels: 4 }, PastLimits { bytes: 9_000, channels: 100 }]
                [chance.below(2)]
        } else {
            usual.past
        };
        let poor = chance.percent(10);
        let options = Options {
            queue,
            queue_policy,
            unkept_policy,
            queue_bytes_total: if poor { 6_000 } else { usual.queue_bytes_total },
            held_per_browser: if chance.percent(20) { None } else { Some(1) },
            response_bytes: if chance.percent(30) { 120 } else { usual.response_bytes },
            // Whoever reads on takes up to a response at once.
            response_messages: match chance.percent(20) {
                true => 3,
                false if poor => 20,
                false => usual.response_messages,
            },
            rules: channels::rules(),
            past,
            ..usual
        };
        let ends_overrun = queue_policy == QueuePolicy::Disconnect
            || (queue_policy == QueuePolicy::Spill && unkept_policy == UnkeptPolicy::Disconnect);
        let spills = queue_policy == QueuePolicy::Spill && !poor;
        Self { options, forgets, ends_overrun, poor, spills, temper: Temper::draw(chance) }
    }

    /// How long a session may be silent.
    pub fn alive(&self) -> Duration {
        self.options.max_interval
    }
}
