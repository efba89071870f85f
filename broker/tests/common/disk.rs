//! A store that outlives broker after broker, and fails when it is told to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use weft_persistence::{
    Backlog, BacklogError, Marked, Memory, MemoryLimits, Page, Record, Retention, Usage,
};

/// The backlog in memory behind a switch for its writes and one for its reads.
#[derive(Debug)]
pub struct Disk {
    memory: Memory,
    pub unwritable: AtomicBool,
    pub unreadable: AtomicBool,
    /// How many reads have failed.
    pub failed_reads: AtomicU64,
    /// Up to where messages were said to be missing, by channel.
    pub raised: Mutex<BTreeMap<Arc<str>, i64>>,
}

impl Disk {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            memory: Memory::new(MemoryLimits::default()),
            unwritable: AtomicBool::new(false),
            unreadable: AtomicBool::new(false),
            failed_reads: AtomicU64::new(0),
            raised: Mutex::default(),
        })
    }

    fn write(&self) -> Result<&Memory, BacklogError> {
        let fails = self.unwritable.load(Ordering::Relaxed);
        if fails { Err(BacklogError::Full) } else { Ok(&self.memory) }
    }

    fn read(&self) -> Result<&Memory, BacklogError> {
        if self.unreadable.load(Ordering::Relaxed) {
            self.failed_reads.fetch_add(1, Ordering::Relaxed);
            return Err(BacklogError::Failed("told to".into()));
        }
        Ok(&self.memory)
    }
}

impl Backlog for Disk {
    fn append(&self, batch: &[Record]) -> Result<(), BacklogError> {
        self.write()?.append(batch)
    }

    fn read_after(
        &self,
        channel: &str,
        after: i64,
        page: Page,
    ) -> Result<Vec<Record>, BacklogError> {
        self.read()?.read_after(channel, after, page)
    }

    fn last(&self, channel: &str, n: usize) -> Result<Vec<Record>, BacklogError> {
        self.read()?.last(channel, n)
    }

    fn floor(&self, channel: &str) -> Result<i64, BacklogError> {
        self.read()?.floor(channel)
    }

    fn head(&self, channel: &str) -> Result<Option<i64>, BacklogError> {
        self.read()?.head(channel)
    }

    fn trim(&self, channel: &str, keep: &Retention, now_us: i64) -> Result<u64, BacklogError> {
        self.read()?.trim(channel, keep, now_us)
    }

    fn raise_floor(&self, channel: &str, to: i64) -> Result<(), BacklogError> {
        self.write()?.raise_floor(channel, to)?;
        self.raised.lock().insert(channel.into(), to);
        Ok(())
    }

    fn names(&self, prefix: &str) -> Result<Vec<Arc<str>>, BacklogError> {
        self.read()?.names(prefix)
    }

    fn marks(&self, since_us: i64) -> Result<Vec<Marked>, BacklogError> {
        self.read()?.marks(since_us)
    }

    fn forget_marks(&self, before_us: i64, max: u64) -> Result<u64, BacklogError> {
        self.write()?.forget_marks(before_us, max)
    }

    fn tidy(&self) -> Result<bool, BacklogError> {
        self.write()?.tidy()
    }

    fn usage(&self) -> Result<Usage, BacklogError> {
        self.memory.usage()
    }

    fn health(&self) -> Result<(), BacklogError> {
        self.write()?.health()
    }

    fn recover(&self) -> Result<(), BacklogError> {
        self.write()?.recover()
    }

    fn close(&self) -> Result<(), BacklogError> {
        Ok(())
    }
}
