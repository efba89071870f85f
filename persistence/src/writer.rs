//! Group commit: one thread writes what many publishers submit, so that one flush makes many
//! records durable.
//!
//! Jobs wait in a queue until there is a batch of them, one of them is urgent, or the oldest has
//! waited long enough. While a commit runs, further jobs pile up and form the next batch, so an
//! urgent job never waits for a timer, and the slower the disk is the larger the batches are.
//!
//! When the store fails, its records are refused or kept, by what was promised about them, and
//! written when it works again. Every token is settled once, whatever happens.

use std::{
    fmt, io,
    sync::Arc,
    thread::{self, JoinHandle, ThreadId},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::{Backlog, BacklogError, Loss, Record, Retention};
use queue::Shared;
use worker::Worker;

mod guard;
mod kept;
mod queue;
#[cfg(test)]
mod tests;
mod upkeep;
mod worker;

/// Records that are stored together or, if the store fails, not at all (but for a job of more than
/// 1,000 records, which takes several appends).
#[derive(Debug)]
pub struct Job<T> {
    /// The records, in the order of their positions. None at all make a barrier: its token is
    /// settled once everything submitted before it is durable.
    pub records: Vec<Record>,
    /// Whether the commit starts at once, rather than within [`WriterOptions::interval`].
    pub urgent: bool,
    /// What becomes of the records when the store fails. `true`: they are dropped, nobody has seen
    /// them. `false`: they were delivered already; they are kept, within bounds, and written when
    /// the store works again. The token is settled with the error either way.
    pub refusable: bool,
    /// What [`Events::settled`] is called with.
    pub token: Option<T>,
}

/// Who is told what became of jobs. A panic in here loses what it was told, and nothing else.
pub trait Events<T>: Send {
    /// The tokens of a commit with its outcome, in the order of submission. Called on the writer's
    /// thread; for what is submitted after the stop, on the thread that submits.
    fn settled(&mut self, tokens: Vec<T>, outcome: &Result<(), BacklogError>);

    /// An append was attempted.
    fn flushed(&mut self, flush: &Flush);

    /// The store became unable to write, and why, or able again (`None`). Called once a change.
    fn health(&mut self, trouble: Option<&BacklogError>);

    /// The store gave something up for good.
    fn lost(&mut self, loss: &Loss);

    /// The records of these marks were delivered and will never be stored.
    fn unmarked(&mut self, keys: &[[u8; 16]]);
}

/// One attempt to append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flush {
    /// How many records there were.
    pub records: usize,
    /// How long it took.
    pub took: Duration,
    /// Whether they are durable now.
    pub ok: bool,
}

/// The bounds and times of a [`Writer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriterOptions {
    /// The longest a job that is not urgent waits for its commit to start.
    pub interval: Duration,
    /// A commit takes up to so many records, from 1 to 1,000; only a single larger job takes more.
    pub batch_records: usize,
    /// With so many records not yet settled there is no more room.
    pub queue_records: usize,
    /// With so many bytes of values not yet settled there is no more room.
    pub queue_bytes: usize,
    /// At most so many records are kept while the store cannot write; the oldest go first.
    pub kept_records: usize,
    /// At most so many bytes of their values.
    pub kept_bytes: usize,
    /// The time between two attempts to recover the store.
    pub retry: Duration,
    /// Marks older than this are forgotten.
    pub marks_window: Duration,
    /// At most so many marks are remembered.
    pub marks_max: u64,
}

/// What the writer asks about channels and time.
pub trait Policy: Send + Sync {
    /// How much of a channel is kept.
    fn retention(&self, channel: &str) -> Retention;

    /// The wall time, in microseconds since 1970.
    fn now_us(&self) -> i64;
}

/// Where jobs go. A seam, so that a simulation can put something without a thread in its place.
pub trait Submit<T>: Send + Sync + fmt::Debug {
    /// Hands over a job. Never blocks on the store and never refuses; once it is stopped, records
    /// are dropped and the token is settled with [`BacklogError::Closed`].
    fn submit(&self, job: Job<T>);

