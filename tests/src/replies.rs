//! What answers must look like.

use serde_json::Value;

/// The one message of an answer.
#[must_use]
pub fn only(mut messages: Vec<Value>) -> Value {
    assert_eq!(messages.len(), 1, "{messages:?}");
    messages.remove(0)
}

/// Asserts that a reply tells success.
#[track_caller]
pub fn ok(reply: &Value) {
    assert_eq!(reply["successful"], true, "{reply}");
    assert!(reply.get("error").is_none(), "{reply}");
}

/// Asserts that a reply tells exactly this failure.
#[track_caller]
pub fn refused(reply: &Value, error: &str) {
    assert_eq!(reply["successful"], false, "{reply}");
    assert_eq!(reply["error"], error, "{reply}");
}

/// Splits an answer to a connect into its events and the reply, which must come last.
#[track_caller]
#[must_use]
pub fn events_and_reply(mut messages: Vec<Value>) -> (Vec<Value>, Value) {
    let reply = messages.pop().expect("a connect reply");
    assert_eq!(reply["channel"], "/meta/connect", "{reply}");
    for event in &messages {
        assert!(event.get("successful").is_none(), "not an event: {event}");
    }
    (messages, reply)
}

/// The `data` of the events in an answer to a successful connect.
#[track_caller]
#[must_use]
pub fn data(messages: Vec<Value>) -> Vec<Value> {
    let (events, reply) = events_and_reply(messages);
    ok(&reply);
    events.into_iter().map(|event| event["data"].clone()).collect()
}
