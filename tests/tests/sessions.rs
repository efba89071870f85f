//! Sessions: how long they live, how they end and who may speak for them (checklist 1.E, 1.H, L14,
//! L15; decisions 3.6, 3.11, 3.12, 3.17).

use std::time::Duration;

use serde_json::{Value, json};
use weft_tests::bayeux::{Client, data, events_and_reply, ok, only, refused};
use weft_tests::broker::Broker;
use weft_tests::wait::now;

const ENDED: &str = "weft_sessions_ended_total";

#[test]
fn e17_e20_a_session_that_never_connects_expires() {
    let broker = Broker::with("[sessions]\nmax_interval = \"400ms\"\n");
    let start = now();
    let mut client = Client::handshaken(&broker);
    broker.wait_sessions(0);
    assert!(start.elapsed() >= Duration::from_millis(400));
    assert_eq!(broker.metric(&format!("{ENDED}{{cause=\"never_connected\"}}")), 1.0);
    let reply = only(client.connect());
    refused(&reply, "402::session_unknown");
    assert_eq!(reply["advice"]["reconnect"], "handshake");
}

#[test]
fn e17_a_session_expires_max_interval_after_its_last_connect() {
    let broker = Broker::with("[sessions]\nmax_interval = \"400ms\"\n");
    let mut client = Client::handshaken(&broker);
    ok(&client.subscribe(json!(["/a", "/b/**"])));
    let start = now();
    ok(&only(client.connect()));
    broker.wait_sessions(0);
    assert!(start.elapsed() >= Duration::from_millis(400));
    assert_eq!(broker.metric(&format!("{ENDED}{{cause=\"expired\"}}")), 1.0);
    assert_eq!(broker.metric("weft_subscriptions"), 0.0);
    let mut other = Client::connected(&broker);
    ok(&other.publish("/a", 1));
    assert_eq!(broker.metric("weft_queue_messages"), 0.0);
}

#[test]
fn e17_d7_the_advised_interval_is_added() {
    let broker = Broker::with("[sessions]\nmax_interval = \"200ms\"\ninterval = \"1s\"\n");
    let start = now();
    let client = Client::connected(&broker);
    broker.wait_sessions(0);
    assert!(start.elapsed() >= Duration::from_millis(1_200), "{:?}", start.elapsed());
    drop(client);
}

#[test]
fn e17_an_interval_that_the_client_announces_is_added_within_bounds() {
    let broker = Broker::with("[sessions]\nmax_interval = \"600ms\"\n");
    let mut client = Client::connected(&broker);
    let start = now();
    ok(&only(client.connect_with(json!({"advice": {"timeout": 0, "interval": 86_400_000}}))));
    broker.wait_sessions(0);
    assert!(start.elapsed() >= Duration::from_millis(1_200), "{:?}", start.elapsed());
}

#[test]
fn l14_publishing_keeps_a_session_alive() {
    let broker = Broker::with("[sessions]\nmax_interval = \"1500ms\"\n");
    let mut client = Client::connected(&broker);
    let start = now();
    while start.elapsed() < Duration::from_secs(4) {
        ok(&client.publish("/a", 1));
        std::thread::sleep(Duration::from_millis(50));
    }
    ok(&only(client.connect_with(json!({"advice": {"timeout": 0}}))));
}

#[test]
fn e17_a_session_does_not_expire_while_its_connect_is_held() {
    let broker = Broker::with("[sessions]\nmax_interval = \"300ms\"\ntimeout = \"60s\"\n");
    let mut client = Client::connected(&broker);
    ok(&client.subscribe("/a"));
    let mut held = client.held_connect();
    assert!(held.is_waiting_for(Duration::from_millis(1_500)));
    assert_eq!(broker.metric("weft_sessions"), 1.0);
    let message = client.message("/a", json!({"data": 1}));
    ok(&only(client.send(&json!([message]))));
    assert_eq!(data(held.answer()), [json!(1)]);
    broker.wait_sessions(0);
}

