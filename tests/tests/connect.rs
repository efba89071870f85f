//! Connects: when they are held and what they are answered (checklist 1.D, 1.E, 1.I; decisions 3.1,
//! 3.2, 3.4, 3.13).

use std::time::Duration;

use serde_json::{Value, json};
use weft_tests::bayeux::{Client, data, events_and_reply, ok, only, refused};
use weft_tests::broker::Broker;
use weft_tests::wait::{PATIENCE, now};

fn channels(messages: &[Value]) -> Vec<&str> {
    messages.iter().map(|message| message["channel"].as_str().expect("a channel")).collect()
}

#[test]
fn x4_e15_the_first_connect_is_answered_at_once() {
    let broker = Broker::start();
    for advice in [Value::Null, json!({"timeout": 0}), json!({"timeout": 30_000})] {
        let mut client = Client::handshaken(&broker);
        let start = now();
        let reply = only(client.connect_with(json!({"advice": advice})));
        ok(&reply);
        assert!(start.elapsed() < PATIENCE);
    }
    assert_eq!(broker.metric("weft_held_connects"), 0.0);
}

#[test]
fn a8_e15_e16_i1_r2_r13_a_later_connect_is_held_to_the_timeout_and_answered_with_200() {
    let broker = Broker::with("[sessions]\ntimeout = \"700ms\"\n");
    let mut client = Client::connected(&broker);
    let start = now();
    let mut held = client.held_connect();
    let response = held.response();
    assert!(start.elapsed() >= Duration::from_millis(650), "{:?}", start.elapsed());
    assert_eq!(response.status, 200);
    let reply = only(response.messages());
    let expected = json!({"channel": "/meta/connect", "id": "3", "successful": true});
    assert_eq!(reply, expected, "without asking there is no advice");
    assert_eq!(broker.metric("weft_held_connects"), 0.0);
}

#[test]
fn d6_the_clients_timeout_is_honoured_for_that_connect_only() {
    let broker = Broker::start();
    let mut client = Client::connected(&broker);
    let start = now();
    let reply = only(client.connect_with(json!({"advice": {"timeout": 400}})));
    assert!(start.elapsed() >= Duration::from_millis(350), "{:?}", start.elapsed());
    ok(&reply);
    let normal = json!({"reconnect": "retry", "interval": 0, "timeout": 30_000});
    assert_eq!(reply["advice"], normal, "the advice shows the server's timeout");
    ok(&only(client.connect_with(json!({"advice": {"timeout": 0}}))));
    assert!(client.held_connect().is_waiting());
}

#[test]
fn d6_a_longer_timeout_than_the_servers_is_capped() {
    let broker = Broker::with("[sessions]\ntimeout = \"500ms\"\n");
    let mut client = Client::connected(&broker);
    for timeout in [json!(86_400_000), json!(1e300)] {
        ok(&only(client.connect_with(json!({"advice": {"timeout": timeout}}))));
    }
}

#[test]
fn d6_a_timeout_that_is_no_natural_number_counts_as_none() {
    let broker = Broker::with("[sessions]\ntimeout = \"300ms\"\n");
    let mut client = Client::connected(&broker);
    let oddities = [
        json!({"timeout": -1}),
        json!({"timeout": "0"}),
        json!({"timeout": null}),
        json!({"timeout": [0]}),
        json!("0"),
        json!([0]),
        json!(0),
    ];
    for advice in oddities {
        let start = now();
        ok(&only(client.connect_with(json!({"advice": advice}))));
        assert!(start.elapsed() >= Duration::from_millis(250), "{advice} was taken for 0");
    }
}

#[test]
fn c15_l2_the_connection_type_is_not_looked_at() {
    let broker = Broker::start();
    let mut client = Client::connected(&broker);
    for kind in [json!("carrier-pigeon"), json!("callback-polling"), json!(7), Value::Null] {
        ok(&only(client.connect_with(json!({"connectionType": kind, "advice": {"timeout": 0}}))));
    }
}

