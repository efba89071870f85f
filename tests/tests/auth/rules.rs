//! The same rules on every way in (promise P7).

use serde_json::{Value, json};
use weft_tests::bayeux::{Client, data, events_and_reply, ok, only, refused};
use weft_tests::broker::Broker;
use weft_tests::http::{Request, Response};
use weft_tests::stream::Stream;
use weft_tests::token::token;
use weft_tests::transports::Transport;
use weft_tests::websocket::{Socket, upgrade};

use super::broker;

fn get(broker: &Broker, target: &str, subject: &str) -> Response {
    let bearer = format!("Bearer {}", token(subject, &[]));
    broker.exchange(&Request::get(target).header("Authorization", &bearer))
}

fn post(broker: &Broker, target: &str, subject: &str, body: &str) -> Response {
    let bearer = format!("Bearer {}", token(subject, &[]));
    broker.exchange(&Request::post(target, body).header("Authorization", &bearer))
}

#[test]
fn p7_what_is_denied_is_denied_over_bayeux() {
    let broker = broker();
    let mut ann = Client::with_token(&broker, &token("ann", &[]));
    ok(&ann.subscribe(json!(["/news/*", "/user/ann/**", "/live/a"])));
    for (wanted, named) in [
        (json!("/secret/x"), "/secret/x"),
        (json!("/user/bob/x"), "/user/bob/x"),
        (json!("/user/*"), "/user/*"),
        (json!("/**"), "/**"),
        (json!(["/news/a", "/other", "/live/*", "/secret/**"]), "/other,/secret/**"),
        (json!("/meta/**"), "/meta/**"),
    ] {
        let reply = ann.subscribe(wanted);
        refused(&reply, &format!("403:{named}:subscribe_denied"));
    }
    ok(&ann.publish("/news/a", 1));
    ok(&ann.publish("/user/ann/x", 2));
    for channel in ["/live/a", "/secret/x", "/user/bob/x", "/other"] {
        refused(&ann.publish(channel, 1), &format!("403:{channel}:publish_denied"));
    }
    let mut admin = Client::with_token(&broker, &token("root", &["admin"]));
    ok(&admin.subscribe("/other/**"));
    refused(&admin.subscribe("/**"), "403:/**:subscribe_denied");
    refused(&admin.publish("/secret/x", 1), "403:/secret/x:publish_denied");
}

#[test]
fn p7_a_replay_is_history() {
    let broker = broker();
    let mut admin = Client::with_token(&broker, &token("root", &["admin"]));
    ok(&admin.publish("/live/a", "old"));
    ok(&admin.publish("/news/a", "old"));
    let mut ann = Client::with_token(&broker, &token("ann", &[]));
    let mut subscribe = |name: &str, replay: Value| {
        ann.ask("/meta/subscribe", json!({"subscription": name, "ext": {"replay": replay}}))
    };
    refused(&subscribe("/live/a", json!({"/live/a": -2})), "403:/live/a:history_denied");
    refused(
        &subscribe("/live/*", json!({"/live/*": -1, "/live/a": 5})),
        "403:/live/a:history_denied",
    );
    ok(&subscribe("/live/a", json!({"/live/a": -1, "/secret/x": -2})));
    ok(&subscribe("/news/a", json!({"/news/a": -2})));
    assert_eq!(data(ann.connect()), ["old"]);
}

#[test]
fn p7_f2_what_is_denied_is_denied_over_plain_http() {
    let broker = broker();
    let without = broker.exchange(&Request::post("/publish/news/a", "1"));
    assert_eq!(without.status, 401, "{}", without.text());
    assert_eq!(without.header("WWW-Authenticate"), Some("Bearer"));
    assert_eq!(without.json()["error"], "401::token_missing");
    assert_eq!(post(&broker, "/publish/news/a", "ann", "1").status, 200);
    let denied = post(&broker, "/publish/secret/a", "ann", "1");
    assert_eq!(
        (denied.status, denied.json()["error"].clone()),
        (403, json!("403:/secret/a:publish_denied"))
    );
    let array = r#"[{"channel":"/news/b","data":1},{"channel":"/other","data":2}]"#;
    let denied = post(&broker, "/publish", "ann", array);
    assert_eq!(
        (denied.status, denied.json()["index"].clone()),
        (403, json!(1)),
        "{}",
        denied.text()
    );
    let kept = get(&broker, "/history/news/b", "ann");
    assert_eq!(kept.json()["messages"], json!([]), "all or nothing");
    let lines = "{\"channel\":\"/news/c\",\"data\":1}\n{\"channel\":\"/other\",\"data\":2}\n";
    let bearer = format!("Bearer {}", token("ann", &[]));
    let request = Request::post("/publish", lines)
        .header("Content-Type", "application/x-ndjson")
        .header("Authorization", &bearer);
    let answer = broker.exchange(&request);
    let statuses: Vec<Value> = answer
        .text()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["status"].clone())
        .collect();
    assert_eq!(statuses, [json!(null), json!(403)], "{}", answer.text());
    for (target, status) in [
        ("/history/news/a", 200),
        ("/history/user/ann/a", 200),
        ("/history/user/bob/a", 403),
        ("/history/live/a", 403),
        ("/events/secret/x", 403),
        ("/events/**", 403),
        ("/stream/user/bob/*", 403),
        ("/stream?channel=/news/a&channel=/other", 403),
        ("/events/live/a?since=-2", 403),
        ("/stream/live/a?since=5", 403),
    ] {
        assert_eq!(get(&broker, target, "ann").status, status, "{target}");
    }
    for target in ["/history/news/a", "/events/news/a", "/stream/news/a"] {
        let response = broker.exchange(&Request::get(target));
        assert_eq!((response.status, response.header("WWW-Authenticate")), (401, Some("Bearer")));
    }
}

