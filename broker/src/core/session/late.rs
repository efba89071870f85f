//! Connects that cross: a newer one replaces a held one, or comes while that is being answered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Session;
use crate::core::held::{Hold, Release};
use crate::core::proof::ConnectRequest;

/// How often connects of one session may replace each other in [`FIGHT_WINDOW`] (decisions 3.4).
const FIGHT_MAX: usize = 5;
const FIGHT_WINDOW: Duration = Duration::from_secs(10);

impl Session {
    /// A newer connect replaces the held one. Answers whether the two fight: then the older is told
    /// to go away instead of to come again.
    pub(crate) fn supersede(&mut self, now: Instant) -> Option<(Arc<Hold>, Release)> {
        let hold = self.hold.take()?;
        let recent = self.superseded.get_or_insert_default();
        while recent.front().is_some_and(|&at| now.duration_since(at) > FIGHT_WINDOW) {
            recent.pop_front();
        }
        recent.push_back(now);
        let fight = recent.len() > FIGHT_MAX;
        if fight {
            recent.pop_front();
        }
        Some((hold, if fight { Release::Fought } else { Release::Superseded }))
    }

    /// A connect that was overtaken by what happened since it arrived. What it acknowledges counts all
    /// the same. If it is newer than the one that was answered meanwhile, whoever sent it did not wait
    /// for that answer any more: this may never have arrived.
    pub(crate) fn hear_late(&mut self, connect: &ConnectRequest<'_>) {
        self.acknowledge(connect);
        if connect.arrived > self.newest {
            self.newest = connect.arrived;
            self.proof.write_failed();
        }
    }
}
