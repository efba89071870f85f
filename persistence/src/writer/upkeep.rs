//! What has to go from the store and when: from channels that grew at once, from those that nobody
//! touches now and then, since age alone makes their records old, and marks out of their window.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Policy, WriterOptions};
use crate::{Backlog, BacklogError, Record};

/// How often marks are forgotten.
const MARKS: Duration = Duration::from_secs(10);
/// How often, at most, a round through all channels starts.
const ROUND: Duration = Duration::from_secs(60);
/// How often the round goes on.
const STEP: Duration = Duration::from_secs(1);
/// How many channels a step looks at.
const STEP_CHANNELS: usize = 1_000;
/// How long a step may take before it leaves the rest to the next: jobs wait meanwhile.
const STEP_TIME: Duration = Duration::from_millis(20);

/// See the module.
#[derive(Debug)]
pub(super) struct Upkeep {
    touched: HashSet<Arc<str>>,
    /// What is left of the round.
    round: Vec<Arc<str>>,
    next_marks: Instant,
    next_round: Instant,
    next_step: Instant,
}

impl Upkeep {
    pub(super) fn new(now: Instant) -> Self {
        let (next_marks, next_round) = (now + MARKS, now + ROUND);
        Self {
            touched: HashSet::new(),
            round: Vec::new(),
            next_marks,
            next_round,
            next_step: next_round,
        }
    }

    /// When [`run`](Self::run) has something to do, if nothing is touched before.
    pub(super) fn next(&self) -> Instant {
        self.next_marks.min(self.next_step)
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
        if !self.touched.is_empty() {
            let now_us = policy.now_us();
            for channel in self.touched.drain() {
                backlog.trim(&channel, &policy.retention(&channel), now_us)?;
            }
        }
        if now >= self.next_marks {
            self.next_marks = now + MARKS;
            let window = i64::try_from(options.marks_window.as_micros()).unwrap_or(i64::MAX);
            backlog.forget_marks(policy.now_us().saturating_sub(window), options.marks_max)?;
        }
        if now >= self.next_step {
            self.step(backlog, policy, now)?;
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
            backlog.trim(&channel, &policy.retention(&channel), now_us)?;
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
