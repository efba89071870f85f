//! Losses that a session is yet to be told, or was told in a reply that may have been lost (P4).

use std::sync::Arc;

use weft_protocol::Gap;

use super::frame::Frame;

/// Most channels that gaps are told by name; beyond it one gap names `/**`.
pub(crate) const GAP_CHANNELS_MAX: usize = 64;
/// What a gap in many channels names.
const EVERYWHERE: &str = "/**";

/// Losses by channel. They are numbered from the session's beginning on, so that an acknowledged
/// reply names those that it told.
#[derive(Debug, Default)]
pub(crate) struct Gaps {
    list: Vec<Gap>,
    /// The number of the first in the list.
    base: u64,
    /// How many of the list the last reply carried.
    told: usize,
    /// How many of the list any reply has carried: those change no more, since a reply that told
    /// them may yet turn out to have arrived. Nor do those that events have gone past.
    offered: usize,
}

impl Gaps {
    /// Notes that messages of a channel may be missing.
    pub(crate) fn add(&mut self, gap: Gap) {
        if self.list.len() >= 2 * GAP_CHANNELS_MAX && self.offered > 0 {
            self.fold();
        }
        let open = self.list.get_mut(self.offered..).unwrap_or_default();
        match place(open, &gap, |gap| gap).and_then(|at| open.get_mut(at)) {
            Some(known) => widen(known, &gap),
            None => self.list.push(gap),
        }
    }

    /// So many are told and never known to have arrived: from now on they are one.
    fn fold(&mut self) {
        self.base += self.list.len() as u64;
        (self.told, self.offered) = (0, 0);
        let folded = std::mem::take(&mut self.list).into_iter().reduce(|mut all, gap| {
            widen(&mut all, &gap);
            all
        });
        self.list.extend(folded);
    }

    /// Whether any is yet to be told.
    pub(crate) fn untold(&self) -> bool {
        self.list.len() > self.told
    }

    /// Events go out before these are told: they change no more, lest they come to span what came.
    pub(crate) fn close(&mut self) {
        self.offered = self.list.len();
    }

    /// What the next reply is to tell.
    pub(crate) fn tell(&mut self) -> Vec<Gap> {
        let news = self.list.get(self.told..).unwrap_or_default().to_vec();
        self.told = self.list.len();
        self.offered = self.told;
        news
    }

    /// The lowest position at which any begins.
    pub(crate) fn after(&self) -> Option<i64> {
        self.list.iter().map(|gap| gap.from).min()
    }

    /// The number after the last that was told.
    pub(crate) fn told_end(&self) -> u64 {
        self.base + self.told as u64
    }

    /// The last reply was lost: what it told is yet to be told.
    pub(crate) fn untell(&mut self) {
        self.told = 0;
    }

    /// Those with lower numbers were told, and it arrived.
    pub(crate) fn confirm(&mut self, end: u64) {
        let arrived = usize::try_from(end.saturating_sub(self.base)).unwrap_or(usize::MAX);
        let arrived = arrived.min(self.list.len());
        self.list.drain(..arrived);
        self.base += arrived as u64;
        self.told = self.told.saturating_sub(arrived);
        self.offered = self.offered.saturating_sub(arrived);
        if self.list.is_empty() {
            self.list = Vec::new();
        }
    }
}

/// Losses among frames that had been sent: gaps only if the replies that carried them turn out lost.
#[derive(Debug, Default)]
pub(crate) struct Doubts(Vec<Doubt>);

#[derive(Debug)]
struct Doubt {
    gap: Gap,
    /// The number of its last frame in the session's queue.
    last: u64,
}

impl Doubts {
    /// A frame of this number, that had been sent, was dropped.
    pub(crate) fn add(&mut self, frame: &Frame, number: u64) {
        let gap = gap_of(frame);
        match place(&self.0, &gap, |doubt| &doubt.gap).and_then(|at| self.0.get_mut(at)) {
            Some(doubt) => {
                widen(&mut doubt.gap, &gap);
                doubt.last = number;
            }
            None => self.0.push(Doubt { gap, last: number }),
        }
    }

