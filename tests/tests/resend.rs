//! No loss without an extension: which connects make the last reply's events go again, and that
//! nothing else does (checklist L12; decisions section 4).

use serde_json::{Value, json};
use weft_tests::bayeux::{Client, data, ok};
use weft_tests::broker::Broker;
use weft_tests::wait::{PATIENCE, until};

/// A session that has polled as stock clients do: its connects had different ids, and one came
/// without `timeout:0`. Its last reply carried the event `1`.
fn served(broker: &Broker) -> Client<'_> {
    let mut client = Client::subscribed(broker, "/a");
    ok(&client.publish("/a", 1));
    assert_eq!(data(client.connect()), [json!(1)]);
    client
}

fn at_once() -> Value {
    json!({"advice": {"timeout": 0}})
}

/// The id of the connect that was answered last.
fn same_id(client: &Client<'_>) -> Value {
    json!({"id": client.last_id.to_string()})
}

fn nothing() -> Vec<Value> {
    Vec::new()
}

/// A connect together with another message; only the events and the connect reply are returned.
fn batched(client: &mut Client<'_>, fields: Value) -> Vec<Value> {
    let connect = client.message("/meta/connect", fields);
    let other = client.message("/meta/unsubscribe", json!({"subscription": "/x"}));
    let mut messages = client.send(&json!([connect, other]));
    messages.retain(|message| message["channel"] != "/meta/unsubscribe");
    messages
}

#[test]
fn l12_a_lone_connect_with_timeout_0_after_ordinary_ones_gets_the_events_again() {
    let broker = Broker::start();
    let mut client = served(&broker);
    assert_eq!(data(client.connect_with(at_once())), [json!(1)]);
    assert_eq!(broker.metric("weft_messages_resent_total"), 1.0);
    assert_eq!(data(client.connect_with(at_once())), [json!(1)], "that reply may be lost as well");
    assert_eq!(data(client.peek()), nothing(), "an ordinary connect proves receipt");
    assert_eq!(data(client.connect_with(at_once())), nothing());
}

#[test]
fn l12_what_goes_again_goes_in_order_before_what_is_newer() {
    let broker = Broker::start();
    let mut client = Client::subscribed(&broker, "/a");
    for n in 1..=3 {
        ok(&client.publish("/a", n));
    }
    assert_eq!(data(client.connect()), [1, 2, 3].map(Value::from));
    for n in 4..=5 {
        ok(&client.publish("/a", n));
    }
    assert_eq!(data(client.connect_with(at_once())), [1, 2, 3, 4, 5].map(Value::from));
    ok(&client.publish("/a", 6));
    assert_eq!(data(client.connect_with(at_once())), [1, 2, 3, 4, 5, 6].map(Value::from));
    ok(&client.publish("/a", 7));
    assert_eq!(data(client.connect()), [json!(7)]);
}

#[test]
fn l12_x4_timeout_0_means_nothing_before_an_ordinary_connect() {
    let broker = Broker::start();
    let mut client = Client::handshaken(&broker);
    ok(&client.subscribe("/a"));
    for n in 1..=3 {
        ok(&client.publish("/a", n));
        assert_eq!(data(client.connect_with(at_once())), [json!(n)], "each comes once");
    }
}

#[test]
fn l12_x4_the_reply_to_the_first_connect_is_not_repeated_to_an_ordinary_one() {
    let broker = Broker::start();
    let mut client = Client::handshaken(&broker);
    ok(&client.subscribe("/a"));
    ok(&client.publish("/a", 1));
    assert_eq!(data(client.connect_with(at_once())), [json!(1)]);
    let mut held = client.held_connect();
    assert!(held.is_waiting(), "nothing is left to deliver");
    ok(&client.publish("/a", 2));
    assert_eq!(data(held.answer()), [json!(2)]);
}

#[test]
fn l12_a_new_handshake_forgets_that_connects_were_ordinary() {
    let broker = Broker::start();
    let mut client = served(&broker);
    ok(&client.handshake());
    ok(&client.subscribe("/a"));
    for n in 1..=2 {
        ok(&client.publish("/a", n));
        assert_eq!(data(client.connect_with(at_once())), [json!(n)]);
    }
}

#[test]
fn l12_timeout_0_in_a_batch_means_nothing() {
    let broker = Broker::start();
    let mut client = served(&broker);
    assert_eq!(data(batched(&mut client, at_once())), nothing());
    assert_eq!(broker.metric("weft_messages_resent_total"), 0.0);
}

#[test]
fn l12_another_timeout_than_0_means_nothing() {
    let broker = Broker::start();
    for advice in [json!({"timeout": 100}), json!({"interval": 0, "timeout": 100})] {
        let mut client = served(&broker);
        assert_eq!(data(client.connect_with(json!({"advice": advice}))), nothing());
    }
}

#[test]
fn l12_t1_a_repeated_id_alone_gets_the_events_again() {
    let broker = Broker::start();
    let mut client = served(&broker);
    let again = same_id(&client);
    for _ in 0..3 {
        assert_eq!(data(client.connect_with(again.clone())), [json!(1)]);
    }
    assert_eq!(data(client.peek()), nothing());
    assert_eq!(data(batched(&mut client, again)), nothing(), "an older id is no repetition");
}

