//! What the broker is known to get wrong, found by this simulation: each with its regression test in
//! [`found`](super::found). Whoever mends one takes its test out of `ignore` and its line out of here.

use super::channels::{self, Keeps};
use super::doubts::Doubts;
use super::flight::Facts;
use super::wire::Gap;

/// Up to here, messages may be missing in the middle of a channel's past, untold: they were out,
/// could not be stored, and had to make room for newer ones while the store could not write.
pub fn unstored_holes(doubts: &Doubts, channel: usize) -> i64 {
    doubts.unstored[channel]
}

/// A connect that shares its request with a publication that awaits the disk takes events when that
/// is settled, also if a newer connect has come meanwhile.
pub fn settles_late(facts: Facts) -> bool {
    facts.settling
}

/// A message that had its number before its session's queue was given up, and came out after that,
/// is not in the gap that is told.
pub fn out_after_the_end(missing: &(&str, u32, i64), gaps: &[Gap]) -> bool {
    let keeps = channels::index(missing.0).map(channels::keeps);
    keeps == Some(Keeps::Safely) && gaps.iter().any(|gap| missing.2 <= gap.from)
}

/// Such a connect also is told, with success, that its session's queue was given up; the next one
/// then hears of the end, and nothing of what was missed in between.
pub fn told_too_early(facts: Facts, gaps: &[Gap]) -> bool {
    facts.settling && gaps.iter().any(|gap| gap.channel == "/**")
}
