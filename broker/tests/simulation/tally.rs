//! What happened in a run.

/// What happened in a run, so that a run in which nothing happened cannot pass.
#[derive(Debug, Default, Clone, Copy)]
pub struct Tally {
    pub received: u64,
    pub repeated: u64,
    pub excused: u64,
    pub lost_replies: u64,
    pub cut_seen: u64,
    pub cut_unseen: u64,
    pub sessions: u64,
    pub strangers: u64,
    pub demotions: u64,
    pub gaps: u64,
}

impl Tally {
    pub fn add(&mut self, other: &Self) {
        self.received += other.received;
        self.repeated += other.repeated;
        self.excused += other.excused;
        self.lost_replies += other.lost_replies;
        self.cut_seen += other.cut_seen;
        self.cut_unseen += other.cut_unseen;
        self.sessions += other.sessions;
        self.strangers += other.strangers;
        self.demotions += other.demotions;
        self.gaps += other.gaps;
    }

    pub fn assert_everything_happened(&self) {
        let Self { received, repeated, excused, lost_replies, .. } = *self;
        let faults = [repeated, excused, lost_replies, self.cut_seen, self.cut_unseen];
        assert!(faults.iter().all(|&n| n > 0), "{self:?}");
        assert!([self.sessions, self.strangers, self.demotions, self.gaps].iter().all(|&n| n > 0));
        assert!(received > 5 * excused, "most of it must be covered: {self:?}");
    }
}
