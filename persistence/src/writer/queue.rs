//! What submitters and the writer's thread share: the jobs that wait, what is known of the store's
//! health, and whether the end has come.

use std::{collections::VecDeque, mem, time::Instant};

use parking_lot::{Condvar, Mutex};

use super::{Job, WriterOptions, guard::Guarded, now};
use crate::{BacklogError, Record};

/// More bytes of values than this do not share an append, whatever their number.
const BATCH_BYTES: usize = 8 << 20;
/// More records in one append make the memory of sled 0.34 grow without bound.
pub(super) const APPEND_RECORDS: usize = 1_000;

/// A queue of no more full batches is short.
const SHORT_BATCHES: usize = 4;

/// A number of records and the bytes of their values.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Load {
    pub(super) records: usize,
    pub(super) bytes: usize,
}

impl Load {
    pub(super) fn add(&mut self, record: &Record) {
        self.records += 1;
        self.bytes += record.value.len();
    }

    pub(super) fn remove(&mut self, record: &Record) {
        self.records -= 1;
        self.bytes -= record.value.len();
    }
}

impl FromIterator<Self> for Load {
    fn from_iter<I: IntoIterator<Item = Self>>(loads: I) -> Self {
        loads.into_iter().fold(Self::default(), |sum, load| Self {
            records: sum.records + load.records,
            bytes: sum.bytes + load.bytes,
        })
    }
}

/// A job whose records are in the [`Batch`].
#[derive(Debug)]
pub(super) struct Pending<T> {
    /// How many of the batch's records are its own, after those of the jobs before it.
    pub(super) records: usize,
    pub(super) refusable: bool,
    pub(super) token: Option<T>,
    /// Why it was not stored.
    pub(super) error: Option<BacklogError>,
}

/// The jobs of one commit.
#[derive(Debug)]
pub(super) struct Batch<T> {
    pub(super) jobs: Vec<Pending<T>>,
    /// The records of all jobs, in their order.
    pub(super) records: Vec<Record>,
    /// Of the records.
    load: Load,
    most: usize,
}

impl<T> Batch<T> {
    pub(super) fn new(options: &WriterOptions) -> Self {
        let most = options.batch_records;
        Self { jobs: Vec::new(), records: Vec::new(), load: Load::default(), most }
    }

    /// Whether so much more belongs into this batch. Into an empty one, anything does.
    pub(super) fn fits(&self, more: Load) -> bool {
        self.records.is_empty()
            || (self.load.records + more.records <= self.most
                && self.load.bytes + more.bytes <= BATCH_BYTES)
    }

    pub(super) fn add(&mut self, mut job: Job<T>, load: Load) {
        self.load = [self.load, load].into_iter().collect();
        let records = job.records.len();
        self.records.append(&mut job.records);
        let Job { refusable, token, .. } = job;
        self.jobs.push(Pending { records, refusable, token, error: None });
    }

    pub(super) fn clear(&mut self) {
        self.jobs.clear();
        self.records.clear();
        self.load = Load::default();
    }
}

/// Why the thread was woken.
#[derive(Debug)]
pub(super) enum Next {
    /// The batch was filled.
    Batch,
    /// The deadline has come.
    Deadline,
    /// The writer was stopped, and nothing is left to write.
    Stop,
}

/// See the module.
pub(super) struct Shared<T> {
    options: WriterOptions,
    state: Mutex<State<T>>,
    wake: Condvar,
}

struct State<T> {
    jobs: VecDeque<Waiting<T>>,
    urgent: usize,
    waiting: Load,
    /// What the thread is at.
    at_work: Load,
    trouble: Option<BacklogError>,
    stopping: bool,
    /// Tokens that came after the stop.
    late: Vec<T>,
    /// Whoever takes it settles the late tokens; the thread leaves it here when it ends.
    events: Option<Guarded<T>>,
}

struct Waiting<T> {
    job: Job<T>,
    load: Load,
    since: Instant,
}

impl<T> State<T> {
    /// Whether a commit is to start, were it not for the oldest job's age.
    fn is_due(&self, options: &WriterOptions) -> bool {
        self.urgent > 0
            || self.waiting.records >= options.batch_records
            || self.waiting.bytes >= BATCH_BYTES
            || (!self.jobs.is_empty() && (self.stopping || self.trouble.is_some()))
    }

