//! The stored past of channels, their *backlogs*.
//!
//! This crate is blocking and knows text and order: a [`Record`] is a piece of text at a position
//! in a channel, and a [`Backlog`] keeps the records of many channels in the order of their
//! positions. It knows nothing of Bayeux, of sessions, of clocks (a wall time is an argument) or
//! of async; whoever calls it from a runtime does so from a thread of its own.
//!
//! What is lost when it fails: the ability to replay. Live delivery does not pass through here.

mod backlog;
mod ceiling;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod error;
mod memory;
#[cfg(any(test, feature = "conformance"))]
mod model;

pub use backlog::{Backlog, Loss, Mark, Marked, Page, Record, Retention, TRIM_MOST, Usage};
pub use error::BacklogError;
pub use memory::{Memory, MemoryLimits};
mod sled;
mod writer;
pub use ceiling::{Boot, Ceiling};
pub use sled::{Opened, Restore, Sled, SledOptions};
pub use writer::{Events, Flush, Job, Policy, Submit, Writer, WriterOptions};
