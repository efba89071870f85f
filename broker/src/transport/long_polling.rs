//! `long-polling` (Bayeux 1.0 §6.1): a POST of messages, as JSON or as a form, answered by JSON.

use weft_protocol::{Body, BodyError};

use crate::exchange::{Answer, Caller, Exchange};

/// Answers one POST. `gone` tells whether the client has closed its socket.
///
/// # Errors
/// When the body cannot be read as messages.
pub async fn post(
    exchange: &Exchange,
    caller: Caller,
    body: Vec<u8>,
    gone: &(dyn Fn() -> bool + Sync),
) -> Result<Answer, BodyError> {
    let caller = Caller { bytes: body.len(), ..caller };
    let exchanged = exchange.handle(caller, &Body::post(&body)?).await?;
    drop(body);
    Ok(super::settle(exchanged, gone).await)
}
