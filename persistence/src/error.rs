//! What can go wrong with a backlog, as types: callers act on the variant, people read the text.

use std::{error::Error, fmt, sync::Arc};

/// Why a [`Backlog`](crate::Backlog) could not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BacklogError {
    /// A record of the batch does not follow the newest one of its channel. Nothing of the batch
    /// was applied. This is a bug of whoever numbers the records, and trying again will not help.
    OutOfOrder {
        /// The channel of the record.
        channel: Arc<str>,
        /// The position that was refused.
        position: i64,
        /// The position it had to be greater than; 0 for a channel without records.
        head: i64,
    },
    /// The backlog was closed; it will not come back.
    Closed,
    /// There is no space left on the device, or less than is kept in reserve. Nothing of the batch
    /// is visible or durable; with space freed, the same append may succeed.
    Full,
    /// The store failed, and will go on failing until it recovers. The text says what happened.
    Failed(Arc<str>),
    /// What the files hold makes no sense. The text says what was found.
    Damaged(Arc<str>),
    /// The store was written by a newer version, in a format that this one does not know.
    Newer {
        /// The format of the store.
        found: u32,
        /// The newest format known here.
        known: u32,
    },
    /// The store is open already, most likely in another process.
    InUse,
}

impl fmt::Display for BacklogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfOrder { channel, position, head } => {
                write!(f, "position {position} in {channel} does not follow {head}")
            }
            Self::Closed => f.write_str("the backlog is closed"),
            Self::Full => f.write_str("no space left on the device of the backlog"),
            Self::Failed(why) => write!(f, "the backlog failed: {why}"),
            Self::Damaged(what) => write!(f, "the backlog is damaged: {what}"),
            Self::Newer { found, known } => write!(
                f,
                "the backlog was written by a newer version (format {found}, known is {known})"
            ),
            Self::InUse => f.write_str("the backlog is in use by another process"),
        }
    }
}

impl Error for BacklogError {}