    /// Whether the queue is within its bounds. Whoever may refuse or delay asks before submitting.
    fn has_room(&self) -> bool;

    /// Whether the queue is so short that what is submitted now is written within a few commits.
    /// Whoever has much to submit, and may wait, does so until it is: else all others would wait
    /// behind that.
    fn is_short(&self) -> bool {
        self.has_room()
    }

    /// Why nothing can be written at present, if so.
    fn trouble(&self) -> Option<BacklogError>;

    /// How many records are submitted and not yet settled.
    fn queued(&self) -> usize;
}

/// The thread that writes, with the queue in front of it. Dropping it stops it.
pub struct Writer<T: Send + 'static> {
    shared: Arc<Shared<T>>,
    /// Where `stop` must not wait for the thread's end.
    id: ThreadId,
    thread: Mutex<Thread>,
}

/// The thread, or how it ended.
enum Thread {
    Running(JoinHandle<Result<(), BacklogError>>),
    Ended(Result<(), BacklogError>),
}

impl<T: Send + 'static> Writer<T> {
    /// Starts the thread. From now on nobody else should append to this backlog, tidy or recover it.
    /// Whether it can write is known when this returns.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(
        backlog: Arc<dyn Backlog>,
        options: WriterOptions,
        policy: Arc<dyn Policy>,
        events: impl Events<T> + 'static,
    ) -> io::Result<Self> {
        let batch_records = options.batch_records.clamp(1, queue::APPEND_RECORDS);
        let options = WriterOptions { batch_records, ..options };
        let shared = Arc::new(Shared::new(options));
        let mut worker = Worker::new(Arc::clone(&shared), backlog, options, policy, events);
        worker.look();
        let handle = thread::Builder::new().name("weft-store".to_owned()).spawn(|| worker.run())?;
        let id = handle.thread().id();
        Ok(Self { shared, id, thread: Mutex::new(Thread::Running(handle)) })
    }

    /// Writes what is queued, settles every token, closes the backlog and ends the thread. Blocks
    /// until that is done, except on the writer's own thread (in an event), which goes on to do it.
    /// Stopping twice does nothing and says the same.
    ///
    /// # Errors
    /// What the store could not do; records that were kept for it are lost then.
    pub fn stop(&self) -> Result<(), BacklogError> {
        self.shared.stop();
        if thread::current().id() == self.id {
            return Ok(());
        }
        let mut thread = self.thread.lock();
        let before = std::mem::replace(&mut *thread, Thread::Ended(Err(BacklogError::Closed)));
        let outcome = match before {
            Thread::Running(handle) => {
                handle.join().unwrap_or_else(|panic| Err(guard::failed(&*panic)))
            }
            Thread::Ended(outcome) => outcome,
        };
        *thread = Thread::Ended(outcome.clone());
        outcome
    }
}

impl<T: Send + 'static> Drop for Writer<T> {
    fn drop(&mut self) {
        // Whoever wants to know the outcome stops it before.
        let _ = self.stop();
    }
}

impl<T: Send + 'static> fmt::Debug for Writer<T> {
    /// Sizes only: what users said does not belong into a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("queued", &self.queued()).finish_non_exhaustive()
    }
}

impl<T: Send + 'static> Submit<T> for Writer<T> {
    fn submit(&self, job: Job<T>) {
        self.shared.submit(job);
    }

    fn has_room(&self) -> bool {
        self.shared.has_room()
    }

    fn is_short(&self) -> bool {
        self.shared.is_short()
    }

    fn trouble(&self) -> Option<BacklogError> {
        self.shared.trouble()
    }

    fn queued(&self) -> usize {
        self.shared.queued()
    }
}

/// Intervals are measured here and never handed on; a wall time comes from [`Policy::now_us`].
#[expect(clippy::disallowed_methods, reason = "a thread that waits for a condition needs a clock")]
fn now() -> Instant {
    Instant::now()
}
