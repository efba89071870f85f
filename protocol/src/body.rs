//! The body of a request: one JSON text, or the `message` parameters of a form or a query.

use crate::decode::Reader;
use crate::query::form_messages;
use crate::{BodyError, DecodeLimits, Message};

/// What a request carries, before its messages are read.
#[derive(Debug)]
pub struct Body<'a>(Texts<'a>);

#[derive(Debug)]
enum Texts<'a> {
    One(&'a str),
    Many(Vec<String>),
}

impl<'a> Body<'a> {
    /// The body of a POST.
    ///
    /// A body that starts with `message=` is a form and gives all its `message` values, which may
    /// be messages, arrays or a mix (Bayeux 1.0 §6.1; checklist I4); anything else is one JSON
    /// text. The content type has no say (decisions 3.14): Faye posts forms as `text/plain`.
    pub fn post(bytes: &'a [u8]) -> Result<Self, BodyError> {
        if bytes.starts_with(b"message=") {
            return Self::values(form_messages(bytes)?);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| BodyError::NotUtf8)?;
        Ok(Self(Texts::One(text)))
    }

    /// A text frame of a WebSocket, one JSON text.
    #[must_use]
    pub fn text(text: &'a str) -> Self {
        Self(Texts::One(text))
    }

    /// The `message` parameters of a callback-polling GET (checklist J1), one batch in all.
    pub fn values(values: Vec<String>) -> Result<Self, BodyError> {
        if values.is_empty() { Err(BodyError::Empty) } else { Ok(Self(Texts::Many(values))) }
    }

    /// The messages in their order.
    ///
    /// What is no JSON, no message or no array of messages, repeats a field or passes a limit
    /// spoils the whole body (checklist L10), and so does a text without any message.
    pub fn messages(&self, limits: &DecodeLimits) -> Result<Vec<Message<'_>>, BodyError> {
        let mut reader = Reader::new(limits);
        match &self.0 {
            Texts::One(text) => reader.text(text)?,
            Texts::Many(texts) => texts.iter().try_for_each(|text| reader.text(text))?,
        }
        Ok(reader.finish())
    }
}

#[cfg(test)]
mod tests;
