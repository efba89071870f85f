//! Delivery: order, batches, and what is sent again (checklist 1.F, L11, L12; decisions 3.2, 3.3
//! and section 4).

use std::collections::BTreeSet;

use serde_json::{Value, json};
use weft_tests::bayeux::{Client, data, events_and_reply, ok, only};
use weft_tests::broker::Broker;
use weft_tests::http::Request;

/// A connect that asks to be answered at once.
fn at_once() -> Value {
    json!({"advice": {"timeout": 0}})
}

#[test]
fn f5_a_publish_reaches_every_subscriber_once() {
    let broker = Broker::start();
    let mut clients: Vec<_> = (0..20).map(|_| Client::subscribed(&broker, "/a")).collect();
    let mut held: Vec<_> = clients.iter_mut().map(Client::start_connect).collect();
    broker.wait_held(20);
    ok(&Client::connected(&broker).publish("/a", "x"));
    for held in &mut held {
        assert_eq!(data(held.answer()), [json!("x")]);
    }
    for client in &mut clients {
        assert_eq!(data(client.peek()), Vec::<Value>::new());
    }
}

#[test]
fn a6_l11_one_request_of_many_publishes_wakes_a_held_connect_once_with_all() {
    let broker = Broker::start();
    // Several, since a runtime may keep the first one that is woken until the publisher's turn ends.
    let mut listeners: Vec<_> = (0..4).map(|_| Client::subscribed(&broker, "/a")).collect();
    let mut publisher = Client::connected(&broker);
    for _ in 0..5 {
        let held: Vec<_> = listeners.iter_mut().map(Client::start_connect).collect();
        broker.wait_held(listeners.len());
        let batch: Vec<_> = (0..500).map(|n| publisher.message("/a", json!({"data": n}))).collect();
        publisher.send(&json!(batch)).iter().for_each(ok);
        for mut held in held {
            assert_eq!(data(held.answer()), (0..500).map(Value::from).collect::<Vec<_>>());
        }
    }
}

#[test]
fn a6_i1_events_that_wait_are_taken_by_the_next_connect_at_once() {
    let broker = Broker::start();
    let mut client = Client::subscribed(&broker, "/a");
    for count in [0, 1, 3] {
        let sent: Vec<Value> = (0..count).map(Value::from).collect();
        for value in &sent {
            ok(&client.publish("/a", value.clone()));
        }
        let fields = if count == 0 { at_once() } else { json!({}) };
        let (events, reply) = events_and_reply(client.connect_with(fields));
        ok(&reply);
        assert_eq!(data_of(&events), sent);
    }
}

fn data_of(events: &[Value]) -> Vec<Value> {
    events.iter().map(|event| event["data"].clone()).collect()
}

#[test]
fn l11_r24_order_holds_while_one_publishes_and_another_polls() {
    let broker = Broker::start();
    let mut listener = Client::subscribed(&broker, "/a");
    let seen = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut publisher = Client::connected(&broker);
            for n in 0..1_000 {
                ok(&publisher.publish("/a", n));
            }
        });
        let mut seen = Vec::new();
        while seen.len() < 1_000 {
            seen.extend(data(listener.connect()));
        }
        seen
    });
    assert_eq!(seen, (0..1_000).map(Value::from).collect::<Vec<_>>());
}

#[test]
fn l11_two_publishers_are_seen_in_the_same_order_by_all() {
    let broker = Broker::start();
    let mut listeners: Vec<_> = (0..3).map(|_| Client::subscribed(&broker, "/a")).collect();
    std::thread::scope(|scope| {
        for name in ["x", "y"] {
            let broker = &broker;
            scope.spawn(move || {
                let mut publisher = Client::connected(broker);
                for n in 0..200 {
                    ok(&publisher.publish("/a", json!([name, n])));
                }
            });
        }
    });
    let seen: BTreeSet<String> = listeners
        .iter_mut()
        .map(|listener| {
            let mut seen = Vec::new();
            while seen.len() < 400 {
                seen.extend(data(listener.connect()));
            }
            Value::from(seen).to_string()
        })
        .collect();
    assert_eq!(seen.len(), 1);
}

#[test]
fn a5_f6_l11_events_ride_on_connect_replies_only() {
    let broker = Broker::start();
    let mut client = Client::subscribed(&broker, "/a");
    ok(&client.publish("/a", 1));
    ok(&client.publish("/a", 2));
    ok(&client.subscribe("/b"));
    ok(&client.unsubscribe("/b"));
    assert_eq!(data(client.peek()), [json!(1), json!(2)]);
}

#[test]
fn a5_f7_with_deliver_on_any_reply_events_go_before_any_successful_reply() {
    let broker = Broker::with("deliver_on_any_reply = true\n");
    let mut client = Client::subscribed(&broker, "/a");
    let mut publisher = Client::connected(&broker);
    ok(&publisher.publish("/a", 1));
    let refused = client.ask("/a/", json!({"data": 1}));
    assert_eq!(refused["successful"], false, "an unsuccessful reply carries none");
    let subscribe = client.message("/meta/subscribe", json!({"subscription": "/b"}));
    let messages = client.send(&json!([subscribe]));
    assert_eq!(messages[0], json!({"channel": "/a", "data": 1}));
    assert_eq!(messages[1]["channel"], "/meta/subscribe");
    let publish = client.message("/a", json!({"data": 2}));
    let messages = client.send(&json!([publish]));
    assert_eq!(messages.len(), 2, "its own event: {messages:?}");
    assert_eq!(messages[0]["data"], 2);
    ok(&messages[1]);
    let held = client.held_connect();
    ok(&publisher.publish("/a", 3));
    let mut held = held;
    assert_eq!(data(held.answer()), [json!(3)]);
    ok(&publisher.publish("/a", 4));
    let disconnect = client.message("/meta/disconnect", json!({}));
    let messages = client.send(&json!([disconnect]));
    ok(messages.last().expect("a reply"));
}

