//! CometD's acknowledgement extension on the wire: numbered replies, what a number proves, and what it
//! does not (checklist X1; the reference's answers as recorded, its known holes closed).

use serde_json::{Value, json};
use weft_tests::bayeux::{Client, events_and_reply, ok, only, refused};
use weft_tests::broker::Broker;

/// A session that acknowledges, whose first connect is done: it has seen number 1.
fn acknowledging<'b>(broker: &'b Broker, channel: &str) -> Client<'b> {
    let mut client = Client::new(broker);
    let reply = client.handshake_with(json!({"ext": {"ack": true}}));
    ok(&reply);
    assert_eq!(reply["ext"], json!({"ack": true}));
    let (events, number) = take(&mut client, json!(0));
    assert_eq!((events.len(), number), (0, Some(1)));
    ok(&client.subscribe(channel));
    client
}

fn seen(number: impl Into<Value>) -> Value {
    json!({"ext": {"ack": number.into()}})
}

/// Connects with the number last seen: the events' data, and the reply's number.
fn take(client: &mut Client<'_>, number: impl Into<Value>) -> (Vec<Value>, Option<u64>) {
    numbered(client.connect_with(seen(number)))
}

fn numbered(messages: Vec<Value>) -> (Vec<Value>, Option<u64>) {
    let (events, reply) = events_and_reply(messages);
    ok(&reply);
    (texts(&events), reply["ext"]["ack"].as_u64())
}

fn texts(events: &[Value]) -> Vec<Value> {
    events.iter().map(|event| event["data"].clone()).collect()
}

fn values(numbers: impl IntoIterator<Item = i64>) -> Vec<Value> {
    numbers.into_iter().map(Value::from).collect()
}

#[test]
fn x1_only_the_boolean_asks_for_numbers() {
    let broker = Broker::start();
    for other in [json!(1), json!("true"), json!({}), json!(false), Value::Null] {
        let mut client = Client::new(&broker);
        let reply = client.handshake_with(json!({"ext": {"ack": other}}));
        assert_eq!(reply.get("ext"), None, "{reply}");
        assert_eq!(take(&mut client, 0), (vec![], None));
    }
}

#[test]
fn x1_every_connect_reply_has_the_next_number_be_it_empty_or_not() {
    let broker = Broker::start();
    let mut client = acknowledging(&broker, "/a");
    let at_once = json!({"advice": {"timeout": 0}, "ext": {"ack": 1}});
    assert_eq!(numbered(client.connect_with(at_once)), (vec![], Some(2)));
    ok(&client.publish("/a", 1));
    assert_eq!(take(&mut client, 2), (values([1]), Some(3)));
    let mut held = client.held_connect_with(seen(3));
    ok(&client.publish("/a", 2));
    assert_eq!(numbered(held.answer()), (values([2]), Some(4)));
}

#[test]
fn x1_what_is_not_acknowledged_goes_again_before_what_is_newer_under_a_new_number() {
    let broker = Broker::start();
    let mut client = acknowledging(&broker, "/a");
    ok(&client.publish("/a", 1));
    assert_eq!(take(&mut client, 1), (values([1]), Some(2)));
    ok(&client.publish("/a", 2));
    assert_eq!(take(&mut client, 1), (values([1, 2]), Some(3)));
    assert_eq!(take(&mut client, 1), (values([1, 2]), Some(4)));
    assert_eq!(broker.metric("weft_messages_resent_total"), 3.0);
    // An older number proves what its own reply carried.
    assert_eq!(take(&mut client, 2), (values([2]), Some(5)));
    let mut held = client.held_connect_with(seen(5));
    assert!(held.is_waiting(), "all is acknowledged");
    ok(&client.publish("/a", 3));
    assert_eq!(numbered(held.answer()), (values([3]), Some(6)));
}

#[test]
fn x1_a_number_that_was_never_sent_drops_nothing() {
    let broker = Broker::start();
    for odd in
        [json!(99), json!(-1), json!("2"), json!(true), json!(null), json!([2]), json!(1e300)]
    {
        let mut client = acknowledging(&broker, "/a");
        ok(&client.publish("/a", 1));
        assert_eq!(take(&mut client, 1), (values([1]), Some(2)));
        for number in [3, 4] {
            assert_eq!(take(&mut client, odd.clone()), (values([1]), Some(number)), "{odd}");
        }
        ok(&client.disconnect());
    }
}

#[test]
fn x1_without_a_number_nothing_is_dropped_and_all_goes_again() {
    let broker = Broker::start();
    let mut client = acknowledging(&broker, "/a");
    ok(&client.publish("/a", 1));
    for number in 2..5 {
        assert_eq!(numbered(client.connect()), (values([1]), Some(number)));
    }
    let mut held = client.held_connect_with(seen(4.0));
    assert!(held.is_waiting(), "a number as other languages write it");
    ok(&client.publish("/a", 2));
    assert_eq!(numbered(held.answer()), (values([2]), Some(5)));
}

#[test]
fn x1_a_resend_wakes_no_sleep_it_is_answered_at_once_whatever_timeout_is_asked_for() {
    let broker = Broker::start();
    let mut client = acknowledging(&broker, "/a");
    ok(&client.publish("/a", 1));
    assert_eq!(take(&mut client, 1).0, values([1]));
    let fields = json!({"advice": {"timeout": 20_000}, "ext": {"ack": 1}});
    assert_eq!(numbered(client.connect_with(fields)), (values([1]), Some(3)));
}

