//! Plain HTTP: a real 429, and when to come again.

use std::time::Duration;

use serde_json::{Value, json};
use weft_tests::api;
use weft_tests::bayeux::Client;
use weft_tests::broker::Broker;
use weft_tests::http::{Connection, Request, Response};
use weft_tests::stream::Stream;
use weft_tests::wait::{PATIENCE, now, until};

use super::{bounded, count, limited, stay_away};

fn retry_after(response: &Response) -> u64 {
    assert_eq!(response.status, 429, "{}", response.text());
    assert_eq!(response.header("Cache-Control"), Some("no-cache, no-store"));
    let seconds = response.header("Retry-After").expect("Retry-After");
    seconds.parse().expect("seconds")
}

fn from(address: &str, broker: &Broker, request: &Request) -> Response {
    Connection::open_from(address.parse().expect("an address"), broker.listen).exchange(request)
}

fn array(count: usize) -> Request {
    let messages: Value = (0..count).map(|n| json!({"channel": "/a", "data": n})).collect();
    Request::post("/publish", messages.to_string())
}

#[test]
fn r35_publishing_past_a_limit_is_429_with_the_time_to_come_again() {
    for (rate, scope) in [("messages_per_address", "address"), ("messages", "all")] {
        let broker = limited(&format!("{rate} = \"6/m burst 3\""));
        let one = Request::post("/publish/a", "1");
        for _ in 0..3 {
            assert_eq!(from("127.0.0.2", &broker, &one).status, 200);
        }
        let refused = from("127.0.0.2", &broker, &one);
        assert_eq!(refused.json(), json!({"error": "429::rate_limited"}));
        assert!((8..=10).contains(&retry_after(&refused)), "one in ten seconds");
        let other = from("127.0.0.3", &broker, &one);
        assert_eq!(other.status, if scope == "all" { 429 } else { 200 });
        let refusals = if scope == "all" { 2.0 } else { 1.0 };
        assert_eq!(count(&broker, "messages", scope), refusals);
        assert_eq!(broker.metric("weft_publish_refused_total{cause=\"rate\"}"), refusals);
    }
}

#[test]
fn r35_retry_after_is_long_enough() {
    let broker = limited("messages_per_address = \"30/m burst 1\"");
    let one = Request::post("/publish/a", "1");
    assert_eq!(broker.exchange(&one).status, 200);
    let wait = retry_after(&broker.exchange(&one));
    assert_eq!(wait, 2);
    stay_away(Duration::from_secs(wait));
    assert_eq!(broker.exchange(&one).status, 200);
}

#[test]
fn r35_an_array_passes_whole_or_not_at_all() {
    let broker = limited("messages_per_address = \"1/m burst 10\"");
    assert_eq!(broker.exchange(&array(6)).status, 200);
    let wait = retry_after(&broker.exchange(&array(6)));
    assert!((115..=120).contains(&wait), "two more in two minutes: {wait}");
    assert_eq!(broker.exchange(&array(4)).status, 200, "what was refused was not counted");
    let never = broker.exchange(&array(11));
    assert_eq!((never.status, never.header("Retry-After")), (413, None), "waiting is no help");
    assert_eq!(broker.metric("weft_messages_in_total"), 10.0);
}

#[test]
fn r35_too_many_bytes_are_refused_before_they_are_sent() {
    let broker = Broker::with(
        "[limits]\nloopback = true\nbody = \"64KiB\"\n[rates]\nbytes_per_address = \"1KiB/s burst 100KiB\"\n",
    );
    let large = || Request::post("/publish/a", format!("\"{}\"", "x".repeat(60_000)));
    assert_eq!(broker.exchange(&large()).status, 200);
    // It waits to hear whether its body is wanted.
    let mut connection = broker.connect();
    let head = "POST /publish/a HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 60002\r\n\r\n";
    connection.send(head.as_bytes());
    let refused = connection.read().expect("an answer");
    assert!((15..=18).contains(&retry_after(&refused)), "{:?}", refused.header("Retry-After"));
    // Or it does not, and sees the answer all the same.
    retry_after(&broker.exchange(&large()));
    let chunked = format!("ea62\r\n\"{}\"\r\n0\r\n\r\n", "x".repeat(60_000));
    let request = Request::post("/publish/a", chunked).header("Transfer-Encoding", "chunked");
    retry_after(&broker.exchange(&request.header("Content-Length", "")));
    assert_eq!(count(&broker, "bytes", "address"), 3.0);
    assert_eq!(broker.exchange(&Request::post("/publish/a", "1")).status, 200);
}

#[test]
fn r35_history_and_streams_are_messages_and_subscriptions() {
    let broker = limited(
        "messages_per_address = \"1/h burst 4\"\nsubscriptions_per_address = \"1/h burst 2\"",
    );
    api::publish(&broker, "/a", 1);
    assert_eq!(broker.exchange(&Request::get("/history/a")).status, 200);
    let _stream = Stream::open(&broker, "/stream?channel=/a&channel=/b", None);
    retry_after(&broker.exchange(&Request::get("/stream/c")));
    assert_eq!(count(&broker, "subscriptions", "address"), 1.0);
    retry_after(&broker.exchange(&Request::get("/history/a")));
}