#[test]
fn e11_a_connect_in_a_batch_is_answered_at_once_and_last() {
    let broker = Broker::start();
    let mut client = Client::subscribed(&broker, "/a");
    for connect_at in 0..3 {
        let mut batch = vec![
            client.message("/a", json!({"data": connect_at})),
            client.message("/meta/subscribe", json!({"subscription": "/b"})),
        ];
        batch.insert(connect_at, client.message("/meta/connect", json!({})));
        let messages = client.send(&Value::Array(batch));
        assert_eq!(channels(&messages), ["/a", "/a", "/meta/subscribe", "/meta/connect"]);
        assert_eq!(messages[0]["data"], json!(connect_at), "the event goes first");
        messages[1..].iter().for_each(ok);
    }
}

#[test]
fn e12_two_connects_in_one_batch_are_both_answered_at_once() {
    let broker = Broker::start();
    let mut client = Client::connected(&broker);
    let batch =
        [client.message("/meta/connect", json!({})), client.message("/meta/connect", json!({}))];
    let messages = client.send(&json!(batch));
    assert_eq!(channels(&messages), ["/meta/connect", "/meta/connect"]);
    messages.iter().for_each(ok);
    assert_eq!(messages[0]["id"], batch[0]["id"]);
    assert_eq!(messages[1]["id"], batch[1]["id"]);
}

#[test]
fn l5_e12_r6_a_newer_connect_releases_the_older() {
    let broker = Broker::start();
    let mut client = Client::subscribed(&broker, "/a");
    let mut older = client.held_connect();
    let older_id = client.last_id.to_string();
    let mut newer = client.start_connect();
    let response = older.response();
    assert_eq!(response.status, 200);
    let reply = only(response.messages());
    ok(&reply);
    assert_eq!(reply["id"], older_id);
    assert!(newer.is_waiting());
    broker.wait_held(1);
    ok(&client.publish("/a", 1));
    assert_eq!(data(newer.answer()), [json!(1)], "the newer connect has the event");
}

#[test]
fn l5_e12_a_batched_connect_releases_a_held_one_too() {
    let broker = Broker::start();
    let mut client = Client::connected(&broker);
    let mut older = client.held_connect();
    assert_eq!(client.peek().len(), 1);
    ok(&only(older.answer()));
    broker.wait_held(0);
}

#[test]
fn l5_two_that_fight_over_a_session_are_parted() {
    let broker = Broker::start();
    let mut client = Client::connected(&broker);
    let mut held = client.held_connect();
    for round in 1..=8 {
        let newer = client.start_connect();
        let reply = only(held.answer());
        if round <= 5 {
            ok(&reply);
        } else {
            refused(&reply, "402::session_unknown");
            assert_eq!(reply["advice"]["reconnect"], "handshake", "{reply}");
            assert!(reply["advice"]["interval"].is_u64() && reply["advice"]["timeout"].is_u64());
        }
        held = newer;
    }
    assert!(held.is_waiting(), "the newest stays");
    broker.wait_held(1);
    assert_eq!(broker.metric("weft_sessions"), 1.0);
}

#[test]
fn l13_a11_e16_every_connect_without_a_session_is_told_to_handshake() {
    let broker = Broker::start();
    let mut client = Client::handshaken(&broker);
    for id in
        [json!("unknown"), json!("0".repeat(1_000)), json!(7), json!({}), json!(""), Value::Null]
    {
        let reply = only(client.connect_with(json!({"clientId": id})));
        refused(&reply, "402::session_unknown");
        let advice = json!({"reconnect": "handshake", "interval": 0, "timeout": 30_000});
        assert_eq!(reply["advice"], advice, "{id}");
        assert!(reply.get("clientId").is_none());
    }
}

#[test]
fn e16_d11_any_other_unsuccessful_connect_reply_keeps_the_client_from_hammering() {
    let broker = Broker::start();
    let mut client = Client::connected(&broker);
    let reply = only(client.connect_with(json!({"id": {"odd": true}})));
    refused(&reply, "405::message_id_invalid");
    let advice = &reply["advice"];
    let late = advice["interval"].as_u64().is_some_and(|interval| interval >= 1_000);
    let calm = advice["reconnect"] == "none" || advice["reconnect"] == "retry" && late;
    assert!(calm, "{reply}");
}