    fn take(&mut self, batch: &mut Batch<T>) {
        while let Some(next) = self.jobs.pop_front_if(|next| batch.fits(next.load)) {
            self.urgent -= usize::from(next.job.urgent);
            self.waiting.records -= next.load.records;
            self.waiting.bytes -= next.load.bytes;
            batch.add(next.job, next.load);
        }
        self.at_work = batch.load;
    }

    fn unsettled(&self) -> Load {
        [self.waiting, self.at_work].into_iter().collect()
    }
}

impl<T> Shared<T> {
    pub(super) fn new(options: WriterOptions) -> Self {
        let state = State {
            jobs: VecDeque::new(),
            urgent: 0,
            waiting: Load::default(),
            at_work: Load::default(),
            trouble: None,
            stopping: false,
            late: Vec::new(),
            events: None,
        };
        Self { options, state: Mutex::new(state), wake: Condvar::new() }
    }

    pub(super) fn submit(&self, job: Job<T>) {
        let mut load = Load::default();
        job.records.iter().for_each(|record| load.add(record));
        let mut state = self.state.lock();
        if state.stopping {
            state.late.extend(job.token);
            drop(state);
            return self.settle_late();
        }
        // With the first job, the thread learns until when it may wait for more.
        let first = state.jobs.is_empty();
        state.urgent += usize::from(job.urgent);
        state.waiting = [state.waiting, load].into_iter().collect();
        state.jobs.push_back(Waiting { job, load, since: now() });
        let wake = first || state.is_due(&self.options);
        drop(state);
        if wake {
            self.wake.notify_one();
        }
    }

    /// Waits until there is something to do, at most until `deadline`, and fills the empty batch.
    pub(super) fn next(&self, batch: &mut Batch<T>, deadline: Instant) -> Next {
        let mut state = self.state.lock();
        loop {
            let now = now();
            let age = state.jobs.front().map(|oldest| now.saturating_duration_since(oldest.since));
            let left = age.map(|age| self.options.interval.saturating_sub(age));
            if state.is_due(&self.options) || left.is_some_and(|left| left.is_zero()) {
                state.take(batch);
                return Next::Batch;
            }
            if state.stopping {
                return Next::Stop;
            }
            let until_deadline = deadline.saturating_duration_since(now);
            if until_deadline.is_zero() {
                return Next::Deadline;
            }
            let wait = left.map_or(until_deadline, |left| left.min(until_deadline));
            self.wake.wait_for(&mut state, wait);
        }
    }

    /// The batch that was taken is stored, refused or kept.
    pub(super) fn done(&self) {
        self.state.lock().at_work = Load::default();
    }

    /// Says whether that is news: trouble came, or went.
    pub(super) fn set_trouble(&self, trouble: Option<BacklogError>) -> bool {
        let mut state = self.state.lock();
        let before = mem::replace(&mut state.trouble, trouble);
        before.is_some() != state.trouble.is_some()
    }

    pub(super) fn has_room(&self) -> bool {
        let load = self.state.lock().unsettled();
        load.records < self.options.queue_records && load.bytes < self.options.queue_bytes
    }

    pub(super) fn is_short(&self) -> bool {
        let load = self.state.lock().unsettled();
        load.records < SHORT_BATCHES * self.options.batch_records && load.bytes < BATCH_BYTES
    }

    pub(super) fn trouble(&self) -> Option<BacklogError> {
        let state = self.state.lock();
        if state.stopping { Some(BacklogError::Closed) } else { state.trouble.clone() }
    }

    pub(super) fn queued(&self) -> usize {
        self.state.lock().unsettled().records
    }

    /// From now on everything new is late.
    pub(super) fn stop(&self) {
        self.state.lock().stopping = true;
        self.wake.notify_one();
    }

    /// The thread's last words: what it would have written with, if it could; and who is told from
    /// now on what comes late.
    pub(super) fn end(&self, events: Guarded<T>) -> Option<BacklogError> {
        let mut state = self.state.lock();
        state.events = Some(events);
        let trouble = state.trouble.clone();
        drop(state);
        self.settle_late();
        trouble
    }

    /// Settles what came after the stop. Holds no lock meanwhile, since an event may submit;
    /// whoever finds the events taken leaves the token to the one who took them.
    fn settle_late(&self) {
        let mut state = self.state.lock();
        while !state.late.is_empty()
            && let Some(mut events) = state.events.take()
        {
            let tokens = mem::take(&mut state.late);
            drop(state);
            events.settled(tokens, &Err(BacklogError::Closed));
            state = self.state.lock();
            state.events = Some(events);
        }
    }
}
