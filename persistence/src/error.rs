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
}

impl fmt::Display for BacklogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfOrder { channel, position, head } => {
                write!(f, "position {position} in {channel} does not follow {head}")
            }
            Self::Closed => f.write_str("the backlog is closed"),
        }
    }
}

impl Error for BacklogError {}
