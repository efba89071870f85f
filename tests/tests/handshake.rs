//! Handshakes (checklist 1.E, decisions 3.5).

use serde_json::json;
use weft_tests::bayeux::{Client, data, ok};
use weft_tests::broker::Broker;

#[test]
fn f5_a_message_reaches_a_subscriber() {
    let broker = Broker::start();
    let mut client = Client::subscribed(&broker, "/a");
    let mut held = client.held_connect();
    assert!(held.is_waiting());
    ok(&client.publish("/a", json!({"n": 1})));
    assert_eq!(data(held.answer()), [json!({"n": 1})]);
    assert_eq!(broker.metric("weft_sessions"), 1.0);
    assert_eq!(broker.terminate(), Some(0));
    broker.restart();
    assert_eq!(broker.metric("weft_sessions"), 0.0);
}