#[test]
fn x1_signals_of_other_clients_mean_nothing_here() {
    let broker = Broker::start();
    let mut client = acknowledging(&broker, "/a");
    ok(&client.publish("/a", 1));
    assert_eq!(take(&mut client, 1).0, values([1]));
    let same = client.last_id.to_string();
    for fields in [json!({"advice": {"timeout": 0}}), json!({"id": same, "advice": {"timeout": 0}})]
    {
        let mut fields = fields;
        let last = 2 + u64::from(fields.get("id").is_some());
        fields["ext"] = json!({"ack": last});
        assert_eq!(numbered(client.connect_with(fields)), (vec![], Some(last + 1)));
    }
}

#[test]
fn x1_l5_overlapping_connects_lose_and_repeat_nothing() {
    let broker = Broker::start();
    let mut client = acknowledging(&broker, "/a");
    let mut older = client.held_connect_with(seen(1));
    let mut newer = client.start_connect_with(seen(1));
    let reply = only(older.answer());
    ok(&reply);
    assert_eq!(reply.get("ext"), None, "whoever reads it late forgets no number for it");
    broker.wait_held(1);
    ok(&client.publish("/a", 1));
    assert_eq!(numbered(newer.answer()), (values([1]), Some(2)));
    let mut held = client.held_connect_with(seen(2));
    assert!(held.is_waiting());
    held.abort();
}

#[test]
fn x1_replies_that_were_lost_whole_come_again_until_they_are_acknowledged() {
    let broker = Broker::start();
    let mut client = acknowledging(&broker, "/a");
    for n in 1..=5 {
        let held = client.start_connect_with(seen(1));
        ok(&client.publish("/a", n));
        broker.wait_held(0);
        held.abort();
    }
    let (events, number) = take(&mut client, 1);
    assert_eq!(events, values(1..=5));
    let mut held = client.held_connect_with(seen(number));
    assert!(held.is_waiting());
    held.abort();
}

#[test]
fn x1_numbers_go_on_across_transports() {
    let broker = Broker::start();
    let mut client = acknowledging(&broker, "/a");
    ok(&client.publish("/a", 1));
    assert_eq!(take(&mut client, 1), (values([1]), Some(2)));
    ok(&client.publish("/a", 2));
    let fields = json!({"connectionType": "callback-polling", "ext": {"ack": 1}});
    let connect = client.message("/meta/connect", fields);
    assert_eq!(numbered(client.call(&[connect])), (values([1, 2]), Some(3)));
    ok(&client.publish("/a", 3));
    assert_eq!(take(&mut client, 3), (values([3]), Some(4)));
}

#[test]
fn x1_p1_events_ride_on_connect_replies_only_whatever_the_others_do() {
    let broker = Broker::with("deliver_on_any_reply = true\n");
    let mut client = acknowledging(&broker, "/a");
    ok(&client.publish("/a", 1));
    assert_eq!(take(&mut client, 1), (values([1]), Some(2)));
}

#[test]
fn x1_in_a_batch_events_come_first_and_the_number_with_the_connect_reply() {
    let broker = Broker::start();
    let mut client = acknowledging(&broker, "/a");
    let publish = client.message("/a", json!({"data": 1}));
    let connect = client.message("/meta/connect", seen(1));
    let messages = client.send(&json!([publish, connect]));
    assert_eq!(messages.len(), 3);
    assert_eq!((&messages[0]["data"], &messages[2]["ext"]["ack"]), (&json!(1), &json!(2)));
    assert_eq!(messages[1].get("ext"), None);
}

#[test]
fn x1_a_session_starts_over_with_1_and_numbers_of_the_one_before_say_nothing() {
    let broker = Broker::start();
    let mut client = acknowledging(&broker, "/a");
    for n in 1..=3 {
        ok(&client.publish("/a", n));
        assert_eq!(take(&mut client, n), (values([n]), Some(n as u64 + 1)));
    }
    broker.kill();
    broker.restart();
    client.disconnect_socket();
    refused(&only(client.connect_with(seen(4))), "402::session_unknown");
    let mut client = acknowledging(&broker, "/a");
    for n in 1..=2 {
        ok(&client.publish("/a", n));
    }
    assert_eq!(take(&mut client, 4), (values(1..=2), Some(2)), "what it never sent, it drops not");
}

#[test]
fn x1_p4_a_gap_is_told_until_it_is_acknowledged() {
    let broker = Broker::with("[limits]\nqueue_messages = 2\nqueue_policy = \"drop_oldest\"\n");
    let mut client = acknowledging(&broker, "/a");
    for n in 1..=5 {
        ok(&client.publish("/a", n));
    }
    for last in [1, 1, 1] {
        let (events, reply) = events_and_reply(client.connect_with(seen(last)));
        let told = reply["ext"]["weft"]["gap"][0]["channel"] == "/a";
        assert_eq!((texts(&events), told), (values(4..=5), true), "{reply}");
        ok(&reply);
        if last == 3 {
            let mut held = client.held_connect_with(seen(reply["ext"]["ack"].clone()));
            assert!(held.is_waiting());
            held.abort();
        }
    }
}

#[test]
fn x1_r24_capped_replies_are_acknowledged_one_by_one() {
    let broker = Broker::with("[limits]\nresponse_messages = 2\n");
    let mut client = acknowledging(&broker, "/a");
    for n in 1..=5 {
        ok(&client.publish("/a", n));
    }
    assert_eq!(take(&mut client, 1), (values(1..=2), Some(2)));
    assert_eq!(take(&mut client, 1), (values(1..=2), Some(3)));
    assert_eq!(take(&mut client, 2), (values(3..=4), Some(4)));
    assert_eq!(take(&mut client, 4), (values([5]), Some(5)));
}