#[test]
fn e11_a_refused_connect_reply_comes_last_as_well() {
    let broker = Broker::start();
    let batch = json!([{"channel": "/meta/connect", "clientId": "gone"},
        {"channel": "/a", "clientId": "gone", "data": 1}]);
    let messages = Client::new(&broker).send(&batch);
    assert_eq!(channels(&messages), ["/a", "/meta/connect"]);
}

#[test]
fn d7_d11_the_interval_is_told_and_an_early_connect_is_not_refused() {
    let broker = Broker::with("[sessions]\ninterval = \"5s\"\n");
    let mut client = Client::connected(&broker);
    let reply = only(client.connect_with(json!({"advice": {"timeout": 0}})));
    assert_eq!(reply["advice"], json!({"reconnect": "retry", "interval": 5000, "timeout": 30_000}));
    assert!(client.held_connect().is_waiting());
}

#[test]
fn e16_no_successful_connect_reply_says_handshake() {
    let broker = Broker::with("[sessions]\ntimeout = \"200ms\"\n");
    let mut client = Client::handshaken(&broker);
    let mut replies = client.connect();
    replies.extend(client.connect());
    replies.extend(client.connect_with(json!({"advice": {"timeout": 0}})));
    replies.extend(client.peek());
    let mut older = client.held_connect();
    let mut newer = client.start_connect();
    replies.extend(older.answer());
    replies.extend(newer.answer());
    for reply in replies {
        ok(&reply);
        assert_ne!(reply["advice"]["reconnect"], "handshake", "{reply}");
    }
}

#[test]
fn r15_no_other_deadline_cuts_a_held_connect() {
    let deadlines = "head_timeout = \"200ms\"\nbody_timeout = \"200ms\"\nidle_timeout = \"1s\"\n";
    let broker = Broker::with(&format!(
        "[sessions]\ntimeout = \"2500ms\"\n[browsers]\ninterval = \"200ms\"\n[http]\n{deadlines}"
    ));
    let mut client = Client::connected(&broker);
    let mut held = client.held_connect();
    assert!(held.is_waiting_for(Duration::from_millis(1_800)));
    ok(&only(held.answer()));
}

#[test]
fn a1_r7_a_whole_session_needs_no_more_than_two_sockets() {
    let broker = Broker::start();
    let mut client = Client::subscribed(&broker, "/a");
    let body = |message: &Value| json!([message]).to_string();
    let mut polls = broker.connect();
    for n in 0..3 {
        let connect = client.message("/meta/connect", json!({}));
        polls.start(&client.request(body(&connect)));
        broker.wait_held(1);
        ok(&client.publish("/a", n));
        assert_eq!(data(polls.read().unwrap().messages()), [json!(n)]);
    }
    let connect = client.message("/meta/connect", json!({}));
    polls.start(&client.request(body(&connect)));
    broker.wait_held(1);
    ok(&client.disconnect());
    ok(&only(polls.read().unwrap().messages()));
}

#[test]
fn a10_r8_a_request_pipelined_behind_a_held_connect_waits_at_most_the_hold() {
    let broker = Broker::with("[sessions]\ntimeout = \"1s\"\n");
    let mut client = Client::subscribed(&broker, "/a");
    let connect = client.message("/meta/connect", json!({}));
    let publish = client.message("/a", json!({"data": 1}));
    let mut bytes = client.request(connect.to_string()).bytes(broker.listen);
    bytes.extend(client.request(publish.to_string()).bytes(broker.listen));
    let mut connection = broker.connect();
    connection.send(&bytes);
    let (_, reply) = events_and_reply(connection.read().unwrap().messages());
    ok(&reply);
    ok(&only(connection.read().unwrap().messages()));
    assert_eq!(data(client.peek()), [json!(1)]);
}

#[test]
fn r22_many_requests_share_one_connection() {
    let broker = Broker::start();
    let mut client = Client::subscribed(&broker, "/a");
    let before = broker.metric("weft_connections_total");
    let scrapes = 1.0;
    for n in 0..200 {
        ok(&client.publish("/a", n));
    }
    assert_eq!(broker.metric("weft_connections_total") - before, scrapes);
    assert_eq!(data(client.peek()).len(), 200);
}
