//! Adapters between HTTP and the exchange: each reads requests, hands them over, waits if the
//! answer waits, and spells the answer its own way.

pub mod callback_polling;
pub mod long_polling;

use weft_protocol::{Body, BodyError};

use crate::exchange::{Answer, Caller, Exchange, Exchanged};

/// Hands a request over and waits for its answer. Dropping the future means: the client went away.
///
/// # Errors
/// When the request as a whole cannot be read.
async fn exchange(
    exchange: &Exchange,
    caller: Caller,
    body: &Body<'_>,
) -> Result<Answer, BodyError> {
    match exchange.handle(caller, body)? {
        Exchanged::Answer(answer) => Ok(answer),
        Exchanged::Hold(held) => Ok(held.wait().await),
    }
}
