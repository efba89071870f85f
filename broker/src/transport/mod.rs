//! Adapters between HTTP and the exchange: each reads requests, hands them over, and spells the answer
//! its own way.

pub mod callback_polling;
pub mod event_source;
pub mod long_polling;
pub mod spelling;
pub mod streaming;
pub mod websocket;
