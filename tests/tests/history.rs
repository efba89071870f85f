//! Reading what is kept: pages, gaps, bounds (decisions sections 2 and 5).

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use weft_tests::api::{history, kept, publish};
use weft_tests::broker::Broker;
use weft_tests::http::{Request, Response};

fn get(broker: &Broker, target: &str) -> Response {
    broker.exchange(&Request::get(&format!("/history{target}")))
}

fn numbers(page: &Value) -> Vec<(i64, i64)> {
    let number = |message: &Value, name: &str| message[name].as_i64().expect("a number");
    let messages = page["messages"].as_array().expect("messages").iter();
    messages.map(|message| (number(message, "position"), number(message, "data"))).collect()
}

#[test]
fn history_comes_in_pages_by_position_and_by_time() {
    let broker = Broker::with("[[channels]]\npattern = \"/h\"\nbacklog = { messages = 10 }\n");
    let positions: Vec<i64> = (1..=25).map(|n| publish(&broker, "/h", n)).collect();
    let all = history(&broker, "/h", "");
    assert_eq!(kept(&broker, "/h"), (16..=25).map(|n| json!(n)).collect::<Vec<_>>());
    assert!(all.get("gap").is_none(), "all that is kept is all that was asked for");
    let first = history(&broker, "/h", "?limit=4");
    let next = history(&broker, "/h", &format!("?limit=99999&since={}", first["next"]));
    assert_eq!(next["messages"][0]["data"], 20);
    assert_eq!(next["next"], positions[24]);
    let empty = history(&broker, "/h", &format!("?since={}", positions[24]));
    assert_eq!((&empty["messages"], &empty["next"]), (&json!([]), &json!(positions[24])));
    let late = history(&broker, "/h", &format!("?since={}", positions[3]));
    let gap = json!([{"channel": "/h", "from": positions[3], "to": positions[14]}]);
    assert_eq!((&late["gap"], &late["messages"][0]["data"]), (&gap, &json!(16)));
    let time = all["messages"][4]["time"].as_str().expect("a time");
    let since = history(&broker, "/h", &format!("?since={time}"));
    assert_eq!(since["messages"][0]["data"], 21);
    let never = history(&broker, "/h", "?since=7");
    assert_eq!((&never["messages"], &never["next"]), (&json!([]), &json!(positions[24])));
    assert_eq!(never["gap"], json!([{"channel": "/h", "from": 7, "to": positions[24]}]));
    for query in ["?since=x", "?since=-1", "?since="] {
        assert_eq!(get(&broker, &format!("/h{query}")).status, 400, "{query}");
    }
    assert_eq!(history(&broker, "/never", "")["messages"], json!([]));
    assert_eq!(broker.metric("weft_gaps_told_total"), 2.0);
    assert_eq!(broker.metric("weft_replays_total{result=\"gap\"}"), 1.0);
    assert_eq!(broker.metric("weft_replays_total{result=\"unknown\"}"), 1.0);
    assert_eq!(broker.metric("weft_replays_total{result=\"complete\"}"), 7.0);
}

#[test]
fn a_limit_is_never_refused() {
    let broker = Broker::start();
    let lines: String =
        (0..150).map(|n| format!("{{\"channel\":\"/l\",\"data\":{n}}}\n")).collect();
    let lines = Request::post("/publish", lines).header("Content-Type", "application/x-ndjson");
    assert_eq!(broker.exchange(&lines).status, 200);
    for (limit, count) in [
        ("3", 3),
        ("0", 1),
        ("-7", 1),
        ("10001", 150),
        ("99999999999999999999999999", 150),
        ("x", 100),
        ("", 100),
        ("1.5", 100),
    ] {
        let page = history(&broker, "/l", &format!("?limit={limit}"));
        assert_eq!(numbers(&page).len(), count, "{limit}");
    }
}

#[test]
fn channels_that_have_no_history_are_refused_in_words_that_fit() {
    let broker = Broker::start();
    for (path, error) in [
        ("/meta/x", "403:/meta/x:history_denied"),
        ("/service/x", "403:/service/x:history_denied"),
        ("/a/*", "405::channel_invalid"),
        ("", "405::channel_invalid"),
        ("/a%2Fb", "405::channel_invalid"),
    ] {
        let response = get(&broker, path);
        assert_eq!(response.json(), json!({"error": error}));
        assert_eq!(response.status.to_string(), error[..3]);
        let allow = (response.status == 405).then_some("GET, HEAD, OPTIONS");
        assert_eq!(response.header("Allow"), allow, "{path}");
    }
}

