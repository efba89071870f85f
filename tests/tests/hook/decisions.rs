//! Handshakes, subscriptions and publications over Bayeux: each is what the hook says.

use serde_json::{Value, json};
use weft_tests::bayeux::{Client, data, ok, refused};
use weft_tests::broker::Broker;
use weft_tests::hook::{Asked, Hook, Say, no, yes};
use weft_tests::transports::{NEW, Transport};

const SESSIONS: [Transport; 4] = [
    Transport::LongPolling,
    Transport::CallbackPolling,
    Transport::WebSocket,
    Transport::EventSource,
];

/// Denies whatever has `no` among its names.
fn picky(asked: &Asked) -> Say {
    let names = [&asked.json["channel"], &asked.json["channels"]];
    if names.iter().any(|name| name.to_string().contains("/no")) { no() } else { yes() }
}

#[test]
fn p7_what_the_hook_denies_is_not_done_on_any_transport() {
    let hook = Hook::start(picky);
    let broker = Broker::with(&hook.section(""));
    for transport in SESSIONS {
        let mut session = transport.session(&broker, &json!({}));
        assert_eq!(hook.last().event(), "handshake");
        let mut listener = transport.subscriber(&broker, &["/yes"], NEW);
        listener.ready();
        let reply = session.ask("/meta/subscribe", json!({"subscription": "/no"}));
        refused(&reply, "403:/no:subscribe_denied");
        let both = json!({"subscription": ["/yes", "/no/**"]});
        let reply = session.ask("/meta/subscribe", both);
        refused(&reply, "403:/yes,/no/**:subscribe_denied");
        refused(&session.ask("/no", json!({"data": 1})), "403:/no:publish_denied");
        ok(&session.ask("/yes", json!({"data": 2})));
        assert_eq!(listener.take(1)[0].data, "2", "{transport:?}");
        ok(&session.ask("/meta/subscribe", json!({"subscription": "/yes"})));
        session.leave();
    }
    assert_eq!(broker.metric("weft_publish_refused_total{cause=\"denied\"}"), 4.0);
}

#[test]
fn e28_a_denied_handshake_makes_no_session_and_is_told_so_alone() {
    let hook = Hook::start(|asked: &Asked| match asked.json["token"].as_str() {
        Some("known") => yes(),
        Some("late") => Say::Json(json!({"allow": false, "error": "too late", "status": 401})),
        Some("odd") => Say::Json(json!({"allow": false, "error": "a: \"b\",\r\nc", "status": 200})),
        Some("gone") => Say::Status(401, json!({})),
        _ => no(),
    });
    let broker = Broker::with(&hook.section(""));
    let mut client = Client::new(&broker);
    for (token, error) in [
        (json!(null), "403::handshake_denied"),
        (json!("other"), "403::handshake_denied"),
        (json!("late"), "401::too late"),
        (json!("odd"), "403::a_ _b____c"),
        (json!("gone"), "401::unauthorized"),
    ] {
        let reply = client.handshake_with(json!({"ext": {"token": token, "more": [1]}}));
        refused(&reply, error);
        assert_eq!(reply["advice"]["reconnect"], "none", "{reply}");
        assert!(reply.get("clientId").is_none() && client.cookie.is_none(), "{reply}");
        let asked = hook.last().json;
        assert_eq!((&asked["token"], &asked["ext"]), (&token, &json!({"more": [1]})), "{asked}");
    }
    broker.wait_sessions(0);
    ok(&client.handshake_with(json!({"ext": {"token": "known"}})));
    broker.wait_sessions(1);
}

