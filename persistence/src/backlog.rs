//! The contract that every store of channels' pasts keeps: the trait, its record, its retention.
//!
//! The `conformance` suite holds an implementation to what is said here.

use std::{fmt::Debug, path::PathBuf, sync::Arc};

use crate::BacklogError;

/// One stored message of one channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The channel's name. Any text; the backlog only compares it.
    pub channel: Arc<str>,
    /// The place in the channel, greater than 0 and than that of every earlier record of it.
    pub position: i64,
    /// The wall time of the publication, in microseconds since 1970. It may go back from one
    /// record to the next, as wall clocks do; it decides on age and never on order.
    pub time_us: i64,
    /// The text kept, ready to send. Shared, so that reading copies nothing.
    pub value: Arc<str>,
    /// The mark of a publication that must not happen twice. It is stored with the record and kept
    /// apart from it: [`Backlog::marks`] gives it back, and reading records always says `None`.
    pub mark: Option<Mark>,
}

/// What is remembered of a publication that must not happen twice. The hashes are made by the
/// caller; the backlog only keeps them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mark {
    /// Who published what under which name: the same key is the same publication. No two records
    /// of one position and one time may have the same key.
    pub key: [u8; 16],
    /// What was said, so that the same key with other data is told apart.
    pub print: [u8; 16],
    /// How many subscribers it had, to answer a repetition as the first was answered.
    pub subscribers: u32,
}

/// A mark with what its record said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Marked {
    /// The mark.
    pub mark: Mark,
    /// The position of its record.
    pub position: i64,
    /// The wall time of its record, in microseconds since 1970.
    pub time_us: i64,
}

/// The bounds of one read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// At most so many records.
    pub records: usize,
    /// At most so many bytes of [`Record::value`] in all; but the first record always fits, so that
    /// reading page by page arrives.
    pub bytes: usize,
}

impl Page {
    /// Everything.
    pub const ALL: Self = Self { records: usize::MAX, bytes: usize::MAX };

    /// Whether a record of so many bytes still fits; if so, its place is taken.
    pub(crate) fn take(&mut self, bytes: usize, first: bool) -> bool {
        if self.records == 0 || (bytes > self.bytes && !first) {
            return false;
        }
        match self.bytes.checked_sub(bytes) {
            Some(left) => (self.records, self.bytes) = (self.records - 1, left),
            // A first record that is too large stands alone.
            None => self.records = 0,
        }
        true
    }
}

/// What a backlog holds. A store that has not looked at all of its channels since it was opened may
/// be a little off; it never drifts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Channels that have a head.
    pub channels: u64,
    /// Records that can be read.
    pub records: u64,
    /// Bytes of their [`Record::value`].
    pub bytes: u64,
    /// Marks.
    pub marks: u64,
    /// Bytes of the files, with what was dropped and not yet given back; 0 in memory.
    pub disk_bytes: u64,
}

/// At most so many records or marks go in one call of [`Backlog::trim`] or
/// [`Backlog::forget_marks`], so that nobody waits for long.
pub const TRIM_MOST: u64 = 500;

/// How much of one channel [`Backlog::trim`] leaves: the newest records that meet all three bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// At most so many records.
    pub messages: u64,
    /// At most so many bytes of [`Record::value`] in all.
    pub bytes: u64,
    /// None more than so many microseconds older than the time given to `trim`.
    pub age_us: i64,
    /// Whether the newest record stays, whatever the bounds say.
    pub keep_last: bool,
}

impl Retention {
    /// Trims nothing.
    pub const ALL: Self =
        Self { messages: u64::MAX, bytes: u64::MAX, age_us: i64::MAX, keep_last: false };
}

/// What a store had to give up for good. Its floors say so to whoever reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loss {
    /// All of it was damaged and moved aside, to this path; an empty store was begun.
    Store(PathBuf),
    /// What was written last before a clean stop is gone.
    End,
    /// The records of this channel could not be read.
    Channel(Arc<str>),
}

/// The stored past of many channels.
///
/// **Floor.** A channel's floor is the highest position up to which records may be missing; 0 while
/// nothing was ever lost. No record above it is missing. Below it some may still be there after
/// [`raise_floor`](Self::raise_floor). To see every gap, first read and then ask for the floor: the
/// other way round, a trim in between goes unnoticed.
///
/// **Channels without a record.** An implementation may drop all that it knows of a channel to stay
/// within its bounds. That raises one floor shared by all channels it knows nothing about, also by
/// those it never saw: the price of bounded memory is a gap that may be told in vain. Whoever
/// numbers such a channel's next record starts above its floor; with the channel's first new record
/// its floor is the shared one, or one below that record if that is less.
///
/// **Marks** are kept apart from the records they came with: trimming or dropping a channel leaves
/// them, and only [`forget_marks`](Self::forget_marks) bounds them.
///
/// All methods block, and all that can fail but [`close`](Self::close) fail with [`BacklogError::Closed`] after
/// it. They may be called from many threads; an append is seen whole or not at all. Where a store
/// cannot do what it is asked, the error is [`BacklogError::Full`] or [`BacklogError::Failed`].
/// Records that turn out to be unreadable are no error: their channel is dropped, which its floor
/// and [`losses`](Self::losses) say. Where that does not help, it is [`BacklogError::Damaged`].
pub trait Backlog: Send + Sync + Debug {
    /// Adds records with their marks, in their order, all or none. Records of several channels may
    /// be mixed. A store that outlives the process has made them durable when this returns `Ok`.
    /// Where that failed, or the process died meanwhile, a first part of them may be found when the
    /// store is opened again; a record is never without its mark.
    ///
    /// # Errors
    /// [`BacklogError::OutOfOrder`] if a position is not greater than 0 and than the one before it
    /// in its channel, be that stored or earlier in the batch.
    fn append(&self, batch: &[Record]) -> Result<(), BacklogError>;

