//! Proxies in front: whose word about a client's address counts, and whose does not (R33; decisions
//! 3.19).

use std::time::Duration;

use serde_json::json;
use weft_tests::bayeux::Client;
use weft_tests::broker::Broker;
use weft_tests::http::{Connection, Request, Response};
use weft_tests::http2::{Http2, Way};
use weft_tests::jsonp;
use weft_tests::siege::HANDSHAKE;
use weft_tests::tls::{Files, Pair, client};

const HERE: &str = "trusted = [\"127.0.0.0/8\"]\n";
const ELSEWHERE: &str = "trusted = [\"10.0.0.0/8\"]\n";

/// A script, which without `Referer` only this machine may load: so the answer shows whether the
/// client is taken to be on it.
fn script() -> Request {
    Request::get(&format!("/bayeux?jsonp=f&message={}", jsonp::encode(HANDSHAKE)))
}

/// Whether a client is taken to be on this machine.
fn is_near(response: &Response) -> bool {
    match response.status {
        200 => true,
        403 => false,
        other => panic!("{other}: {}", response.text()),
    }
}

fn forwarded(broker: &Broker, value: &str) -> bool {
    is_near(&broker.exchange(&script().header("X-Forwarded-For", value)))
}

#[test]
fn r33_forwarded_addresses_count_from_named_proxies_alone() {
    let trusting = Broker::with(&format!("[proxies]\n{HERE}"));
    assert!(is_near(&trusting.exchange(&script())), "the proxy asks for itself");
    assert!(!forwarded(&trusting, "192.0.2.1"));
    assert!(!forwarded(&trusting, "127.0.0.1, 192.0.2.1"), "what a client made up");
    assert!(!forwarded(&trusting, "192.0.2.1, 127.0.0.9"), "a second proxy");
    assert!(forwarded(&trusting, "127.0.0.1"));
    assert!(forwarded(&trusting, "192.0.2.1, nonsense"), "nothing is said by what cannot be read");
    // Each request of a connection has an address of its own.
    let mut connection = trusting.connect();
    assert!(!is_near(&connection.exchange(&script().header("X-Forwarded-For", "192.0.2.1"))));
    assert!(is_near(&connection.exchange(&script())));
    let line = Http2::open(trusting.listen);
    assert!(!is_near(&line.exchange(&script().header("x-forwarded-for", "192.0.2.1"))));
    assert!(is_near(&line.exchange(&script())));

    let others = Broker::with(&format!("[proxies]\n{ELSEWHERE}"));
    let none = Broker::start();
    let deaf = Broker::with(&format!("[proxies]\n{HERE}forwarded = \"none\"\n"));
    for broker in [others, none, deaf] {
        assert!(forwarded(&broker, "192.0.2.1"), "anybody can write a header");
    }
}

/// A connection that a proxy opens with this header.
fn behind(broker: &Broker, header: &[u8]) -> Connection {
    let mut connection = broker.connect();
    connection.send(header);
    connection
}

fn version_1(source: &str) -> Vec<u8> {
    format!("PROXY TCP4 {source} 127.0.0.1 4711 443\r\n").into_bytes()
}

fn version_2(command: u8, source: [u8; 4]) -> Vec<u8> {
    let head = [b"\r\n\r\n\0\r\nQUIT\n".as_slice(), &[command, 0x11, 0, 17]].concat();
    [&head[..], &source, &[127, 0, 0, 1, 1, 2, 3, 4], &[4, 0, 2, 0, 0]].concat()
}

