//! What is kept over a restart, and what becomes of it when the process is killed.

use std::process::{Command, Output};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::json;
use weft_tests::api::{history, kept, position, post, publish, publish_durably};
use weft_tests::broker::{Broker, Setup, binary};
use weft_tests::http::{Connection, Request};

fn store_tool(broker: &Broker, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.arg("store").args(arguments).arg("--data").arg(broker.data());
    command.output().expect("the tool runs")
}

/// Publishes durably until the broker goes away; what was acknowledged, in order.
fn publish_until_gone(broker: &Broker, name: &str, first: u64) -> (Vec<(i64, u64)>, u64) {
    let mut acknowledged = Vec::new();
    let mut number = first;
    let mut connection = Connection::open(broker.listen);
    loop {
        number += 1;
        let request = Request::post(&format!("/publish/{name}?durable=1"), number.to_string())
            .header("Idempotency-Key", &format!("{name}-{number}"));
        let sent = connection.try_send(&request.bytes(broker.listen));
        let Ok(response) = sent.and_then(|()| connection.read()) else {
            return (acknowledged, number);
        };
        acknowledged.push((position(&response), number));
    }
}

/// Kills the broker at random moments while publishers publish durably: what was acknowledged is
/// there, once, in order; and a repeat of the last publication of unknown fate happens once.
fn crash(rounds: u64) {
    const PUBLISHERS: usize = 4;
    let broker = Broker::start();
    let books = Mutex::new(vec![(Vec::<(i64, u64)>::new(), 0_u64); PUBLISHERS]);
    let mut highest = 0;
    for round in 0..rounds {
        std::thread::scope(|scope| {
            for publisher in 0..PUBLISHERS {
                let (broker, books) = (&broker, &books);
                scope.spawn(move || {
                    let first = books.lock()[publisher].1;
                    let name = format!("crash/{publisher}");
                    let (mut acknowledged, last) = publish_until_gone(broker, &name, first);
                    let mut books = books.lock();
                    books[publisher].0.append(&mut acknowledged);
                    books[publisher].1 = last;
                });
            }
            std::thread::sleep(Duration::from_millis(5 + round * 37 % 90));
            broker.kill();
        });
        broker.restart();
        let mut books = books.lock();
        for (publisher, (acknowledged, last)) in books.iter_mut().enumerate() {
            // The fate of the last one is unknown: repeated, it is there once.
            let name = format!("crash/{publisher}");
            let request = Request::post(&format!("/publish/{name}?durable=1"), last.to_string())
                .header("Idempotency-Key", &format!("{name}-{last}"));
            acknowledged.push((position(&broker.exchange(&request)), *last));
            let page = history(&broker, &format!("/{name}"), "?limit=10000");
            let messages = page["messages"].as_array().expect("messages");
            let stored: Vec<(i64, u64)> = messages
                .iter()
                .filter_map(|m| Some((m["position"].as_i64()?, m["data"].as_u64()?)))
                .collect();
            let recent = &acknowledged[acknowledged.len().saturating_sub(stored.len())..];
            assert_eq!(stored, recent, "round {round}, publisher {publisher}");
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
