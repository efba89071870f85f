//! Publishing for the suite: over plain HTTP, the same for every transport.

use std::ops::RangeInclusive;

use serde_json::{Value, json};
use weft_tests::broker::Broker;
use weft_tests::http::Request;
use weft_tests::lines;
use weft_tests::transports::Event;

/// Publishes data exactly as spelled.
pub(crate) fn publish_text(broker: &Broker, channel: &str, json: &str) {
    let response = broker.exchange(&Request::post(&format!("/publish{channel}"), json));
    assert_eq!(response.status, 200, "{}", response.text());
}

/// Publishes numbers in one request, so that they are there all at once.
pub(crate) fn publish_at_once(broker: &Broker, channel: &str, numbers: RangeInclusive<i64>) {
    let array: Value = numbers.map(|n| json!({"channel": channel, "data": n})).collect();
    let response = broker.exchange(&Request::post("/publish", array.to_string()));
    assert_eq!(response.status, 200, "{}", response.text());
}

/// Publishes `[n, "xxx…"]` for each number, and gives back their positions.
pub(crate) fn flood(
    broker: &Broker,
    channel: &str,
    numbers: RangeInclusive<i64>,
    bytes: usize,
) -> Vec<i64> {
    let filler = "x".repeat(bytes);
    let line = |n| format!("{{\"channel\":\"{channel}\",\"data\":[{n},\"{filler}\"]}}");
    let mut positions = Vec::new();
    lines::publish(broker, numbers.map(line), |answer| {
        let answer: Value = serde_json::from_str(answer).expect("JSON");
        positions.push(answer["position"].as_i64().unwrap_or_else(|| panic!("refused: {answer}")));
    });
    positions
}

/// The numbers that events carry.
pub(crate) fn numbers(events: &[Event]) -> Vec<i64> {
    events.iter().map(Event::number).collect()
}

/// The number with which the data of [`flood`] begins.
pub(crate) fn leading(event: &Event) -> i64 {
    let digits = event.data.strip_prefix('[').and_then(|rest| rest.split(',').next());
    digits.and_then(|digits| digits.parse().ok()).expect("a number")
}
