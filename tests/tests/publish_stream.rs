//! Publishing line by line, when something is wrong with the stream itself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use weft_tests::api::kept;
use weft_tests::broker::Broker;
use weft_tests::http::{Connection, Request, Response};
use weft_tests::process;
use weft_tests::wait::A_WHILE;

fn lines(query: &str, body: impl Into<Vec<u8>>) -> Request {
    Request::post(&format!("/publish{query}"), body).header("Content-Type", "application/x-ndjson")
}

fn line(n: usize) -> String {
    format!("{{\"channel\":\"/n\",\"data\":{n}}}\n")
}

fn outcomes(response: &Response) -> Vec<Value> {
    assert_eq!(response.status, 200, "{}", response.text());
    response.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn chunk(text: &str) -> Vec<u8> {
    format!("{:x}\r\n{text}\r\n", text.len()).into_bytes()
}

/// Begins a stream without an end.
fn begin(broker: &Broker, query: &str) -> Connection {
    let mut connection = broker.connect();
    connection.start(&lines(query, "").header("Transfer-Encoding", "chunked"));
    connection
}

#[test]
fn f2_a_stream_that_breaks_has_the_outcomes_of_all_that_was_published() {
    let broker = Broker::start();
    let three: String = (0..3).map(line).collect();
    let broken = json!({"error": "the body was cut short", "status": 400});
    let check = |connection: &mut Connection| {
        let outcomes = outcomes(&connection.read().expect("an answer with an end"));
        assert_eq!(outcomes.len(), 4, "{outcomes:?}");
        assert!(outcomes[..3].iter().all(|outcome| outcome["durable"] == true), "{outcomes:?}");
        assert_eq!(outcomes[3], broken);
    };
    let mut chunks = begin(&broker, "?durable=1");
    chunks.send(&[chunk(&three), chunk("{\"channel\":\"/n\""), b"zz\r\n".to_vec()].concat());
    check(&mut chunks);
    let mut cut = broker.connect();
    let half = format!("{three}{{\"channel\":\"/n\",\"data\":1}}");
    cut.start(&lines("?durable=1", half).header("Content-Length", "10000"));
    cut.half_close();
    check(&mut cut);
    assert_eq!(kept(&broker, "/n").len(), 6, "half a line is none");
}

#[test]
fn f2_who_waits_to_hear_that_the_body_is_wanted_hears_it() {
    let broker = Broker::start();
    let body = line(1);
    let expecting = |query: &str| {
        let length = body.len().to_string();
        let mut connection = broker.connect();
        let request = lines(query, "").header("Content-Length", &length);
        connection.start(&request.header("Expect", "100-continue"));
        connection
    };
    let mut wanted = expecting("?durable=1");
    assert_eq!(wanted.read().expect("leave").status, 100);
    wanted.send(body.as_bytes());
    let outcomes = outcomes(&wanted.read().expect("an answer"));
    assert_eq!((outcomes.len(), &outcomes[0]["durable"]), (1, &json!(true)));
    let mut unwanted = expecting("?durable=2");
    assert_eq!(unwanted.read().expect("an answer").status, 400);
    let mut one = broker.connect();
    let request = Request::post("/publish/a/*", "").header("Content-Length", "900000");
    one.start(&request.header("Expect", "100-continue"));
    assert_eq!(one.read().expect("an answer").status, 405, "without the body");
}

#[test]
fn f2_the_longest_line_may_end_either_way() {
    let broker = Broker::start();
    let long = |bytes: usize| {
        let frame = r#"{"channel":"/n","data":""}"#.len();
        format!(r#"{{"channel":"/n","data":"{}"}}"#, "x".repeat(bytes - frame))
    };
    let (fits, over) = (long(1 << 20), long((1 << 20) + 1));
    let body = format!("{fits}\n{fits}\r\n{over}\n{over}\r\n{fits}");
    let outcomes = outcomes(&broker.exchange(&lines("", body)));
    let refused: Vec<_> = outcomes.iter().map(|outcome| outcome["status"].as_u64()).collect();
    assert_eq!(refused, [None, None, Some(413), Some(413), None]);
}

#[test]
fn r37_a_line_that_takes_too_long_is_cut_and_one_after_the_other_is_not() {
    let broker = Broker::with("[http]\nbody_timeout = \"600ms\"\n");
    let mut slow = begin(&broker, "");
    slow.send(&chunk(&line(1)));
    assert_eq!(slow.read_head().expect("a head").status, 200);
    // Byte by byte is no way around it.
    let mut sent = 0;
    while sent < 200 && slow.try_send(&chunk("x")).is_ok() {
        sent += 1;
        if !slow.is_silent(Duration::from_millis(20)) {
            break;
        }
    }
    assert!(sent < 200, "still not cut");
    broker.wait_metric("weft_publish_refused_total{cause=\"slow\"}", |count| count == 1.0);
    let mut steady = begin(&broker, "");
    for n in 0..60 {
        steady.send(&chunk(&line(n)));
        let _ = steady.is_silent(Duration::from_millis(20));
    }
    steady.send(b"0\r\n\r\n");
    broker.wait_metric("weft_messages_in_total", |count| count == 61.0);
    assert_eq!(broker.metric("weft_publish_refused_total"), 1.0);
}

#[test]
fn r37_too_slow_a_body_has_the_same_status_in_both_forms() {
    let broker = Broker::with("[http]\nbody_timeout = \"300ms\"\n");
    let mut whole = broker.connect();
    whole.start(&Request::post("/publish/a", "[").header("Content-Length", "100"));
    let answer = whole.read().expect("an answer");
    assert_eq!((answer.status, answer.header("Connection")), (408, Some("close")));
    assert_eq!(answer.json(), json!({"error": "the body did not come in time"}));
    assert!(whole.is_closed_by_peer());
    let mut lines = begin(&broker, "");
    let outcomes = outcomes(&lines.read().expect("an answer"));
    assert_eq!(outcomes, [json!({"error": "the body did not come in time", "status": 408})]);
    assert!(lines.is_closed_by_peer());
}

#[test]
fn p5_half_a_long_line_takes_its_share_of_the_memory_for_bodies() {
    let broker = Broker::with(
        "[http]\nbody_timeout = \"2s\"\n[limits]\nbody = \"64KiB\"\nbody_bytes_total = \"64KiB\"\n",
    );
    let half = format!("{{\"channel\":\"/n\",\"data\":\"{}", "x".repeat(40_000));
    let mut greedy = begin(&broker, "");
    greedy.send(&chunk(&half));
    broker.wait_metric("weft_body_bytes", |bytes| bytes >= 60_000.0);
    let mut next = begin(&broker, "");
    next.send(&[chunk(&half), chunk("\"}\n"), chunk("")].concat());
    assert_eq!(next.read_head().expect("a head").status, 200);
    assert!(next.is_silent(A_WHILE), "it waits for its share");
    greedy.send(&[chunk("\"}\n"), chunk("")].concat());
    let outcomes = outcomes(&greedy.read().expect("an answer"));
    assert!(outcomes[0]["position"].is_i64(), "{outcomes:?}");
    broker.wait_metric("weft_messages_in_total", |count| count == 2.0);
    broker.wait_metric("weft_body_bytes", |bytes| bytes == 0.0);
}

#[test]
fn p5_outcomes_that_nobody_reads_wait_in_little_memory() {
    const STREAMS: usize = 8;
    let broker = Broker::start();
    let before = process::memory(broker.pid());
    // Each is refused in more bytes than it has.
    let body = chunk(&"1\n".repeat(10_000));
    let mut streams: Vec<Connection> = (0..STREAMS).map(|_| begin(&broker, "")).collect();
    for stream in &mut streams {
        stream.send_until_stuck(&body);
    }
    let each = process::memory(broker.pid()).saturating_sub(before) / STREAMS as u64;
    // A quarter of a MiB, the buffers around it, and what the allocator makes of that.
    assert!(each < 2 << 20, "{each} bytes a stream");
    drop(streams);
    broker.wait_metric("weft_connections", |open| open <= 2.0);
}

#[test]
fn p6_nobody_waits_long_behind_a_stream_or_is_refused_for_it() {
    let broker = Broker::with("[[channels]]\npattern = \"/sync\"\ndurability = \"sync\"\n");
    let done = AtomicBool::new(false);
    let lines = "{\"channel\":\"/bulk\",\"data\":1}\n".repeat(2_000);
    let bulk = Request::post("/publish", lines).header("Content-Type", "application/x-ndjson");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut connection = broker.connect();
            while !done.load(Ordering::Relaxed) {
                assert_eq!(connection.exchange(&bulk).status, 200);
            }
        });
        for n in 0..50 {
            for path in ["/publish/plain", "/publish/plain?durable=1", "/publish/sync"] {
                let response = broker.exchange(&Request::post(path, n.to_string()));
                assert_eq!(response.status, 200, "{path}: {}", response.text());
            }
            let queued = broker.metric("weft_store_queued_records");
            assert!(queued <= 5_000.0, "{queued} wait before others");
        }
        done.store(true, Ordering::Relaxed);
    });
}
