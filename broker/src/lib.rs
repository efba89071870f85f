//! weft: a publish/subscribe message broker that speaks Bayeux 1.0.
//!
//! `core` is the clockless middle, `exchange` what all polling transports share, `transport` the
//! adapters, `http` the edge, `server` the one place that wires them together.

pub mod audit;
pub mod auth;
pub mod config;
pub mod core;
pub mod exchange;
pub mod guard;
pub mod hook;
pub mod http;
mod kept;
pub mod limits;
pub mod log;
pub mod policing;
pub mod server;
pub mod storage;
pub mod store_tool;
mod swap;
pub mod ticker;
pub mod transport;
