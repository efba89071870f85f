//! The edge of the house: what every response carries, what connections cost, which paths there are
//! (checklist R1, R17, R19-R23, R31, X6).

use serde_json::json;
use weft_tests::bayeux::{Client, data, ok, only};
use weft_tests::broker::{Broker, Setup};
use weft_tests::http::{Connection, Request, Response};
use weft_tests::jsonp;
use weft_tests::process::{memory, raise_file_limit, threads};
use weft_tests::siege::{HANDSHAKE, Siege};
use weft_tests::wait::{PATIENCE, until};

#[test]
fn r1_a_thousand_held_polls_add_no_thread() {
    const POLLS: usize = 1_000;
    raise_file_limit();
    let broker = Broker::start();
    let mut client = Client::without_cookies(&broker);
    let mut first = client.held_connect();
    // The pool for blocking work comes and goes; what counts is that polls do not add to it.
    let before = (threads(broker.pid()), memory(broker.pid()));
    let polls: Vec<Connection> = (0..POLLS).map(|_| poll(&broker)).collect();
    broker.wait_held(POLLS + 1);
    assert!(threads(broker.pid()) <= before.0, "{} threads before", before.0);
    let each = (memory(broker.pid()) - before.1) / POLLS as u64;
    assert!(each < 64 << 10, "{each} bytes a held poll");
    assert!(first.is_waiting());
    ok(&client.disconnect());
    drop(polls);
    broker.wait_held(0);
}

/// A held poll of a session of its own, on one socket, without cookies.
fn poll(broker: &Broker) -> Connection {
    let mut connection = broker.connect();
    let reply = only(connection.exchange(&Request::post("/bayeux", HANDSHAKE)).messages());
    let connect = json!([{
        "channel": "/meta/connect", "clientId": reply["clientId"], "connectionType": "long-polling",
    }]);
    let connect = Request::post("/bayeux", connect.to_string());
    ok(&only(connection.exchange(&connect).messages()));
    connection.start(&connect);
    connection
}

/// Requests for every way in and every kind of answer, with the status of each.
fn every_kind() -> Vec<(Request, u16)> {
    let script = |name: &str| {
        Request::get(&format!("/bayeux?jsonp={name}&message={}", jsonp::encode(HANDSHAKE)))
    };
    vec![
        (Request::post("/bayeux", HANDSHAKE), 200),
        (Request::post("/cometd/handshake", HANDSHAKE), 200),
        (Request::post("/faye", "[{}]"), 200),
        (Request::post("/bayeux", "message=%5B%7B%7D%5D"), 200),
        (script("a"), 200),
        (Request::get("/demo/"), 200),
        (Request::get("/demo/client/weft.js"), 200),
        (Request::new("OPTIONS", "/bayeux"), 204),
        (Request::new("OPTIONS", "/bayeux").header("Origin", "http://localhost"), 204),
        (Request::get("/"), 302),
        (Request::get("/demo"), 302),
        (Request::post("/bayeux", "[]"), 400),
        (script("a-b"), 400),
        (Request::get("/bayeux"), 400),
        (Request::post("/bayeux", HANDSHAKE).header("Origin", "http://evil.test"), 403),
        (Request::post("/bayeux", HANDSHAKE).header("Host", "evil.test"), 403),
        (script("a").header("Referer", "http://evil.test"), 403),
        (Request::get("/demo/").header("Host", "evil.test"), 403),
        (Request::get("/nothing"), 404),
        (Request::get("/bayeuxx"), 404),
        (Request::get("/demo/../Cargo.toml"), 404),
        (Request::new("PUT", "/bayeux"), 405),
        (Request::new("POST", "/demo/"), 405),
        (Request::post("/bayeux", vec![b' '; 2 << 20]), 413),
        (Request::post("/bayeux", format!("[{}]", ["{}"; 1_001].join(","))), 413),
    ]
}

