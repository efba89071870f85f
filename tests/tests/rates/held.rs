//! Held polls, streams and sockets: past the bound a connect is served like any other, but not held.

use std::time::Duration;

use serde_json::json;
use weft_tests::bayeux::{Client, data, events_and_reply, ok, only};
use weft_tests::broker::Broker;
use weft_tests::held::Held;
use weft_tests::http::Request;
use weft_tests::stream::Stream;
use weft_tests::wait::{PATIENCE, now, until};
use weft_tests::websocket::{Socket, upgrade};

use super::{at, bounded, count};

#[test]
fn r33_p1_past_the_bound_connects_are_answered_at_once_and_lose_nothing() {
    for (limit, scope) in [("held_per_address = 2", "address"), ("held = 2", "all")] {
        let broker = bounded(&format!("{limit}\n"));
        let mut clients: Vec<_> = (0..3).map(|_| at(&broker, "127.0.0.2")).collect();
        let mut late = clients.pop().expect("the third");
        ok(&late.subscribe("/a"));
        let mut held: Vec<_> = clients.iter_mut().map(Client::held_connect).collect();
        let start = now();
        let reply = only(late.connect());
        assert!(start.elapsed() < Duration::from_secs(10), "not held");
        ok(&reply);
        let advice = &reply["advice"];
        assert_eq!(advice["reconnect"], "retry");
        let interval = advice["interval"].as_u64().expect("an interval");
        assert!((2_000..3_000).contains(&interval), "{reply}");
        assert_eq!(count(&broker, "held", scope), 1.0);
        // What is published comes with its next poll.
        let mut publisher = Client::new(&broker).at("127.0.0.3");
        ok(&publisher.handshake());
        ok(&publisher.publish("/a", "polled"));
        assert_eq!(data(late.connect()), ["polled"]);
        if scope == "address" {
            let mut other = at(&broker, "127.0.0.3");
            assert!(other.held_connect().is_waiting(), "others are not concerned");
            broker.wait_held(2);
        }
        assert!(held.iter_mut().all(|held| held.is_waiting()), "who waits goes on waiting");
        // One that goes makes room, and then all is as ever.
        held.pop();
        broker.wait_held(1);
        let mut waits = late.held_connect();
        ok(&publisher.publish("/a", "held"));
        let (events, reply) = events_and_reply(waits.answer());
        assert_eq!(events[0]["data"], "held");
        assert_eq!(reply["advice"]["interval"], 0, "the normal advice again: {reply}");
    }
}

#[test]
fn r33_a_thousand_polls_from_one_address_hold_as_many_as_they_may_and_others_are_held() {
    const POLLS: usize = 300;
    let broker = bounded("held_per_address = 50\n");
    let mut clients: Vec<_> = (0..POLLS).map(|_| at(&broker, "127.0.0.2")).collect();
    let mut polls: Vec<_> = clients.iter_mut().map(Client::start_connect).collect();
    until("all but fifty are answered", PATIENCE, || {
        (count(&broker, "held", "address") == (POLLS - 50) as f64).then_some(())
    });
    broker.wait_held(50);
    let mut other = at(&broker, "127.0.0.3");
    let mut held = other.held_connect();
    assert!(held.is_waiting());
    until("all the others' answers", PATIENCE, || {
        let waits = |poll: &mut Held| poll.is_waiting_for(Duration::from_millis(1));
        let waiting = polls.iter_mut().map(waits).filter(|waits| *waits).count();
        (waiting == 50).then_some(())
    });
}

#[test]
fn r33_streams_and_sockets_hold_as_well() {
    let broker = bounded("held_per_address = 2\n");
    let stream = Stream::open(&broker, "/stream/a", None);
    let socket = Socket::open(broker.listen);
    let refused = Socket::try_upgraded(broker.listen, &upgrade("/bayeux")).expect_err("no room");
    assert_eq!((refused.status, refused.header("Retry-After")), (429, Some("1")));
    let refused = broker.exchange(&Request::get("/stream/a"));
    assert_eq!((refused.status, refused.header("Retry-After")), (429, Some("1")));
    assert_eq!(refused.json()["error"], "429::rate_limited");
    assert_eq!(broker.exchange(&Request::get("/events/a")).status, 429);
    // EventSource would never come again.
    let source = Request::get("/events/a").header("Accept", "text/event-stream");
    let asked_back = broker.exchange(&source);
    assert_eq!(asked_back.status, 200);
    assert!(asked_back.text().contains("retry: 1000"), "{}", asked_back.text());
    let mut client = Client::connected(&broker);
    let path = format!("/bayeux/{}", client.client_id);
    let cookie = client.cookie.clone().unwrap_or_default();
    let source =
        Request::get(&path).header("Accept", "text/event-stream").header("Cookie", &cookie);
    let asked_back = broker.exchange(&source);
    assert!(asked_back.text().contains("retry: 1000"), "{}", asked_back.text());
    ok(&only(client.connect()));
    assert_eq!(count(&broker, "held", "address"), 6.0);
    drop((stream, socket));
    until("room", PATIENCE, || Socket::try_upgraded(broker.listen, &upgrade("/bayeux")).ok());
    let _stream = Stream::open(&broker, "/events/a", None);
}

#[test]
fn r33_a_socket_holds_once_whatever_waits_on_it() {
    let broker = bounded("held_per_address = 1\n");
    let mut client = Client::new(&broker);
    let mut socket = Socket::open(broker.listen);
    let mut ask = |client: &mut Client<'_>, channel: &str, fields: serde_json::Value| {
        let message = client.message(channel, fields);
        socket.send_text(&json!([message]).to_string());
    };
    let types = json!({"version": "1.0", "supportedConnectionTypes": ["websocket"]});
    ask(&mut client, "/meta/handshake", types);
    let reply: serde_json::Value = serde_json::from_str(&socket.next_text()).expect("JSON");
    reply[0]["clientId"].as_str().expect("a session").clone_into(&mut client.client_id);
    for _ in 0..2 {
        let connect = client.message("/meta/connect", json!({"connectionType": "websocket"}));
        socket.send_text(&json!([connect]).to_string());
    }
    broker.wait_held(1);
    assert_eq!(count(&broker, "held", "address"), 0.0);
}

#[test]
fn r33_without_bounds_nothing_is_counted() {
    let broker = Broker::start();
    let mut clients: Vec<_> = (0..20).map(|_| Client::without_cookies(&broker)).collect();
    let held: Vec<_> = clients.iter_mut().map(Client::start_connect).collect();
    broker.wait_held(20);
    drop(held);
    assert_eq!(broker.metric("weft_limited_total"), 0.0);
}
