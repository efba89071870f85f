//! What happens at a queue's bounds (P5): copies of what the backlog holds leave memory and are read
//! from there; what it does not hold is dropped, or its session ends; every loss is told (P4).

use serde_json::{Value, json};
use weft_tests::api::{publish, publish_lines};
use weft_tests::bayeux::{Client, data, events_and_reply, ok, only};
use weft_tests::broker::Broker;
use weft_tests::http::Request;

/// Connects until nothing comes any more: all data, and all gaps told.
fn drain(client: &mut Client<'_>) -> (Vec<Value>, Vec<Value>) {
    let (mut all, mut gaps) = (Vec::new(), Vec::new());
    loop {
        let (events, reply) = events_and_reply(client.peek());
        ok(&reply);
        let told = reply["ext"]["weft"]["gap"].as_array().cloned().unwrap_or_default();
        if events.is_empty() && told.is_empty() {
            return (all, gaps);
        }
        all.extend(texts(&events));
        gaps.extend(told);
    }
}

fn texts(events: &[Value]) -> Vec<Value> {
    events.iter().map(|event| event["data"].clone()).collect()
}

fn values(numbers: impl IntoIterator<Item = i64>) -> Vec<Value> {
    numbers.into_iter().map(Value::from).collect()
}

#[test]
fn p2_p5_past_its_bound_a_queue_leaves_memory_and_nothing_is_lost() {
    for bound in ["queue_messages = 50", "body = \"2KiB\"\nqueue_bytes = \"2KiB\""] {
        let broker = Broker::with(&format!("[limits]\n{bound}\n"));
        let mut sleeper = Client::subscribed(&broker, "/a");
        publish_lines(&broker, "/a", 1..=900);
        assert!(broker.metric("weft_queue_messages") <= 50.0, "{bound}");
        assert_eq!(broker.metric("weft_spills_total"), 1.0, "{bound}");
        assert_eq!(broker.metric("weft_sessions_behind"), 1.0, "{bound}");
        assert_eq!(drain(&mut sleeper), (values(1..=900), vec![]), "{bound}");
        assert_eq!(broker.metric("weft_sessions_behind"), 0.0, "{bound}");
        let mut held = sleeper.held_connect();
        publish(&broker, "/a", 901);
        assert_eq!(data(held.answer()), values([901]), "live again");
        assert_eq!(broker.metric("weft_messages_dropped_total"), 0.0, "{bound}");
    }
}

#[test]
fn p2_p5_so_it_is_for_many_messages_in_one_request() {
    let broker = Broker::with("[limits]\nqueue_messages = 5\n");
    let mut sleeper = Client::subscribed(&broker, "/**");
    let mut publisher = Client::connected(&broker);
    let channel = |n: i64| ["/a", "/b", "/c"][usize::try_from(n % 3).expect("small")];
    let array: Value = (1..=300).map(|n| json!({"channel": channel(n), "data": n})).collect();
    assert_eq!(broker.exchange(&Request::post("/publish", array.to_string())).status, 200);
    let batch: Value =
        (301..=600).map(|n| publisher.message(channel(n), json!({"data": n}))).collect();
    publisher.send(&batch).iter().for_each(ok);
    let (events, gaps) = drain(&mut sleeper);
    assert_eq!((events.len(), gaps), (600, vec![]));
    for rest in 0..3 {
        let of_one = events.iter().filter(|n| n.as_i64().is_some_and(|n| n % 3 == rest));
        assert!(of_one.is_sorted_by_key(|n| n.as_i64()));
    }
}

#[test]
fn p4_p5_what_the_backlog_no_longer_keeps_is_a_told_gap() {
    let broker = Broker::with(
        "[limits]\nqueue_messages = 10\n[[channels]]\npattern = \"/a\"\nbacklog = { messages = 30 }\n",
    );
    let mut sleeper = Client::subscribed(&broker, "/a");
    let first = publish(&broker, "/a", 1);
    publish_lines(&broker, "/a", 2..=100);
    let (events, gaps) = drain(&mut sleeper);
    assert_eq!(events, values(71..=100));
    let gap = only(gaps);
    assert_eq!((&gap["channel"], &gap["from"]), (&json!("/a"), &json!(first - 1)), "{gap}");
}

