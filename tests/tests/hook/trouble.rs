//! A hook that is slow, gone, or talks nonsense: denied, unless the operator wants otherwise.

use std::net::TcpListener;
use std::time::Duration;

use serde_json::{Value, json};
use weft_tests::bayeux::{Client, ok, refused};
use weft_tests::broker::Broker;
use weft_tests::hook::{Asked, Hook, Say, yes};
use weft_tests::http::Request;
use weft_tests::wait::{PATIENCE, now, until};

const UNAVAILABLE: &str = "503:/a:hook_unavailable";

fn result(broker: &Broker, event: &str, result: &str) -> f64 {
    broker.metric(&format!("weft_hook_total{{event=\"{event}\",result=\"{result}\"}}"))
}

/// Talks nonsense about publications, and lets everybody in.
fn publications(say: impl Fn() -> Say + Send + Sync + 'static) -> Hook {
    Hook::start(move |asked: &Asked| match asked.event() {
        "handshake" | "subscribe" => yes(),
        _ => say(),
    })
}

#[test]
fn p7_without_an_answer_in_time_nothing_is_allowed() {
    let hook = Hook::start(|_| Say::Nothing);
    let broker = Broker::with(&hook.section("timeout = \"200ms\""));
    let begun = now();
    let reply = Client::new(&broker).handshake();
    refused(&reply, "503::hook_unavailable");
    assert!(begun.elapsed() >= Duration::from_millis(200) && begun.elapsed() < PATIENCE);
    assert_eq!(reply["advice"]["reconnect"], "handshake", "it may help: {reply}");
    assert!(reply["advice"]["interval"].as_u64() >= Some(1_000), "{reply}");
    broker.wait_sessions(0);
    assert_eq!(result(&broker, "handshake", "timeout"), 1.0);
    let answer = broker.exchange(&Request::post("/publish/a", "1"));
    assert_eq!((answer.status, answer.header("Retry-After")), (503, Some("1")));
}

#[test]
fn fail_closed_and_fail_open() {
    for (on_error, holds) in [("deny", false), ("allow", true)] {
        let hook = publications(|| Say::Nothing);
        let section = format!("timeout = \"100ms\"\non_error = \"{on_error}\"");
        let broker = Broker::with(&hook.section(&section));
        let mut client = Client::subscribed(&broker, "/a");
        let reply = client.publish("/a", 1);
        if holds {
            ok(&reply)
        } else {
            refused(&reply, UNAVAILABLE)
        }
        let status = broker.exchange(&Request::post("/publish/a", "1")).status;
        assert_eq!(status, if holds { 200 } else { 503 });
        // A call has no answer either way.
        let call = client.publish("/service/a", 1);
        refused(&call, "503:/service/a:hook_unavailable");
        assert!(result(&broker, "publish", "timeout") >= 2.0);
        assert_eq!(result(&broker, "service", "timeout"), 1.0);
    }
}

#[test]
fn nonsense_is_no_answer() {
    let long = "x".repeat(3_000);
    let chunked = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nbb8\r\n{long}\r\nbb8\r\n{long}\r\n0\r\n\r\n"
    );
    let nonsense: Vec<Say> = vec![
        Say::Text(String::new()),
        Say::Text("yes".to_owned()),
        Say::Text("{\"allow\":\"true\"}".to_owned()),
        Say::Json(json!({})),
        Say::Json(json!([true])),
        Say::Json(json!({"allow": true, "data": "x".repeat(5_000)})),
        Say::Status(204, Value::Null),
        Say::Status(500, json!({"allow": true})),
        Say::Status(503, json!({"allow": true})),
        Say::Raw("HTTP/1.1 302 Found\r\nLocation: /hook\r\nContent-Length: 0\r\n\r\n".to_owned()),
        Say::Raw("HTTP/1.1 307 Again\r\nLocation: /hook\r\nContent-Length: 0\r\n\r\n".to_owned()),
        Say::Raw(chunked),
        Say::Raw("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n{}".to_owned()),
    ];
    let count = nonsense.len();
    let next = parking_lot::Mutex::new(nonsense.into_iter());
    let hook = publications(move || next.lock().next().unwrap_or(Say::Close));
    let broker = Broker::with(&hook.section("body_max = \"4KiB\""));
    let mut client = Client::connected(&broker);
    let before = hook.asked().len();
    for n in 0..count {
        let reply = client.publish("/a", n);
        refused(&reply, UNAVAILABLE);
        assert_eq!(hook.asked().len(), before + n + 1, "redirects are not followed");
    }
    assert_eq!(result(&broker, "publish", "invalid"), count as f64);
    // A connection that breaks off before any answer is tried once more: to decide is no deed.
    refused(&client.publish("/a", 1), UNAVAILABLE);
    assert_eq!(hook.asked().len(), before + count + 2);
    refused(&client.publish("/service/a", 1), "503:/service/a:hook_unavailable");
    assert_eq!(hook.asked().len(), before + count + 3, "to call is");
    let ids: Vec<String> =
        hook.asked().iter().rev().skip(1).take(2).map(|it| it.json["id"].to_string()).collect();
    assert_eq!(ids[0], ids[1], "it is the same question");
    assert_eq!(result(&broker, "publish", "unreachable"), 1.0);
}

