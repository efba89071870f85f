//! The order of things on a socket, and how much goes in a frame.

use std::time::Duration;

use serde_json::{Value, json};
use weft_tests::api::{publish, publish_lines};
use weft_tests::bayeux::{Client, ok, only, refused};
use weft_tests::broker::Broker;
use weft_tests::http::{Cut, Request};
use weft_tests::websocket::Came;

use crate::talker::{Talker, values};

/// Publishes numbers in one request, so that they are there all at once.
fn publish_at_once(broker: &Broker, count: i64) {
    let array: Value = (1..=count).map(|n| json!({"channel": "/a", "data": n})).collect();
    assert_eq!(broker.exchange(&Request::post("/publish", array.to_string())).status, 200);
}

#[test]
fn x5_i1_connects_are_heartbeats_that_events_do_not_answer() {
    let broker = Broker::with("[sessions]\ntimeout = \"1s\"\n");
    let mut talker = Talker::subscribed(&broker, "/a");
    for n in 1..=3 {
        publish(&broker, "/a", n);
        assert_eq!(talker.events(1), [json!(n)]);
    }
    let reply = only(talker.hear());
    ok(&reply);
    assert_eq!(reply["channel"], "/meta/connect");
    assert_eq!(reply["id"], talker.client.last_id.to_string());
    publish(&broker, "/a", 4);
    assert_eq!(talker.events(1), [json!(4)], "and without a connect");
}

#[test]
fn x5_e15_a_batch_delays_no_reply() {
    let broker = Broker::start();
    let mut talker = Talker::connected(&broker);
    let connect = talker.message("/meta/connect", json!({}));
    let subscribe = talker.message("/meta/subscribe", json!({"subscription": "/a"}));
    let publish = talker.message("/b", json!({"data": 1}));
    talker.say(&[connect.clone(), subscribe.clone(), publish.clone()]);
    let replies = talker.hear();
    let ids: Vec<_> = replies.iter().map(|reply| &reply["id"]).collect();
    assert_eq!(ids, [&subscribe["id"], &publish["id"]], "{replies:?}");
    assert!(talker.is_silent(), "the connect is held");
    broker.wait_held(1);
    // A newer connect takes its place.
    let newer = talker.message("/meta/connect", json!({}));
    talker.say(&[newer]);
    let reply = only(talker.hear());
    ok(&reply);
    assert_eq!(reply["id"], connect["id"]);
    broker.wait_held(1);
}

#[test]
fn x5_l17_ones_own_event_comes_before_the_reply() {
    let broker = Broker::start();
    let mut talker = Talker::subscribed(&broker, "/a");
    for n in 1..=20 {
        let message = talker.message("/a", json!({"data": n}));
        talker.say(&[message]);
        let mut came = talker.hear();
        if came.len() == 1 {
            came.extend(talker.hear());
        }
        assert_eq!(came[0]["data"], n, "{came:?}");
        ok(&came[1]);
        assert_eq!(came.len(), 2);
    }
}

#[test]
fn x5_e18_e21_a_disconnect_is_answered_behind_the_connect_that_it_lets_go() {
    let broker = Broker::start();
    let mut talker = Talker::subscribed(&broker, "/a");
    broker.wait_held(1);
    let message = talker.message("/meta/disconnect", json!({}));
    talker.say(&[message]);
    let mut replies = talker.hear();
    if replies.len() == 1 {
        replies.extend(talker.hear());
    }
    let channels: Vec<_> = replies.iter().map(|reply| reply["channel"].as_str()).collect();
    assert_eq!(channels, [Some("/meta/connect"), Some("/meta/disconnect")]);
    assert_eq!(replies[0]["advice"]["reconnect"], "none", "{replies:?}");
    replies.iter().for_each(ok_but_for_advice);
    broker.wait_sessions(0);
    let reply = talker.ask("/x", json!({"data": 1}));
    refused(&reply, "402::session_unknown");
}

fn ok_but_for_advice(reply: &Value) {
    assert!(reply["successful"].is_boolean(), "{reply}");
}

#[test]
fn x5_e4_whatever_comes_with_a_handshake_is_passed_over() {
    let broker = Broker::start();
    let mut talker = Talker::over(Client::new(&broker));
    let types = json!({"supportedConnectionTypes": ["websocket"], "version": "1.0"});
    let handshake = talker.message("/meta/handshake", types);
    let other = talker.message("/meta/subscribe", json!({"subscription": "/a"}));
    talker.say(&[handshake, other]);
    ok(&only(talker.hear()));
    assert!(talker.is_silent());
}

#[test]
fn r24_p6_frames_carry_as_much_as_they_may_and_no_more() {
    let broker = Broker::with("[websocket]\nframe_messages = 10\n");
    let mut talker = Talker::subscribed(&broker, "/a");
    publish_at_once(&broker, 1_000);
    let mut all = Vec::new();
    let mut frames = 0;
    while all.len() < 1_000 {
        let events = talker.hear();
        assert!(events.len() <= 10, "{}", events.len());
        all.extend(events.into_iter().map(|event| event["data"].clone()));
        frames += 1;
    }
    assert_eq!(all, values(1..=1_000));
    assert!(frames <= 150, "{frames} frames");

    let broker = Broker::with("[websocket]\nframe_bytes = \"2KiB\"\n");
    let mut talker = Talker::subscribed(&broker, "/a");
    publish_at_once(&broker, 1_000);
    let mut all = 0;
    while all < 1_000 {
        let text = talker.socket.next_text();
        assert!(text.len() < 2_048 + 100, "{}", text.len());
        all += text.matches("\"data\"").count();
    }
    publish(&broker, "/a", "x".repeat(10_000));
    assert_eq!(talker.events(1)[0].as_str().map(str::len), Some(10_000), "one always fits");
}

#[test]
fn x5_p5_a_reader_that_stops_costs_no_memory_and_comes_back_to_all_of_it() {
    let broker = Broker::with("[[channels]]\npattern = \"/a\"\nbacklog = { messages = 200000 }\n");
    let mut talker = Talker::subscribed(&broker, "/a");
    publish_lines(&broker, "/a", 1..=50_000);
    // No pong comes, so that most of it is not even sent.
    assert!(broker.metric("weft_messages_out_total") < 20_000.0);
    assert!(broker.metric("weft_queue_messages") <= 10_000.0);
    talker.another_socket().cut(Cut::Reset);
    talker.begin_connect();
    let events = talker.events(50_000);
    assert!(events.iter().map(Value::as_i64).eq((1..=50_000).map(Some)));
    assert!(talker.is_silent());
}

#[test]
fn x5_a_peer_that_answers_no_ping_is_given_up() {
    let broker = Broker::with("[websocket]\nping_interval = \"200ms\"\npong_timeout = \"400ms\"\n");
    let mut alive = Talker::subscribed(&broker, "/a");
    let dead = Talker::subscribed(&broker, "/b");
    assert_eq!(broker.metric("weft_websockets"), 2.0);
    let mut waited = 0;
    while broker.metric("weft_websockets") > 1.0 {
        // Answers pings meanwhile.
        assert_eq!(alive.socket.next_within(Duration::from_millis(20)), Came::Nothing);
        waited += 1;
        assert!(waited < 1_000, "the dead one is still there");
    }
    drop(dead);
    for _ in 0..75 {
        assert_eq!(alive.socket.next_within(Duration::from_millis(20)), Came::Nothing);
    }
    publish(&broker, "/a", 1);
    assert_eq!(alive.events(1), [json!(1)], "who answers stays");
}