#[test]
fn a_question_says_who_wants_what_and_no_more() {
    let hook = Hook::start(|_| yes());
    let broker = Broker::with(&hook.section(""));
    let mut client = Client::connected(&broker);
    let raw = format!(
        r#"[{{"channel":"/a","clientId":"{}","id":"x","data":{{"n": 1.50,"m":10e1}},"ext":{{"y":1}}}}]"#,
        client.client_id
    );
    ok(&client.post(raw).messages()[0]);
    let asked = hook.last();
    assert!(asked.text.contains(r#""data":{"n": 1.50,"m":10e1}"#), "{}", asked.text);
    assert!(!asked.text.contains(&client.client_id), "{}", asked.text);
    let reply = client.subscribe(json!(["/a", "/b/**", "/service/c"]));
    ok(&reply);
    let json = hook.last().json;
    assert_eq!(json["channels"], json!(["/a", "/b/**"]), "calls are nobody's subscriptions");
    assert_eq!((&json["history"], &json["address"]), (&json!(false), &json!("127.0.0.1")));
    assert_eq!(json["principal"], Value::Null);
    let fields = json!({"subscription": "/c", "ext": {"replay": {"/c": -2}}});
    ok(&client.ask("/meta/subscribe", fields));
    assert_eq!(hook.last().json["history"], true);
    let all = hook.asked();
    let ids: std::collections::BTreeSet<_> =
        all.iter().map(|asked| asked.json["id"].to_string()).collect();
    assert_eq!(ids.len(), all.len(), "each has its own");
    assert!(all.iter().all(|asked| asked.header("x-weft-signature").is_none()));
    let before = all.len();
    ok(&client.subscribe("/service/x"));
    refused(&client.subscribe("/meta/x"), "403:/meta/x:subscribe_denied");
    ok(&client.unsubscribe("/a"));
    client.peek();
    ok(&client.disconnect());
    refused(&client.publish("/a", 1), "402::session_unknown");
    assert_eq!(hook.asked().len(), before, "none of these is asked about");
}

#[test]
fn it_decides_on_what_it_is_to_decide_on() {
    let hook = Hook::start(|_| no());
    let broker = Broker::with(&hook.section("events = [\"publish\"]\nservices = false"));
    let mut client = Client::subscribed(&broker, "/a");
    refused(&client.publish("/a", 1), "403:/a:publish_denied");
    refused(&client.publish("/service/a", 1), "404:/service/a:service_unknown");
    assert_eq!(hook.asked().len(), 1);
    let nobody = Broker::with("[hook]\nurl = \"\"\n");
    ok(&Client::subscribed(&nobody, "/a").publish("/a", 1));
}

#[test]
fn l6_the_hook_may_say_which_of_several_it_denies() {
    let hook = Hook::start(|asked: &Asked| match asked.event() {
        "subscribe" => {
            Say::Json(json!({"allow": false, "denied": ["/b", "/z"], "error": "closed"}))
        }
        _ => yes(),
    });
    let broker = Broker::with(&hook.section(""));
    let mut client = Client::connected(&broker);
    refused(&client.subscribe(json!(["/a", "/b", "/c"])), "403:/b:closed");
}

#[test]
fn a_decision_is_remembered_for_the_same_question_as_long_as_it_may_be() {
    let hook = Hook::start(|asked: &Asked| match asked.json["channel"].as_str() {
        Some("/never") => Say::Json(json!({"allow": true, "cache": 0})),
        Some("/short") => Say::Json(json!({"allow": true, "cache": 0.05})),
        Some("/no") => no(),
        _ => yes(),
    });
    let broker = Broker::with(&hook.section("cache = \"1h\""));
    let (mut one, mut two) = (Client::connected(&broker), Client::connected(&broker));
    assert_eq!(hook.count("handshake"), 1, "the same credentials, none");
    for n in 0..3 {
        ok(&one.publish("/a", n));
        ok(&two.publish("/a", n));
        refused(&one.publish("/no", n), "403:/no:publish_denied");
        ok(&one.subscribe(json!(["/a", "/b"])));
        ok(&two.subscribe("/b"));
    }
    assert_eq!((hook.count("publish"), hook.count("subscribe")), (2, 1));
    ok(&one.subscribe(json!(["/b", "/c"])));
    assert_eq!(hook.last().json["channels"], json!(["/c"]), "only what is not known");
    for n in 0..3 {
        ok(&one.publish("/never", n));
    }
    assert_eq!(hook.count("publish"), 5);
    ok(&one.publish("/short", 1));
    ok(&one.publish("/short", 1));
    weft_tests::wait::until("it is asked again", weft_tests::wait::PATIENCE, || {
        ok(&one.publish("/short", 1));
        (hook.count("publish") >= 7).then_some(())
    });
    assert!(broker.metric("weft_hook_total{event=\"publish\",result=\"cached\"}") >= 7.0);
    assert_eq!(broker.metric("weft_hook_total{event=\"publish\",result=\"deny\"}"), 1.0);
    let calls = hook.asked().len() as f64;
    assert_eq!(broker.metric("weft_hook_seconds_count"), calls);
    assert!(broker.metric("weft_hook_seconds_sum") > 0.0);
}

#[test]
fn l11_a_batch_is_asked_about_together_and_done_in_its_order() {
    let hook = Hook::start(picky);
    let broker = Broker::with(&hook.section(""));
    let mut client = Client::subscribed(&broker, "/**");
    let batch: Vec<Value> = (0..40)
        .map(|n| client.message(if n % 4 == 3 { "/no" } else { "/a" }, json!({"data": n})))
        .collect();
    let before = hook.asked().len();
    hook.shut();
    let mut connection = broker.connect();
    connection.start(&client.request(json!(batch).to_string()));
    hook.wait_asked(before + 16);
    hook.open();
    let replies = connection.read().expect("an answer").messages();
    for (n, reply) in replies.iter().enumerate() {
        match n % 4 {
            3 => refused(reply, "403:/no:publish_denied"),
            _ => ok(reply),
        }
    }
    let expected: Vec<Value> = (0..40).filter(|n| n % 4 != 3).map(Value::from).collect();
    assert_eq!(data(client.connect()), expected);
    assert_eq!(hook.most_under_way(), 16, "as many at once as one request may");
}
