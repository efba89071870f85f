//! Those who send more than anybody needs.

use std::time::Duration;

use serde_json::{Value, json};
use weft_tests::broker::Broker;
use weft_tests::http::{Connection, Request};
use weft_tests::ordeal::Ordeal;
use weft_tests::paced::{attacker, paced};
use weft_tests::throng::Pipe;

const A_WHILE: Duration = Duration::from_secs(3);

fn publishes(count: usize, message: impl Fn(usize) -> Value) -> String {
    (0..count).map(message).collect::<Value>().to_string()
}

/// Batches for two thousand sessions of the attacker: two million places in queues with each.
fn amplify(broker: &Broker, path: &str, batch: &str) {
    let mut pipe = Pipe::open(broker, attacker(0));
    let ids = pipe.handshakes(2_000);
    assert_eq!(pipe.subscribe(&ids, &json!("/amplified/**")).len(), 2_000);
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
    Ordeal::new("a thousand messages for two thousand sessions", 256)
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
        paced(40, A_WHILE, |number| {
            let all = Request::get("/events?channel=/**&since=-2");
            connections[number as usize % 8].start(&all);
        });
    });
}