    /// The oldest records of a channel with a position greater than `after`, oldest first, within
    /// the bounds of `page`.
    ///
    /// # Errors
    /// Those of the store; an unknown channel is an empty answer.
    fn read_after(
        &self,
        channel: &str,
        after: i64,
        page: Page,
    ) -> Result<Vec<Record>, BacklogError>;

    /// The newest `n` records of a channel, oldest first.
    ///
    /// # Errors
    /// Those of the store; an unknown channel is an empty answer.
    fn last(&self, channel: &str, n: usize) -> Result<Vec<Record>, BacklogError>;

    /// The highest position up to which records of a channel may be missing; 0 if none is.
    ///
    /// # Errors
    /// Those of the store.
    fn floor(&self, channel: &str) -> Result<i64, BacklogError>;

    /// The highest position ever appended to a channel, even if trimmed since; `None` for a channel
    /// without a record (never seen, or dropped: then its [`floor`](Self::floor) bounds it).
    ///
    /// # Errors
    /// Those of the store.
    fn head(&self, channel: &str) -> Result<Option<i64>, BacklogError>;

    /// Drops the oldest records of a channel until the rest meets `keep`, at most [`TRIM_MOST`] of
    /// them, and raises its floor over them. Says how many went: if as many as that, more may be
    /// left to drop. `now_us` is the wall time in microseconds since 1970; a record is judged only
    /// once all older positions are gone, whatever its time.
    ///
    /// # Errors
    /// Those of the store; an unknown channel has nothing to trim.
    fn trim(&self, channel: &str, keep: &Retention, now_us: i64) -> Result<u64, BacklogError>;

    /// Notes that messages up to `to` may be missing although older ones are kept: they were
    /// accepted and could not be stored. Raises the floor, never lowers it, and drops no record. For
    /// a channel without a record it raises the shared floor. Durable with the next append.
    ///
    /// # Errors
    /// Those of the store.
    fn raise_floor(&self, channel: &str, to: i64) -> Result<(), BacklogError>;

    /// The channels that have a head and whose name starts with `prefix`, sorted.
    ///
    /// # Errors
    /// Those of the store.
    fn names(&self, prefix: &str) -> Result<Vec<Arc<str>>, BacklogError>;

    /// The marks whose time is at or after `since_us`, in the order of their times.
    ///
    /// # Errors
    /// Those of the store.
    fn marks(&self, since_us: i64) -> Result<Vec<Marked>, BacklogError>;

    /// Forgets the marks whose time is before `before_us`, and the oldest ones until `max` are left;
    /// at most [`TRIM_MOST`]. Says how many went: if as many as that, more may be left to forget.
    ///
    /// # Errors
    /// Those of the store.
    fn forget_marks(&self, before_us: i64, max: u64) -> Result<u64, BacklogError>;

    /// Gives back to the store a piece of what was trimmed or dropped, if enough of that has come
    /// together. Says whether there is more to do at once. Nobody sees a difference but the disk.
    ///
    /// # Errors
    /// Those of the store.
    fn tidy(&self) -> Result<bool, BacklogError>;

    /// What had to be given up for good since this was asked last. Works after closing, too.
    fn losses(&self) -> Vec<Loss> {
        Vec::new()
    }

    /// How much is stored. Cheap enough to be asked often.
    ///
    /// # Errors
    /// Those of the store.
    fn usage(&self) -> Result<Usage, BacklogError>;

    /// Whether the next append can be expected to succeed, without writing.
    ///
    /// # Errors
    /// What the next append would fail with.
    fn health(&self) -> Result<(), BacklogError>;

    /// After a failure: tries to become able to append again. What was appended successfully is still
    /// there afterwards, unless the store had to be given up; then its floors say so.
    ///
    /// # Errors
    /// Why the next append would still fail.
    fn recover(&self) -> Result<(), BacklogError>;

    /// Makes durable what the store can make durable and lets go of it. Closing twice is allowed.
    ///
    /// # Errors
    /// Those of the store's last write.
    fn close(&self) -> Result<(), BacklogError>;
}
