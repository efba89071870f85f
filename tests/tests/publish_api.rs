//! Publishing over plain HTTP (checklist F2, decisions section 2), and reading history.

use serde_json::{Value, json};
use weft_tests::api::{history, kept, position, post};
use weft_tests::bayeux::{Client, data, ok, refused};
use weft_tests::broker::Broker;
use weft_tests::http::{Request, Response};

fn ndjson(broker: &Broker, query: &str, body: String) -> Vec<Value> {
    let request = Request::post(&format!("/publish{query}"), body)
        .header("Content-Type", "application/x-ndjson");
    let response = broker.exchange(&request);
    assert_eq!(response.status, 200);
    response.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn with_key(broker: &Broker, channel: &str, key: &str, body: &str) -> Response {
    let request = Request::post(&format!("/publish{channel}"), body);
    broker.exchange(&request.header("Idempotency-Key", key))
}

#[test]
fn f2_a_message_is_published_with_one_request() {
    let broker = Broker::start();
    let mut client = Client::subscribed(&broker, "/a/b");
    let response = broker.exchange(&Request::post("/publish/a/b", r#"{"x": 1.0}"#));
    let answer = response.json();
    assert_eq!(response.header("Content-Type"), Some("application/json"));
    assert_eq!(response.header("Cache-Control"), Some("no-cache, no-store"));
    let expected = json!({
        "channel": "/a/b", "position": answer["position"], "durable": false, "subscribers": 1
    });
    assert_eq!(answer, expected);
    assert_eq!(data(client.connect()), [json!({"x": 1.0})]);
    let durable = post(&broker, "/a/%62", "?durable=1", &json!(2)).json();
    assert_eq!((&durable["channel"], &durable["durable"]), (&json!("/a/b"), &json!(true)));
}

#[test]
fn f2_what_is_wrong_is_told_with_its_status() {
    let broker = Broker::with("[limits]\nbody = \"1KiB\"\nqueue_bytes = \"1KiB\"\n");
    let post = |path: &str, body: &str| broker.exchange(&Request::post(path, body));
    let long = format!("\"{}\"", "x".repeat(2_000));
    for (path, body, status, text) in [
        ("/publish/a", "{", 400, "not JSON"),
        ("/publish/a", "", 400, "no message"),
        ("/publish/a", &long, 413, "too large"),
        ("/publish/a?durable=2", "1", 400, "durable is 1 or 0"),
        ("/publish/a/*", "1", 405, "405::channel_invalid"),
        ("/publish/a%2Fb", "1", 405, "405::channel_invalid"),
        ("/publish/", "1", 405, "405::channel_invalid"),
        ("/publish/a/", "1", 405, "405::channel_invalid"),
        ("/publish/meta/x", "1", 403, "403:/meta/x:publish_denied"),
        ("/publish/service/x", "1", 403, "403:/service/x:publish_denied"),
        ("/publish", "{}", 400, "not a message"),
    ] {
        let response = post(path, body);
        assert_eq!(response.status, status, "{path} {}", response.text());
        let error = response.json()["error"].as_str().expect("an error").to_owned();
        assert!(error.contains(text), "{path} {error}");
    }
    let wrong = broker.exchange(&Request::get("/publish/a"));
    assert_eq!((wrong.status, wrong.header("Allow")), (405, Some("POST, OPTIONS")));
    let foreign = Request::post("/publish/a", "1").header("Origin", "https://evil.example");
    assert_eq!(broker.exchange(&foreign).status, 403);
    let long = with_key(&broker, "/a", &"k".repeat(257), "1");
    assert_eq!((long.status, long.json()), (400, json!({"error": "400::key_invalid"})));
    assert!(broker.metric("weft_publish_refused_total{cause=\"channel\"}") >= 4.0);
}

#[test]
fn f2_an_array_is_published_whole_or_not_at_all() {
    let broker = Broker::start();
    let bad = json!([{"channel": "/a", "data": 1}, {"channel": "/a", "dat": 2}]);
    let response = broker.exchange(&Request::post("/publish", bad.to_string()));
    assert_eq!((response.status, &response.json()["index"]), (422, &json!(1)));
    assert!(kept(&broker, "/a").is_empty());
    let good = json!([
        {"channel": "/a", "data": 1, "ext": {"x": 1, "replay": 2, "weft": 3}},
        {"channel": "/b", "data": null}
    ]);
    let response = broker.exchange(&Request::post("/publish?durable=true", good.to_string()));
    let answers = response.json();
    assert_eq!((&answers[0]["channel"], &answers[1]["channel"]), (&json!("/a"), &json!("/b")));
    assert!(answers[0]["position"].as_i64() < answers[1]["position"].as_i64());
    let page = history(&broker, "/a", "");
    assert_eq!(page["messages"][0]["ext"], json!({"x": 1}), "what is ours does not go on");
}

#[test]
fn f2_lines_are_published_each_on_its_own_as_many_as_there_are() {
    let broker = Broker::start();
    let line = |n: usize| match n % 1_000 {
        7 => "{\"channel\":\"/n/*\",\"data\":0}\n".to_owned(),
        8 => "nonsense\n\n".to_owned(),
        _ => format!("{{\"channel\":\"/n\",\"data\":{n}}}\n"),
    };
    let answers = ndjson(&broker, "?durable=1", (0..5_000).map(line).collect());
    assert_eq!(answers.len(), 5_000);
    for (n, answer) in answers.iter().enumerate() {
        match n % 1_000 {
            7 => assert_eq!(answer["status"], 405, "{answer}"),
            8 => assert_eq!(answer["status"], 400, "{answer}"),
            _ => assert_eq!(answer["durable"], true, "{answer}"),
        }
    }
    let kept = kept(&broker, "/n");
    assert_eq!((kept.len(), kept.last()), (1_000, Some(&json!(4_999))));
    let long = format!("{{\"channel\":\"/n\",\"data\":\"{}\"}}\n1\n", "x".repeat(2 << 20));
    let answers = ndjson(&broker, "", long);
    assert_eq!((&answers[0]["status"], &answers[1]["status"]), (&json!(413), &json!(400)));
}

#[test]
fn f2_a_repeat_is_known_by_its_key_and_not_published_again() {
    let broker = Broker::start();
    let mut client = Client::subscribed(&broker, "/a");
    let first = with_key(&broker, "/a", "k", "1").json();
    assert!(first.get("repeat").is_none());
    let again = with_key(&broker, "/a", "k", "1").json();
    assert_eq!((&again["position"], &again["repeat"]), (&first["position"], &json!(true)));
    assert_eq!(again["subscribers"], 1);
    assert_eq!(with_key(&broker, "/a", "k", "2").status, 422);
    assert!(with_key(&broker, "/b", "k", "2").json().get("repeat").is_none());
    let messages =
        json!([{"channel": "/a", "data": 1, "id": "k"}, {"channel": "/c", "data": 1, "id": 7}]);
    let answers = broker.exchange(&Request::post("/publish", messages.to_string())).json();
    assert_eq!(answers[0]["repeat"], true);
    let conflict = json!([{"channel": "/d", "data": 1}, {"channel": "/c", "data": 2, "id": 7}]);
    let response = broker.exchange(&Request::post("/publish", conflict.to_string()));
    assert_eq!((response.status, &response.json()["index"]), (422, &json!(1)));
    assert!(kept(&broker, "/d").is_empty());
    assert_eq!(data(client.connect()), [json!(1)]);
    assert_eq!(broker.metric("weft_publish_repeats_total"), 2.0);
}

#[test]
fn f2_bayeux_publishers_have_keys_too() {
    let broker = Broker::with("[[channels]]\npattern = \"/s\"\ndurability = \"sync\"\n");
    for channel in ["/a", "/s"] {
        let mut client = Client::subscribed(&broker, channel);
        let fields = json!({"data": 1, "ext": {"weft": {"key": "k"}, "x": 2}});
        let first = client.ask(channel, fields.clone());
        ok(&first);
        let position = &first["ext"]["weft"]["position"];
        assert!(position.is_i64());
        let again = client.ask(channel, fields);
        assert_eq!(again["ext"]["weft"], json!({"position": position, "repeat": true}));
        let other = client.ask(channel, json!({"data": 2, "ext": {"weft": {"key": "k"}}}));
        refused(&other, "400::key_reused");
        let bad = client.ask(channel, json!({"data": 2, "ext": {"weft": {"key": 1}}}));
        refused(&bad, "400::key_invalid");
        let events = client.connect();
        assert_eq!((events.len(), &events[0]["ext"]), (2, &json!({"x": 2})));
    }
}

#[test]
fn the_api_is_described_and_can_be_turned_off() {
    let broker = Broker::with("[publish]\nenabled = false\nhistory = false\n");
    let described = broker.exchange(&Request::get("/openapi.json")).json();
    assert_eq!(described["openapi"], "3.1.0");
    for path in ["/publish", "/publish/{channel}", "/history/{channel}"] {
        assert!(described["paths"][path].is_object(), "{path}");
    }
    assert_eq!(post(&broker, "/a", "", &json!(1)).status, 404);
    assert_eq!(broker.exchange(&Request::get("/history/a")).status, 404);
    let mut client = Client::subscribed(&broker, "/a");
    ok(&client.publish("/a", 1));
    assert_eq!(data(client.connect()), [json!(1)]);
    let open = Broker::start();
    assert!(position(&post(&open, "/a", "", &json!(1))) > 0);
}
