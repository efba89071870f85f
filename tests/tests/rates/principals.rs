//! Limits per principal: wherever somebody comes from, and by however many sessions.

use serde_json::json;
use weft_tests::bayeux::{Client, ok, only};
use weft_tests::broker::Broker;
use weft_tests::http::Request;
use weft_tests::token::{auth, token};

use super::{count, too_much};

/// A broker that knows who asks, and lets all of them do everything.
fn knowing(limits: &str, rates: &str) -> Broker {
    let auth = auth("");
    Broker::with(&format!(
        "[limits]\n{limits}\n[rates]\n{rates}\n{auth}\n[[auth.rules]]\nchannels = \"/**\"\n"
    ))
}

/// Shakes hands as somebody.
fn shake<'b>(broker: &'b Broker, subject: &str) -> (Client<'b>, serde_json::Value) {
    let mut client = Client::new(broker);
    let ext = json!({"ext": {"token": token(subject, &[])}});
    let reply = client.handshake_with(ext);
    (client, reply)
}

/// Somebody with a session whose first connect is answered.
fn known<'b>(broker: &'b Broker, subject: &str) -> Client<'b> {
    let (mut client, reply) = shake(broker, subject);
    ok(&reply);
    ok(&only(client.connect()));
    client
}

fn publish(subject: &str, data: &str) -> Request {
    let bearer = format!("Bearer {}", token(subject, &[]));
    Request::post("/publish/a", data).header("Authorization", &bearer)
}

#[test]
fn r35_handshakes_of_one_principal_are_limited() {
    let broker = knowing("", "handshakes_per_principal = \"2/h\"");
    for _ in 0..2 {
        ok(&shake(&broker, "ann").1);
    }
    too_much(&shake(&broker, "ann").1, "handshake");
    ok(&shake(&broker, "bob").1);
    assert_eq!(count(&broker, "handshakes", "principal"), 1.0);
}

#[test]
fn r35_messages_of_one_principal_are_limited_by_whatever_way_they_come() {
    let broker = knowing("", "messages_per_principal = \"1/h burst 6\"");
    let (mut one, mut two) = (known(&broker, "ann"), known(&broker, "ann"));
    ok(&one.publish("/a", 1));
    ok(&two.publish("/a", 1));
    assert_eq!(broker.exchange(&publish("ann", "1")).status, 200);
    assert_eq!(broker.exchange(&publish("ann", "1")).status, 200);
    too_much(&one.publish("/a", 1), "retry");
    too_much(&two.publish("/a", 1), "retry");
    let refused = broker.exchange(&publish("ann", "1"));
    assert_eq!((refused.status, refused.header("Retry-After")), (429, Some("3600")));
    assert_eq!(broker.exchange(&publish("bob", "1")).status, 200);
    ok(&known(&broker, "bob").publish("/a", 1));
    assert_eq!(count(&broker, "messages", "principal"), 3.0);
}

#[test]
fn r35_bytes_and_subscriptions_of_one_principal_are_limited() {
    let broker = knowing(
        "body = \"4KiB\"",
        "bytes_per_principal = \"1KiB/h burst 10KiB\"\nsubscriptions_per_principal = \"1/h burst 2\"",
    );
    let (mut one, mut two) = (known(&broker, "ann"), known(&broker, "ann"));
    ok(&one.subscribe("/1"));
    ok(&two.subscribe("/2"));
    too_much(&one.subscribe("/3"), "retry");
    ok(&known(&broker, "bob").subscribe(json!(["/1", "/2"])));
    ok(&one.publish("/a", "x".repeat(3_500)));
    ok(&two.publish("/a", "x".repeat(3_500)));
    too_much(&two.publish("/a", "x".repeat(3_500)), "retry");
    let large = format!("\"{}\"", "x".repeat(3_500));
    assert_eq!(broker.exchange(&publish("ann", &large)).status, 429);
    assert_eq!(broker.exchange(&publish("bob", &large)).status, 200);
    assert_eq!(count(&broker, "subscriptions", "principal"), 1.0);
    assert_eq!(count(&broker, "bytes", "principal"), 2.0);
}

#[test]
fn r33_held_polls_and_sessions_of_one_principal_are_counted() {
    let broker = knowing("held_per_principal = 1\nsessions_per_principal = 2", "");
    let (mut one, mut two) = (known(&broker, "ann"), known(&broker, "ann"));
    too_much(&shake(&broker, "ann").1, "handshake");
    let mut held = one.held_connect();
    let reply = only(two.connect());
    ok(&reply);
    assert!(reply["advice"]["interval"].as_u64() >= Some(2_000), "{reply}");
    assert!(known(&broker, "bob").held_connect().is_waiting());
    assert!(held.is_waiting());
    assert_eq!(count(&broker, "held", "principal"), 1.0);
    assert_eq!(count(&broker, "sessions", "principal"), 1.0);
    ok(&two.disconnect());
    ok(&shake(&broker, "ann").1);
}

#[test]
fn r35_those_who_do_not_say_who_they_are_are_nobody_in_particular() {
    let auth = auth("anonymous = true");
    let rule = "[[auth.rules]]\nchannels = \"/**\"\nroles = [\"anonymous\"]\n";
    let rates = "[rates]\nmessages_per_principal = \"1/h burst 2\"\n";
    let broker = Broker::with(&format!("{rates}{auth}\n{rule}"));
    let mut client = Client::connected(&broker);
    for n in 0..5 {
        ok(&client.publish("/a", n));
    }
}