#[test]
fn p5_what_no_backlog_holds_stays_in_the_queue_as_far_as_it_fits() {
    // The queue is longer than the backlog: what only the queue has is not thrown away for nothing.
    let broker = Broker::with(
        "[limits]\nqueue_messages = 50\n[[channels]]\npattern = \"/a\"\nbacklog = { messages = 10 }\n",
    );
    let mut sleeper = Client::subscribed(&broker, "/a");
    publish_lines(&broker, "/a", 1..=51);
    assert_eq!(broker.metric("weft_queue_messages"), 41.0);
    assert_eq!(drain(&mut sleeper), (values(1..=51), vec![]));
}

#[test]
fn p4_p5_channels_without_a_backlog_lose_the_oldest_and_it_is_told() {
    let broker = Broker::with(
        "[limits]\nqueue_messages = 10\n[[channels]]\npattern = \"/none\"\nbacklog = { messages = 0 }\n",
    );
    let mut sleeper = Client::connected(&broker);
    ok(&sleeper.subscribe(json!(["/none", "/kept"])));
    publish_lines(&broker, "/kept", 1..=8);
    publish_lines(&broker, "/none", 101..=120);
    let (events, gaps) = drain(&mut sleeper);
    let kept: Vec<_> = events.iter().filter(|n| n.as_i64() < Some(100)).cloned().collect();
    let none: Vec<_> = events.iter().filter(|n| n.as_i64() > Some(100)).cloned().collect();
    assert_eq!((kept, none), (values(1..=8), values(111..=120)), "what is kept is read again");
    assert_eq!(only(gaps)["channel"], "/none");
}

#[test]
fn p2_x1_what_was_sent_and_not_acknowledged_survives_a_spill() {
    let broker = Broker::with("[limits]\nqueue_messages = 10\nresponse_messages = 4\n");
    let mut client = Client::new(&broker);
    ok(&client.handshake_with(json!({"ext": {"ack": true}})));
    let seen = |number: &Value| json!({"advice": {"timeout": 0}, "ext": {"ack": number}});
    let (_, reply) = events_and_reply(client.connect_with(seen(&json!(0))));
    let acknowledged = reply["ext"]["ack"].clone();
    ok(&client.subscribe("/a"));
    publish_lines(&broker, "/a", 1..=6);
    assert_eq!(data(client.connect_with(seen(&acknowledged))), values(1..=4));
    publish_lines(&broker, "/a", 7..=40);
    let (mut all, mut last) = (Vec::new(), acknowledged);
    while all.len() < 40 {
        let (events, reply) = events_and_reply(client.connect_with(seen(&last)));
        last = reply["ext"]["ack"].clone();
        all.extend(texts(&events));
    }
    assert_eq!(all, values(1..=40));
}

#[test]
fn p2_e25_spilled_sessions_get_nothing_of_the_time_in_which_they_were_not_subscribed() {
    let broker = Broker::with("[limits]\nqueue_messages = 5\n");
    let mut client = Client::subscribed(&broker, "/a");
    publish_lines(&broker, "/a", 1..=3);
    ok(&client.unsubscribe("/a"));
    publish_lines(&broker, "/a", 4..=6);
    ok(&client.subscribe("/a"));
    publish_lines(&broker, "/a", 7..=12);
    assert_eq!(drain(&mut client), (values([1, 2, 3].into_iter().chain(7..=12)), vec![]));
}

#[test]
fn p5_spilled_publishers_are_spared_their_own_messages() {
    let quiet = "[[channels]]\npattern = \"/quiet\"\nbroadcast_to_publisher = false\n";
    let broker = Broker::with(&format!("[limits]\nqueue_messages = 5\n{quiet}"));
    let mut client = Client::subscribed(&broker, "/quiet");
    publish(&broker, "/quiet", 1);
    ok(&client.publish("/quiet", 2));
    publish_lines(&broker, "/quiet", 3..=9);
    ok(&client.publish("/quiet", 10));
    publish(&broker, "/quiet", 11);
    assert_eq!(drain(&mut client), (values([1].into_iter().chain(3..=9).chain([11])), vec![]));
}