    /// Frames with lower numbers arrived.
    pub(crate) fn confirm(&mut self, end: u64) {
        self.0.retain(|doubt| doubt.last >= end);
    }

    /// The lowest position at which any begins.
    pub(crate) fn after(&self) -> Option<i64> {
        self.0.iter().map(|doubt| doubt.gap.from).min()
    }

    /// The last reply was lost, and with it all that is in doubt.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = Gap> + use<> {
        std::mem::take(&mut self.0).into_iter().map(|doubt| doubt.gap)
    }
}

/// Messages of any channel may be missing.
pub(crate) fn everywhere(from: i64, to: i64) -> Gap {
    Gap { channel: Arc::from(EVERYWHERE), from, to }
}

/// The gap that one frame leaves.
pub(crate) fn gap_of(frame: &Frame) -> Gap {
    let channel = Arc::from(frame.channel());
    Gap { channel, from: frame.position() - 1, to: frame.position() }
}

/// The entry that takes a gap in: its channel's, or the last if there are too many.
fn place<T>(list: &[T], gap: &Gap, of: impl Fn(&T) -> &Gap) -> Option<usize> {
    let same = list.iter().position(|entry| of(entry).channel == gap.channel);
    same.or_else(|| list.len().checked_sub(1).filter(|_| list.len() >= GAP_CHANNELS_MAX))
}

fn widen(known: &mut Gap, gap: &Gap) {
    if known.channel != gap.channel {
        known.channel = Arc::from(EVERYWHERE);
    }
    (known.from, known.to) = (known.from.min(gap.from), known.to.max(gap.to));
}

#[cfg(test)]
mod tests {
    use super::super::frame::frame;
    use super::*;

    fn gap(channel: &str, from: i64, to: i64) -> Gap {
        Gap { channel: Arc::from(channel), from, to }
    }

    #[test]
    fn p4_a_gap_is_told_until_a_reply_that_told_it_has_arrived() {
        let mut gaps = Gaps::default();
        gaps.add(gap("/a", 1, 2));
        assert_eq!(gaps.tell(), [gap("/a", 1, 2)]);
        let first = gaps.told_end();
        gaps.untell();
        gaps.add(gap("/a", 2, 3));
        assert_eq!(
            gaps.tell(),
            [gap("/a", 1, 2), gap("/a", 2, 3)],
            "what was told stays as it was"
        );
        gaps.confirm(first);
        gaps.untell();
        assert_eq!(gaps.tell(), [gap("/a", 2, 3)]);
        gaps.confirm(gaps.told_end());
        assert!(!gaps.untold() && gaps.tell().is_empty());
    }

    #[test]
    fn p5_gaps_that_nobody_acknowledges_become_one() {
        let mut gaps = Gaps::default();
        let mut first = 0;
        for n in 0..1_000 {
            gaps.add(gap(&format!("/c/{n}"), n, n + 1));
            gaps.tell();
            gaps.untell();
            first = if n == 0 { gaps.told_end() } else { first };
        }
        gaps.confirm(first);
        let told = gaps.tell();
        assert!(told.len() <= 2 * GAP_CHANNELS_MAX + 1, "{}", told.len());
        assert_eq!(
            told.iter().map(|gap| gap.from).min(),
            Some(0),
            "an old number clears none of it"
        );
        assert_eq!(told.iter().map(|gap| gap.to).max(), Some(1_000));
    }

    #[test]
    fn p4_a_doubt_ends_when_its_last_frame_has_arrived() {
        let mut doubts = Doubts::default();
        doubts.add(&frame("/a", 5), 0);
        doubts.add(&frame("/b", 6), 1);
        doubts.add(&frame("/a", 7), 2);
        doubts.confirm(2);
        assert_eq!(doubts.take().collect::<Vec<_>>(), [gap("/a", 4, 7)]);
        assert_eq!(doubts.take().count(), 0);
    }
}
