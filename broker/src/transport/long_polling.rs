//! `long-polling` (Bayeux 1.0 §6.1): a POST of messages, as JSON or as a form, answered by JSON.

use weft_protocol::{Body, BodyError};

use crate::exchange::{Caller, Exchange, Exchanged};

/// Works off one POST. What waits holds nothing of it.
///
/// # Errors
/// When the body cannot be read as messages.
pub async fn post(
    exchange: &Exchange,
    caller: Caller,
    body: Vec<u8>,
) -> Result<Exchanged, BodyError> {
    let caller = Caller { bytes: body.len(), ..caller };
    exchange.handle(caller, &Body::post(&body)?).await
}