#[track_caller]
fn keeps_out_of_caches(response: &Response, what: &str) {
    assert_eq!(response.all("Cache-Control"), ["no-cache, no-store"], "{what}");
    assert_eq!(response.all("X-Content-Type-Options"), ["nosniff"], "{what}");
}

#[test]
fn r17_r31_every_response_forbids_caching_and_guessing() {
    let broker = Setup::default().env("WEFT_DEMO_ENABLED", "true").start();
    for (request, status) in every_kind() {
        let response = broker.exchange(&request);
        let what =
            format!("{status} {}", String::from_utf8_lossy(&request.bytes(broker.listen)[..40]));
        assert_eq!(response.status, status, "{what}");
        keeps_out_of_caches(&response, &what);
    }
    for path in ["/metrics", "/healthz", "/readyz", "/nothing"] {
        keeps_out_of_caches(&broker.admin_get(path), path);
    }
    let mut client = Client::connected(&broker);
    let mut held = client.held_connect();
    ok(&client.disconnect());
    keeps_out_of_caches(&held.response(), "a held poll");
}

#[test]
fn r17_what_the_http_parser_refuses_forbids_caching_too() {
    let broker = Broker::start();
    let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "y".repeat(20_000));
    for (head, status) in [(&*long, 431), ("GET / HTTP/9\r\n\r\n", 400)] {
        // What was not read of a long head may turn the end into a reset that overtakes the answer.
        let response = until("an answer", PATIENCE, || {
            let mut connection = broker.connect();
            connection.try_send(head.as_bytes()).ok()?;
            connection.read().ok()
        });
        assert_eq!(response.status, status);
        keeps_out_of_caches(&response, "a broken head");
    }
}

#[test]
fn r31_i5_each_kind_of_answer_has_its_type() {
    let broker = Setup::default().env("WEFT_DEMO_ENABLED", "true").start();
    let script = format!("/bayeux?jsonp=a&message={}", jsonp::encode(HANDSHAKE));
    for (request, kind) in [
        (Request::post("/bayeux", HANDSHAKE), "application/json"),
        (Request::get(&script), "text/javascript;charset=UTF-8"),
        (Request::post("/bayeux", "[]"), "text/plain;charset=UTF-8"),
        (Request::get("/nothing"), "text/plain;charset=UTF-8"),
        (Request::get("/demo/"), "text/html;charset=UTF-8"),
        (Request::get("/demo/demo.css"), "text/css;charset=UTF-8"),
        (Request::get("/demo/client/weft.js"), "text/javascript;charset=UTF-8"),
    ] {
        let response = broker.exchange(&request);
        assert_eq!(response.all("Content-Type"), [kind]);
        let download = response.header("Content-Disposition");
        let expected = request.bytes(broker.listen).windows(5).any(|part| part == b"jsonp");
        assert_eq!(download, expected.then_some("attachment; filename=f.txt"));
    }
}

/// The bytes of a response's head.
fn head_bytes(response: &Response) -> usize {
    let line = format!("{} {} OK\r\n\r\n", response.version, response.status).len();
    let headers = response.headers.iter();
    line + headers.map(|(name, value)| name.len() + value.len() + 4).sum::<usize>()
}

#[test]
fn r20_t7_a_small_event_and_its_headers_fit_one_packet() {
    let broker = Broker::start();
    let mut client = Client::subscribed(&broker, "/stocks/WEFT");
    let mut held = client.held_connect();
    ok(&client.publish("/stocks/WEFT", json!({"symbol": "WEFT", "price": 101.25, "change": -0.5})));
    let response = held.response();
    let head = head_bytes(&response);
    assert!(head <= 200, "{head} bytes of headers: {:?}", response.headers);
    assert!(head + response.body.len() < 400, "{}", response.text());
    let names: Vec<_> = response.headers.iter().map(|(name, _)| name.to_lowercase()).collect();
    let expected =
        ["cache-control", "x-content-type-options", "content-type", "content-length", "date"];
    assert_eq!(names, expected, "no banner, no cookie, nothing twice");
    assert_eq!(data(response.messages()).len(), 1);
}

