//! Lazy channels: their messages wait for company, and for a bounded time.

use serde_json::json;
use weft_tests::api::publish;
use weft_tests::bayeux::{Client, data, ok};
use weft_tests::broker::Broker;

fn broker(lazy: &str) -> Broker {
    Broker::with(&format!("[[channels]]\npattern = \"/lazy/*\"\nlazy = \"{lazy}\"\n"))
}

#[test]
fn r24_lazy_messages_leave_together_at_the_time_of_the_first() {
    let broker = broker("1s");
    let mut client = Client::subscribed(&broker, "/lazy/*");
    let mut held = client.held_connect();
    for n in 1..=3 {
        publish(&broker, &format!("/lazy/{n}"), n);
    }
    assert!(held.is_waiting(), "they wait");
    assert_eq!(data(held.answer()), [1, 2, 3], "well before the connect would be answered");
}

#[test]
fn r24_lazy_messages_leave_with_the_next_ordinary_one_in_their_order() {
    let broker = broker("1h");
    let mut client = Client::connected(&broker);
    ok(&client.subscribe(json!(["/lazy/*", "/now"])));
    let mut held = client.held_connect();
    publish(&broker, "/lazy/a", 1);
    publish(&broker, "/lazy/a", 2);
    assert!(held.is_waiting(), "they wait");
    publish(&broker, "/now", 3);
    assert_eq!(data(held.answer()), [1, 2, 3]);
}

#[test]
fn p2_lazy_messages_of_a_lost_reply_wait_no_more() {
    let broker = broker("1h");
    let mut client = Client::subscribed(&broker, "/lazy/*");
    ok(&client.subscribe("/now"));
    let held = client.held_connect();
    publish(&broker, "/lazy/a", 1);
    publish(&broker, "/now", 2);
    broker.wait_held(0);
    held.abort();
    assert_eq!(data(client.connect_with(json!({"advice": {"timeout": 0}}))), [1, 2]);
}

#[test]
fn r24_lazy_messages_leave_with_a_connect_that_is_answered_at_once() {
    let broker = broker("1h");
    let mut client = Client::subscribed(&broker, "/lazy/*");
    publish(&broker, "/lazy/a", 1);
    assert_eq!(data(client.connect_with(json!({"advice": {"timeout": 0}}))), [1]);
}