#[test]
fn p4_p5_disconnect_ends_the_session_and_its_next_connect_is_told_what_it_missed() {
    let policies = ["queue_policy = \"disconnect\"", "queue_policy_unkept = \"disconnect\""];
    for policy in policies {
        let broker = Broker::with(&format!(
            "[limits]\nqueue_messages = 5\n{policy}\n\
             [[channels]]\npattern = \"/**\"\nbacklog = {{ messages = 0 }}\n"
        ));
        let mut slow = Client::subscribed(&broker, "/a");
        let first = publish(&broker, "/a", 1);
        publish_lines(&broker, "/a", 2..=9);
        assert_eq!(broker.metric("weft_queue_messages"), 0.0);
        ok(&slow.publish("/b", 1));
        let last = publish(&broker, "/a", 10);
        let reply = only(slow.connect());
        assert_eq!(reply["error"].as_str().map(|error| &error[..3]), Some("402"), "{reply}");
        assert_eq!(reply["advice"]["reconnect"], "handshake", "{reply}");
        let gap = json!([{"channel": "/**", "from": first - 1, "to": last}]);
        assert_eq!(reply["ext"]["weft"]["gap"], gap, "{reply}");
        let ended = "weft_sessions_ended_total{cause=\"overrun\"}";
        assert_eq!(broker.metric(ended), 1.0);
        broker.wait_sessions(0);
    }
}

#[test]
fn p5_a_held_connect_is_told_at_once_that_its_session_ends() {
    let broker = Broker::with(
        "[limits]\nqueue_messages = 5\nqueue_policy = \"disconnect\"\n\
         [[channels]]\npattern = \"/**\"\nbacklog = { messages = 0 }\n",
    );
    let mut slow = Client::subscribed(&broker, "/a");
    let mut publisher = Client::connected(&broker);
    let mut held = slow.held_connect();
    let batch: Vec<_> = (0..9).map(|n| publisher.message("/a", json!({"data": n}))).collect();
    publisher.send(&json!(batch)).iter().for_each(ok);
    let reply = only(held.answer());
    assert_eq!(reply["advice"]["reconnect"], "handshake", "{reply}");
    assert_eq!(reply["ext"]["weft"]["gap"][0]["channel"], "/**", "{reply}");
}

#[test]
fn p2_p5_when_memory_is_short_in_all_what_is_kept_is_not_lost() {
    let broker = Broker::with(
        "[limits]\nbody = \"64KiB\"\nqueue_bytes = \"64KiB\"\nqueue_bytes_total = \"64KiB\"\n\
         [store]\nmemory = \"16KiB\"\n",
    );
    let mut silent: Vec<_> =
        (0..4).map(|n| Client::subscribed(&broker, &format!("/r/{n}"))).collect();
    let text = "x".repeat(8_000);
    for round in 0..20 {
        for n in 0..4 {
            publish(&broker, &format!("/r/{n}"), json!([round, text]));
        }
    }
    for reader in &mut silent {
        let (events, gaps) = drain(reader);
        let rounds: Vec<_> = events.iter().map(|event| event[0].clone()).collect();
        assert_eq!((rounds, gaps), (values(0..20), vec![]));
    }
}

#[test]
fn p4_p5_where_sessions_are_to_read_on_costs_memory_too_and_that_is_bounded() {
    let broker = Broker::with(
        "[limits]\nbody = \"256KiB\"\nqueue_bytes = \"256KiB\"\nqueue_bytes_total = \"256KiB\"\n\
         queue_messages = 1\n",
    );
    let mut sleepers: Vec<_> = (0..20).map(|_| Client::subscribed(&broker, "/**")).collect();
    let mut most = 0.0_f64;
    for n in 1..=400 {
        publish(&broker, &format!("/many/{n}"), n);
        if n % 20 == 0 {
            most = most.max(broker.metric("weft_frame_bytes") - broker.metric("weft_past_bytes"));
        }
    }
    assert!(most < 400_000.0, "{most}");
    let mut told = 0;
    for sleeper in &mut sleepers {
        let (events, gaps) = drain(sleeper);
        assert!(events.len() < 400 && !gaps.is_empty() || events.len() == 400);
        told += usize::from(gaps.iter().any(|gap| gap["channel"] == "/**"));
    }
    assert!(told > 0);
}

#[test]
fn p5_with_events_on_any_reply_a_spilled_session_reads_on_there_too() {
    let broker = Broker::with("deliver_on_any_reply = true\n[limits]\nqueue_messages = 5\n");
    let mut reader = Client::subscribed(&broker, "/a");
    publish_lines(&broker, "/a", 1..=12);
    let message = reader.message("/y", json!({"data": 1}));
    let mut messages = reader.send(&json!([message]));
    ok(&messages.pop().expect("a reply"));
    assert!(!messages.is_empty());
    let mut all = texts(&messages);
    all.extend(drain(&mut reader).0);
    assert_eq!(all, values(1..=12));
}