/// Follows a channel page by page. Numbers come one after the other, and where they do not, the page
/// tells a gap that covers what is missing, and nothing of which comes. Returns how many gaps.
fn follow(broker: &Broker, start: i64, limit: usize) -> usize {
    let mut connection = broker.connect();
    let (mut since, mut expected, mut gaps) = (start, 2, 0);
    for _ in 0..600 {
        let target = format!("/history/fast?limit={limit}&since={since}");
        let page = connection.exchange(&Request::get(&target)).json();
        let messages = numbers(&page);
        if let Some(gap) = page.get("gap") {
            gaps += 1;
            assert_eq!(gap[0]["from"], since, "{gap}");
            let to = gap[0]["to"].as_i64().expect("a position");
            let Some((first, data)) = messages.first() else { continue };
            assert!(to < *first, "{gap} {first}");
            expected = *data;
        }
        for (position, data) in &messages {
            assert_eq!(*data, expected, "at {position} after {since}: a hole that nobody told");
            expected += 1;
        }
        since = page["next"].as_i64().expect("a position");
    }
    gaps
}

#[test]
fn p4_whatever_a_page_lacks_is_told_while_the_channel_runs_away() {
    let broker = Broker::with("[[channels]]\npattern = \"/fast\"\nbacklog = { messages = 100 }\n");
    let start = publish(&broker, "/fast", 1);
    let followed = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut connection = broker.connect();
            let mut n = 1;
            while !followed.load(Ordering::Relaxed) {
                let lines = (0..2_000).map(|_| {
                    n += 1;
                    format!("{{\"channel\":\"/fast\",\"data\":{n}}}\n")
                });
                let request = Request::post("/publish", lines.collect::<String>())
                    .header("Content-Type", "application/x-ndjson");
                assert_eq!(connection.exchange(&request).status, 200);
            }
        });
        let readers = [7, 100, 10_000].map(|limit| {
            scope.spawn({
                let broker = &broker;
                move || follow(broker, start, limit)
            })
        });
        let gaps = readers.map(|reader| reader.join());
        followed.store(true, Ordering::Relaxed);
        let gaps: usize = gaps.into_iter().map(|gaps| gaps.expect("no hole")).sum();
        assert!(gaps > 10, "only {gaps} gaps: the publisher was too slow for this test");
        assert!(broker.metric("weft_gaps_told_total") >= 10.0);
    });
}

#[test]
fn p5_a_page_is_bounded_in_bytes_and_the_next_one_goes_on() {
    let broker = Broker::start();
    for n in 0..10 {
        publish(&broker, "/big", json!([n, "x".repeat(1_000_000)]));
    }
    let (mut since, mut counts, mut next) = ("-2".to_owned(), Vec::new(), 0);
    while next < 10 {
        let response = get(&broker, &format!("/big?limit=10000&since={since}"));
        assert!(response.body.len() < (4 << 20) + 1_000, "{} bytes", response.body.len());
        let page = response.json();
        let messages = page["messages"].as_array().expect("messages");
        for message in messages {
            assert_eq!(message["data"][0], next);
            next += 1;
        }
        counts.push(messages.len());
        since = page["next"].to_string();
    }
    assert_eq!(counts, [4, 4, 2]);
}

#[test]
fn p5_pages_that_nobody_takes_count_as_memory_and_are_given_back() {
    let broker = Broker::with("[http]\nbody_timeout = \"1s\"\n");
    publish(&broker, "/big", "x".repeat(1_000_000));
    let pages = Request::get("/history/big").bytes(broker.listen).repeat(50);
    let mut greedy = broker.connect();
    greedy.send(&pages);
    broker.wait_metric("weft_body_bytes", |bytes| bytes >= 1_000_000.0);
    assert_eq!(kept(&broker, "/big").len(), 1, "others are served");
    // It is cut after a while, without being closed.
    broker.wait_metric("weft_body_bytes", |bytes| bytes == 0.0);
    drop(greedy);
}