#[test]
fn e17_an_aborted_connect_starts_the_clock_at_once() {
    let broker = Broker::with("[sessions]\nmax_interval = \"300ms\"\ntimeout = \"100s\"\n");
    let mut client = Client::connected(&broker);
    client.held_connect().abort();
    broker.wait_sessions(0);
    assert_eq!(broker.metric(&format!("{ENDED}{{cause=\"expired\"}}")), 1.0);
}

#[test]
fn e17_a_superseded_and_aborted_connect_leaves_nothing_behind() {
    let broker = Broker::with("[sessions]\nmax_interval = \"500ms\"\n");
    let mut client = Client::connected(&broker);
    let older = client.held_connect();
    let newer = client.start_connect();
    // Only then: of two sockets the broker may hear in any order.
    broker.wait_metric("weft_connects_superseded_total", |count| count == 1.0);
    older.abort();
    newer.abort();
    broker.wait_held(0);
    broker.wait_sessions(0);
}

#[test]
fn e18_e21_a_disconnect_ends_the_session_and_releases_its_connect() {
    let broker = Broker::start();
    let mut client = Client::subscribed(&broker, "/a");
    let mut held = client.held_connect();
    let reply = client.disconnect();
    let expected = json!({"channel": "/meta/disconnect", "id": client.last_id.to_string(),
        "successful": true});
    assert_eq!(reply, expected);
    let reply = only(held.answer());
    ok(&reply);
    assert_eq!(reply["advice"]["reconnect"], "none");
    assert_eq!(broker.metric("weft_sessions"), 0.0);
    assert_eq!(broker.metric("weft_subscriptions"), 0.0);
    assert_eq!(broker.metric(&format!("{ENDED}{{cause=\"disconnected\"}}")), 1.0);
    refused(&client.disconnect(), "402::session_unknown");
    refused(&client.publish("/a", 1), "402::session_unknown");
    refused(&client.subscribe("/a"), "402::session_unknown");
    let reply = only(client.connect());
    refused(&reply, "402::session_unknown");
    assert_eq!(reply["advice"]["reconnect"], "handshake");
}

#[test]
fn e18_a_connect_in_the_request_of_the_disconnect_is_told_to_stop() {
    let broker = Broker::start();
    let mut client = Client::connected(&broker);
    let batch =
        [client.message("/meta/connect", json!({})), client.message("/meta/disconnect", json!({}))];
    let replies = client.send(&json!(batch));
    assert_eq!(replies.len(), 2);
    ok(&replies[0]);
    assert_eq!(replies[1]["channel"], "/meta/connect");
    ok(&replies[1]);
    assert_eq!(replies[1]["advice"]["reconnect"], "none");
}

#[test]
fn l15_a_session_that_began_with_a_cookie_is_no_other_browsers() {
    let broker = Broker::start();
    let mut owner = Client::subscribed(&broker, "/a");
    let genuine = owner.cookie.clone().unwrap();
    ok(&owner.publish("/a", "private"));
    let foreign = Client::handshaken(&broker).cookie;
    let forged = Some(format!("{}0", &genuine[..genuine.len() - 1]));
    for cookie in [foreign, None, Some("BAYEUX_BROWSER=x".to_owned()), forged] {
        let mut thief = Client::new(&broker);
        thief.cookie = cookie.filter(|cookie| *cookie != genuine);
        thief.client_id.clone_from(&owner.client_id);
        let reply = only(thief.connect());
        refused(&reply, "402::session_unknown");
        assert_eq!(reply["advice"]["reconnect"], "handshake", "as every connect");
        let others = [
            thief.publish("/a", 1),
            thief.subscribe("/b"),
            thief.unsubscribe("/a"),
            thief.disconnect(),
        ];
        for reply in others {
            refused(&reply, "402::session_unknown");
            assert!(reply.get("advice").is_none(), "the session exists: {reply}");
        }
    }
    assert_eq!(data(owner.connect()), [json!("private")], "the owner goes on undisturbed");
}