#[test]
fn r33_a_proxy_header_names_the_client() {
    let broker = Broker::with(&format!("[proxies]\n{HERE}protocol = true\n"));
    for (header, near) in [
        (version_1("192.0.2.1"), false),
        (version_1("127.0.0.5"), true),
        (b"PROXY UNKNOWN\r\n".to_vec(), true),
        (version_2(0x21, [192, 0, 2, 1]), false),
        (version_2(0x21, [127, 0, 0, 5]), true),
        (version_2(0x20, [192, 0, 2, 1]), true),
    ] {
        let mut connection = behind(&broker, &header);
        assert_eq!(is_near(&connection.exchange(&script())), near, "{header:?}");
        let spoofed = script().header("X-Forwarded-For", "127.0.0.1");
        assert_eq!(is_near(&connection.exchange(&spoofed)), near, "{header:?}");
    }
    // However it comes, and with whatever behind it.
    let mut slow = broker.connect();
    for part in version_1("192.0.2.1").chunks(7) {
        slow.send(part);
        assert!(slow.is_silent(Duration::from_millis(20)));
    }
    assert!(!is_near(&slow.exchange(&script())));
    let mut at_once = broker.connect();
    at_once.send(&[version_2(0x21, [192, 0, 2, 1]), script().bytes(broker.listen)].concat());
    assert!(!is_near(&at_once.read().expect("an answer")));
}

#[test]
fn r33_who_must_send_a_proxy_header_must_and_nobody_else_may() {
    let strict = Broker::with(&format!(
        "[proxies]\n{HERE}protocol = true\n[http]\nhead_timeout = \"300ms\"\n"
    ));
    for bytes in [
        script().bytes(strict.listen),
        b"PROXY TCP4 nonsense\r\n".to_vec(),
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff".to_vec(),
        b"PROXY TCP4 192.0.2.1".to_vec(),
        Vec::new(),
    ] {
        assert!(behind(&strict, &bytes).is_closed_by_peer(), "{bytes:?}");
    }
    let other = Broker::with(&format!("[proxies]\n{ELSEWHERE}protocol = true\n"));
    assert!(is_near(&other.exchange(&script())), "who is no proxy speaks HTTP");
    for header in [version_1("192.0.2.1"), version_2(0x21, [192, 0, 2, 1])] {
        let mut connection = behind(&other, &header);
        connection.send(&script().bytes(other.listen));
        let status = connection.read().map(|response| response.status);
        assert!(status.is_err() || status.is_ok_and(|status| status == 400), "{header:?}");
    }
}

#[test]
fn r33_connections_count_for_whom_the_proxy_names() {
    let broker = Broker::with(&format!(
        "[proxies]\n{HERE}protocol = true\n[limits]\nconnections_per_address = 2\nloopback = true\n"
    ));
    for source in ["192.0.2.1", "127.0.0.1", "192.0.2.2"] {
        let admitted = || {
            let mut connection = behind(&broker, &version_1(source));
            connection.start(&Request::post("/bayeux", HANDSHAKE));
            let response = connection.read().expect("an answer");
            (connection, response)
        };
        let (one, two, three) = (admitted(), admitted(), admitted());
        assert_eq!((one.1.status, two.1.status, three.1.status), (200, 200, 429), "{source}");
        assert_eq!(three.1.header("Retry-After"), Some("5"));
        std::mem::forget((one.0, two.0));
    }
    assert_eq!(broker.metric("weft_connections_refused_total{limit=\"address\"}"), 3.0);
}

#[test]
fn r33_a_proxy_header_stands_before_tls() {
    let pair = Pair::until(2040);
    let files = Files::with(&pair);
    let broker = files.setup(&format!("[proxies]\n{HERE}protocol = true\n")).start();
    let tls = Some(client(&[&pair], &["h2"]));
    let way = Way { tls, first: version_1("192.0.2.1"), ..Way::default() };
    let line = Http2::by(broker.listen, &way);
    assert!(!is_near(&line.exchange(&script())));
}

#[test]
fn r6b_what_a_proxy_speaks_says_nothing_of_browsers() {
    for (proxies, demoted) in [(HERE, 1.0), (ELSEWHERE, 0.0)] {
        let broker = Broker::with(&format!("[proxies]\n{proxies}"));
        let line = Http2::open(broker.listen);
        let mut one = Client::connected(&broker);
        let mut two = one.tab();
        let poll = |tab: &mut Client<'_>| {
            let connect = tab.message("/meta/connect", json!({}));
            line.start(&tab.request(json!([connect]).to_string()))
        };
        let first = poll(&mut one);
        broker.wait_held(1);
        let second = poll(&mut two);
        broker.wait_metric("weft_connects_demoted_total", |count| count == demoted);
        broker.wait_held(if demoted > 0.0 { 1 } else { 2 });
        drop((first, second));
    }
}
