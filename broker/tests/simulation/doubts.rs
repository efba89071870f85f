//! Why a gap may be told although nothing is missing: as narrow as it can be said.

use super::channels::{self, Keeps, PerChannel};
use super::wire::Gap;

/// What may make the broker tell of a gap although nothing is missing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Doubts {
    pub life: u32,
    /// The position at which this life began.
    pub started: i64,
    /// Up to here, an unclean stop may have lost what did not await the disk.
    pub doubt: i64,
    /// Memory keeps so little of the past that it forgets channels.
    pub forgets: bool,
    /// It had to let go of what was not stored, since the store could not write.
    pub gave_up: bool,
    /// Reads have failed in this life.
    pub unreadable: bool,
    /// Memory for what waits is so short that all must make room.
    pub poor: bool,
    /// What a backlog keeps is not lost at a queue's bounds.
    pub spills: bool,
    /// Up to here, messages were out and could not be stored, by channel.
    pub unstored: PerChannel<i64>,
}

impl Doubts {
    /// Channels of which nothing is stored share one floor.
    fn unstored_anywhere(&self) -> i64 {
        self.unstored.iter().copied().max().unwrap_or(0)
    }
}

/// Whether a gap may be told although nothing of it is missing.
pub fn explains(gap: &Gap, doubts: &Doubts, on_subscribe: bool) -> bool {
    // Where memory is short, what is yet to be read is given up unread.
    if doubts.poor {
        return true;
    }
    let Some(channel) = channels::index(&gap.channel) else { return false };
    let unstored = doubts.unstored_anywhere();
    let lost = doubts.unreadable || doubts.gave_up || gap.to <= unstored;
    let doubted = gap.from < doubts.doubt;
    match channels::keeps(channel) {
        Keeps::Safely => doubts.unreadable || gap.to <= unstored,
        Keeps::Soon | Keeps::Few => lost || (doubted && gap.to == doubts.doubt),
        // Only memory knew, and it began anew.
        Keeps::InMemory => doubts.forgets || gap.to == doubts.started,
        // What cannot be read is as good as not there.
        Keeps::Hidden => lost || (on_subscribe && (doubted || gap.from < unstored)),
        Keeps::Nothing => on_subscribe,
    }
}
