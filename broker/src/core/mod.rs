//! The clockless middle of weft: sessions, subscriptions, queues and routing.
//!
//! Nothing here names a socket, HTTP or a transport, and nothing asks what time it is: `now` is an
//! argument everywhere, so that a simulation can drive the whole core through hours in
//! milliseconds. Values come in as plain data and leave as plain data.
//!
//! Lock order, everywhere: a session's own list of subscriptions → a channel's stripe (several in
//! their order) → subscription members → session state.

pub mod audit;
mod behind;
pub mod broker;
pub mod browsers;
mod census;
pub mod channels;
pub mod clock;
pub mod connect;
mod crowd;
pub mod deadlines;
pub mod expiry;
pub mod frame;
mod gaps;
mod granting;
pub mod held;
pub mod history;
pub mod id;
mod marks;
mod members;
pub mod options;
pub mod outlet;
pub mod past;
pub mod policy;
pub mod positions;
pub mod principal;
mod private;
pub mod proof;
pub mod publishing;
pub mod queue;
pub mod reader;
mod reading;
mod receipts;
pub mod registry;
mod replay;
mod room;
pub mod rules;
pub mod session;
pub mod settling;
pub mod stats;
pub mod subscriptions;
pub mod time;
