//! What has to go from the store and when: from channels that grew at once, from those that nobody
//! touches now and then, since age alone makes their records old, and marks out of their window. And
//! whether the store can still write, which nobody would learn while nothing is written.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Policy, WriterOptions};
use crate::{Backlog, BacklogError, Record, TRIM_MOST};

/// How often marks are forgotten.
const MARKS: Duration = Duration::from_secs(10);
/// How often, at most, a round through all channels starts.
const ROUND: Duration = Duration::from_secs(60);
/// How often the round goes on.
const STEP: Duration = Duration::from_secs(1);
/// How many channels a step looks at.
const STEP_CHANNELS: usize = 1_000;
/// How often the store is asked whether it can write.
const HEALTH: Duration = Duration::from_secs(2);
/// How often the store is tidied after a commit, however long that takes: a commit leaves behind no
/// more than that removes.
const TIDY_LEAST: u32 = 3;
/// How long a step may take before it leaves the rest to the next: jobs wait meanwhile.
const STEP_TIME: Duration = Duration::from_millis(20);

/// See the module.
#[derive(Debug)]
pub(super) struct Upkeep {
    /// Channels to be trimmed at once.
    touched: HashSet<Arc<str>>,
    /// Whether something was left for the next time, and the time of this one.
    busy: Option<Instant>,
    /// What is left of the round.
    round: Vec<Arc<str>>,
    next_marks: Instant,
    next_health: Instant,
    next_round: Instant,
    next_step: Instant,
}

impl Upkeep {
    pub(super) fn new(now: Instant) -> Self {
        let (next_marks, next_round) = (now + MARKS, now + ROUND);
        Self {
            touched: HashSet::new(),
            busy: None,
            round: Vec::new(),
            next_marks,
            next_health: now + HEALTH,
            next_round,
            next_step: next_round,
        }
    }

    /// When [`run`](Self::run) has something to do, if nothing is touched before.
    pub(super) fn next(&self) -> Instant {
        let next = self.next_marks.min(self.next_health).min(self.next_step);
        self.busy.map_or(next, |busy| busy.min(next))
    }

    /// Channels that grew.
    pub(super) fn touch(&mut self, records: &[Record]) {
        let mut last: Option<&Arc<str>> = None;
        for Record { channel, .. } in records {
            if last.is_some_and(|last| Arc::ptr_eq(last, channel)) {
                continue;
            }
            last = Some(channel);
            if !self.touched.contains(channel) {
                self.touched.insert(Arc::clone(channel));
            }
        }
    }

    /// Does what is due.
    pub(super) fn run(
        &mut self,
        backlog: &dyn Backlog,
        policy: &dyn Policy,
        options: &WriterOptions,
        now: Instant,
    ) -> Result<(), BacklogError> {
        self.busy = None;
        if !self.touched.is_empty() {
            let now_us = policy.now_us();
            for channel in std::mem::take(&mut self.touched) {
                self.trim(backlog, policy, channel, now_us)?;
            }
        }
        if now >= self.next_marks {
            let window = i64::try_from(options.marks_window.as_micros()).unwrap_or(i64::MAX);
            let before_us = policy.now_us().saturating_sub(window);
            let all = backlog.forget_marks(before_us, options.marks_max)? < TRIM_MOST;
            self.next_marks = if all { now + MARKS } else { now };
        }
        if now >= self.next_step {
            self.step(backlog, policy, now)?;
        }
        if now >= self.next_health {
            self.next_health = now + HEALTH;
            backlog.health()?;
        }
        let started = super::now();
        let mut times = 0;
        while backlog.tidy()? {
            times += 1;
            if times >= TIDY_LEAST && started.elapsed() > STEP_TIME {
                self.busy = Some(now);
                break;
            }
        }
        if !self.touched.is_empty() {
            self.busy = Some(now);
        }
        Ok(())
    }

    /// Trims a channel; one that has more to lose has its turn again soon.
    fn trim(
        &mut self,
        backlog: &dyn Backlog,
        policy: &dyn Policy,
        channel: Arc<str>,
        now_us: i64,
    ) -> Result<(), BacklogError> {
        match backlog.trim(&channel, &policy.retention(&channel), now_us) {
            Ok(TRIM_MOST..) => drop(self.touched.insert(channel)),
            // A channel that cannot be read keeps nobody from writing to others, and has its turn
            // again in the next round.
            Ok(_) | Err(BacklogError::Failed(_) | BacklogError::Damaged(_)) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn step(
        &mut self,
        backlog: &dyn Backlog,
        policy: &dyn Policy,
        now: Instant,
    ) -> Result<(), BacklogError> {
        self.next_step = now + STEP;
        if self.round.is_empty() {
            self.next_round = now + ROUND;
            self.round = backlog.names("")?;
        }
        let started = super::now();
        let now_us = policy.now_us();
        for _ in 0..STEP_CHANNELS {
            let Some(channel) = self.round.pop() else { break };
            self.trim(backlog, policy, channel, now_us)?;
            if started.elapsed() > STEP_TIME {
                break;
            }
        }
        if self.round.is_empty() {
            self.next_step = self.next_round.max(self.next_step);
        }
        Ok(())
    }
}
