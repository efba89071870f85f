//! Replay over Bayeux (checklist X2, decisions section 5): positions, gaps, the join of past and
//! live, and what the channel rules change.

use serde_json::{Value, json};
use weft_tests::api::{publish, publish_durably, publish_lines};
use weft_tests::bayeux::{Client, data, events_and_reply, ok};
use weft_tests::broker::Broker;

fn subscribe(client: &mut Client<'_>, name: &str, replay: &Value) -> Value {
    let fields = json!({"subscription": name, "ext": {"replay": replay}});
    let reply = client.ask("/meta/subscribe", fields);
    ok(&reply);
    reply
}

/// Connects until nothing more comes at once; the events.
fn drain(client: &mut Client<'_>, wanted: usize) -> Vec<Value> {
    let mut events = Vec::new();
    while events.len() < wanted {
        let (more, reply) = events_and_reply(client.connect());
        ok(&reply);
        events.extend(more);
    }
    events
}

fn numbers(events: &[Value]) -> Vec<i64> {
    events.iter().map(|event| event["data"].as_i64().expect("a number")).collect()
}

#[test]
fn x2_a_subscription_starts_after_a_position_with_all_or_with_new_messages() {
    let broker = Broker::start();
    let positions: Vec<i64> = (1..=5).map(|n| publish(&broker, "/a", n)).collect();
    let starts = [
        (json!(positions[2]), vec![4, 5, 6]),
        (json!(-2), vec![1, 2, 3, 4, 5, 6]),
        (json!(-1), vec![6]),
        (json!(null), vec![6]),
        (json!("x"), vec![6]),
        (json!(positions[4]), vec![6]),
    ];
    let mut clients = Vec::new();
    for (start, _) in &starts {
        let mut client = Client::connected(&broker);
        let reply = subscribe(&mut client, "/a", &json!({"/a": start, "/other": 7}));
        assert!(reply["ext"].get("weft").is_none(), "no gap: {reply}");
        clients.push(client);
    }
    publish(&broker, "/a", 6);
    for (client, (start, expected)) in clients.iter_mut().zip(&starts) {
        let events = drain(client, expected.len());
        assert_eq!(numbers(&events), *expected, "{start}");
        for event in &events {
            let id = event["ext"]["replay"]["id"].as_i64().expect("a position");
            assert!(id > 1_000_000_000_000_000 && id < 1 << 53, "{event}");
        }
    }
}

#[test]
fn x2_a_handshake_that_announces_replay_is_answered_and_events_carry_positions() {
    let broker = Broker::start();
    let mut client = Client::new(&broker);
    let reply = client.handshake_with(json!({"ext": {"replay": true}}));
    assert_eq!(reply["ext"], json!({"replay": true}));
    client.connect();
    ok(&client.subscribe("/a"));
    let position = publish(&broker, "/a", 1);
    let events = drain(&mut client, 1);
    assert_eq!(events[0]["ext"], json!({"replay": {"id": position}}));
    let mut plain = Client::subscribed(&broker, "/a");
    publish(&broker, "/a", 2);
    assert!(drain(&mut plain, 1)[0].get("ext").is_none());
}

#[test]
fn x2_subscribing_again_succeeds_and_replays_nothing() {
    let broker = Broker::start();
    publish(&broker, "/a", 1);
    let mut client = Client::subscribed(&broker, "/a");
    subscribe(&mut client, "/a", &json!({"/a": -2}));
    publish(&broker, "/a", 2);
    assert_eq!(numbers(&drain(&mut client, 1)), [2]);
}

#[test]
fn p4_numbers_that_were_never_positions_and_trimmed_ones_are_told() {
    let broker = Broker::with("[[channels]]\npattern = \"/a\"\nbacklog = { messages = 3 }\n");
    let positions: Vec<i64> = (1..=10).map(|n| publish(&broker, "/a", n)).collect();
    let mut odd = Client::connected(&broker);
    let reply = subscribe(&mut odd, "/a", &json!({"/a": 7}));
    let gap = &reply["ext"]["weft"]["gap"][0];
    assert_eq!((&gap["channel"], &gap["from"]), (&json!("/a"), &json!(7)));
    assert!(gap["to"].as_i64() >= Some(positions[9]));
    let mut late = Client::connected(&broker);
    let reply = subscribe(&mut late, "/a", &json!({"/a": positions[1]}));
    let gap = json!([{"channel": "/a", "from": positions[1], "to": positions[6]}]);
    assert_eq!(reply["ext"]["weft"]["gap"], gap);
    assert_eq!(numbers(&drain(&mut late, 3)), [8, 9, 10]);
    publish(&broker, "/a", 11);
    assert_eq!(numbers(&drain(&mut odd, 1)), [11], "live only");
    assert!(broker.metric("weft_gaps_told_total") >= 2.0);
    assert_eq!(broker.metric("weft_replays_total{result=\"unknown\"}"), 1.0);
    assert_eq!(broker.metric("weft_replays_total{result=\"gap\"}"), 1.0);
}

#[test]
fn x2_patterns_replay_each_channel_and_named_channels_win() {
    let broker = Broker::start();
    let x = publish(&broker, "/p/x", 1);
    publish(&broker, "/p/x", 2);
    publish(&broker, "/p/y", 3);
    publish(&broker, "/q/z", 4);
    let mut client = Client::connected(&broker);
    subscribe(&mut client, "/p/**", &json!({"/p/**": -2, "/p/x": x}));
    publish(&broker, "/p/new", 5);
    let mut seen = numbers(&drain(&mut client, 3));
    seen.sort_unstable();
    assert_eq!(seen, [2, 3, 5]);
}

