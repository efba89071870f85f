//! What publishing, keeping and replaying cost: the long form prints figures, and holds the broker to
//! what must not grow.
//!
//! `WEFT_LONG=1 cargo test --release -p weft-tests --test figures -- --include-ignored --nocapture
//! --test-threads 1`

#![expect(clippy::disallowed_methods, reason = "what is measured is time")]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use weft_tests::api::{history, publish_durably};
use weft_tests::bayeux::{Client, events_and_reply, ok};
use weft_tests::broker::Broker;
use weft_tests::http::{Connection, Request};
use weft_tests::lines;
use weft_tests::process::{memory, processor_time};

/// Runs publishers for a while; how many publications a second were accepted, and what each cost the
/// broker in processor time.
fn publishers(broker: &Broker, name: &str, query: &str, count: usize) -> (f64, Duration) {
    let (stop, accepted) = (AtomicBool::new(false), AtomicU64::new(0));
    let data = json!({"text": "x".repeat(180)}).to_string();
    let before = processor_time(broker.pid());
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for publisher in 0..count {
            let (stop, accepted, data) = (&stop, &accepted, &data);
            scope.spawn(move || {
                let mut connection = Connection::open(broker.listen);
                let path = format!("/publish/{name}/{publisher}{query}");
                let request = Request::post(&path, data.clone());
                while !stop.load(Ordering::Relaxed) {
                    assert_eq!(connection.exchange(&request).status, 200);
                    accepted.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        std::thread::sleep(Duration::from_secs(5));
        stop.store(true, Ordering::Relaxed);
    });
    let took = begun.elapsed();
    let count = accepted.load(Ordering::Relaxed);
    let each = (processor_time(broker.pid()) - before)
        / u32::try_from(count).expect("some seconds").max(1);
    (count as f64 / took.as_secs_f64(), each)
}

#[test]
#[ignore = "the long form: WEFT_LONG"]
fn publications_a_second_and_what_each_costs() {
    let rules = ["memory", "interval", "sync"].map(|durability| {
        format!("[[channels]]\npattern = \"/{durability}/**\"\ndurability = \"{durability}\"\n")
    });
    let broker = Broker::with(&rules.concat());
    for (name, query) in
        [("memory", ""), ("interval", ""), ("interval", "?durable=1"), ("sync", "")]
    {
        for count in [1, 64] {
            let (rate, each) = publishers(&broker, name, query, count);
            println!("{name}{query} {count} publishers: {rate:.0}/s, {each:?} of CPU each");
            assert!(rate > 0.0);
        }
    }
}

/// Streams messages as lines, `channels` in turn; each is answered.
fn stream(broker: &Broker, messages: u64, channels: u64, data: &str) {
    let line = |n| format!("{{\"channel\":\"/fig/{}\",\"data\":{data}}}", n % channels);
    let mut accepted = 0;
    lines::publish(broker, (0..messages).map(line), |answer| {
        accepted += u64::from(answer.contains("\"position\""));
    });
    assert_eq!(accepted, messages);
}

#[test]
#[ignore = "the long form: WEFT_LONG"]
fn p5_millions_of_messages_over_a_thousand_channels_stop_growing() {
    let broker = Broker::with("[store]\nbytes = \"4GiB\"\n");
    let data = json!("x".repeat(100)).to_string();
    let mut sizes = Vec::new();
    let begun = Instant::now();
    for part in 1..=16 {
        stream(&broker, 250_000, 1_000, &data);
        broker.wait_metric("weft_store_queued_records", |queued| queued == 0.0);
        let size = (memory(broker.pid()), broker.metric("weft_store_disk_bytes"));
        println!(
            "{} messages, {:?}: {} MB of memory, {:.0} MB of files, {:.0} MB live",
            part * 250_000,
            begun.elapsed(),
            size.0 >> 20,
            size.1 / 1e6,
            broker.metric("weft_store_bytes") / 1e6,
        );
        sizes.push(size);
    }
    // A million messages are live from the fourth part on; where the files of old ones are used
    // again takes its time to settle.
    let (before, end) = (sizes[11], sizes[15]);
    assert!(end.0 as f64 <= before.0 as f64 * 1.05, "memory grows: {sizes:?}");
    assert!(end.1 <= before.1 * 1.05, "files grow: {sizes:?}");
}

#[test]
#[ignore = "the long form: WEFT_LONG"]
fn the_time_to_start_on_a_store_of_a_gigabyte() {
    let broker = Broker::with(
        "[store]\nbytes = \"8GiB\"\n[[channels]]\npattern = \"/**\"\n\
         backlog = { messages = 1000000, bytes = \"1GiB\" }\n",
    );
    let data = json!("x".repeat(500)).to_string();
    let mut messages = 0;
    while broker.metric("weft_store_disk_bytes") < 1e9 {
        stream(&broker, 50_000, 1_000, &data);
        broker.wait_metric("weft_store_queued_records", |queued| queued == 0.0);
        messages += 50_000;
    }
    let disk = broker.metric("weft_store_disk_bytes") / 1e6;
    for how in ["a clean stop", "kill -9"] {
        let begun = Instant::now();
        if how == "kill -9" {
            broker.kill();
        } else {
            assert_eq!(broker.terminate(), Some(0));
        }
        let stopped = begun.elapsed();
        let begun = Instant::now();
        broker.restart();
        assert_eq!(broker.admin_get("/readyz").status, 200);
        let started = begun.elapsed();
        let megabytes = memory(broker.pid()) >> 20;
        println!(
            "{messages} messages, {disk:.0} MB: {how} took {stopped:?}, the start {started:?}, {megabytes} MB"
        );
        let page = history(&broker, "/fig/7", "?limit=1");
        assert_eq!(page["messages"].as_array().map(Vec::len), Some(1));
    }
}

fn replay(broker: &Broker, what: &str) {
    let mut times = Vec::new();
    let before = processor_time(broker.pid());
    for _ in 0..20 {
        let mut client = Client::connected(broker);
        let begun = Instant::now();
        let fields = json!({"subscription": "/replay", "ext": {"replay": {"/replay": -2}}});
        ok(&client.ask("/meta/subscribe", fields));
        let mut seen = 0;
        while seen < 1_000 {
            let (events, reply) = events_and_reply(client.connect());
            ok(&reply);
            seen += events.len();
        }
        assert_eq!(seen, 1_000);
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    let each = (processor_time(broker.pid()) - before) / 20;
    println!("replay of 1,000 from {what}: median {:?}, {each:?} of CPU", times[10]);
}

#[test]
#[ignore = "the long form: WEFT_LONG"]
fn a_replay_of_a_thousand_messages() {
    let broker = Broker::with("[store]\nmemory = \"64MiB\"\n");
    for _ in 0..10 {
        let lines = format!("{{\"channel\":\"/replay\",\"data\":\"{}\"}}\n", "x".repeat(180));
        let request = Request::post("/publish?durable=1", lines.repeat(100))
            .header("Content-Type", "application/x-ndjson");
        assert_eq!(broker.exchange(&request).text().lines().count(), 100);
    }
    replay(&broker, "memory");
    assert_eq!(broker.terminate(), Some(0));
    broker.restart();
    replay(&broker, "the store");
    publish_durably(&broker, "/other", 1);
}
