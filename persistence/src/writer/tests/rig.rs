//! A store that does as it is told, events that are written down, and a writer between them.

use std::{sync::Arc, time::Duration};

use parking_lot::{Condvar, Mutex};

use crate::{
    Backlog, BacklogError, Events, Flush, Job, Loss, Marked, Memory, MemoryLimits, Page, Policy,
    Record, Retention, Usage, Writer, WriterOptions, conformance::record,
};

pub(super) const HOUR: Duration = Duration::from_secs(3_600);
/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// Nothing happens by time alone.
pub(super) fn options() -> WriterOptions {
    WriterOptions {
        interval: HOUR,
        batch_records: 100,
        queue_records: usize::MAX,
        queue_bytes: usize::MAX,
        kept_records: 1_000,
        kept_bytes: usize::MAX,
        retry: Duration::from_millis(1),
        marks_window: HOUR,
        marks_max: 1_000,
    }
}

/// An urgent job of one record that may be refused; its token is the position.
pub(super) fn job(channel: &str, position: i64) -> Job<i64> {
    let records = vec![record(channel, position, "text")];
    Job { records, urgent: true, refusable: true, token: Some(position) }
}

/// Keeps everything.
pub(super) struct Keep;

impl Policy for Keep {
    fn retention(&self, _: &str) -> Retention {
        Retention::ALL
    }

    fn now_us(&self) -> i64 {
        0
    }
}

/// Panics without a word on stderr.
fn quiet_panic(text: &'static str) -> ! {
    std::panic::resume_unwind(Box::new(text))
}

/// How the store behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mood {
    Well,
    /// Nothing can be written and nothing recovers.
    Broken(BacklogError),
    /// Nothing can be written until it recovers, which succeeds.
    Curable(BacklogError),
    /// The next append is stored and fails all the same; then as `Curable`.
    Lying(BacklogError),
    /// Every call panics that may change something, until it is told otherwise.
    Panicking,
    /// Trims panic once; then as `Well`.
    TrimPanics,
    /// Trims fail.
    TrimFails,
    /// There is little space left: nothing fails yet, and it is cured by recovering.
    Short,
}

#[derive(Debug)]
struct Script {
    mood: Mood,
    held: bool,
    in_append: bool,
    appends: Vec<usize>,
    floors: Vec<(String, i64)>,
    losses: Vec<Loss>,
    closed: bool,
}

/// The store.
#[derive(Debug)]
pub(super) struct Scripted {
    pub(super) inner: Memory,
    script: Mutex<Script>,
    changed: Condvar,
}

impl Scripted {
    pub(super) fn new(mood: Mood, inner: Memory) -> Self {
        let script = Script {
            mood,
            held: false,
            in_append: false,
            appends: Vec::new(),
            floors: Vec::new(),
            losses: Vec::new(),
            closed: false,
        };
        Self { inner, script: Mutex::new(script), changed: Condvar::new() }
    }

    pub(super) fn set(&self, mood: Mood) {
        self.script.lock().mood = mood;
    }

    /// Appends wait from now on.
    pub(super) fn hold(&self) {
        self.script.lock().held = true;
    }

    /// Waits until one waits.
    pub(super) fn await_held(&self) {
        let mut script = self.script.lock();
        let waited = self.changed.wait_while_for(&mut script, |s| !s.in_append, PATIENCE);
        assert!(!waited.timed_out(), "no append came");
    }

    pub(super) fn release(&self) {
        self.script.lock().held = false;
        self.changed.notify_all();
    }

    /// The sizes of all successful appends.
    pub(super) fn appends(&self) -> Vec<usize> {
        self.script.lock().appends.clone()
    }

    pub(super) fn floors(&self) -> Vec<(String, i64)> {
        let mut floors = self.script.lock().floors.clone();
        floors.sort();
        floors
    }

    /// Has something to tell.
    pub(super) fn lose(&self, losses: &[Loss]) {
        self.script.lock().losses.extend_from_slice(losses);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.script.lock().closed
    }

