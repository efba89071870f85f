//! Where there are no keys to hold credentials against, the hook says who somebody is.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;
use weft_tests::bayeux::{Client, data, ok, only, refused};
use weft_tests::broker::Broker;
use weft_tests::hook::{Asked, Hook, Say, no, yes};
use weft_tests::transports::Transport;

#[test]
fn k2_the_hook_says_who_somebody_is() {
    let hook = Hook::start(|asked: &Asked| match asked.json["token"].as_str() {
        Some(token) => {
            let claims = json!({"org": "x"});
            let roles = json!(["staff"]);
            let answer = json!({"allow": true, "sub": token, "roles": roles, "claims": claims});
            Say::Json(answer)
        }
        None => yes(),
    });
    let broker = Broker::with(&hook.section(""));
    let somebody =
        |sub: &str| json!({"kind": "hook", "sub": sub, "roles": ["staff"], "claims": {"org": "x"}});
    for transport in [Transport::LongPolling, Transport::CallbackPolling, Transport::WebSocket] {
        let mut session = transport.session(&broker, &json!({"token": "s1"}));
        assert_eq!(hook.last().json["principal"], json!(null), "nobody yet");
        ok(&session.ask("/a", json!({"data": 1})));
        assert_eq!(hook.last().json["principal"], somebody("s1"));
        session.leave();
    }
    // By the head, where there is no token in the message.
    let mut client = Client::new(&broker);
    let handshake = client.message(
        "/meta/handshake",
        json!({"version": "1.0", "supportedConnectionTypes": ["long-polling"]}),
    );
    let request = client.request(json!([handshake]).to_string());
    let response = client.exchange(&request.header("Authorization", "Bearer s2"));
    let reply = only(response.messages());
    ok(&reply);
    client.client_id = reply["clientId"].as_str().expect("a clientId").to_owned();
    ok(&client.publish("/a", 1));
    assert_eq!(hook.last().json["principal"], somebody("s2"));
    // No publication carries a token on.
    let mut reader = Client::subscribed(&broker, "/b");
    ok(&client.ask("/b", json!({"data": 1, "ext": {"token": "s2", "y": 1}})));
    let events = reader.connect();
    assert_eq!(events[0]["ext"], json!({"y": 1}));
}

#[test]
fn k2_what_the_hook_grants_may_end_and_be_renewed() {
    let hook = Hook::start(|asked: &Asked| match asked.json["token"].as_str() {
        Some("short") => Say::Json(json!({"allow": true, "sub": "me", "expires_in": 4})),
        Some("long") => Say::Json(json!({"allow": true, "sub": "me", "expires_in": 3600})),
        Some("other") => Say::Json(json!({"allow": true, "sub": "other", "expires_in": 3600})),
        None if asked.event() == "handshake" => no(),
        _ => yes(),
    });
    let broker = Broker::with(&hook.section(""));
    let mut client = Client::new(&broker);
    ok(&client.handshake_with(json!({"ext": {"token": "short"}})));
    client.connect();
    ok(&client.subscribe("/a"));
    let mut held = client.start_connect();
    let reply = only(held.answer());
    refused(&reply, "401::token_expired");
    assert_eq!(reply["advice"]["reconnect"], "retry", "{reply}");
    refused(&client.publish("/a", 1), "401::token_expired");
    let other = client.ask("/a", json!({"data": 1, "ext": {"token": "other"}}));
    assert_eq!(other["successful"], false, "somebody else may not go on: {other}");
    ok(&client.ask("/a", json!({"data": 2, "ext": {"token": "long"}})));
    assert_eq!(data(client.connect()), [json!(2)]);
    let before = hook.count("handshake");
    ok(&client.ask("/a", json!({"data": 3, "ext": {"token": "long"}})));
    assert_eq!(hook.count("handshake"), before, "what holds for long is not asked for anew");
}

#[test]
fn questions_are_signed_with_the_secret() {
    let hook = Hook::start(|_| yes());
    let broker = Broker::with(&hook.section("secret = \"s3cret\""));
    ok(&Client::connected(&broker).publish("/a", 1));
    for asked in hook.asked() {
        let timestamp = asked.header("x-weft-timestamp").expect("a time");
        let mut mac = Hmac::<Sha256>::new_from_slice(b"s3cret").expect("a key");
        mac.update(format!("{timestamp}.{}", asked.text).as_bytes());
        let code: String =
            mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(asked.header("x-weft-signature"), Some(&*format!("sha256={code}")));
        let seconds: u64 = timestamp.parse().expect("seconds");
        assert!(seconds > 1_700_000_000, "{seconds}");
    }
    assert!(hook.connections() <= 2, "connections are used again: {}", hook.connections());
}
