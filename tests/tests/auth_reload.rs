//! What a reload takes away is gone within a second, from whoever has it.

use serde_json::{Value, json};
use weft_tests::bayeux::{Client, ok, only};
use weft_tests::broker::Broker;
use weft_tests::http::Request;
use weft_tests::token::{auth, token};
use weft_tests::wait::{PATIENCE, now, until};
use weft_tests::websocket::{Socket, upgrade};

const ALL: &str = "[[auth.rules]]\nchannels = \"/**\"\n";
/// The SHA-256 of `abc`, an example of FIPS 180.
const KEY: &str = "[[auth.keys]]\nname = \"k\"\nsha256 = \
                   \"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"\n";

fn config(more: &str, keys: &str) -> String {
    format!("{}{keys}{ALL}", auth(more))
}

fn client<'b>(broker: &'b Broker, subject: &str) -> Client<'b> {
    let mut client = Client::new(broker);
    ok(&client.handshake_with(json!({"ext": {"token": token(subject, &[])}})));
    assert_eq!(client.connect().len(), 1);
    client
}

fn by_key(broker: &Broker) -> u16 {
    broker.exchange(&Request::post("/publish/a", "1").header("X-API-Key", "abc")).status
}

#[test]
fn whoever_is_denied_loses_their_session_and_nobody_else_does() {
    let broker = Broker::with(&config("", KEY));
    let (mut me, mut you) = (client(&broker, "me"), client(&broker, "you"));
    let (mut mine, mut yours) = (me.held_connect(), you.held_connect());
    broker.wait_held(2);
    assert_eq!(by_key(&broker), 200);

    let start = now();
    broker.reload(&config("denied = [\"me\"]", ""));
    let reply = only(mine.answer());
    assert!(start.elapsed().as_secs() < 2, "at once: {:?}", start.elapsed());
    assert_eq!(reply["successful"], false, "{reply}");
    assert!(yours.is_waiting());
    assert_eq!(by_key(&broker), 401, "its key is gone");
    let again = Client::new(&broker).handshake_with(json!({"ext": {"token": token("me", &[])}}));
    assert_eq!(again["error"], "401::token_denied");
    assert_eq!(broker.metric("weft_sessions"), 1.0);

    // What is wrong is said, and changes nothing.
    broker.reload("[auth]\nmode = \"token\"\n[[auth.tokens]]\nname = \"x\"\n");
    until("the log", PATIENCE, || broker.log().contains("not reloaded").then_some(()));
    assert!(yours.is_waiting());
    broker.reload(&config("", KEY));
    until("the key", PATIENCE, || (by_key(&broker) == 200).then_some(()));
    client(&broker, "me");
}

#[test]
fn a_socket_that_was_opened_with_a_token_is_worth_no_more_than_that() {
    let broker = Broker::with(&config("", ""));
    let head = upgrade("/bayeux").header("Authorization", &format!("Bearer {}", token("me", &[])));
    let mut socket = Socket::upgraded(broker.listen, &head);
    let hello = json!([{
        "channel": "/meta/handshake", "version": "1.0", "id": "1",
        "supportedConnectionTypes": ["websocket"],
    }]);
    let mut handshake = || -> Value {
        socket.send_text(&hello.to_string());
        let text = socket.next_text();
        serde_json::from_str::<Vec<Value>>(&text).expect("JSON").remove(0)
    };
    assert_eq!(handshake()["successful"], true);
    broker.reload(&config("denied = [\"me\"]", ""));
    broker.wait_sessions(0);
    let reply = handshake();
    assert_eq!(reply["error"], "401::token_missing", "what its head said is no good any more");
    assert_eq!(broker.metric("weft_sessions"), 0.0);
}