#[test]
fn a_client_error_is_a_no() {
    let hook = publications(|| Say::Status(404, json!({"allow": true})));
    let broker = Broker::with(&hook.section("on_error = \"allow\"\ncache = \"1h\""));
    let mut client = Client::connected(&broker);
    refused(&client.publish("/a", 1), "403:/a:publish_denied");
    refused(&client.publish("/a", 1), "403:/a:publish_denied");
    assert_eq!(hook.count("publish"), 2, "and is not remembered");
    assert_eq!(result(&broker, "publish", "deny"), 2.0);
}

#[test]
fn a_hook_that_is_gone_shows_in_the_log_and_no_secret_does() {
    let address = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("an address")
    };
    let url = format!("http://me:pass1@{address}/hook?key=pass2");
    let toml = format!(
        "[hook]\nurl = \"{url}\"\nsecret = \"pass3\"\nevents = [\"publish\"]\nservices = false\n"
    );
    let broker = Broker::with(&toml);
    let mut client = Client::connected(&broker);
    for _ in 0..20 {
        refused(&client.publish("/a", 1), UNAVAILABLE);
    }
    assert_eq!(result(&broker, "publish", "unreachable"), 20.0);
    let warned = until("a line of the log", PATIENCE, || {
        let log = broker.log();
        let lines: Vec<_> =
            log.lines().filter(|it| it.contains("the hook cannot be asked")).collect();
        (!lines.is_empty()).then_some(lines.len())
    });
    assert_eq!(warned, 1, "not each time: {}", broker.log());
    let log = broker.log();
    assert!(log.contains(&address.to_string()), "{log}");
    assert!(!log.contains("pass"), "{log}");
    // It comes back, and is asked at once.
    let listener = TcpListener::bind(address).expect("the same port");
    drop(listener);
}

#[test]
fn one_that_is_slow_shows_in_the_log() {
    let hook = publications(yes);
    let broker = Broker::with(&hook.section("timeout = \"2s\""));
    let mut client = Client::connected(&broker);
    hook.shut();
    let message = client.message("/a", json!({"data": 1}));
    let mut connection = broker.connect();
    connection.start(&client.request(json!([message]).to_string()));
    assert!(connection.is_silent(Duration::from_millis(1_200)));
    hook.open();
    ok(&connection.read().expect("an answer").messages()[0]);
    until("a line of the log", PATIENCE, || {
        broker.log().contains("the hook is slow").then_some(())
    });
}

#[test]
fn p5_where_all_places_are_taken_the_wait_has_an_end() {
    let hook = publications(|| Say::Nothing);
    let section = "concurrent = 1\ntimeout = \"1s\"";
    let broker = Broker::with(&hook.section(section));
    let (mut one, mut two) = (Client::connected(&broker), Client::connected(&broker));
    let before = hook.asked().len();
    let message = one.message("/a", json!({"data": 1}));
    let mut connection = broker.connect();
    connection.start(&one.request(json!([message]).to_string()));
    hook.wait_asked(before + 1);
    let asked = now();
    refused(&two.publish("/a", 2), UNAVAILABLE);
    assert!(asked.elapsed() < PATIENCE);
    refused(&connection.read().expect("an answer").messages()[0], UNAVAILABLE);
    let (busy, timeout) =
        (result(&broker, "publish", "busy"), result(&broker, "publish", "timeout"));
    assert!(timeout >= 1.0 && busy + timeout == 2.0, "{busy} {timeout}");
}