#[test]
fn r35_lines_are_taken_in_no_faster_than_they_may() {
    let broker = limited("messages_per_address = \"20/s burst 5\"");
    let start = now();
    api::publish_lines(&broker, "/a", 1..=25);
    let took = start.elapsed().as_secs_f64();
    assert!(took > 0.9, "twenty more than the burst, twenty a second: {took} s");
    assert_eq!(api_kept(&broker), (1..=25).collect::<Vec<i64>>(), "all of them, in their order");
    assert!(count(&broker, "messages", "address") > 0.0);
}

/// What is kept of `/a`, once there is room to ask.
fn api_kept(broker: &Broker) -> Vec<i64> {
    let page = until("a look at the history", PATIENCE, || {
        let page = broker.exchange(&Request::get("/history/a"));
        (page.status == 200).then(|| page.json())
    });
    let messages = page["messages"].as_array().expect("messages");
    messages.iter().map(|message| message["data"].as_i64().expect("a number")).collect()
}

#[test]
fn r35_bytes_of_lines_are_taken_in_no_faster_than_they_may() {
    let broker = Broker::with(
        "[limits]\nloopback = true\nbody = \"1KiB\"\n[rates]\nbytes_per_address = \"10KiB/s burst 1KiB\"\n",
    );
    let line = format!("{{\"channel\":\"/a\",\"data\":\"{}\"}}\n", "x".repeat(488));
    let request =
        Request::post("/publish", line.repeat(20)).header("Content-Type", "application/x-ndjson");
    let start = now();
    let answer = broker.exchange(&request);
    assert_eq!(answer.text().lines().count(), 20, "{}", answer.text());
    assert!(!answer.text().contains("error"), "{}", answer.text());
    assert!(start.elapsed().as_secs_f64() > 0.8, "ten KiB at ten KiB a second");
}

#[test]
fn r35_a_producer_that_is_made_to_wait_hears_what_became_of_the_lines_before() {
    let broker = limited("messages_per_address = \"1/h burst 3\"");
    let lines = "{\"channel\":\"/a\",\"data\":1}\n".repeat(5);
    let mut connection = broker.connect();
    let request = Request::post("/publish", lines).header("Content-Type", "application/x-ndjson");
    connection.start(&request);
    assert_eq!(connection.read_head().expect("a head").status, 200);
    let mut heard = String::new();
    while heard.matches("position").count() < 3 {
        let chunk = connection.read_chunk().expect("outcomes").expect("more of them");
        heard.push_str(&String::from_utf8(chunk).expect("text"));
    }
    assert_eq!(broker.metric("weft_messages_in_total"), 3.0);
    // It does not keep a stop waiting.
    assert_eq!(broker.terminate(), Some(0));
}

#[test]
fn r33_r35_addresses_that_a_trusted_proxy_tells_count_and_nobody_elses_word_does() {
    let rates = "[rates]\nmessages_per_address = \"1/h burst 2\"\n";
    let proxy = "[proxies]\ntrusted = [\"127.0.0.1\"]\n";
    let told = |by: &str, broker: &Broker, client: &str| {
        let request = Request::post("/publish/a", "1").header("X-Forwarded-For", client);
        from(by, broker, &request).status
    };
    let broker = Broker::with(&format!("{rates}{proxy}"));
    for _ in 0..2 {
        assert_eq!(told("127.0.0.1", &broker, "192.0.2.1"), 200);
        assert_eq!(told("127.0.0.1", &broker, "2001:db8:1:2::1"), 200);
        assert_eq!(told("127.0.0.1", &broker, "127.0.0.9"), 200);
    }
    for client in ["192.0.2.1", "2001:db8:1:2:3:4:5:6", "127.0.0.9"] {
        assert_eq!(told("127.0.0.1", &broker, client), 429, "{client}");
    }
    assert_eq!(told("127.0.0.1", &broker, "192.0.2.2"), 200);
    for n in 0..5 {
        let one = Request::post("/publish/a", "1");
        assert_eq!(broker.exchange(&one).status, 200, "the proxy itself is loopback: {n}");
    }
    // Who is no proxy may say what they like.
    let strict = limited("messages_per_address = \"1/h burst 2\"");
    let statuses: Vec<_> =
        (0..3).map(|n| told("127.0.0.2", &strict, &format!("192.0.2.{n}"))).collect();
    assert_eq!(statuses, [200, 200, 429]);
}

#[test]
fn r33_a_connection_too_many_is_429_and_others_get_in() {
    let broker = bounded("connections_per_address = 3\n");
    let open: Vec<_> = (0..3).map(|_| Client::new(&broker).at("127.0.0.2").dial()).collect();
    broker.wait_metric("weft_connections", |open| open >= 3.0);
    let mut refused = Client::new(&broker).at("127.0.0.2").dial();
    assert!(retry_after(&refused.read().expect("an answer by itself")) >= 1);
    assert!(refused.is_closed_by_peer());
    assert_eq!(from("127.0.0.3", &broker, &Request::post("/publish/a", "1")).status, 200);
    drop(open);
}
