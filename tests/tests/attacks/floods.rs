//! Those who send more than anybody needs.

use std::time::Duration;

use serde_json::{Value, json};
use weft_tests::broker::Broker;
use weft_tests::bystander::READERS;
use weft_tests::http::{Connection, Request};
use weft_tests::ordeal::Ordeal;
use weft_tests::paced::{attacker, paced};
use weft_tests::throng::Pipe;

const A_WHILE: Duration = Duration::from_secs(3);

fn publishes(count: usize, message: impl Fn(usize) -> Value) -> String {
    (0..count).map(message).collect::<Value>().to_string()
}

/// Batches for a thousand sessions of the attacker: a million places in queues with each.
fn amplify(broker: &Broker, path: &str, batch: &str) {
    let mut pipe = Pipe::open(broker, attacker(0));
    let ids = pipe.handshakes(1_000);
    assert_eq!(pipe.subscribe(&ids, &json!("/amplified/**")).len(), 1_000);
    let mut connections: Vec<_> =
        (0..4).map(|_| Connection::open_from(attacker(0), broker.listen)).collect();
    let batch = Request::post(path, batch.replace("CLIENT", &ids[0]));
    let count = paced(2, A_WHILE, |number| connections[number as usize % 4].start(&batch));
    for number in 0..count {
        let answer = connections[number as usize % 4].read().expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

#[test]
fn p5_a_batch_for_many_does_not_stop_the_others() {
    let batch = publishes(1_000, |_| json!({"channel": "/amplified/a", "data": 1}));
    Ordeal::new("a thousand messages for a thousand sessions", 256)
        .run(|broker| amplify(broker, "/publish", &batch));
}

#[test]
fn p5_a_batch_for_many_by_many_channels_does_not_stop_the_others() {
    let batch = publishes(1_000, |n| json!({"channel": format!("/amplified/{n}"), "data": 1}));
    Ordeal::new("the same on a thousand channels", 256)
        .run(|broker| amplify(broker, "/publish", &batch));
}

#[test]
fn p5_a_request_for_many_does_not_stop_the_others() {
    let batch = publishes(
        1_000,
        |n| json!({"channel": format!("/amplified/{n}"), "data": 1, "clientId": "CLIENT"}),
    );
    Ordeal::new("the same by Bayeux", 256).run(|broker| amplify(broker, "/bayeux", &batch));
}

#[test]
fn p5_handshakes_cost_bounded_memory() {
    let broker = Ordeal::new("handshakes", 64).toml("[sessions]\nmax = 20000\n").run(|broker| {
        let mut pipe = Pipe::open(broker, attacker(0));
        paced(80, A_WHILE, |_| drop(pipe.handshakes(50)));
    });
    assert!(broker.metric("weft_handshakes_total") > 5_000.0);
}

#[test]
fn l4_subscriptions_by_the_ten_thousand_cost_bounded_memory() {
    Ordeal::new("subscribe bomb", 256).limits("subscriptions = 200000\n").run(|broker: &Broker| {
        let mut pipe = Pipe::open(broker, attacker(0));
        let ids = pipe.handshakes(30);
        paced(8, A_WHILE, |number| {
            let id = &ids[number as usize % ids.len()..][..1];
            let names: Value =
                (0..10_000).map(|n| json!(format!("/bomb/{number}/{n}/**"))).collect();
            pipe.subscribe(id, &names);
        });
    });
}

#[test]
fn p5_channels_by_the_hundred_thousand_and_those_who_want_them_all() {
    Ordeal::new("channels, and all of them asked for", 256).run(|broker| {
        let mut pipe = Pipe::open(broker, attacker(0));
        for batch in 0..60 {
            let message = |n: usize| json!({"channel": format!("/many/{batch}/{n}"), "data": n});
            let body: Value = (0..1_000).map(message).collect();
            pipe.exchange(&[Request::post("/publish", body.to_string())]);
        }
        let mut connections: Vec<_> =
            (0..8).map(|_| Connection::open_from(attacker(1), broker.listen)).collect();
        // Each costs a look at sixty thousand names: what the broker has no bound for but `[rates]`.
        paced(3, A_WHILE, |number| {
            let all = Request::get("/events?channel=/**&since=-2");
            connections[number as usize % 8].start(&all);
        });
    });
}

/// A connect of each session, on a connection of its own.
fn connects(broker: &Broker, ids: &[String]) -> Vec<Connection> {
    let connect = |id: &String| {
        let message = json!([{"channel": "/meta/connect", "clientId": id,
                              "connectionType": "long-polling"}]);
        let mut connection = Connection::open_from(attacker(0), broker.listen);
        connection.start(&Request::post("/bayeux", message.to_string()));
        connection
    };
    ids.iter().map(connect).collect()
}

#[test]
fn r33_polls_of_one_address_are_held_as_far_as_it_may_and_cost_others_nothing() {
    Ordeal::new("polls of one address", 64).limits("held_per_address = 50\n").run(|broker| {
        let mut pipe = Pipe::open(broker, attacker(0));
        let ids = pipe.handshakes(500);
        // Each first connect is answered at once, and the next would be held.
        let mut first = connects(broker, &ids);
        first.iter_mut().for_each(|one| drop(one.read().expect("an answer")));
        drop(first);
        let polls = connects(broker, &ids);
        paced(2, A_WHILE / 2, |_| {
            // One that is just being answered counts for that moment, and in no two looks.
            let looks = [(); 3].map(|()| broker.metric("weft_held_connects"));
            let held = looks.into_iter().fold(f64::INFINITY, f64::min);
            assert!(held <= (50 + READERS) as f64, "{looks:?} are held");
        });
        drop(polls);
        // Those who are not held, and come again at once all the same.
        let poll = json!([{"channel": "/meta/connect", "clientId": ids[499],
                           "connectionType": "long-polling", "advice": {"timeout": 0}}]);
        let polls = vec![Request::post("/bayeux", poll.to_string()); 50];
        paced(20, A_WHILE / 2, |_| drop(pipe.exchange(&polls)));
    });
}

#[test]
fn r34_r35_handshakes_past_a_rate_leave_nothing_and_cost_others_nothing() {
    let broker = Ordeal::new("handshakes past a rate", 32)
        .toml("[rates]\nhandshakes_per_address = \"50/s\"\n")
        .run(|broker| {
            let mut pipe = Pipe::open(broker, attacker(0));
            let mut made = 0;
            paced(80, A_WHILE, |_| made += pipe.handshakes(50).len());
            assert!(made < 400, "{made} sessions");
        });
    assert!(broker.metric("weft_sessions") < 500.0);
}

#[test]
fn p5_publishing_as_fast_as_it_goes_costs_others_nothing() {
    Ordeal::new("publish flood", 128).run(|broker| {
        let mut pipe = Pipe::open(broker, attacker(0));
        let data = json!("x".repeat(500)).to_string();
        let publish = vec![Request::post("/publish/flood", data); 50];
        paced(30, A_WHILE, |_| {
            let answers = pipe.exchange(&publish);
            assert!(answers.iter().all(|answer| answer.status == 200));
        });
    });
}

#[test]
fn r35_publishing_past_a_rate_is_cheap_to_refuse() {
    let broker = Ordeal::new("publish flood past a rate", 64)
        .toml("[rates]\nmessages_per_address = \"1000/s\"\n")
        .run(|broker| {
            let mut pipe = Pipe::open(broker, attacker(0));
            let publish = vec![Request::post("/publish/flood", "1"); 50];
            let mut refused = 0;
            paced(60, A_WHILE, |_| {
                let answers = pipe.exchange(&publish);
                refused += answers.iter().filter(|answer| answer.status == 429).count();
            });
            assert!(refused > 1_000, "{refused} were refused");
        });
    assert!(broker.metric("weft_messages_in_total") < 8_000.0);
}

#[test]
fn p5_streams_by_the_thousand_cost_bounded_memory() {
    let broker = Ordeal::new("streams of one address", 64).run(|broker| {
        let mut streams = Vec::new();
        paced(1_000, A_WHILE, |number| {
            let mut connection = Connection::open_from(attacker(0), broker.listen);
            let get = Request::get(&format!("/events/stream/{number}?padding=65536"));
            if connection.try_send(&get.bytes(broker.listen)).is_ok() {
                streams.push(connection);
            }
        });
        assert!(broker.metric("weft_streams") <= 1_024.0);
    });
    broker.wait_metric("weft_streams", |streams| streams == 0.0);
}