#[test]
fn x2_a_long_replay_comes_page_by_page_and_meets_live_messages_without_a_gap() {
    let broker = Broker::with(
        "[limits]\nresponse_bytes = \"2KiB\"\n[store]\nmemory = \"16KiB\"\n[[channels]]\n\
         pattern = \"/**\"\nbacklog = { messages = 5000 }\n",
    );
    publish_lines(&broker, "/a", 1..=1_000);
    let mut client = Client::connected(&broker);
    subscribe(&mut client, "/a", &json!({"/a": -2}));
    std::thread::scope(|scope| {
        scope.spawn(|| publish_lines(&broker, "/a", 1_001..=2_000));
        let events = drain(&mut client, 2_000);
        assert_eq!(numbers(&events), (1..=2_000).collect::<Vec<_>>());
    });
}

#[test]
fn x2_a_restart_loses_nothing_that_was_accepted_and_positions_rise() {
    let broker = Broker::start();
    let first = publish(&broker, "/a", 1);
    publish(&broker, "/a", 2);
    assert_eq!(broker.terminate(), Some(0));
    broker.restart();
    let third = publish(&broker, "/a", 3);
    assert!(third > first);
    let mut client = Client::connected(&broker);
    let reply = subscribe(&mut client, "/a", &json!({"/a": first}));
    assert!(reply["ext"].get("weft").is_none(), "a clean stop is no doubt: {reply}");
    assert_eq!(numbers(&drain(&mut client, 2)), [2, 3]);
}

#[test]
fn p4_after_a_crash_a_possible_loss_is_told_unless_the_channel_is_sync() {
    let broker = Broker::with("[[channels]]\npattern = \"/sync\"\ndurability = \"sync\"\n");
    let (a, s) = (publish_durably(&broker, "/a", 1), publish(&broker, "/sync", 2));
    broker.kill();
    broker.restart();
    let mut client = Client::connected(&broker);
    let reply = subscribe(&mut client, "/a", &json!({"/a": a}));
    assert_eq!(reply["ext"]["weft"]["gap"][0]["from"], a, "{reply}");
    let reply = subscribe(&mut client, "/sync", &json!({"/sync": s}));
    assert!(reply["ext"].get("weft").is_none(), "{reply}");
}

#[test]
fn rules_last_messages_own_messages_and_salesforce() {
    let broker = Broker::with(
        "[[channels]]\npattern = \"/last/**\"\nretain_last = true\n\
         [[channels]]\npattern = \"/quiet\"\nbroadcast_to_publisher = false\n\
         [[channels]]\npattern = \"/sf\"\nsalesforce = true\n\
         [[channels]]\npattern = \"/off\"\nreplay = false\n\
         [[channels]]\npattern = \"/lazy\"\nlazy = \"1h\"\n",
    );
    publish(&broker, "/last/a", 1);
    publish(&broker, "/last/a", 2);
    publish(&broker, "/last/b", 3);
    let mut client = Client::subscribed(&broker, "/last/a");
    assert_eq!(data(client.connect()), [json!(2)]);
    let mut client = Client::subscribed(&broker, "/last/*");
    assert_eq!(numbers(&drain(&mut client, 2)), [2, 3]);

    let mut one = Client::subscribed(&broker, "/quiet");
    let mut two = Client::subscribed(&broker, "/quiet");
    ok(&one.publish("/quiet", 4));
    ok(&two.publish("/quiet", 5));
    assert_eq!(data(one.connect()), [json!(5)]);
    assert_eq!(data(two.connect()), [json!(4)]);

    let mut client = Client::subscribed(&broker, "/sf");
    let position = publish(&broker, "/sf", json!({"payload": 1}));
    let event = &drain(&mut client, 1)[0]["data"];
    assert_eq!((&event["payload"], &event["event"]["replayId"]), (&json!(1), &json!(position)));
    assert_eq!(event["event"]["createdDate"].as_str().map(str::len), Some(24));

    let before = publish(&broker, "/off", 1);
    let last = publish(&broker, "/off", 2);
    let mut client = Client::connected(&broker);
    let reply = subscribe(&mut client, "/off", &json!({"/off": before}));
    assert_eq!(reply["ext"]["weft"]["gap"][0]["to"], last);
    publish(&broker, "/off", 3);
    assert_eq!(numbers(&drain(&mut client, 1)), [3]);

    let mut client = Client::subscribed(&broker, "/lazy");
    ok(&client.subscribe("/eager"));
    let mut held = client.held_connect();
    publish(&broker, "/lazy", 1);
    publish(&broker, "/eager", 2);
    assert_eq!(data(held.answer()), [json!(1), json!(2)], "they leave together");
}

#[test]
fn x2_callback_polling_replays_as_long_polling_does() {
    let broker = Broker::start();
    let positions: Vec<i64> = (1..=3).map(|n| publish(&broker, "/a", n)).collect();
    let mut client = Client::connected(&broker);
    let fields = json!({"subscription": "/a", "ext": {"replay": {"/a": positions[0]}}});
    let subscribe = client.message("/meta/subscribe", fields);
    ok(&client.call(&[subscribe])[0]);
    let connect = client.message("/meta/connect", json!({"connectionType": "callback-polling"}));
    let (events, reply) = events_and_reply(client.call(&[connect]));
    ok(&reply);
    assert_eq!(numbers(&events), [2, 3]);
    assert_eq!(events[1]["ext"]["replay"]["id"], positions[2]);
}
