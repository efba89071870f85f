//! Publishing and reading over plain HTTP, as a server would.

use std::ops::RangeInclusive;

use serde_json::{Value, json};

use crate::broker::Broker;
use crate::http::{Request, Response};

/// Publishes to a channel; `query` begins with `?` or is empty.
#[must_use]
pub fn post(broker: &Broker, channel: &str, query: &str, data: &Value) -> Response {
    broker.exchange(&Request::post(&format!("/publish{channel}{query}"), data.to_string()))
}

/// Publishes and returns the position.
pub fn publish(broker: &Broker, channel: &str, data: impl Into<Value>) -> i64 {
    position(&post(broker, channel, "", &data.into()))
}

/// Publishes, waits until it is on disk, and returns the position.
pub fn publish_durably(broker: &Broker, channel: &str, data: impl Into<Value>) -> i64 {
    let response = post(broker, channel, "?durable=1", &data.into());
    assert_eq!(response.json()["durable"], true, "{}", response.text());
    position(&response)
}

/// Publishes numbers line by line, durably.
pub fn publish_lines(broker: &Broker, channel: &str, numbers: RangeInclusive<i64>) {
    let count = numbers.clone().count();
    let lines: String =
        numbers.map(|n| format!("{{\"channel\":\"{channel}\",\"data\":{n}}}\n")).collect();
    let request =
        Request::post("/publish?durable=1", lines).header("Content-Type", "application/x-ndjson");
    assert_eq!(broker.exchange(&request).text().lines().count(), count);
}

/// The position in the answer to a publication.
#[must_use]
pub fn position(response: &Response) -> i64 {
    assert_eq!(response.status, 200, "{}", response.text());
    response.json()["position"].as_i64().expect("a position")
}

/// A page of history.
#[must_use]
pub fn history(broker: &Broker, channel: &str, query: &str) -> Value {
    let response = broker.exchange(&Request::get(&format!("/history{channel}{query}")));
    assert_eq!(response.status, 200, "{}", response.text());
    response.json()
}

/// The data of all that is kept of a channel.
#[must_use]
pub fn kept(broker: &Broker, channel: &str) -> Vec<Value> {
    let page = history(broker, channel, "?limit=10000");
    let messages = page["messages"].as_array().expect("messages");
    messages.iter().map(|message| message["data"].clone()).collect()
}

/// The positions of all that is kept of a channel.
#[must_use]
pub fn kept_positions(broker: &Broker, channel: &str) -> Vec<i64> {
    let (mut positions, mut since) = (Vec::new(), json!(-2));
    loop {
        let page = history(broker, channel, &format!("?limit=10000&since={since}"));
        let messages = page["messages"].as_array().expect("messages");
        if messages.is_empty() {
            return positions;
        }
        let position = |message: &Value| message["position"].as_i64().expect("a position");
        positions.extend(messages.iter().map(position));
        since = page["next"].clone();
    }
}
