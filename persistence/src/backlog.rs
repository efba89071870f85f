//! The contract that every store of channels' pasts keeps: the trait, its record, its retention.
//!
//! The `conformance` suite holds an implementation to what is said here.

use std::{fmt::Debug, sync::Arc};

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
}

/// How much of one channel [`Backlog::trim`] leaves: the newest records that meet all three.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// At most so many records.
    pub messages: u64,
    /// At most so many bytes of [`Record::value`] in all.
    pub bytes: u64,
    /// None more than so many microseconds older than the time given to `trim`.
    pub age_us: i64,
}

impl Retention {
    /// Trims nothing.
    pub const ALL: Self = Self { messages: u64::MAX, bytes: u64::MAX, age_us: i64::MAX };
}

/// The stored past of many channels.
///
/// **Floor.** A channel's floor is the highest position that can no longer be replayed; 0 while
/// nothing was ever lost. Every record that can be read lies above it, and no record above it is
/// missing. To see every gap, first read and then ask for the floor: the other way round, a trim in
/// between goes unnoticed.
///
/// **Channels without a record.** An implementation may drop all that it knows of a channel to stay
/// within its bounds. That raises one floor shared by all channels it knows nothing about, also by
/// those it never saw: the price of bounded memory is a gap that may be told in vain. Whoever
/// numbers such a channel's next record starts above its floor; with the channel's first new record
/// its floor is the shared one, or one below that record if that is less.
///
/// All methods block, and all but [`close`](Self::close) fail with [`BacklogError::Closed`] after
/// it. They may be called from many threads; an append is seen whole or not at all.
pub trait Backlog: Send + Sync + Debug {
    /// Adds records, in their order, all or none. Records of several channels may be mixed.
    ///
    /// # Errors
    /// [`BacklogError::OutOfOrder`] if a position is not greater than 0 and than the one before it
    /// in its channel, be that stored or earlier in the batch.
    fn append(&self, batch: &[Record]) -> Result<(), BacklogError>;

    /// The oldest records of a channel with a position greater than `after`, at most `max` of them,
    /// oldest first.
    ///
    /// # Errors
    /// Those of the store; an unknown channel is an empty answer.
    fn read_after(
        &self,
        channel: &str,
        after: i64,
        max: usize,
    ) -> Result<Vec<Record>, BacklogError>;

    /// The newest `n` records of a channel, oldest first.
    ///
    /// # Errors
    /// Those of the store; an unknown channel is an empty answer.
    fn last(&self, channel: &str, n: usize) -> Result<Vec<Record>, BacklogError>;

    /// The highest position of a channel that can no longer be replayed; 0 if nothing was lost.
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

    /// Drops the oldest records of a channel until the rest meets `keep`, and raises its floor over
    /// them. Says how many went. `now_us` is the wall time in microseconds since 1970; a record is
    /// judged only once all older positions are gone, whatever its time.
    ///
    /// # Errors
    /// Those of the store; an unknown channel has nothing to trim.
    fn trim(&self, channel: &str, keep: &Retention, now_us: i64) -> Result<u64, BacklogError>;

    /// Whether the next append can be expected to succeed, without writing.
    ///
    /// # Errors
    /// What the next append would fail with.
    fn health(&self) -> Result<(), BacklogError>;

    /// Makes durable what the store can make durable and lets go of it. Closing twice is allowed.
    ///
    /// # Errors
    /// Those of the store's last write.
    fn close(&self) -> Result<(), BacklogError>;
}