#[test]
fn r19_a_poll_needs_no_header_but_host_and_length() {
    let broker = Broker::start();
    let mut connection = broker.connect();
    let bare = |body: String| Request::post("/bayeux", body).header("Content-Type", "");
    let reply = only(connection.exchange(&bare(HANDSHAKE.to_owned())).messages());
    let connect = json!({"channel": "/meta/connect", "clientId": reply["clientId"]});
    let connect = bare(connect.to_string());
    ok(&only(connection.exchange(&connect).messages()));
    connection.start(&connect);
    broker.wait_held(1);
    let noise = bare(HANDSHAKE.to_owned())
        .header("Content-Type", "text/plain; charset=utf-8")
        .header("Accept", "image/png")
        .header("Prefer", "wait=1")
        .header("TE", "trailers")
        .header("Via", "1.1 proxy")
        .header("X-Forwarded-For", "192.0.2.1")
        .header("If-None-Match", "*")
        .header("Range", "bytes=0-1");
    ok(&only(broker.exchange(&noise).messages()));
}

#[test]
fn r22_polls_and_posts_use_one_connection_each_and_it_stays_open() {
    const ROUNDS: usize = 50;
    let broker = Broker::start();
    let mut client = Client::subscribed(&broker, "/a");
    let before = broker.metric("weft_connections_total");
    let metrics = |count: usize| before + count as f64;
    let mut polls = broker.connect();
    for n in 0..ROUNDS {
        let connect = client.message("/meta/connect", json!({}));
        polls.start(&client.request(json!([connect]).to_string()));
        ok(&client.publish("/a", n));
        let response = polls.read().expect("an answer");
        assert_eq!(response.header("Connection"), None);
        assert_eq!(data(response.messages()), [json!(n)]);
    }
    // Each look at the metrics is a connection too.
    assert_eq!(broker.metric("weft_connections_total"), metrics(2));
}

#[test]
fn x6_whatever_stands_below_a_mount_is_the_endpoint_and_nothing_beside_it_is() {
    let broker = Broker::with("[bayeux]\nmounts = [\"/bayeux\", \"/app/push\"]\n");
    for (path, status) in [
        ("/bayeux", 200),
        ("/bayeux/", 200),
        ("/bayeux/handshake", 200),
        ("/bayeux/any/thing", 200),
        ("/bayeux?x=1", 200),
        ("/bayeux;jsessionid=1", 200),
        ("/bayeux/%2e%2e/x", 200),
        ("/app/push", 200),
        ("/app/push/connect", 200),
        ("/app", 404),
        ("/app/pushy", 404),
        ("/bayeuxx", 404),
        ("/Bayeux", 404),
        ("//bayeux", 404),
        ("/cometd", 404),
        ("/metrics", 404),
        ("/x/bayeux", 404),
    ] {
        assert_eq!(broker.exchange(&Request::post(path, HANDSHAKE)).status, status, "{path}");
    }
}

#[test]
fn r36_a_connect_to_somewhere_is_refused_as_any_other_method() {
    let siege = Siege::begin();
    for address in [siege.0.listen, siege.0.admin] {
        let mut connection = Connection::open(address);
        connection.send(b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let response = connection.read_head().expect("an answer");
        assert!((400..500).contains(&response.status), "{}", response.status);
    }
    siege.0.wait_metric("weft_connections", |open| open <= 2.0);
    siege.over();
}

#[test]
fn r36_two_hosts_are_400() {
    let siege = Siege::begin();
    let mut connection = siege.0.connect();
    let head = b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.test\r\n\r\n";
    connection.send(head);
    assert_eq!(connection.read().expect("an answer").status, 400);
    siege.over();
}