    pub(super) fn positions(&self, channel: &str) -> Vec<i64> {
        let records = self.inner.read_after(channel, 0, Page::ALL).unwrap();
        records.iter().map(|record| record.position).collect()
    }

    /// What a call that may change something meets.
    fn meet(&self) -> Result<(), BacklogError> {
        let mood = self.script.lock().mood.clone();
        match mood {
            Mood::Well | Mood::TrimPanics | Mood::TrimFails | Mood::Short | Mood::Lying(_) => {
                Ok(())
            }
            Mood::Broken(error) | Mood::Curable(error) => Err(error),
            Mood::Panicking => quiet_panic("on purpose"),
        }
    }
}

impl Backlog for Scripted {
    fn append(&self, batch: &[Record]) -> Result<(), BacklogError> {
        let mut script = self.script.lock();
        script.in_append = true;
        self.changed.notify_all();
        // Not for ever: the writer of a test that fails is stopped, too.
        self.changed.wait_while_for(&mut script, |script| script.held, PATIENCE);
        script.in_append = false;
        drop(script);
        self.meet()?;
        self.inner.append(batch)?;
        let mut script = self.script.lock();
        script.appends.push(batch.len());
        if let Mood::Lying(error) = script.mood.clone() {
            script.mood = Mood::Curable(error.clone());
            return Err(error);
        }
        Ok(())
    }

    fn read_after(&self, channel: &str, at: i64, page: Page) -> Result<Vec<Record>, BacklogError> {
        self.inner.read_after(channel, at, page)
    }

    fn last(&self, channel: &str, n: usize) -> Result<Vec<Record>, BacklogError> {
        self.inner.last(channel, n)
    }

    fn floor(&self, channel: &str) -> Result<i64, BacklogError> {
        self.inner.floor(channel)
    }

    fn head(&self, channel: &str) -> Result<Option<i64>, BacklogError> {
        self.inner.head(channel)
    }

    fn trim(&self, channel: &str, keep: &Retention, now_us: i64) -> Result<u64, BacklogError> {
        let mut script = self.script.lock();
        if script.mood == Mood::TrimPanics {
            script.mood = Mood::Well;
            drop(script);
            quiet_panic("on purpose, in trim");
        }
        if script.mood == Mood::TrimFails {
            return Err(BacklogError::Failed("on purpose, in trim".into()));
        }
        drop(script);
        self.meet()?;
        self.inner.trim(channel, keep, now_us)
    }

    fn raise_floor(&self, channel: &str, to: i64) -> Result<(), BacklogError> {
        self.meet()?;
        self.script.lock().floors.push((channel.to_owned(), to));
        self.inner.raise_floor(channel, to)
    }

    fn names(&self, prefix: &str) -> Result<Vec<Arc<str>>, BacklogError> {
        self.inner.names(prefix)
    }

    fn marks(&self, since_us: i64) -> Result<Vec<Marked>, BacklogError> {
        self.inner.marks(since_us)
    }

    fn forget_marks(&self, before_us: i64, max: u64) -> Result<u64, BacklogError> {
        self.meet()?;
        self.inner.forget_marks(before_us, max)
    }

    fn tidy(&self) -> Result<bool, BacklogError> {
        self.inner.tidy()
    }

    fn usage(&self) -> Result<Usage, BacklogError> {
        self.inner.usage()
    }

    fn losses(&self) -> Vec<Loss> {
        std::mem::take(&mut self.script.lock().losses)
    }

    fn health(&self) -> Result<(), BacklogError> {
        let short = self.script.lock().mood == Mood::Short;
        if short { Err(BacklogError::Full) } else { Ok(()) }
    }

    fn recover(&self) -> Result<(), BacklogError> {
        let mut script = self.script.lock();
        if let Mood::Curable(_) | Mood::Short = script.mood {
            script.mood = Mood::Well;
        }
        drop(script);
        self.meet()
    }