#[test]
fn p7_a_stream_that_comes_again_without_the_right_to_history_is_told_and_goes_on() {
    let broker = broker();
    assert_eq!(post(&broker, "/publish/news/a", "ann", "1").status, 200);
    let bearer = format!("Bearer {}", token("ann", &[]));
    let request = |id: &str| {
        Request::get("/events/live/a").header("Authorization", &bearer).header("Last-Event-ID", id)
    };
    let mut stream = Stream::ask(&broker, &request("1700000000000000"));
    let gap = stream.event();
    assert_eq!(gap.kind, "gap", "{gap:?}");
    let mut admin = Client::with_token(&broker, &token("root", &["admin"]));
    ok(&admin.publish("/live/a", "new"));
    let event = stream.event();
    assert_eq!(event.data["data"], "new", "{event:?}");
}

#[test]
fn p7_what_is_denied_is_denied_on_sockets_and_scripts() {
    let broker = broker();
    for transport in [Transport::CallbackPolling, Transport::WebSocket, Transport::EventSource] {
        let mut ann = transport.session(&broker, &json!({"token": token("ann", &[])}));
        let reply = ann.ask("/meta/subscribe", json!({"subscription": "/secret/x"}));
        refused(&reply, "403:/secret/x:subscribe_denied");
        let reply = ann.ask("/secret/x", json!({"data": 1}));
        refused(&reply, "403:/secret/x:publish_denied");
        ok(&ann.ask("/meta/subscribe", json!({"subscription": "/news/*"})));
        ann.ready();
        assert_eq!(post(&broker, "/publish/news/a", "bob", "7").status, 200);
        assert_eq!(ann.take(1)[0].data, "7", "{transport:?}");
    }
}

#[test]
fn k1_a_sockets_head_may_bring_the_token() {
    let broker = broker();
    let bearer = format!("Bearer {}", token("ann", &[]));
    let request = upgrade("/bayeux").header("Authorization", &bearer);
    let mut socket = Socket::upgraded(broker.listen, &request);
    let handshake = r#"[{"channel":"/meta/handshake","version":"1.0","supportedConnectionTypes":["websocket"]}]"#;
    socket.send_text(handshake);
    let reply: Value = serde_json::from_str(&socket.next_text()).expect("JSON");
    assert_eq!(reply[0]["successful"], true, "{reply}");
    let mut stranger = Socket::upgraded(broker.listen, &upgrade("/bayeux"));
    stranger.send_text(handshake);
    let reply: Value = serde_json::from_str(&stranger.next_text()).expect("JSON");
    refused(&reply[0], "401::token_missing");
}

#[test]
fn a_key_of_one_publisher_is_not_anothers() {
    let broker = broker();
    let publish = |subject: &str, data: &str| {
        let bearer = format!("Bearer {}", token(subject, &[]));
        let request = Request::post("/publish/news/a", data)
            .header("Authorization", &bearer)
            .header("Idempotency-Key", "k");
        broker.exchange(&request)
    };
    assert_eq!(publish("ann", "1").json().get("repeat"), None);
    assert_eq!(publish("ann", "1").json()["repeat"], true);
    assert_eq!(publish("bob", "2").json().get("repeat"), None, "another publisher's");
    assert_eq!(publish("ann", "2").status, 422);
}

#[test]
fn p7_a_subscription_is_judged_again_with_every_token() {
    let broker = broker();
    let mut ann = Client::with_token(&broker, &token("ann", &["admin"]));
    ok(&ann.subscribe("/other/x"));
    let mut held = ann.held_connect();
    // A token that is good for longer, and for less.
    let less = weft_tests::token::token_until("ann", &[], weft_tests::token::now() + 7_200);
    let message = ann.message("/news/a", json!({"data": 1, "ext": {"token": less}}));
    let reply = only(ann.send(&json!([message])));
    refused(&reply, "402::session_unknown");
    let (events, reply) = events_and_reply(held.answer());
    assert!(events.is_empty());
    refused(&reply, "402::session_unknown");
    assert_eq!(reply["advice"]["reconnect"], "handshake");
}
