//! `callback-polling`, JSONP (Bayeux 1.0 §6.2): a GET with messages in its query, answered by a
//! script that calls a function with them.

use weft_protocol::{Body, BodyError, CallbackName, CallbackQuery, callback_query, wrap};

use crate::exchange::{Answer, Caller, Exchange, Exchanged};

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

/// The function that a script calls.
#[derive(Debug, Clone)]
pub struct Callback(Option<Box<str>>);

impl Callback {
    /// Turns an answer into the script.
    pub fn wrap(&self, exchange: &Exchange, answer: &mut Answer) {
        let given = self.0.as_deref().and_then(|name| CallbackName::parse(name).ok());
        answer.text = wrap(given.unwrap_or(CallbackName::DEFAULT), &answer.text);
        // What is escaped may be six times as long.
        answer.booked = exchange.broker().book_reply(answer.text.len());
    }
}

/// Works off one GET, of which nothing is left but the name of the function to call.
///
/// # Errors
/// When the query cannot be answered; the error goes out as plain text, never as a script.
pub async fn get(
    exchange: &Exchange,
    caller: Caller,
    query: &str,
) -> Result<(Exchanged, Callback), CallbackError> {
    let caller = Caller { bytes: query.len(), ..caller };
    let CallbackQuery { mut callbacks, messages } =
        callback_query(query).map_err(CallbackError::Unreadable)?;
    if callbacks.len() > 1 {
        return Err(CallbackError::BadCallback);
    }
    let callback = callbacks.pop();
    if callback.as_deref().is_some_and(|name| CallbackName::parse(name).is_err()) {
        return Err(CallbackError::BadCallback);
    }
    if messages.is_empty() {
        return Err(CallbackError::NoMessage);
    }
    let body = Body::values(messages).map_err(CallbackError::Unreadable)?;
    let exchanged = exchange.handle(caller, &body).await.map_err(CallbackError::Unreadable)?;
    Ok((exchanged, Callback(callback.map(Into::into))))
}