    /// What it holds can still be looked at.
    fn close(&self) -> Result<(), BacklogError> {
        self.script.lock().closed = true;
        Ok(())
    }
}

/// What a writer told.
#[derive(Debug, Default)]
pub(super) struct Log {
    told: Mutex<Told>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Told {
    settled: Vec<(i64, Result<(), BacklogError>)>,
    flushes: Vec<Flush>,
    health: Vec<Option<BacklogError>>,
    losses: Vec<Loss>,
}

impl Log {
    pub(super) fn settled_with(&self, tokens: Vec<i64>, outcome: &Result<(), BacklogError>) {
        let settled = tokens.into_iter().map(|token| (token, outcome.clone()));
        self.told.lock().settled.extend(settled);
        self.changed.notify_all();
    }

    pub(super) fn settled(&self) -> Vec<(i64, Result<(), BacklogError>)> {
        self.told.lock().settled.clone()
    }

    pub(super) fn health(&self) -> Vec<Option<BacklogError>> {
        self.told.lock().health.clone()
    }

    pub(super) fn losses(&self) -> Vec<Loss> {
        self.told.lock().losses.clone()
    }

    pub(super) fn flushes(&self) -> Vec<Flush> {
        self.told.lock().flushes.clone()
    }

    pub(super) fn await_settled(&self, n: usize) {
        self.wait_for(|told| told.settled.len() >= n);
    }

    pub(super) fn await_token(&self, token: i64) {
        self.wait_for(|told| told.settled.iter().rev().any(|(settled, _)| *settled == token));
    }

    /// Until health has been told of so many changes.
    pub(super) fn await_health(&self, n: usize) {
        self.wait_for(|told| told.health.len() >= n);
    }

    fn wait_for(&self, met: impl Fn(&Told) -> bool) {
        let mut told = self.told.lock();
        let waited = self.changed.wait_while_for(&mut told, |told| !met(told), PATIENCE);
        assert!(!waited.timed_out(), "waited in vain: {told:?}");
    }
}

struct Scribe(Arc<Log>);

impl Events<i64> for Scribe {
    fn settled(&mut self, tokens: Vec<i64>, outcome: &Result<(), BacklogError>) {
        assert!(!tokens.is_empty());
        let cursed = tokens.contains(&i64::MAX);
        self.0.settled_with(tokens, outcome);
        if cursed {
            quiet_panic("on purpose, in an event");
        }
    }

    fn flushed(&mut self, flush: &Flush) {
        self.0.told.lock().flushes.push(*flush);
    }

    fn health(&mut self, trouble: Option<&BacklogError>) {
        self.0.told.lock().health.push(trouble.cloned());
        self.0.changed.notify_all();
    }

    fn lost(&mut self, loss: &Loss) {
        self.0.told.lock().losses.push(loss.clone());
    }

    fn unmarked(&mut self, _: &[[u8; 16]]) {}
}

/// A writer with its store and its events.
pub(super) struct Rig {
    pub(super) backlog: Arc<Scripted>,
    pub(super) writer: Writer<i64>,
    pub(super) log: Arc<Log>,
}

impl Rig {
    pub(super) fn new(options: WriterOptions) -> Self {
        let backlog = Arc::new(Scripted::new(Mood::Well, memory()));
        let store: Arc<dyn Backlog> = Arc::<Scripted>::clone(&backlog);
        let (writer, log) = start(store, options, Keep);
        Self { backlog, writer, log }
    }
}

pub(super) fn start(
    store: Arc<dyn Backlog>,
    options: WriterOptions,
    policy: impl Policy + 'static,
) -> (Writer<i64>, Arc<Log>) {
    let log = Arc::new(Log::default());
    let events = Scribe(Arc::clone(&log));
    (Writer::start(store, options, Arc::new(policy), events).unwrap(), log)
}

pub(super) fn memory() -> Memory {
    Memory::new(MemoryLimits { channels: usize::MAX, bytes: u64::MAX })
}
