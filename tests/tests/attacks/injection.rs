//! Text that wants to be more: in a response's head, in the log, in metrics.

use std::collections::BTreeSet;

use serde_json::json;
use weft_tests::broker::{Broker, Setup};
use weft_tests::http::Request;
use weft_tests::siege::{HANDSHAKE, Siege};
use weft_tests::websocket::upgrade;

const MARK: &str = "weftmark";

/// Ways to write the end of a line that somebody on the way may take for one.
fn ends() -> Vec<String> {
    let encoded = ["%0d%0a", "%0D%0A", "%0a", "%0d", "%00", "%E5%98%8D%E5%98%8A", "%250d%250a"];
    let plain = ["\u{560d}\u{560a}", "\\r\\n", "\u{2028}", "\u{85}"];
    encoded.iter().chain(&plain).map(|text| (*text).to_owned()).collect()
}

/// Requests with this text wherever a client can put any.
fn everywhere(text: &str) -> Vec<Request> {
    let mut all = Vec::new();
    for path in [
        "/bayeux/T",
        "/bayeux?T",
        "/bayeux?jsonp=T&message=%5B%5D",
        "/bayeux?message=T",
        "/T",
        "/demo/T",
        "/history/T",
        "/history/a?since=T",
        "/history/a?limit=T",
        "/events/T",
        "/events?channel=T",
        "/events/a?since=T",
        "/events/a?padding=T",
        "/stream/a?since=T",
        "/stream/T",
    ] {
        all.push(Request::get(&path.replace('T', text)));
    }
    for path in ["/publish/T", "/publish/a?durable=T", "/bayeux/T"] {
        all.push(Request::post(&path.replace('T', text), "1"));
    }
    for header in [
        "Origin",
        "Referer",
        "Cookie",
        "Last-Event-ID",
        "Accept-Encoding",
        "Authorization",
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "X-Forwarded-Proto",
        "Forwarded",
        "Idempotency-Key",
        "Content-Type",
        "Access-Control-Request-Headers",
        "Access-Control-Request-Method",
        "User-Agent",
        "Te",
    ] {
        let value = format!("a{text}");
        all.push(Request::post("/bayeux", HANDSHAKE).header(header, &value));
        all.push(Request::post("/publish/a", "1").header(header, &value));
        all.push(Request::get("/events/a").header(header, &value).method("OPTIONS"));
        all.push(upgrade("/bayeux").header(header, &value));
    }
    all
}

/// All lines of a response's head.
fn head(siege: &Siege, request: &Request) -> String {
    let mut connection = siege.0.connect();
    connection.start(&request.clone().header("Connection", "close"));
    let response = connection.read_head().expect("a head");
    let line = |(name, value): &(String, String)| format!("{name}: {value}\n");
    response.headers.iter().map(line).collect()
}

#[test]
fn r29_nothing_that_a_client_sends_stands_in_a_responses_head() {
    let siege = Siege::begin();
    for end in ends() {
        for request in everywhere(&format!("{end}X-{MARK}: yes{end}{end}{MARK}")) {
            let head = head(&siege, &request).to_lowercase();
            assert!(!head.contains(MARK), "{head} to {request:?}");
        }
    }
    siege.0.wait_sessions(0);
    siege.over();
}

#[test]
fn c1_channels_with_ends_of_lines_are_no_channels() {
    let siege = Siege::begin();
    for end in ["%0d%0a", "%0a", "%0d", "%00", "%20", "%7f", "%e2%80%a8", "%c2%85"] {
        for path in ["/publish/a", "/history/a", "/events/a", "/stream/a", "/events?channel=/a"] {
            let path = format!("{path}{end}b");
            let request = if path.starts_with("/publish") {
                Request::post(&path, "1")
            } else {
                Request::get(&path)
            };
            let mut connection = siege.0.connect();
            connection.start(&request);
            let response = connection.read_head().expect("a head");
            assert!(matches!(response.status, 400 | 405), "{path}: {}", response.status);
        }
    }
    assert_eq!(siege.0.metric("weft_messages_in_total"), 0.0);
    siege.over();
}

#[test]
fn what_clients_send_cannot_write_lines_into_the_log_nor_fill_it() {
    // The most that it ever says.
    let broker = Setup::default().env("WEFT_LOG_LEVEL", "trace").start();
    attack(&broker);
    let log = broker.log();
    for line in log.lines() {
        assert!(line.starts_with("20"), "no line of ours: {line:?}");
        assert!(!line.contains('\u{1b}'), "{line:?}");
    }
    // As it comes: requests are no news.
    let broker = Broker::start();
    let before = broker.log().lines().count();
    attack(&broker);
    let log = broker.log();
    assert!(log.lines().count() <= before + 2, "{log}");
}

fn attack(broker: &Broker) {
    let forged = "\n2026-01-01T00:00:00.000000Z ERROR weft: forged \u{1b}[31m";
    for _ in 0..20 {
        for name in [forged, "\r\nforged", "\u{1b}]0;title\u{7}"] {
            let message = json!([
                {"channel": "/meta/handshake", "version": name, "supportedConnectionTypes": [name],
                 "ext": {"token": name, name: name}, "id": name},
            ]);
            let _ = broker.exchange(&Request::post("/bayeux", message.to_string()));
            let message = json!([{"channel": name, "clientId": name, "data": name}]);
            let _ = broker.exchange(&Request::post("/bayeux", message.to_string()));
            let message = json!([{"channel": "/a", "data": name}]);
            let _ = broker.exchange(&Request::post("/publish", message.to_string()));
        }
        for path in ["/%0aforged", "/publish/%0aforged", "/history/%1b%5b31m?since=%0a"] {
            let _ = broker.exchange(&Request::get(path));
        }
        for bytes in
            [&b"\n\nforged\n"[..], b"\x1b[31m / HTTP/1.1\r\n\r\n", b"GET /\xff HTTP/1.1\r\n\r\n"]
        {
            let mut connection = broker.connect();
            connection.send(bytes);
            connection.half_close();
            let _ = connection.read();
        }
    }
}

/// The names of all series on the page of metrics.
fn series(broker: &Broker) -> BTreeSet<String> {
    let page = broker.admin_get("/metrics");
    let lines = page.text().lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned())).collect()
}

#[test]
fn what_clients_send_makes_no_metric() {
    let broker = Broker::start();
    attack(&broker);
    let before = series(&broker);
    for n in 0..200 {
        let channel = format!("/metric/{n}");
        let _ = broker.exchange(&Request::post(&format!("/publish{channel}"), "1"));
        let _ = broker.exchange(&Request::get(&format!("/nowhere/{n}")));
        let _ = broker.exchange(&Request::new(&format!("M{n}"), "/bayeux"));
        let _ = broker.exchange(&Request::get("/events").header("Host", &format!("h{n}.test")));
    }
    let new: Vec<_> = series(&broker).difference(&before).cloned().collect();
    assert!(new.is_empty(), "{new:?}");
}
