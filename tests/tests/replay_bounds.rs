//! Replay where it is hard: channels that keep nothing beside long ones, numbers out of nowhere, memory
//! that is short, and requests that ask for too much (P2, P4, P5).

use std::time::Instant;

use serde_json::{Map, Value, json};
use weft_tests::api::{publish, publish_lines};
use weft_tests::bayeux::{Client, data, events_and_reply, ok};
use weft_tests::broker::Broker;
use weft_tests::http::Request;

const SMALL_RESPONSES: &str = "[limits]\nresponse_bytes = \"2KiB\"\n";

/// Subscribes to all names at once, each from its own number.
fn subscribe(client: &mut Client<'_>, replay: &Value) -> Value {
    let names: Vec<&String> = replay.as_object().expect("names").keys().collect();
    client.ask("/meta/subscribe", json!({"subscription": names, "ext": {"replay": replay}}))
}

/// Connects until the events seen are enough.
fn events_until(client: &mut Client<'_>, enough: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let mut events = Vec::new();
    while !enough(&events) {
        let (more, reply) = events_and_reply(client.connect());
        ok(&reply);
        events.extend(more);
    }
    events
}

fn of<'e>(events: &'e [Value], channel: &str) -> Vec<&'e Value> {
    events.iter().filter(|event| event["channel"] == channel).map(|event| &event["data"]).collect()
}

#[test]
fn p2_a_channel_that_keeps_nothing_loses_nothing_while_another_is_replayed() {
    let none = "[[channels]]\npattern = \"/none/*\"\nbacklog = { messages = 0 }\n";
    let broker = Broker::with(&format!("{SMALL_RESPONSES}{none}"));
    publish_lines(&broker, "/long", 1..=200);
    let mut client = Client::connected(&broker);
    ok(&subscribe(&mut client, &json!({"/long": -2, "/none/a": -2, "/none/*": -2})));
    for n in 1..=3 {
        publish(&broker, "/none/a", n);
    }
    let events = events_until(&mut client, |events| of(events, "/long").len() == 200);
    assert_eq!(of(&events, "/none/a"), [1, 2, 3]);
}

#[test]
fn x2_a_number_that_is_yet_to_come_silences_nothing() {
    let broker = Broker::with(SMALL_RESPONSES);
    publish_lines(&broker, "/long", 1..=200);
    let future = publish(&broker, "/z", 0) + 1_000_000_000;
    let mut client = Client::connected(&broker);
    ok(&subscribe(&mut client, &json!({"/long": -2, "/z": future})));
    for n in 1..=3 {
        publish(&broker, "/z", n);
    }
    let events = events_until(&mut client, |events| of(events, "/long").len() == 200);
    assert_eq!(of(&events, "/z"), [1, 2, 3]);
}

#[test]
fn x2_a_busy_channel_does_not_keep_another_from_its_turn() {
    let broker = Broker::with(SMALL_RESPONSES);
    publish_lines(&broker, "/a", 1..=900);
    publish(&broker, "/b", 1);
    let mut client = Client::connected(&broker);
    ok(&subscribe(&mut client, &json!({"/a": -2, "/b": -2})));
    let events = events_until(&mut client, |events| !of(events, "/b").is_empty());
    assert!(of(&events, "/a").len() < 200, "{} came first", of(&events, "/a").len());
}

#[test]
fn rules_a_last_message_goes_to_new_subscribers_whatever_number_they_send() {
    let broker =
        Broker::with("[[channels]]\npattern = \"/last/*\"\nretain_last = true\nreplay = false\n");
    let position = publish(&broker, "/last/a", 1);
    for number in [json!(null), json!(-1), json!(-2), json!(7), json!(position - 1)] {
        let mut client = Client::connected(&broker);
        ok(&subscribe(&mut client, &json!({"/last/a": number})));
        let events = events_until(&mut client, |events| !events.is_empty());
        assert_eq!(of(&events, "/last/a"), [1], "{number}");
    }
}

#[test]
fn rules_a_publisher_is_spared_its_own_messages_while_it_reads_the_past_too() {
    let quiet = "[[channels]]\npattern = \"/quiet\"\nbroadcast_to_publisher = false\n";
    let broker = Broker::with(&format!("{SMALL_RESPONSES}{quiet}"));
    publish_lines(&broker, "/long", 1..=200);
    let mut client = Client::connected(&broker);
    ok(&subscribe(&mut client, &json!({"/long": -2, "/quiet": -2})));
    ok(&client.publish("/quiet", "own"));
    publish(&broker, "/quiet", "other");
    let events = events_until(&mut client, |events| of(events, "/long").len() == 200);
    assert_eq!(of(&events, "/quiet"), ["other"]);
}

#[test]
fn p5_what_replays_have_read_does_not_count_as_waiting_for_ever() {
    let broker = Broker::with(
        "[limits]\nbody = \"256KiB\"\nqueue_bytes = \"1MiB\"\nqueue_bytes_total = \"1MiB\"\n[store]\nmemory = \"64MiB\"\n",
    );
    let text = "x".repeat(1_000);
    for channel in 0..10 {
        let lines: String = (0..900)
            .map(|_| format!("{{\"channel\":\"/big/{channel}\",\"data\":\"{text}\"}}\n"))
            .collect();
        let request =
            Request::post("/publish", lines).header("Content-Type", "application/x-ndjson");
        assert_eq!(broker.exchange(&request).text().lines().count(), 900);
    }
    let mut client = Client::connected(&broker);
    ok(&subscribe(&mut client, &json!({"/big/*": -2})));
    events_until(&mut client, |events| events.len() >= 9_000);
    ok(&client.disconnect());
    for n in 0..20 {
        publish(&broker, "/after", n);
    }
}

