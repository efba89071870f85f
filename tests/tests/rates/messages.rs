//! Messages, their bytes, and subscriptions.

use std::time::Duration;

use serde_json::{Value, json};
use weft_tests::bayeux::{Client, data, events_and_reply, ok, only, refused};
use weft_tests::broker::Broker;
use weft_tests::wait::{PATIENCE, until};

use super::{at, count, limited, stay_away, too_much};

/// Publishes until that is refused; how many were not, and the refusal.
fn publish_until_refused(client: &mut Client<'_>, most: usize) -> (usize, Value) {
    for sent in 0..most {
        let reply = client.publish("/a", 1);
        if reply["successful"] != true {
            return (sent, reply);
        }
    }
    panic!("{most} messages and no limit");
}

#[test]
fn r35_messages_of_one_session_are_limited_connects_among_them() {
    let broker = limited("messages_per_session = \"1/h burst 6\"");
    let (mut client, mut other) = (Client::connected(&broker), Client::connected(&broker));
    let (sent, reply) = publish_until_refused(&mut client, 10);
    assert_eq!(sent, 5, "and a connect");
    too_much(&reply, "retry");
    let connect = only(client.connect());
    let interval = too_much(&connect, "retry");
    assert!(interval < 30_000, "whoever obeys still has a session then: {connect}");
    refused(&client.subscribe("/b"), "429::rate_limited");
    assert_eq!(count(&broker, "messages", "session"), 3.0);
    assert_eq!(broker.metric("weft_publish_refused_total{cause=\"rate\"}"), 1.0);
    assert_eq!(broker.metric("weft_messages_in_total"), 5.0, "what is refused is not published");
    ok(&other.publish("/a", 1));
    // Whoever goes makes room, so that is never refused.
    ok(&client.disconnect());
    broker.wait_sessions(1);
}

#[test]
fn r35_messages_of_one_address_and_in_all_are_limited() {
    for (rate, scope) in [("messages_per_address", "address"), ("messages", "all")] {
        let broker = limited(&format!("{rate} = \"1/h burst 12\""));
        let mut one = at(&broker, "127.0.0.2");
        let mut two = at(&broker, "127.0.0.2");
        let mut other = at(&broker, "127.0.0.3");
        for _ in 0..4 {
            ok(&one.publish("/a", 1));
            ok(&two.publish("/a", 1));
        }
        let left = if scope == "all" { 1 } else { 2 };
        let (sent, reply) = publish_until_refused(&mut one, 10);
        assert_eq!(sent, left, "{scope}");
        too_much(&reply, "retry");
        too_much(&two.publish("/a", 1), "retry");
        let others = other.publish("/a", 1);
        if scope == "all" {
            too_much(&others, "retry");
        } else {
            ok(&others);
        }
        assert_eq!(count(&broker, "messages", scope), if scope == "all" { 3.0 } else { 2.0 });
    }
}

#[test]
fn r35_what_was_refused_can_be_done_later_and_no_faster_than_the_rate() {
    let broker = limited("messages_per_session = \"20/s burst 3\"");
    let mut client = Client::connected(&broker);
    let start = weft_tests::wait::now();
    let mut accepted = 0;
    until("forty messages more", PATIENCE, || {
        accepted += u32::from(client.publish("/a", 1)["successful"] == true);
        (accepted == 40).then_some(())
    });
    let most = 3.0 + 20.0 * start.elapsed().as_secs_f64();
    assert!(f64::from(accepted) <= most, "{accepted} of {most}");
}

#[test]
fn r35_d3_whoever_obeys_advice_is_served_after_it_and_gets_the_normal_advice_back() {
    let broker = limited("messages_per_session = \"4/s burst 8\"");
    let mut client = Client::connected(&broker);
    let (_, reply) = publish_until_refused(&mut client, 100);
    let interval = too_much(&reply, "retry");
    assert!(interval < 1_600, "a second, and somewhat more: {interval}");
    stay_away(Duration::from_millis(interval));
    let reply = only(client.peek());
    ok(&reply);
    assert_eq!(reply["advice"]["interval"], 0, "the normal one again: {reply}");
    assert_eq!(reply["advice"]["reconnect"], "retry");
    ok(&client.publish("/a", 1));
}

#[test]
fn r35_of_a_batch_the_first_pass_and_the_rest_is_refused_one_by_one() {
    let broker = limited("messages_per_session = \"1/h burst 6\"");
    let mut reader = Client::subscribed(&broker, "/a");
    let mut client = Client::connected(&broker);
    let batch: Value = (0..8).map(|n| client.message("/a", json!({"data": n}))).collect();
    let replies = client.send(&batch);
    assert_eq!(replies.len(), 8);
    for (n, reply) in replies.iter().enumerate() {
        assert_eq!(reply["id"], batch[n]["id"], "in their order");
        if n < 5 { ok(reply) } else { assert!(too_much(reply, "retry") >= 1_000) }
    }
    assert_eq!(data(reader.connect()), [0, 1, 2, 3, 4]);
}