#[test]
fn f6_e5_no_event_comes_with_a_handshake() {
    let broker = Broker::with("deliver_on_any_reply = true\n");
    let mut client = Client::subscribed(&broker, "/a");
    ok(&Client::connected(&broker).publish("/a", 1));
    let old = client.client_id.clone();
    ok(&client.handshake());
    client.client_id = old;
    assert_eq!(data(client.peek()), [json!(1)]);
}

#[test]
fn e16_an_unsuccessful_connect_reply_carries_no_events_and_loses_none() {
    let broker = Broker::start();
    let mut client = Client::subscribed(&broker, "/a");
    ok(&client.publish("/a", 1));
    let messages = client.connect_with(json!({"id": {"odd": true}}));
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert_eq!(messages[0]["error"], "405::message_id_invalid");
    assert_eq!(data(client.connect()), [json!(1)]);
}

#[test]
fn l12_f5_a_held_connect_whose_socket_closes_loses_nothing() {
    let broker = Broker::start();
    let mut client = Client::subscribed(&broker, "/a");
    for n in 0..5 {
        let held = client.held_connect();
        held.abort();
        broker.wait_held(0);
        ok(&client.publish("/a", n));
        assert_eq!(data(client.connect()), [json!(n)]);
        assert_eq!(data(client.peek()), Vec::<Value>::new());
    }
}

#[test]
fn l12_f5_an_event_that_comes_while_the_socket_dies_is_not_lost() {
    let broker = Broker::start();
    let mut client = Client::subscribed(&broker, "/a");
    for n in 0..30 {
        // The publish may meet the held connect just before its end is seen: then the reply is
        // written to a dead socket, and the client, as cometd.js does, comes back with timeout 0.
        client.held_connect().abort();
        ok(&client.publish("/a", n));
        let mut came = data(client.connect_with(at_once()));
        if came.is_empty() {
            came = data(client.connect());
        }
        assert_eq!(came, [json!(n)]);
        assert_eq!(data(client.peek()), Vec::<Value>::new());
    }
}

#[test]
fn l12_half_closed_sockets_lose_nothing() {
    let broker = Broker::start();
    let mut client = Client::subscribed(&broker, "/a");
    let mut held = client.held_connect();
    held.0.half_close();
    // Answered or dropped, the event must come.
    ok(&client.publish("/a", 1));
    let mut came = held.0.read().map(|response| data(response.messages())).unwrap_or_default();
    came.extend(data(client.connect_with(at_once())));
    assert!(came.contains(&json!(1)), "{came:?}");
}

#[test]
fn l12_events_of_a_reply_that_could_not_be_written_go_again_without_any_signal() {
    let limits = "body = \"16MiB\"\nqueue_bytes = \"32MiB\"\n";
    let broker = Broker::with(&format!("[limits]\n{limits}"));
    let mut client = Client::subscribed(&broker, "/a");
    let big = "x".repeat(15 << 20);
    let held = client.held_connect();
    ok(&client.publish("/a", big.as_str()));
    ok(&client.publish("/a", "next"));
    broker.wait_held(0);
    let resent = broker.metric("weft_messages_resent_total");
    // More than any socket buffer holds, and the reader leaves without reading.
    held.abort();
    // The client's own connection and the one that reads metrics are left.
    broker.wait_metric("weft_connections", |count| count == 2.0);
    let (came, reply) = events_and_reply(client.connect());
    ok(&reply);
    assert!(came[0]["data"] == big.as_str(), "the lost event goes first");
    if came.len() == 1 {
        // A reply this long takes no further event.
        assert_eq!(data(client.connect()), [json!("next")]);
    }
    assert!(broker.metric("weft_messages_resent_total") > resent);
}

#[test]
fn e14_r25_the_answer_is_one_array_with_its_length() {
    let broker = Broker::start();
    let mut client = Client::subscribed(&broker, "/a");
    ok(&client.publish("/a", "ü"));
    let connect = client.message("/meta/connect", json!({}));
    let request: Request = client.request(connect.to_string());
    let response = client.exchange(&request);
    assert_eq!(response.header("Content-Length"), Some(response.body.len().to_string().as_str()));
    assert!(response.header("Transfer-Encoding").is_none());
    assert_eq!(response.messages().len(), 2);
}

#[test]
fn a7_http_1_0_is_served_and_closed() {
    let broker = Broker::start();
    let body = json!([{"channel": "/meta/handshake"}]).to_string();
    let mut connection = broker.connect();
    let response = connection.exchange(&Request::post("/bayeux", body.clone()).version("HTTP/1.0"));
    ok(&only(response.messages()));
    assert!(connection.is_closed_by_peer());
    let keep_alive =
        Request::post("/bayeux", body).version("HTTP/1.0").header("Connection", "keep-alive");
    let mut connection = broker.connect();
    for _ in 0..3 {
        ok(&only(connection.exchange(&keep_alive).messages()));
    }
}
