//! From one JSON text to its messages, in one pass and without copies.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::message::{Field, Fields};
use crate::{BodyError, ChannelLimits, Message, depth, json};

/// Bounds of one request (checklist L4, decisions 3.14).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Nesting of each JSON text, the array of messages being the first level.
    pub depth: usize,
    /// Messages in one request, all its texts together.
    pub messages: usize,
    /// The longest `id` as sent, quotes included: it is echoed.
    pub id_bytes: usize,
    /// Bounds of every channel and subscription.
    pub channel: ChannelLimits,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self { depth: 64, messages: 1_000, id_bytes: 1_024, channel: ChannelLimits::default() }
    }
}

/// Collects the messages of one request, text by text.
pub(crate) struct Reader<'a, 'l> {
    limits: &'l DecodeLimits,
    messages: Vec<Message<'a>>,
    /// Why reading was broken off by us rather than by the parser.
    stopped: Option<BodyError>,
}

impl<'a, 'l> Reader<'a, 'l> {
    pub(crate) fn new(limits: &'l DecodeLimits) -> Self {
        Self { limits, messages: Vec::new(), stopped: None }
    }

    /// Reads one text: a message, or an array of them (checklist C3).
    pub(crate) fn text(&mut self, text: &'a str) -> Result<(), BodyError> {
        // First, since a parser may recurse.
        if depth::exceeds(text, self.limits.depth) {
            return Err(BodyError::TooDeep);
        }
        // An HTTP POST without a body, rather than broken JSON.
        if text.trim_ascii().is_empty() {
            return Err(BodyError::Empty);
        }
        let before = self.messages.len();
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let read = Unit(self).deserialize(&mut deserializer);
        read.and_then(|()| deserializer.end()).map_err(|error| self.reason(&error))?;
        if self.messages.len() == before { Err(BodyError::Empty) } else { Ok(()) }
    }

    pub(crate) fn finish(self) -> Vec<Message<'a>> {
        self.messages
    }

    fn object<A: MapAccess<'a>>(&mut self, mut map: A) -> Result<(), A::Error> {
        // Before the fields are read: one message too many costs nothing.
        if self.messages.len() >= self.limits.messages {
            return Err(self.stop(BodyError::TooMany));
        }
        let mut fields = Fields::default();
        while let Some((name, value)) = map.next_entry::<&'a RawValue, &'a RawValue>()? {
            let Some(field) = json::string(name).and_then(|name| Field::named(&name)) else {
                continue;
            };
            if !fields.set(field, value) {
                return Err(self.stop(BodyError::RepeatedField));
            }
        }
        self.messages.push(Message::read(&fields, self.limits));
        Ok(())
    }

    fn stop<E: serde::de::Error>(&mut self, reason: BodyError) -> E {
        self.stopped = Some(reason);
        E::custom(reason)
    }

    fn reason(&self, error: &serde_json::Error) -> BodyError {
        self.stopped.unwrap_or_else(|| match error.classify() {
            Category::Data => BodyError::NotMessages,
            Category::Syntax | Category::Eof | Category::Io => {
                BodyError::NotJson { line: error.line(), column: error.column() }
            }
        })
    }
}

/// A whole text.
struct Unit<'r, 'a, 'l>(&'r mut Reader<'a, 'l>);

impl<'a> DeserializeSeed<'a> for Unit<'_, 'a, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Unit<'_, 'a, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message or an array of messages")
    }

    fn visit_map<A: MapAccess<'a>>(self, map: A) -> Result<(), A::Error> {
        self.0.object(map)
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut array: A) -> Result<(), A::Error> {
        while array.next_element_seed(Element(self.0))?.is_some() {}
        Ok(())
    }
}

/// One element of the array: an object, or the whole text is refused.
struct Element<'r, 'a, 'l>(&'r mut Reader<'a, 'l>);

impl<'a> DeserializeSeed<'a> for Element<'_, 'a, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'a> Visitor<'a> for Element<'_, 'a, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message")
    }

    fn visit_map<A: MapAccess<'a>>(self, map: A) -> Result<(), A::Error> {
        self.0.object(map)
    }
}
