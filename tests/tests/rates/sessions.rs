//! Handshakes and sessions.

use serde_json::json;
use weft_tests::bayeux::{Client, ok, only};
use weft_tests::broker::Broker;
use weft_tests::wait::{PATIENCE, until};

use super::{at, bounded, count, limited, too_much};

#[test]
fn r35_l13_handshakes_of_one_address_are_limited_and_cost_no_session() {
    let broker = limited("handshakes_per_address = \"3/h\"");
    for _ in 0..3 {
        ok(&Client::new(&broker).at("127.0.0.2").handshake());
    }
    let mut late = Client::new(&broker).at("127.0.0.2");
    for _ in 0..20 {
        let reply = late.handshake();
        let interval = too_much(&reply, "handshake");
        assert!(interval > 30_000, "one comes back in twenty minutes: {reply}");
        assert!(reply.get("clientId").is_none(), "{reply}");
    }
    assert_eq!(late.cookie, None, "no cookie without a session");
    assert_eq!(count(&broker, "handshakes", "address"), 20.0);
    assert_eq!(broker.metric("weft_sessions"), 3.0);
    ok(&Client::new(&broker).at("127.0.0.3").handshake());
    assert_eq!(count(&broker, "handshakes", "address"), 20.0);
}

#[test]
fn r35_handshakes_in_all_are_limited_and_come_back() {
    let broker = limited("handshakes = \"2/s\"");
    let mut clients = ["127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5", "127.0.0.6"]
        .map(|address| Client::new(&broker).at(address));
    let replies: Vec<_> = clients.iter_mut().map(Client::handshake).collect();
    let given = replies.iter().filter(|reply| reply["successful"] == true).count();
    assert!((2..=3).contains(&given), "{replies:?}");
    too_much(&replies[4], "handshake");
    assert_eq!(count(&broker, "handshakes", "all"), (5 - given) as f64);
    until("room for one more", PATIENCE, || {
        (clients[4].handshake()["successful"] == true).then_some(())
    });
}

#[test]
fn r35_loopback_peers_are_limited_only_where_asked_for_and_always_in_all() {
    let rates = "[rates]\nhandshakes_per_address = \"1/h\"\nhandshakes = \"5/h\"\n";
    let broker = Broker::with(rates);
    for _ in 0..5 {
        ok(&Client::new(&broker).handshake());
    }
    too_much(&Client::new(&broker).handshake(), "handshake");
    assert_eq!(count(&broker, "handshakes", "address"), 0.0);
    assert_eq!(count(&broker, "handshakes", "all"), 1.0);
}

#[test]
fn r33_sessions_of_one_address_are_counted_as_long_as_they_live() {
    let broker = bounded("sessions_per_address = 2\n");
    let mut first = at(&broker, "127.0.0.2");
    let _second = at(&broker, "127.0.0.2");
    let mut third = Client::new(&broker).at("127.0.0.2");
    too_much(&third.handshake(), "handshake");
    assert_eq!(count(&broker, "sessions", "address"), 1.0);
    let _other = at(&broker, "127.0.0.3");
    ok(&first.disconnect());
    ok(&third.handshake());
    too_much(&first.handshake(), "handshake");
}

#[test]
fn r33_a_session_that_expires_makes_room_for_another() {
    let broker = Broker::with(
        "[limits]\nloopback = true\nsessions_per_address = 1\n[sessions]\nmax_interval = \"300ms\"\n",
    );
    ok(&Client::new(&broker).handshake());
    let mut next = Client::new(&broker);
    too_much(&next.handshake(), "handshake");
    until("the end of the first", PATIENCE, || {
        (next.handshake()["successful"] == true).then_some(())
    });
}

#[test]
fn r35_e4_a_handshake_over_a_socket_or_as_a_script_is_one() {
    let broker = limited("handshakes_per_address = \"1/h\"");
    ok(&Client::new(&broker).handshake());
    let mut script = Client::new(&broker);
    let message = script.message(
        "/meta/handshake",
        json!({"version": "1.0", "supportedConnectionTypes": ["callback-polling"]}),
    );
    too_much(&only(script.call(&[json!([message])])), "handshake");
    let mut socket = weft_tests::websocket::Socket::open(broker.listen);
    socket.send_text(&json!([message]).to_string());
    let answer: serde_json::Value = serde_json::from_str(&socket.next_text()).expect("JSON");
    too_much(&answer[0], "handshake");
    assert_eq!(count(&broker, "handshakes", "address"), 2.0);
}
