//! What is kept over a restart, and what becomes of it when the process is killed.

use std::process::{Command, Output};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use weft_tests::api::{history, kept, post, publish, publish_durably};
use weft_tests::broker::{Broker, Setup, binary};
use weft_tests::http::{Connection, Request, Response};

fn store_tool(broker: &Broker, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.arg("store").args(arguments).arg("--data").arg(broker.data());
    command.output().expect("the tool runs")
}

/// How a publisher of the crash test speaks: one message a request, or an array of three.
fn publication(name: &str, number: u64) -> Request {
    if name.ends_with("array") {
        let message =
            |n: u64| json!({"channel": format!("/{name}"), "data": n, "id": n.to_string()});
        let array = json!([message(number), message(number + 1), message(number + 2)]);
        Request::post("/publish?durable=1", array.to_string())
    } else {
        Request::post(&format!("/publish/{name}?durable=1"), number.to_string())
            .header("Idempotency-Key", &number.to_string())
    }
}

/// The position of each message of a request, from the answer.
fn positions(response: &Response, number: u64) -> Vec<(i64, u64)> {
    assert_eq!(response.status, 200, "{}", response.text());
    let said = response.json();
    let said = said.as_array().cloned().unwrap_or_else(|| vec![said]);
    let position = |one: &Value| one["position"].as_i64().expect("a position");
    said.iter().map(position).zip(number..).collect()
}

/// Publishes durably until the broker goes away: what was acknowledged, in order, and the number of
/// the request that was not.
fn publish_until_gone(
    broker: &Broker,
    mut connection: Connection,
    name: &str,
    first: u64,
) -> (Vec<(i64, u64)>, u64) {
    let mut acknowledged = Vec::new();
    let mut number = first;
    loop {
        let sent = connection.try_send(&publication(name, number).bytes(broker.listen));
        let Ok(response) = sent.and_then(|()| connection.read()) else {
            return (acknowledged, number);
        };
        let mut answered = positions(&response, number);
        number += answered.len() as u64;
        acknowledged.append(&mut answered);
    }
}

/// Kills the broker at random moments while publishers publish durably, of each kind: what was
/// acknowledged is there, once, in order; and a repeat of the last request of unknown fate happens
/// once.
fn crash(rounds: u64) {
    const NAMES: [&str; 4] = ["crash/one", "crash/two", "crash/sync", "crash/array"];
    const KEPT: usize = 1_000;
    let broker = Broker::with("[[channels]]\npattern = \"/crash/sync\"\ndurability = \"sync\"\n");
    let books = Mutex::new(NAMES.map(|_| (Vec::<(i64, u64)>::new(), 1_u64)));
    let mut highest = 0;
    for round in 0..rounds {
        std::thread::scope(|scope| {
            for (publisher, name) in NAMES.into_iter().enumerate() {
                let (broker, books) = (&broker, &books);
                // Before the kill, however late the thread has its turn.
                let connection = Connection::open(broker.listen);
                scope.spawn(move || {
                    let first = books.lock()[publisher].1;
                    let (mut acknowledged, last) =
                        publish_until_gone(broker, connection, name, first);
                    let mut books = books.lock();
                    books[publisher].0.append(&mut acknowledged);
                    books[publisher].1 = last;
                });
            }
            std::thread::sleep(Duration::from_millis(5 + round * 37 % 90));
            broker.kill();
        });
        broker.restart();
        for lost in ["moved_aside", "ends_lost", "channels_lost"] {
            assert_eq!(broker.metric(&format!("weft_store_{lost}_total")), 0.0, "round {round}");
        }
        let mut books = books.lock();
        for (name, (acknowledged, last)) in NAMES.iter().zip(books.iter_mut()) {
            // The fate of the last one is unknown: repeated, it is there once.
            let mut again = positions(&broker.exchange(&publication(name, *last)), *last);
            *last += again.len() as u64;
            acknowledged.append(&mut again);
            let page = history(&broker, &format!("/{name}"), "?limit=10000");
            let messages = page["messages"].as_array().expect("messages");
            let stored: Vec<(i64, u64)> = messages
                .iter()
                .filter_map(|m| Some((m["position"].as_i64()?, m["data"].as_u64()?)))
                .collect();
            let recent = &acknowledged[acknowledged.len().saturating_sub(KEPT)..];
            assert_eq!(stored, recent, "round {round}, {name}");
            assert!(stored.is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1));
        }
        let now = publish(&broker, "/crash/mark", round);
        assert!(now > highest, "positions rise over restarts: {now} after {highest}");
        highest = now;
    }
    let total: usize = books.lock().iter().map(|(acknowledged, _)| acknowledged.len()).sum();
    println!("{rounds} rounds, {total} acknowledged");
    assert!(total as u64 > rounds, "something was published");
}

#[test]
fn p3_what_was_acknowledged_as_durable_survives_kill_9() {
    crash(50);
}

#[test]
#[ignore = "the long form: WEFT_LONG"]
fn p3_what_was_acknowledged_as_durable_survives_a_thousand_kills() {
    crash(1_000);
}

#[test]
fn a_store_in_use_stops_a_second_broker_and_the_tool() {
    let broker = Broker::start();
    let data = broker.data().display().to_string();
    let second = Setup::default().arg("--data").arg(&data).without_flags();
    let listen = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let second = listen.iter().fold(second, |setup, argument| setup.arg(argument));
    let failure = second.try_start().expect_err("it is in use");
    assert!(failure.log.contains("in use"), "{}", failure.log);
    let tool = store_tool(&broker, &["check"]);
    assert!(String::from_utf8_lossy(&tool.stderr).contains("stop the broker first"), "{tool:?}");
    publish(&broker, "/a", 1);
}

#[test]
fn p5_the_least_recently_used_channels_go_when_the_store_is_full() {
    let broker = Broker::with("[store]\nbytes = \"256KiB\"\nmemory = \"64KiB\"\n");
    let text = "x".repeat(1_000);
    for channel in 0..8 {
        for _ in 0..64 {
            assert_eq!(post(&broker, &format!("/b/{channel}"), "", &json!(text)).status, 200);
        }
    }
    publish_durably(&broker, "/b/7", 1);
    broker.wait_metric("weft_past_bytes", |bytes| bytes <= 65_536.0);
    assert!(kept(&broker, "/b/0").is_empty(), "the oldest channel went");
    assert!(kept(&broker, "/b/7").len() >= 65, "the newest is whole");
    assert!(broker.metric("weft_store_bytes") <= 256.0 * 1_024.0);
}