#[test]
fn p5_sessions_that_subscribe_and_never_connect_read_nothing_ahead() {
    let broker = Broker::start();
    let text = "x".repeat(10_000);
    for _ in 0..100 {
        publish(&broker, "/big", text.as_str());
    }
    let before = broker.metric("weft_frame_bytes");
    let clients: Vec<Client<'_>> = (0..50)
        .map(|_| {
            let mut client = Client::handshaken(&broker);
            ok(&subscribe(&mut client, &json!({"/big": -2})));
            client
        })
        .collect();
    assert_eq!(broker.metric("weft_queue_messages"), 0.0, "{} sessions", clients.len());
    // Where each is to begin costs a little, and no message.
    assert!(broker.metric("weft_frame_bytes") < before + 50.0 * 256.0);
}

#[test]
fn p5_memory_that_is_short_bounds_what_replays_read_ahead_and_all_of_it_comes() {
    let broker = Broker::with(
        "[limits]\nbody = \"256KiB\"\nqueue_bytes = \"1MiB\"\nqueue_bytes_total = \"1MiB\"\n[store]\nmemory = \"16KiB\"\n",
    );
    let text = "x".repeat(10_000);
    for _ in 0..99 {
        publish(&broker, "/big", text.as_str());
    }
    weft_tests::api::publish_durably(&broker, "/big", text.as_str());
    let mut clients: Vec<(Client<'_>, usize)> = (0..20)
        .map(|_| {
            let mut client = Client::connected(&broker);
            ok(&subscribe(&mut client, &json!({"/big": -2})));
            (client, 0)
        })
        .collect();
    while clients.iter().any(|(_, seen)| *seen < 100) {
        for (client, seen) in clients.iter_mut().filter(|(_, seen)| *seen < 100) {
            *seen += data(client.connect()).len();
        }
        // The bound and one response, and of each session one message more.
        let bytes = broker.metric("weft_frame_bytes");
        assert!(bytes < (9 << 18) as f64 + 20.0 * 11_000.0, "{bytes}");
    }
    assert!(clients.iter().all(|(_, seen)| *seen == 100));
}

#[test]
fn p5_one_session_reads_a_bounded_number_of_channels_and_the_rest_goes_on_meanwhile() {
    let broker = Broker::start();
    let named = |from: usize| -> Value {
        let names = (from..from + 6_000).map(|n| (format!("/many/{n}"), json!(1_u64 << 51)));
        Value::Object(names.collect::<Map<_, _>>())
    };
    let mut client = Client::connected(&broker);
    let mut ask = |pattern: &str, mut replay: Value| {
        replay[pattern] = json!(-1);
        client.ask("/meta/subscribe", json!({"subscription": pattern, "ext": {"replay": replay}}))
    };
    ok(&ask("/many/*", named(0)));
    assert_eq!(ask("/many/**", named(6_000))["error"], "413::replay_too_wide");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "seconds are told from hundredths of one")]
fn p5_a_subscribe_of_many_patterns_with_many_numbers_is_no_quadratic_work() {
    let broker = Broker::start();
    let mut client = Client::connected(&broker);
    let patterns: Vec<String> = (0..9_000).map(|n| format!("/p/{n}/*")).collect();
    let numbers: Map<String, Value> = (0..60_000).map(|n| (format!("/{n}"), json!(7))).collect();
    let fields = json!({"subscription": patterns, "ext": {"replay": numbers}});
    let begun = Instant::now();
    ok(&client.ask("/meta/subscribe", fields));
    // It took more than ten seconds when each pattern looked at each number.
    assert!(begun.elapsed().as_secs() < 8, "{:?}", begun.elapsed());
}

#[test]
fn x2_p4_a_replay_begins_where_the_told_gap_ends_though_the_store_lags_behind() {
    let broker = Broker::start();
    let first = publish(&broker, "/a", 0);
    let mut last = 0;
    let texts = (1..8_000).map(|n| format!("{{\"channel\":\"/a\",\"data\":{n}}}"));
    weft_tests::lines::publish(&broker, texts, |answer| {
        let answer: Value = serde_json::from_str(answer).expect("JSON");
        if answer["position"].as_i64() > Some(last) {
            last = answer["position"].as_i64().expect("a position");
        }
    });
    let mut client = Client::connected(&broker);
    let reply = subscribe(&mut client, &json!({"/a": first}));
    ok(&reply);
    let gap = &reply["ext"]["weft"]["gap"][0];
    assert_eq!(gap["from"], first, "{reply}");
    let events = events_until(&mut client, |events| events.len() >= 1_000);
    let numbers: Vec<i64> = events.iter().filter_map(|event| event["data"].as_i64()).collect();
    assert_eq!(numbers, (7_000..8_000).collect::<Vec<_>>());
    assert!(events[0]["ext"]["replay"]["id"].as_i64() > gap["to"].as_i64(), "{gap}");
    assert_eq!(events[999]["ext"]["replay"]["id"], last);
}
