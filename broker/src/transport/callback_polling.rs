//! `callback-polling`, JSONP (Bayeux 1.0 §6.2): a GET with messages in its query, answered by a
//! script that calls a function with them.

use weft_protocol::{Body, BodyError, CallbackName, CallbackQuery, callback_query, wrap};

use crate::exchange::{Answer, Caller, Exchange};

/// What keeps a GET from being answered.
#[derive(Debug)]
pub enum CallbackError {
    /// The query or the messages in it cannot be read.
    Unreadable(BodyError),
    /// The callback's name is none, or several are given (R29).
    BadCallback,
    /// There is no `message` parameter.
    NoMessage,
}

impl std::fmt::Display for CallbackError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreadable(error) => error.fmt(f),
            Self::BadCallback => {
                f.write_str("jsonp must name one function, in at most 64 characters")
            }
            Self::NoMessage => {
                f.write_str("a GET needs a message parameter; send messages by POST")
            }
        }
    }
}

impl CallbackError {
    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Unreadable(error) => error.status(),
            Self::BadCallback | Self::NoMessage => 400,
        }
    }
}

/// Answers one GET with a script. `gone` tells whether the client has closed its socket.
///
/// # Errors
/// When the query cannot be answered; the error goes out as plain text, never as a script.
pub async fn get(
    exchange: &Exchange,
    caller: Caller,
    query: String,
    gone: &(dyn Fn() -> bool + Sync),
) -> Result<Answer, CallbackError> {
    let caller = Caller { bytes: query.len(), ..caller };
    let CallbackQuery { mut callbacks, messages } =
        callback_query(&query).map_err(CallbackError::Unreadable)?;
    drop(query);
    if callbacks.len() > 1 {
        return Err(CallbackError::BadCallback);
    }
    let callback = callbacks.pop();
    let name = match callback.as_deref() {
        None => CallbackName::DEFAULT,
        Some(name) => CallbackName::parse(name).map_err(|_| CallbackError::BadCallback)?,
    };
    if messages.is_empty() {
        return Err(CallbackError::NoMessage);
    }
    let body = Body::values(messages).map_err(CallbackError::Unreadable)?;
    let exchanged = exchange.handle(caller, &body).await.map_err(CallbackError::Unreadable)?;
    drop(body);
    let mut answer = super::settle(exchanged, gone).await;
    answer.text = wrap(name, &answer.text);
    // What is escaped may be six times as long.
    answer.booked = exchange.broker().book_reply(answer.text.len());
    Ok(answer)
}
