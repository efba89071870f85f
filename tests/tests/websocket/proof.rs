//! Pongs prove that events arrived; what they do not prove goes again (decisions section 4).

use serde_json::json;
use weft_tests::api::publish;
use weft_tests::bayeux::{data, ok};
use weft_tests::broker::Broker;
use weft_tests::http::Cut;
use weft_tests::websocket::{Frame, Kind};

use crate::talker::{Talker, values};

/// A socket that has read these events, without saying so.
fn unproven<'b>(broker: &'b Broker, last: i64) -> Talker<'b> {
    let mut talker = Talker::subscribed(broker, "/a");
    talker.socket.answers_pings = false;
    for n in 1..=last {
        publish(broker, "/a", n);
    }
    let count = usize::try_from(last).expect("a small number");
    assert_eq!(talker.events(count), values(1..=last));
    talker
}

#[test]
fn l12_x5_what_no_pong_proves_comes_again_on_the_next_socket_in_order() {
    let broker = Broker::start();
    for cut in [Cut::Close, Cut::Reset] {
        let mut talker = unproven(&broker, 3);
        talker.another_socket().cut(cut);
        publish(&broker, "/a", 4);
        talker.begin_connect();
        assert_eq!(talker.events(4), values(1..=4), "{cut:?}");
        talker.another_socket().cut(cut);
        talker.begin_connect();
        assert_eq!(talker.events(4), values(1..=4), "{cut:?}: as often as it takes");
    }
}

#[test]
fn r38_what_comes_again_comes_in_one_piece_with_the_reply() {
    let broker = Broker::start();
    let mut talker = unproven(&broker, 3);
    talker.another_socket().cut(Cut::Close);
    let now = json!({"advice": {"timeout": 0}});
    let connect = talker.message("/meta/connect", now);
    talker.say(&[connect]);
    // Proxies that let the first piece pass and swallow the rest are not known to swallow anything.
    let piece = talker.socket.connection.wait_for(1).expect("a piece");
    let piece = String::from_utf8_lossy(piece);
    assert!(piece.contains("/meta/connect") && piece.contains(r#""data":3"#), "{piece}");
    talker.socket.answers_pings = true;
}

#[test]
fn l12_x5_what_no_pong_proves_comes_again_by_long_polling() {
    let broker = Broker::start();
    let Talker { mut client, socket } = unproven(&broker, 3);
    socket.cut(Cut::Reset);
    publish(&broker, "/a", 4);
    let mut came = Vec::new();
    while came.last() != Some(&json!(4)) {
        came.extend(data(client.connect()));
    }
    assert_eq!(came, values(1..=4));
}

#[test]
fn l12_x5_what_a_pong_proves_does_not_come_again() {
    let broker = Broker::with("[websocket]\nping_interval = \"200ms\"\npong_timeout = \"1h\"\n");
    let mut talker = unproven(&broker, 3);
    let (payload, early) = talker.until_ping();
    assert!(early.is_empty());
    publish(&broker, "/a", 4);
    // Behind the ping, which says nothing about it.
    while talker.until_ping().1 != values([4]) {}
    talker.socket.send(&Frame::new(Kind::Pong, payload));
    ok(&talker.ask("/x", json!({"data": 1})));
    talker.another_socket().cut(Cut::Reset);
    publish(&broker, "/a", 5);
    talker.begin_connect();
    assert_eq!(talker.events(2), values([4, 5]));
}

#[test]
fn l12_x5_pongs_to_pings_of_nobody_prove_nothing() {
    let broker = Broker::start();
    let mut talker = unproven(&broker, 3);
    for payload in [&b""[..], b"1", &[0, 0, 0, 0], &[0, 0, 0, 9], &[255; 4], &[1; 125]] {
        talker.socket.send(&Frame::new(Kind::Pong, payload));
    }
    ok(&talker.ask("/x", json!({"data": 1})));
    talker.another_socket().cut(Cut::Reset);
    talker.begin_connect();
    assert_eq!(talker.events(3), values(1..=3));
}

#[test]
fn l12_x5_proof_for_a_session_is_none_for_another_on_the_same_socket() {
    let broker = Broker::with("[websocket]\nping_interval = \"200ms\"\npong_timeout = \"1h\"\n");
    let mut talker = unproven(&broker, 3);
    let old = talker.client.client_id.clone();
    talker.client.client_id.clear();
    let fields = json!({"version": "1.0", "supportedConnectionTypes": ["websocket"]});
    let handshake = talker.message("/meta/handshake", fields);
    talker.say(&[handshake]);
    while !talker.hear().iter().any(|reply| reply["channel"] == "/meta/handshake") {}
    talker.socket.answers_pings = true;
    let (payload, _) = talker.until_ping();
    talker.socket.send(&Frame::new(Kind::Pong, payload));
    assert!(talker.is_silent());
    let mut elsewhere = Talker::over(talker.client);
    elsewhere.client.client_id = old;
    elsewhere.begin_connect();
    assert_eq!(elsewhere.events(3), values(1..=3));
}

#[test]
fn l12_x5_a_burst_is_asked_about_at_once_so_that_little_comes_twice() {
    let broker = Broker::start();
    let mut talker = Talker::subscribed(&broker, "/a");
    for n in 1..=500 {
        publish(&broker, "/a", n);
    }
    assert_eq!(talker.events(500), values(1..=500));
    // Pings were answered on the way; the last of them may be still to come.
    ok(&talker.ask("/x", json!({"data": 1})));
    talker.another_socket().cut(Cut::Reset);
    publish(&broker, "/a", 501);
    talker.begin_connect();
    let mut came = talker.events(1);
    while came.last() != Some(&json!(501)) {
        came.extend(talker.events(1));
    }
    assert!(came.len() < 200, "{} of 500 come twice", came.len());
    assert!(came.is_sorted_by_key(|n| n.as_i64()));
}