#[test]
fn l15_a_client_without_cookies_is_known_by_its_id_for_life() {
    let broker = Broker::start();
    let mut client = Client::without_cookies(&broker);
    for _ in 0..3 {
        assert!(client.held_connect().is_waiting());
        ok(&client.publish("/a", 1));
    }
    // A cookie that turns up later changes nothing.
    client.cookie = Client::handshaken(&broker).cookie;
    ok(&client.publish("/a", 1));
    client.cookie = None;
    ok(&client.publish("/a", 1));
}

#[test]
fn l15_h1_the_first_message_after_the_handshake_decides() {
    let broker = Broker::start();
    let mut client = Client::handshaken(&broker);
    let cookie = client.cookie.take();
    ok(&client.subscribe("/a"));
    client.cookie = cookie.clone();
    ok(&client.subscribe("/b"));

    let mut client = Client::handshaken(&broker);
    ok(&client.subscribe("/a"));
    client.cookie = None;
    refused(&client.subscribe("/b"), "402::session_unknown");
    client.cookie = cookie;
    refused(&client.subscribe("/b"), "402::session_unknown");
}

#[test]
fn l15_require_cookie_refuses_sessions_without_one() {
    let broker = Broker::with("[sessions]\nrequire_cookie = true\n");
    let mut client = Client::connected(&broker);
    ok(&client.subscribe("/a"));
    let mut bare = Client::new(&broker);
    bare.keeps_cookies = false;
    ok(&bare.handshake());
    let reply = only(bare.connect());
    refused(&reply, "402::session_unknown");
    assert_eq!(reply["advice"]["reconnect"], "handshake");
    refused(&bare.publish("/a", 1), "402::session_unknown");
}

#[test]
fn h1_b12_a_restart_keeps_browsers_and_no_session() {
    let broker = Broker::start();
    let mut client = Client::connected(&broker);
    let old = client.client_id.clone();
    for clean in [false, true] {
        if clean {
            assert_eq!(broker.terminate(), Some(0));
        } else {
            broker.kill();
        }
        broker.restart();
        client.disconnect_socket();
        let (events, reply) = events_and_reply(client.connect());
        assert_eq!(events, Vec::<Value>::new());
        refused(&reply, "402::session_unknown");
        assert_eq!(reply["advice"]["reconnect"], "handshake");
        let response = client.post(json!([{"channel": "/meta/handshake"}]).to_string());
        assert!(response.header("Set-Cookie").is_none(), "the key is kept in the data directory");
        let id = only(response.messages())["clientId"].as_str().unwrap().to_owned();
        assert_ne!(id, old);
        client.client_id = id;
    }
}

#[test]
fn a11_several_handshakes_make_several_sessions_that_live_side_by_side() {
    let broker = Broker::start();
    let mut client = Client::subscribed(&broker, "/a");
    let first = client.client_id.clone();
    ok(&client.handshake());
    ok(&client.subscribe("/a"));
    ok(&client.publish("/a", 1));
    assert_eq!(data(client.peek()), [json!(1)]);
    client.client_id = first;
    assert_eq!(data(client.peek()), [json!(1)]);
}

#[test]
fn c9_client_ids_and_cookies_are_never_logged() {
    let broker = Broker::with("[log]\nlevel = \"trace\"\n");
    let mut client = Client::subscribed(&broker, "/a");
    client.held_connect().abort();
    broker.wait_held(0);
    ok(&client.publish("/a", 1));
    assert_eq!(client.call(&[json!([{"channel": "/a", "clientId": client.client_id}])]).len(), 1);
    client.path = format!("/bayeux/{}", client.client_id);
    assert_eq!(data(client.peek()), [json!(1)]);
    ok(&client.disconnect());
    assert_eq!(broker.terminate(), Some(0));
    let log = broker.log();
    assert!(log.contains("listening"));
    let cookie = client.cookie.unwrap();
    for secret in [client.client_id.as_str(), cookie.split_once('=').unwrap().1] {
        assert!(!log.contains(secret), "{log}");
    }
}