#[test]
fn l12_t1_a_repeated_id_in_a_batch_gets_the_events_again() {
    let broker = Broker::start();
    let mut client = served(&broker);
    ok(&client.publish("/a", 2));
    let mut again = json!({"id": "4"});
    assert_eq!(data(batched(&mut client, again.clone())), [json!(2)], "another id");
    again["advice"] = json!({"timeout": 0});
    assert_eq!(data(batched(&mut client, again)), [json!(2)]);
    assert_eq!(broker.metric("weft_messages_resent_total"), 1.0);
}

#[test]
fn l12_t1_an_id_is_the_same_only_with_its_type() {
    let broker = Broker::start();
    let mut client = served(&broker);
    let number = json!({"id": client.last_id, "advice": {"timeout": 50}});
    assert_eq!(data(client.connect_with(number)), nothing());
}

#[test]
fn l12_c18_ids_that_never_differ_mean_nothing() {
    let broker = Broker::start();
    for id in [json!("1"), json!(7), Value::Null] {
        let mut client = Client::handshaken(&broker);
        ok(&client.subscribe("/a"));
        for n in 1..=3 {
            ok(&client.publish("/a", n));
            assert_eq!(data(client.connect_with(json!({"id": id}))), [json!(n)], "id {id}");
        }
        let fields = json!({"id": id, "advice": {"timeout": 50}});
        assert_eq!(data(client.connect_with(fields)), nothing());
    }
}

#[test]
fn l12_only_the_events_of_the_last_reply_go_again() {
    let broker = Broker::start();
    let mut client = served(&broker);
    ok(&client.publish("/a", 2));
    assert_eq!(data(client.connect()), [json!(2)]);
    assert_eq!(data(client.connect_with(at_once())), [json!(2)]);
}

#[test]
fn l12_other_messages_prove_nothing() {
    let broker = Broker::start();
    let mut client = served(&broker);
    ok(&client.subscribe("/b"));
    ok(&client.publish("/c", 9));
    assert_eq!(data(client.connect_with(at_once())), [json!(1)]);
}

#[test]
fn l12_a_superseded_connect_took_no_events_with_it() {
    let broker = Broker::start();
    let mut client = Client::subscribed(&broker, "/a");
    let mut older = client.held_connect();
    let mut newer = client.start_connect();
    assert_eq!(data(older.answer()), nothing());
    broker.wait_held(1);
    ok(&client.publish("/a", 1));
    assert_eq!(data(newer.answer()), [json!(1)]);
    assert_eq!(data(client.connect_with(at_once())), [json!(1)]);
}

#[test]
fn l12_a_reply_that_was_lost_whole_comes_again_as_cometd_js_asks_for_it() {
    let broker = Broker::start();
    let mut client = Client::subscribed(&broker, "/a");
    for n in 0..10 {
        let held = client.held_connect();
        ok(&client.publish("/a", n));
        // Answered by now, and never read.
        broker.wait_held(0);
        held.abort();
        assert_eq!(data(client.connect_with(at_once())), [json!(n)]);
    }
    assert_eq!(data(client.peek()), nothing());
}

#[test]
fn l12_a_reply_that_was_lost_whole_comes_again_as_faye_asks_for_it() {
    let broker = Broker::start();
    let mut client = Client::subscribed(&broker, "/a");
    for n in 0..10 {
        let held = client.held_connect();
        let again = same_id(&client);
        ok(&client.publish("/a", n));
        broker.wait_held(0);
        held.abort();
        assert_eq!(data(client.connect_with(again)), [json!(n)]);
    }
    assert_eq!(data(client.peek()), nothing());
}

#[test]
fn l12_with_events_on_any_reply_those_wait_for_proof_as_well() {
    let broker = Broker::with("deliver_on_any_reply = true\n");
    let mut client = Client::subscribed(&broker, "/a");
    for n in 1..=2 {
        let publish = client.message("/a", json!({"data": n}));
        assert_eq!(client.send(&json!([publish])).len(), 2);
    }
    assert_eq!(data(client.connect_with(at_once())), [json!(1), json!(2)]);
}

#[test]
fn l11_l12_nothing_is_lost_or_out_of_order_while_sockets_die() {
    const COUNT: u64 = 400;
    let broker = Broker::start();
    let mut client = Client::subscribed(&broker, "/a");
    let mut next = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut publisher = Client::connected(&broker);
            for n in 0..COUNT {
                ok(&publisher.publish("/a", n));
            }
        });
        let mut after_failure = false;
        for round in 0_u64.. {
            let fields = if after_failure { at_once() } else { json!({}) };
            let mut held = client.start_connect_with(fields);
            after_failure = round % 3 == 1;
            if after_failure {
                // Once the broker has seen it: a reply is lost, or a held connect cut.
                until("a connect that was seen", PATIENCE, || {
                    let answered = !held.is_waiting_for(std::time::Duration::from_millis(1));
                    (answered || broker.metric("weft_held_connects") == 1.0).then_some(())
                });
                held.abort();
                continue;
            }
            for value in data(held.answer()) {
                let n = value.as_u64().unwrap();
                assert!(n <= next, "{next} was lost, {n} came");
                next = next.max(n + 1);
            }
            if next == COUNT {
                break;
            }
        }
    });
}
