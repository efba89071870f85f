//! Adapters between HTTP and the exchange: each reads requests, hands them over, waits if the
//! answer waits, and spells the answer its own way.

pub mod callback_polling;
pub mod event_source;
pub mod long_polling;
pub mod spelling;
pub mod streaming;
pub mod websocket;

use crate::exchange::{Answer, Exchanged};

/// Waits for the answer to a request that was handed over; by then the request itself is gone, so
/// that a held connect is little more than its session. Dropping the future means: the client went
/// away; `gone` tells of it where bytes of another request hide it.
async fn settle(exchanged: Exchanged, gone: &(dyn Fn() -> bool + Sync)) -> Answer {
    match exchanged {
        Exchanged::Answer(answer) => answer,
        Exchanged::Hold(held) => held.wait(gone).await,
    }
}
