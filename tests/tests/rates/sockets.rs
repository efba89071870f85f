//! WebSockets: the same replies, and who floods is made to wait on its own side.

use std::time::Duration;

use serde_json::{Value, json};
use weft_tests::bayeux::{Client, ok};
use weft_tests::broker::Broker;
use weft_tests::wait::{PATIENCE, now, until};
use weft_tests::websocket::{Came, Socket};

use super::{count, limited, too_much};

/// A session on a socket.
struct Talker<'b> {
    client: Client<'b>,
    socket: Socket,
}

impl<'b> Talker<'b> {
    fn begin(broker: &'b Broker) -> Self {
        let mut talker = Self { client: Client::new(broker), socket: Socket::open(broker.listen) };
        let types = json!({"version": "1.0", "supportedConnectionTypes": ["websocket"]});
        let reply = talker.ask("/meta/handshake", types);
        ok(&reply);
        reply["clientId"].as_str().expect("a session").clone_into(&mut talker.client.client_id);
        talker
    }

    fn say(&mut self, channel: &str, fields: Value) {
        let message = self.client.message(channel, fields);
        self.socket.send_text(&json!([message]).to_string());
    }

    fn hear(&mut self) -> Value {
        let messages: Value = serde_json::from_str(&self.socket.next_text()).expect("JSON");
        messages[0].clone()
    }

    fn ask(&mut self, channel: &str, fields: Value) -> Value {
        self.say(channel, fields);
        self.hear()
    }
}

#[test]
fn r35_a_socket_gets_the_same_refusals() {
    let broker = limited("messages_per_session = \"1/h burst 3\"");
    let mut talker = Talker::begin(&broker);
    for n in 0..3 {
        ok(&talker.ask("/a", json!({"data": n})));
    }
    too_much(&talker.ask("/a", json!({"data": 3})), "retry");
    too_much(&talker.ask("/meta/connect", json!({"connectionType": "websocket"})), "retry");
    assert_eq!(count(&broker, "messages", "session"), 2.0);
    ok(&talker.ask("/meta/disconnect", json!({})));
}

#[test]
fn r35_frames_are_bytes_that_come_in() {
    let broker = Broker::with(
        "[limits]\nbody = \"4KiB\"\n[rates]\nbytes_per_session = \"1KiB/h burst 4KiB\"\n",
    );
    let mut talker = Talker::begin(&broker);
    ok(&talker.ask("/a", json!({"data": "x".repeat(3_000)})));
    too_much(&talker.ask("/a", json!({"data": "x".repeat(3_000)})), "retry");
    assert_eq!(count(&broker, "bytes", "session"), 1.0);
}

#[test]
fn r35_a_socket_that_floods_is_not_read_from_until_there_is_room() {
    let broker = limited("messages_per_session = \"10/s\"");
    let mut flood = Talker::begin(&broker);
    let frame = flood.client.message("/a", json!({"data": 1}));
    let text = json!([frame]).to_string();
    let start = now();
    for _ in 0..150 {
        flood.socket.send_text(&text);
    }
    // The first answers come at once, the others as the rate allows.
    let mut answers = 0;
    while start.elapsed() < Duration::from_secs(2) {
        if let Came::Text(_) = flood.socket.next_within(Duration::from_millis(100)) {
            answers += 1;
        }
    }
    let refusals = count(&broker, "messages", "session");
    assert!((10.0..80.0).contains(&refusals), "{refusals} refusals, {answers} answers");
    let accepted = broker.metric("weft_messages_in_total");
    assert!(accepted <= 10.0 + 10.0 * (start.elapsed().as_secs_f64() + 1.0), "{accepted}");
    // Nobody else has to wait.
    let mut other = Talker::begin(&broker);
    let asked = now();
    ok(&other.ask("/a", json!({"data": 1})));
    assert!(asked.elapsed() < Duration::from_secs(2));
    // In the end all of it was heard.
    until("the last answer", PATIENCE * 3, || {
        if let Came::Text(_) = flood.socket.next_within(Duration::from_secs(1)) {
            answers += 1;
        }
        (answers == 150).then_some(())
    });
}
