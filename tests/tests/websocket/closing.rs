//! Why sockets are closed, and what is said about it.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use weft_tests::bayeux::ok;
use weft_tests::broker::Broker;
use weft_tests::siege::{HANDSHAKE, Siege};
use weft_tests::wait::PATIENCE;
use weft_tests::websocket::{Came, Frame, Kind, Socket};

use crate::talker::Talker;

/// What the broker says to these bytes, once the socket is in use; it must close the connection too.
fn closed_by(broker: &Broker, bytes: &[u8]) -> u16 {
    let mut socket = Socket::open(broker.listen);
    socket.send_text(HANDSHAKE);
    assert!(socket.next_text().contains("clientId"));
    // It may be closed on before all of it is taken.
    let _ = socket.connection.try_send(bytes);
    let (code, reason) = socket.closed();
    assert!((1..=60).contains(&reason.len()), "{code} {reason:?}");
    assert!(!reason.contains("::") && !reason.contains("src/"), "no internals: {reason}");
    socket.send(&Frame::new(Kind::Close, code.to_be_bytes()));
    assert!(socket.connection.is_closed_by_peer());
    code
}

fn text(payload: impl Into<Vec<u8>>) -> Vec<u8> {
    Frame::new(Kind::Text, payload).bytes()
}

#[test]
fn x5_l10_what_is_no_message_closes_the_socket_with_a_code_that_says_why() {
    let broker = Broker::start();
    let deep = "[".repeat(100) + &"]".repeat(100);
    let many = Value::from(vec![json!({"channel": "/a", "data": 1}); 1_001]).to_string();
    let large = format!("[{{\"channel\":\"/a\",\"data\":\"{}\"}}]", "x".repeat(1 << 20));
    let half = Frame::new(Kind::Text, vec![b' '; 600 << 10]).unfinished().bytes();
    let rest = Frame::new(Kind::Continuation, vec![b' '; 600 << 10]).bytes();
    let cases: [(&str, Vec<u8>, u16); 12] = [
        ("binary", Frame::new(Kind::Binary, "[]").bytes(), 1003),
        ("not UTF-8", text([b'[', b'"', 0xff, b'"', b']']), 1007),
        ("half a surrogate", text([0xed, 0xa0, 0x80]), 1007),
        ("not JSON", text("hello"), 1007),
        ("half of it", text(r#"[{"channel":"/a""#), 1007),
        ("two of it", text("[] []"), 1007),
        ("a number", text("17"), 1007),
        ("no objects", text("[1,2]"), 1007),
        ("deep", text(format!("[{{\"channel\":\"/a\",\"data\":{deep}}}]")), 1008),
        ("many", text(many), 1008),
        ("large", text(large), 1009),
        ("large in pieces", [half, rest].concat(), 1009),
    ];
    for (name, bytes, code) in cases {
        assert_eq!(closed_by(&broker, &bytes), code, "{name}");
    }
    assert!(!broker.log().contains("panicked"), "{}", broker.log());
}

#[test]
fn x5_what_breaks_the_rules_of_frames_closes_the_socket() {
    let broker = Broker::start();
    let cases: [(&str, Vec<u8>); 6] = [
        ("unmasked", vec![0x81, 0x02, b'[', b']']),
        ("an unknown kind", vec![0x83, 0x80, 0, 0, 0, 0]),
        ("a reserved bit", vec![0xc1, 0x80, 0, 0, 0, 0]),
        ("a rest of nothing", Frame::new(Kind::Continuation, "[]").bytes()),
        ("a long ping", Frame::new(Kind::Ping, vec![0; 126]).bytes()),
        ("a ping in pieces", Frame::new(Kind::Ping, "x").unfinished().bytes()),
    ];
    for (name, bytes) in cases {
        assert_eq!(closed_by(&broker, &bytes), 1002, "{name}");
    }
    // The largest length that can be told, which nobody should make room for.
    let huge = [&[0x81, 0xff], &u64::MAX.to_be_bytes()[..], &[0; 4]].concat();
    assert!([1002, 1009].contains(&closed_by(&broker, &huge)));
    let big = [&[0x81, 0xff], &(1_u64 << 40).to_be_bytes()[..], &[0; 4]].concat();
    assert_eq!(closed_by(&broker, &big), 1009);
    broker.wait_metric("weft_websockets", |open| open == 0.0);
}

#[test]
fn x5_messages_up_to_the_limit_of_a_body_are_taken() {
    let broker = Broker::start();
    let mut talker = Talker::subscribed(&broker, "/a");
    let envelope = talker.message("/a", json!({"data": ""})).to_string().len();
    let data = "x".repeat((1 << 20) - envelope - "[]".len());
    let message = talker.message("/a", json!({"data": data}));
    // The next id may be a digit longer.
    assert!((0..=1).contains(&(json!([message]).to_string().len() - (1 << 20))));
    let message = talker.client.message("/a", json!({"data": &data[1..]}));
    talker.say(&[message]);
    assert!(talker.events(1)[0] == data[1..]);
    ok(&talker.hear()[0]);
}

#[test]
fn x5_a_message_may_come_in_pieces_and_empty_ones_are_passed_over() {
    let broker = Broker::start();
    let mut socket = Socket::open(broker.listen);
    for nothing in ["", " ", "null", "\n"] {
        socket.send_text(nothing);
    }
    let (first, rest) = HANDSHAKE.split_at(10);
    socket.send(&Frame::new(Kind::Text, first).unfinished());
    socket.send(&Frame::new(Kind::Ping, "between"));
    assert_eq!(socket.read_frame().expect("a pong"), Frame::new(Kind::Pong, "between"));
    for byte in rest.bytes() {
        socket.send(&Frame::new(Kind::Continuation, [byte]).unfinished());
    }
    socket.send(&Frame::new(Kind::Continuation, ""));
    assert!(socket.next_text().contains("\"successful\":true"));
    // One object is as good as an array of one; a character may be cut in two.
    let text = r#"{"channel":"/meta/handshake","version":"1.0","supportedConnectionTypes":["websocket"],"id":"é"}"#;
    let (first, rest) = text.as_bytes().split_at(text.len() - 3);
    socket.send(&Frame::new(Kind::Text, first).unfinished());
    socket.send(&Frame::new(Kind::Continuation, rest));
    let reply = socket.next_text();
    assert!(reply.starts_with('[') && reply.contains("\"id\":\"é\""), "{reply}");
}

#[test]
fn x5_pings_are_answered_and_pongs_that_nobody_asked_for_are_not() {
    let broker = Broker::start();
    let mut socket = Socket::open(broker.listen);
    for payload in [&b""[..], b"x", &[0, 1, 2, 255], &[7; 125]] {
        socket.send(&Frame::new(Kind::Pong, [0, 0, 0, 1]));
        socket.send(&Frame::new(Kind::Ping, payload));
        assert_eq!(socket.read_frame().expect("a pong"), Frame::new(Kind::Pong, payload));
    }
}

#[test]
fn x5_a_close_is_answered_with_its_code_and_the_session_lives_on() {
    let broker = Broker::start();
    let mut talker = Talker::subscribed(&broker, "/a");
    talker
        .socket
        .send(&Frame::new(Kind::Close, [1000_u16.to_be_bytes().as_slice(), b"bye"].concat()));
    assert!(matches!(talker.socket.next_within(PATIENCE), Came::Close(1000, _)));
    assert!(talker.socket.connection.is_closed_by_peer());
    broker.wait_metric("weft_websockets", |open| open == 0.0);
    assert_eq!(broker.metric("weft_sessions"), 1.0);
    weft_tests::api::publish(&broker, "/a", 1);
    talker.another_socket();
    talker.begin_connect();
    assert_eq!(talker.events(1), [json!(1)]);
}

#[test]
fn x5_p5_a_socket_that_no_session_uses_is_closed() {
    let broker = Broker::with("[sessions]\nmax_interval = \"300ms\"\n");
    let mut silent = Socket::open(broker.listen);
    assert_eq!(silent.closed().0, 1008);
    let mut talker = Talker::connected(&broker);
    ok(&talker.ask("/meta/disconnect", json!({})));
    let (code, _) = talker.socket.closed();
    assert!([1000, 1008].contains(&code), "{code}");
    broker.wait_metric("weft_websockets", |open| open == 0.0);
}

#[test]
fn e17_an_open_socket_is_contact_and_after_it_the_session_ends_in_time() {
    let broker = Broker::with("[sessions]\ntimeout = \"30s\"\nmax_interval = \"300ms\"\n");
    let mut talker = Talker::connected(&broker);
    ok(&talker.ask("/meta/subscribe", json!({"subscription": "/a"})));
    // No connect is under way.
    assert_eq!(talker.socket.next_within(Duration::from_secs(1)), Came::Nothing);
    assert_eq!(broker.metric("weft_sessions"), 1.0);
    weft_tests::api::publish(&broker, "/a", 1);
    assert_eq!(talker.events(1), [json!(1)]);
    drop(talker);
    broker.wait_sessions(0);
}

#[test]
fn d10_a_broker_that_stops_says_goodbye_on_every_socket() {
    let broker = Broker::with("[http]\ndrain_timeout = \"15s\"\n");
    let mut held = Talker::subscribed(&broker, "/a");
    let mut idle = Socket::open(broker.listen);
    let mut deaf = Talker::subscribed(&broker, "/a");
    broker.wait_metric("weft_held_connects", |held| held == 2.0);
    broker.signal(Signal::TERM);
    let reply = held.hear().remove(0);
    ok(&reply);
    assert_eq!(reply["advice"]["reconnect"], "retry", "{reply}");
    assert!(reply["advice"]["interval"].as_u64() >= Some(1_000), "{reply}");
    assert_eq!(held.socket.closed().0, 1001);
    assert_eq!(idle.closed().0, 1001);
    // Who does not answer the goodbye holds nobody up.
    assert_eq!(broker.wait_exit(PATIENCE), Some(0), "{}", broker.log());
    assert!(!broker.log().contains("cut after the drain timeout"), "{}", broker.log());
    assert_eq!(deaf.socket.closed().0, 1001);
}

#[test]
fn r37_p5_who_speaks_and_never_listens_costs_little() {
    let siege = Siege::with("[http]\nbody_timeout = \"1s\"\n");
    let mut talkers: Vec<Talker<'_>> = (0..4).map(|_| Talker::connected(&siege.0)).collect();
    for talker in &mut talkers {
        // Each is answered with more than it says.
        let fields = json!({"subscription": "/meta/*"});
        let many: Vec<Value> =
            (0..500).map(|_| talker.message("/meta/subscribe", fields.clone())).collect();
        let bytes = text(json!(many).to_string());
        talker.socket.connection.send_until_stuck(&bytes);
    }
    siege.0.wait_metric("weft_websockets", |open| open == 0.0);
    drop(talkers);
    siege.over();
}

#[test]
fn r37_half_a_frame_is_not_waited_for_for_ever() {
    let siege = Siege::with("[websocket]\nping_interval = \"200ms\"\npong_timeout = \"300ms\"\n");
    let mut half: Vec<Socket> = (0..8).map(|_| Socket::open(siege.0.listen)).collect();
    for socket in &mut half {
        let bytes = text("x".repeat(100_000));
        socket.connection.send(&bytes[..50_000]);
    }
    siege.0.wait_metric("weft_websockets", |open| open == 0.0);
    drop(half);
    siege.over();
}
