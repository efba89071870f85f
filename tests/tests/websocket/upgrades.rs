//! How a socket comes about, and how it does not.

use serde_json::json;
use weft_tests::bayeux::{Client, ok, only, refused};
use weft_tests::broker::{Broker, Setup};
use weft_tests::http::{Request, Response};
use weft_tests::siege::HANDSHAKE;
use weft_tests::websocket::{Socket, upgrade};

use crate::talker::Talker;

fn asked(broker: &Broker, request: &Request) -> Response {
    let mut connection = broker.connect();
    connection.start(request);
    connection.read_head().expect("an answer")
}

#[test]
fn x5_x6_every_mount_and_all_below_it_becomes_a_socket() {
    let broker = Broker::start();
    for path in ["/bayeux", "/bayeux/", "/cometd", "/faye", "/bayeux/connect", "/cometd/a/b?c=d"] {
        let mut socket = Socket::upgraded(broker.listen, &upgrade(path));
        socket.send_text(HANDSHAKE);
        assert!(socket.next_text().contains("\"successful\":true"), "{path}");
    }
    for path in ["/", "/publish/a", "/history/a", "/bayeuxes", "/demo/"] {
        assert_ne!(asked(&broker, &upgrade(path)).status, 101, "{path}");
    }
}

#[test]
fn x5_what_is_no_opening_handshake_is_refused() {
    let broker = Broker::start();
    let good = || upgrade("/bayeux");
    let bad = [
        (good().header("Sec-WebSocket-Version", "8"), 426),
        (good().header("Sec-WebSocket-Version", "14"), 426),
        (good().header("Sec-WebSocket-Version", ""), 426),
        (good().header("Sec-WebSocket-Key", ""), 400),
        (good().header("Sec-WebSocket-Key", "dG9vIHNob3J0"), 400),
        (good().header("Sec-WebSocket-Key", "not base64, is it??????=="), 400),
        (good().header("Connection", ""), 400),
        (good().header("Connection", "keep-alive"), 400),
    ];
    for (request, status) in bad {
        let response = asked(&broker, &request);
        assert_eq!(response.status, status, "{request:?}");
        assert_eq!(response.header("Sec-WebSocket-Accept"), None);
        assert_eq!(response.header("Cache-Control"), Some("no-cache, no-store"), "{request:?}");
        if status == 426 {
            assert_eq!(response.header("Sec-WebSocket-Version"), Some("13"));
        }
    }
    for request in [good().version("HTTP/1.0"), good().method("POST"), good().method("PUT")] {
        assert_ne!(asked(&broker, &request).status, 101, "{request:?}");
    }
    assert_ne!(asked(&broker, &good().header("Upgrade", "h2c")).status, 101);
}

#[test]
fn x5_headers_may_be_spelled_in_many_ways_and_offers_are_passed_over() {
    let broker = Broker::start();
    let request = upgrade("/bayeux")
        .header("Connection", "keep-alive, Upgrade")
        .header("Upgrade", "WebSocket")
        .header("Sec-WebSocket-Protocol", "chat, superchat")
        .header("Sec-WebSocket-Extensions", "x-unknown; a=1");
    let response = asked(&broker, &request);
    assert_eq!(response.status, 101);
    assert_eq!(response.header("Sec-WebSocket-Protocol"), None);
    assert_eq!(response.header("Sec-WebSocket-Extensions"), None);
}

#[test]
fn r32_pages_of_foreign_origins_open_no_socket() {
    let broker = Broker::with("origins = [\"https://app.example.com\"]\n");
    let from = |origin: &str| asked(&broker, &upgrade("/bayeux").header("Origin", origin)).status;
    let same = format!("http://{}", broker.listen);
    for origin in ["https://app.example.com", "http://localhost:3000", same.as_str()] {
        assert_eq!(from(origin), 101, "{origin}");
    }
    for origin in ["https://evil.example.com", "null", "https://app.example.com.evil.com", "x"] {
        assert_eq!(from(origin), 403, "{origin}");
    }
    let rebound = upgrade("/bayeux").header("Host", "evil.example.com");
    assert_eq!(asked(&broker, &rebound).status, 403, "a name that is not ours");
}

#[test]
fn e6_x5_handshakes_offer_sockets_unless_they_are_switched_off() {
    let broker = Broker::start();
    let types = |reply: &serde_json::Value| reply["supportedConnectionTypes"].to_string();
    assert!(types(&Client::new(&broker).handshake()).contains("\"websocket\""));
    let mut talker = Talker::over(Client::new(&broker));
    let reply = talker.handshake(&json!({}));
    ok(&reply);
    assert!(types(&reply).contains("\"websocket\"") && types(&reply).contains("\"long-polling\""));

    let broker = Setup::default().env("WEFT_BAYEUX_WEBSOCKET", "false").start();
    assert!(!types(&Client::new(&broker).handshake()).contains("websocket"));
    assert_ne!(asked(&broker, &upgrade("/bayeux")).status, 101);
    let mut client = Client::new(&broker);
    let only_sockets = json!({"supportedConnectionTypes": ["websocket"]});
    refused(&client.handshake_with(only_sockets), "301::connection_types_not_supported");
}

#[test]
fn r33_sockets_count_among_connections_until_they_are_gone() {
    let broker = Broker::with("[limits]\nconnections = 6\n");
    let mut open: Vec<Socket> = (0..6).map(|_| Socket::open(broker.listen)).collect();
    // One more asks for the metrics.
    assert_eq!(broker.metric("weft_connections"), 7.0);
    let turned_away = broker.connect().read().expect("an answer");
    assert_eq!(turned_away.status, 503);
    for socket in &mut open {
        socket.send_text(HANDSHAKE);
        assert!(socket.next_text().contains("\"successful\":true"), "who is in stays in");
    }
    open.truncate(3);
    broker.wait_metric("weft_connections", |open| open <= 4.0);
    let mut talker = Talker::over(Client::new(&broker));
    ok(&talker.handshake(&json!({})));
}

#[test]
fn l15_h1_a_session_bound_to_a_browser_needs_its_cookie_at_the_upgrade() {
    let broker = Broker::start();
    let client = Client::connected(&broker);
    let cookie = client.cookie.clone().expect("a cookie");
    // One that was opened too early, as faye does it, is closed, so that its client opens another.
    let mut stranger = Talker::over(client);
    let connect = stranger.message("/meta/connect", json!({}));
    stranger.say(&[connect]);
    let (code, reason) = stranger.socket.closed();
    assert_eq!((code, reason.as_str()), (1008, "the session's cookie did not come"));
    // One of another browser is a stranger's.
    let other = Client::connected(&broker).cookie.expect("a cookie");
    let request = upgrade("/bayeux").header("Cookie", &other);
    stranger.socket = Socket::upgraded(broker.listen, &request);
    refused(&stranger.ask("/meta/connect", json!({})), "402::session_unknown");
    let request = upgrade("/bayeux").header("Cookie", &cookie);
    stranger.socket = Socket::upgraded(broker.listen, &request);
    let connect = stranger.message("/meta/connect", json!({"advice": {"timeout": 0}}));
    stranger.say(&[connect]);
    ok(&only(stranger.hear()));
}
