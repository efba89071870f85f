//! How it ends: by the broker, by the subscriber, by a crash, by silence, or before it began.

use rustix::process::Signal;
use serde_json::json;
use weft_tests::api::{publish, publish_durably};
use weft_tests::bayeux::refused;
use weft_tests::broker::Broker;
use weft_tests::http::Cut;
use weft_tests::transports::{NEW, Transport};
use weft_tests::wait::PATIENCE;

use crate::supply::numbers;

/// Whether there is anything that ends with the broker or after some time.
fn has_sessions(on: Transport) -> bool {
    !matches!(on, Transport::Events | Transport::Stream)
}

pub(crate) fn d10_r13_a_broker_that_stops_says_so_and_one_can_come_back(on: Transport) {
    let broker = Broker::with("[http]\ndrain_timeout = \"15s\"\n");
    let mut subscriber = on.subscriber(&broker, &["/a"], NEW);
    publish(&broker, "/a", 1);
    assert_eq!(numbers(&subscriber.take(1)), [1]);
    subscriber.ready();
    broker.signal(Signal::TERM);
    subscriber.hear_farewell();
    assert_eq!(broker.wait_exit(PATIENCE), Some(0), "{}", broker.log());
    assert!(!broker.log().contains("cut after the drain timeout"), "{}", broker.log());
    broker.restart();
    publish(&broker, "/a", 2);
    subscriber.start_over();
    publish(&broker, "/a", 3);
    let expected = if has_sessions(on) { vec![3] } else { vec![2, 3] };
    assert_eq!(numbers(&subscriber.take(expected.len())), expected);
    assert!(subscriber.is_silent());
}

pub(crate) fn a11_after_a_crash_one_can_come_back(on: Transport) {
    let broker = Broker::with("[[channels]]\npattern = \"/a\"\ndurability = \"sync\"\n");
    let mut subscriber = on.subscriber(&broker, &["/a"], NEW);
    publish_durably(&broker, "/a", 1);
    assert_eq!(numbers(&subscriber.take(1)), [1]);
    subscriber.ready();
    broker.kill();
    subscriber.cut(Cut::Close);
    broker.restart();
    publish_durably(&broker, "/a", 2);
    subscriber.start_over();
    publish_durably(&broker, "/a", 3);
    let expected = if has_sessions(on) { vec![3] } else { vec![2, 3] };
    assert_eq!(numbers(&subscriber.take(expected.len())), expected);
}

pub(crate) fn e18_e21_who_leaves_leaves_nothing_behind(on: Transport) {
    let broker = Broker::start();
    let mut subscriber = on.subscriber(&broker, &["/a", "/b/**"], NEW);
    publish(&broker, "/a", 1);
    assert_eq!(numbers(&subscriber.take(1)), [1]);
    assert_eq!(broker.metric("weft_subscriptions"), 2.0);
    subscriber.leave();
    broker.wait_sessions(0);
    for gauge in ["weft_subscriptions", "weft_queue_messages", "weft_held_connects"] {
        broker.wait_metric(gauge, |left| left == 0.0);
    }
}

pub(crate) fn e17_e20_who_stays_away_is_forgotten(on: Transport) {
    let broker = Broker::with("[sessions]\ntimeout = \"1s\"\nmax_interval = \"300ms\"\n");
    let mut subscriber = on.subscriber(&broker, &["/a"], NEW);
    publish(&broker, "/a", 1);
    assert_eq!(numbers(&subscriber.take(1)), [1]);
    subscriber.ready();
    subscriber.cut(Cut::Reset);
    broker.wait_sessions(0);
    assert_eq!(broker.metric("weft_subscriptions"), 0.0);
    publish(&broker, "/a", 2);
    subscriber.start_over();
    publish(&broker, "/a", 3);
    // A session is gone with what it had coming; a cursor holds as long as the past is kept.
    let expected = if has_sessions(on) { vec![3] } else { vec![2, 3] };
    assert_eq!(numbers(&subscriber.take(expected.len())), expected);
}

pub(crate) fn r32_pages_of_foreign_origins_get_nothing(on: Transport) {
    let broker = Broker::with("origins = [\"https://app.example.com\"]\n");
    for origin in ["https://evil.example.com", "https://app.example.com.evil.com", "null"] {
        let response = broker.exchange(&on.foreign_request(&broker, origin));
        assert_eq!(response.status, 403, "{origin}: {}", response.text());
        assert_eq!(response.header("Access-Control-Allow-Origin"), None);
        assert_eq!(response.header("Sec-WebSocket-Accept"), None);
    }
    broker.wait_sessions(0);
}

pub(crate) fn l13_sessions_that_do_not_exist_are_refused(on: Transport) {
    let broker = Broker::start();
    let mut session = on.session(&broker, &json!({}));
    for channel in ["/meta/subscribe", "/meta/unsubscribe", "/x"] {
        let fields = json!({"clientId": "nobody", "subscription": "/a", "data": 1});
        refused(&session.ask(channel, fields), "402::session_unknown");
    }
    let (events, reply) = session.connect(json!({"clientId": "nobody"}));
    assert!(events.is_empty());
    refused(&reply, "402::session_unknown");
    assert_eq!(reply["advice"]["reconnect"], "handshake", "{reply}");
}
