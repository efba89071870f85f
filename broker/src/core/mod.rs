//! The clockless middle of weft: sessions, subscriptions, queues and routing.
//!
//! Nothing here names a socket, HTTP or a transport, and nothing asks what time it is: `now` is an
//! argument everywhere, so that a simulation can drive the whole core through hours in
//! milliseconds. Values come in as plain data and leave as plain data.
//!
//! Lock order, everywhere: channel order → subscription members (read) → session state. A session's
//! own list of subscriptions is locked before members, and never together with its state.

pub mod audit;
pub mod broker;
pub mod browsers;
pub mod clock;
pub mod connect;
pub mod deadlines;
pub mod expiry;
pub mod frame;
pub mod held;
pub mod id;
pub mod options;
pub mod positions;
pub mod queue;
pub mod registry;
pub mod session;
pub mod stats;
pub mod subscriptions;