#[test]
fn r35_strangers_messages_count_for_their_address() {
    let broker = limited("messages_per_address = \"1/h burst 5\"");
    let mut stranger = Client::new(&broker).at("127.0.0.2");
    stranger.client_id = "nobody".repeat(5);
    for _ in 0..5 {
        refused(&stranger.publish("/a", 1), "402::session_unknown");
    }
    too_much(&stranger.publish("/a", 1), "retry");
    too_much(&only(stranger.connect()), "retry");
    // A goodbye of nobody is no goodbye.
    too_much(&stranger.disconnect(), "retry");
    at(&broker, "127.0.0.3");
}

#[test]
fn r35_bytes_are_limited_by_session_address_and_in_all() {
    for (rate, scope) in
        [("bytes_per_session", "session"), ("bytes_per_address", "address"), ("bytes", "all")]
    {
        let broker = Broker::with(&format!(
            "[limits]\nloopback = true\nbody = \"4KiB\"\n[rates]\n{rate} = \"1KiB/h burst 10KiB\"\n"
        ));
        let mut client = at(&broker, "127.0.0.2");
        let mut other = at(&broker, "127.0.0.3");
        let data = "x".repeat(3_300);
        ok(&client.publish("/a", data.clone()));
        ok(&client.publish("/a", data.clone()));
        too_much(&client.publish("/a", data), "retry");
        assert_eq!(count(&broker, "bytes", scope), 1.0, "{scope}");
        let large = other.publish("/a", "y".repeat(3_300));
        if scope == "all" {
            too_much(&large, "retry");
        } else {
            ok(&large);
        }
        let accepted = if scope == "all" { 2.0 } else { 3.0 };
        assert_eq!(broker.metric("weft_messages_in_total"), accepted, "{scope}");
    }
}

#[test]
fn r35_subscriptions_are_limited_by_session_address_and_in_all() {
    for (rate, scope) in [
        ("subscriptions_per_session", "session"),
        ("subscriptions_per_address", "address"),
        ("subscriptions", "all"),
    ] {
        let broker = limited(&format!("{rate} = \"1/h burst 4\""));
        let mut client = at(&broker, "127.0.0.2");
        let mut other = at(&broker, "127.0.0.3");
        refused(
            &client.subscribe(json!(["/1", "/2", "/3", "/4", "/5"])),
            "413::too_many_subscriptions",
        );
        ok(&client.subscribe(json!(["/1", "/2", "/3"])));
        let reply = client.subscribe(json!(["/4", "/5"]));
        too_much(&reply, "retry");
        assert_eq!(reply["subscription"], json!(["/4", "/5"]));
        ok(&client.subscribe("/4"));
        ok(&client.publish("/a", 1));
        let others = other.subscribe("/1");
        if scope == "all" {
            too_much(&others, "retry");
        } else {
            ok(&others);
        }
        let refusals = if scope == "all" { 3.0 } else { 2.0 };
        assert_eq!(count(&broker, "subscriptions", scope), refusals, "{scope}");
        assert_eq!(broker.metric("weft_subscriptions"), if scope == "all" { 4.0 } else { 5.0 });
    }
}

#[test]
fn r35_l12_a_refused_connect_loses_no_event() {
    let broker = limited("messages_per_session = \"2/s burst 3\"");
    let mut reader = Client::subscribed(&broker, "/a");
    let mut publisher = Client::connected(&broker);
    ok(&publisher.publish("/a", "kept"));
    let mut limited = false;
    let event = until("the event", PATIENCE, || {
        let (events, reply) =
            events_and_reply(reader.connect_with(json!({"advice": {"timeout": 0}})));
        limited |= reply["successful"] == false;
        assert!(reply["successful"] == true || events.is_empty(), "{reply}");
        events.first().cloned()
    });
    assert_eq!(event["data"], "kept");
    until("a refusal", PATIENCE, || {
        limited |= only_reply(reader.connect_with(json!({"advice": {"timeout": 0}})))["successful"]
            == false;
        limited.then_some(())
    });
}

#[test]
fn r35_l12_p2_a_refused_connect_proves_that_the_reply_before_it_arrived() {
    let broker = Broker::with(
        "[sessions]\ntimeout = \"1s\"\n[rates]\nmessages_per_session = \"1/s burst 3\"\n",
    );
    let mut reader = Client::subscribed(&broker, "/a");
    let mut publisher = Client::connected(&broker);
    ok(&publisher.publish("/a", "once"));
    assert_eq!(data(reader.connect()), ["once"]);
    until("a refusal", PATIENCE, || {
        let (events, reply) = events_and_reply(reader.connect());
        assert!(events.is_empty(), "{events:?}");
        (reply["successful"] == false).then_some(())
    });
    // cometd.js says so after a connect that failed, and means that one.
    let again = until("an answer", PATIENCE, || {
        let messages = reader.connect_with(json!({"advice": {"timeout": 0}}));
        let (events, reply) = events_and_reply(messages);
        (reply["successful"] == true).then_some(events)
    });
    assert_eq!((again, broker.metric("weft_messages_resent_total")), (vec![], 0.0));
}

fn only_reply(messages: Vec<Value>) -> Value {
    events_and_reply(messages).1
}
