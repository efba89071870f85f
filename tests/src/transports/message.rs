//! Messages as they came. What was published is compared as text: there is JSON that no value of ours
//! can hold.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

/// Something that was published, as a subscriber sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The channel.
    pub channel: String,
    /// The data, as spelled.
    pub data: String,
    /// The position, where it is told.
    pub position: Option<i64>,
    /// What came with it; null if nothing did.
    pub ext: Value,
}

/// What comes at a time.
#[derive(Debug, Default)]
pub struct Piece {
    /// Events in their order.
    pub events: Vec<Event>,
    /// Gaps that are told: `{channel, from, to}`.
    pub gaps: Vec<Value>,
}

impl Event {
    /// The data as a number.
    #[must_use]
    pub fn number(&self) -> i64 {
        self.data.parse().unwrap_or_else(|_| panic!("not a number: {self:?}"))
    }

    /// Takes a message apart; it must be an event, with nothing in it that does not belong there.
    #[must_use]
    pub(super) fn read(message: &Members) -> Self {
        let known = ["channel", "data", "ext", "position", "id"];
        let stranger = message.keys().find(|name| !known.contains(&name.as_str()));
        assert_eq!(stranger, None, "{message:?}");
        let channel = value(message, "channel").as_str().expect("a channel").to_owned();
        let data = message.get("data").expect("data").get().to_owned();
        let ext = value(message, "ext");
        let position = value(message, "position").as_i64();
        let position = position.or_else(|| ext.pointer("/replay/id").and_then(Value::as_i64));
        Self { channel, data, position, ext }
    }
}

/// An object's members, as spelled.
pub(super) type Members = BTreeMap<String, Box<RawValue>>;

/// An object.
pub(super) fn members(json: &str) -> Members {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("no object ({error}): {json}"))
}

/// A member's value; null if there is none.
pub(super) fn value(message: &Members, name: &str) -> Value {
    message.get(name).map_or(Value::Null, |text| {
        serde_json::from_str(text.get()).unwrap_or_else(|error| panic!("{error}: {text}"))
    })
}

/// The events and the replies of an array of messages, each in their order.
#[must_use]
pub fn split(json: &str) -> (Vec<Event>, Vec<Value>) {
    let messages: Vec<Members> =
        serde_json::from_str(json).unwrap_or_else(|error| panic!("no array ({error}): {json}"));
    let (replies, events): (Vec<_>, Vec<_>) =
        messages.iter().partition(|message| message.contains_key("successful"));
    let whole = |reply: &Members| {
        Value::Object(reply.keys().map(|name| (name.clone(), value(reply, name))).collect())
    };
    (events.into_iter().map(Event::read).collect(), replies.into_iter().map(whole).collect())
}

/// The gaps that a reply tells.
pub(super) fn gaps(reply: &Value) -> Vec<Value> {
    reply.pointer("/ext/weft/gap").and_then(Value::as_array).cloned().unwrap_or_default()
}

/// The fields of a subscribe: stock clients name no position unless they want one.
pub(super) fn subscription(name: &str, since: i64) -> Value {
    match since {
        super::NEW => serde_json::json!({"subscription": name}),
        _ => serde_json::json!({"subscription": name, "ext": {"replay": {(name): since}}}),
    }
}
