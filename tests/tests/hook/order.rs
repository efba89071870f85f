//! Waiting for the hook: in the order of what a client says, and in nobody else's way.

use serde_json::json;
use weft_tests::bayeux::{Client, data, ok, only, refused};
use weft_tests::broker::Broker;
use weft_tests::held::Held;
use weft_tests::hook::{Asked, Hook, Say, yes};
use weft_tests::wait::{PATIENCE, until};

/// A message of a client, on a socket of its own.
fn start(client: &mut Client<'_>, channel: &str, fields: serde_json::Value) -> Held {
    let message = client.message(channel, fields);
    let mut connection = client.broker.connect();
    connection.start(&client.request(json!([message]).to_string()));
    Held(connection)
}

#[test]
fn p1_what_a_client_says_is_done_in_its_order() {
    let hook = Hook::start(|_| yes());
    let broker = Broker::with(&hook.section("events = [\"publish\"]"));
    let mut reader = Client::subscribed(&broker, "/**");
    let mut client = Client::connected(&broker);
    hook.shut();
    let mut first = start(&mut client, "/a", json!({"data": 1}));
    hook.wait_asked(1);
    // Neither this, which would be asked about, nor that, which would not, overtakes it.
    let mut second = start(&mut client, "/a", json!({"data": 2}));
    assert!(second.is_waiting());
    let mut third = start(&mut client, "/meta/subscribe", json!({"subscription": "/x"}));
    assert!(third.is_waiting() && first.is_waiting());
    assert_eq!(hook.asked().len(), 1, "the second is not even asked about");
    hook.open();
    for held in [&mut first, &mut second, &mut third] {
        ok(&only(held.answer()));
    }
    assert_eq!(data(reader.connect()), [json!(1), json!(2)]);
}

#[test]
fn whoever_waits_for_the_hook_waits_alone() {
    let hook = Hook::start(|_| yes());
    let broker = Broker::with(&hook.section("events = [\"subscribe\"]"));
    let mut reader = Client::subscribed(&broker, "/a");
    let mut client = Client::subscribed(&broker, "/a");
    let mut held = reader.held_connect();
    let mut own = client.held_connect();
    hook.shut();
    let before = hook.asked().len();
    let mut waiting = start(&mut client, "/meta/subscribe", json!({"subscription": "/b"}));
    hook.wait_asked(before + 1);
    // Others are served, and so is the poll of the session itself.
    ok(&Client::connected(&broker).publish("/a", 1));
    assert_eq!(data(held.answer()), [json!(1)]);
    assert_eq!(data(own.answer()), [json!(1)]);
    let mut again = client.held_connect();
    assert!(waiting.is_waiting());
    hook.open();
    ok(&only(waiting.answer()));
    ok(&Client::connected(&broker).publish("/b", 2));
    assert_eq!(data(again.answer()), [json!(2)]);
}

#[test]
fn p5_calls_in_flight_have_a_bound() {
    let hook = Hook::start(|_| yes());
    let section = "events = [\"publish\"]\nconcurrent = 2\nper_session = 8";
    let broker = Broker::with(&hook.section(section));
    let mut clients: Vec<_> = (0..6).map(|_| Client::connected(&broker)).collect();
    hook.shut();
    let mut waiting: Vec<_> =
        clients.iter_mut().map(|client| start(client, "/a", json!({"data": 1}))).collect();
    hook.wait_asked(2);
    assert!(waiting.iter_mut().all(Held::is_waiting));
    assert_eq!(hook.asked().len(), 2);
    hook.open();
    for held in &mut waiting {
        ok(&only(held.answer()));
    }
    assert_eq!((hook.asked().len(), hook.most_under_way()), (6, 2));
    let batch: Vec<_> = (0..20).map(|n| clients[0].message("/a", json!({"data": n}))).collect();
    clients[0].send(&json!(batch)).iter().for_each(ok);
    assert_eq!(hook.most_under_way(), 2);
}

#[test]
fn slow_calls_keep_nobody_from_coming_in() {
    let hook = Hook::start(|asked: &Asked| match asked.event() {
        "service" => Say::Nothing,
        _ => yes(),
    });
    let broker = Broker::with(&hook.section("concurrent = 1\ntimeout = \"20s\""));
    let mut client = Client::connected(&broker);
    let before = hook.asked().len();
    let calling = start(&mut client, "/service/a", json!({"data": 1}));
    hook.wait_asked(before + 1);
    let begun = weft_tests::wait::now();
    ok(&Client::connected(&broker).publish("/a", 1));
    assert!(begun.elapsed() < PATIENCE);
    calling.abort();
}

#[test]
fn p5_requests_of_one_session_that_wait_have_a_bound() {
    let hook = Hook::start(|_| yes());
    let broker = Broker::with(&hook.section("events = [\"publish\"]\nper_session = 2"));
    let (mut client, mut other) = (Client::connected(&broker), Client::connected(&broker));
    hook.shut();
    let mut first = start(&mut client, "/a", json!({"data": 1}));
    hook.wait_asked(1);
    let mut second = start(&mut client, "/a", json!({"data": 2}));
    assert!(second.is_waiting());
    refused(&client.publish("/a", 3), "503::hook_unavailable");
    let mut theirs = start(&mut other, "/a", json!({"data": 4}));
    hook.wait_asked(2);
    hook.open();
    for held in [&mut first, &mut second, &mut theirs] {
        ok(&only(held.answer()));
    }
    ok(&client.publish("/a", 5));
}

#[test]
fn a_client_that_goes_away_gives_its_place_back() {
    let hook = Hook::start(|asked: &Asked| match asked.json["data"].as_i64() {
        Some(1) => Say::Nothing,
        _ => yes(),
    });
    let section = "events = [\"publish\"]\nconcurrent = 1\ntimeout = \"20s\"";
    let broker = Broker::with(&hook.section(section));
    let mut client = Client::connected(&broker);
    let waiting = start(&mut client, "/a", json!({"data": 1}));
    hook.wait_asked(1);
    waiting.abort();
    let mut other = Client::connected(&broker);
    let begun = weft_tests::wait::now();
    ok(&other.publish("/a", 2));
    ok(&client.publish("/a", 3));
    assert!(begun.elapsed() < PATIENCE / 2, "nobody waited for the deadline");
    until("both are there", PATIENCE, || (hook.asked().len() == 3).then_some(()));
}
