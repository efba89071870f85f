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

/// Requests with a body that are refused for what stands in their head.
fn refused_by_head(body: &[u8]) -> Vec<(u16, Request)> {
    let post = |target: &str| Request::post(target, body);
    let ndjson = |target: &str| post(target).header("Content-Type", "application/x-ndjson");
    vec![
        (403, post("/publish/a").header("Origin", "https://evil.example")),
        (403, post("/publish/a").header("Host", "evil.example")),
        (403, post("/publish/meta/x")),
        (405, post("/publish/a/*")),
        (405, post("/publish/a").method("PUT")),
        (400, post("/publish/a?durable=2")),
        (400, post("/publish/a").header("Idempotency-Key", &"k".repeat(300))),
        (400, post("/publish").header("Idempotency-Key", "k")),
        (400, ndjson("/publish?durable=2")),
        (405, post("/history/a")),
        (405, post("/openapi.json")),
        (404, post("/nothing")),
        (403, post("/bayeux").header("Origin", "https://evil.example")),
        (405, post("/bayeux").method("PUT")),
    ]
}

#[test]
fn f2_a_refusal_arrives_whatever_its_sender_is_still_sending() {
    let broker = Broker::start();
    for size in [900_000, 3_000_000] {
        let body = vec![b' '; size];
        for (status, request) in refused_by_head(&body) {
            for _ in 0..3 {
                let response = broker.exchange(&request);
                let too_large = size > 1 << 20 && response.status == 413;
                let head =
                    String::from_utf8_lossy(&request.bytes(broker.listen)[..60]).into_owned();
                assert!(response.status == status || too_large, "{head} {}", response.text());
            }
        }
    }
    let mut connection = broker.connect();
    for (path, status) in [("/publish/a/*", 405), ("/publish/meta/x", 403), ("/publish/a", 200)] {
        let request = Request::post(path, format!("{}1", " ".repeat(900_000)));
        assert_eq!(connection.exchange(&request).status, status, "the connection lives on");
    }
    let off = Broker::with("[publish]\nenabled = false\n");
    for size in [900_000, 3_000_000] {
        let request = Request::post("/publish/a", vec![b' '; size]);
        assert_eq!(off.exchange(&request).status, 404);
    }
}

#[test]
fn f2_a_refusal_fits_its_status() {
    let broker = Broker::start();
    with_key(&broker, "/a", "k", "1");
    let reused = with_key(&broker, "/a", "k", "2");
    assert_eq!((reused.status, reused.json()), (422, json!({"error": "422::key_reused"})));
    let line = "{\"channel\":\"/a\",\"data\":2,\"id\":\"k\"}\n".to_owned();
    let refused = json!({"channel": "/a", "error": "422::key_reused", "status": 422});
    assert_eq!(ndjson(&broker, "", line), [refused]);
    let deep = format!("{}{}", "[".repeat(70), "]".repeat(70));
    for (second, error) in [
        (r#"{"channel":"/a/*","data":1}"#, "422::channel_invalid"),
        (r#"{"channel":"/meta/a","data":1}"#, "422:/meta/a:publish_denied"),
        (r#"{"channel":"/a"}"#, "422::data_missing"),
        (&format!(r#"{{"channel":"/a","data":{deep}}}"#), "nested too deep"),
    ] {
        let body = format!(r#"[{{"channel":"/a","data":1}},{second}]"#);
        let response = broker.exchange(&Request::post("/publish", body));
        let expected = json!({"error": error, "index": 1});
        assert_eq!((response.status, response.json()), (422, expected));
    }
    let channel = broker.exchange(&Request::post("/publish/a/*", "1"));
    assert_eq!((channel.status, channel.header("Allow")), (405, Some("POST, OPTIONS")));
    let origin = "http://localhost:1";
    for (target, method) in
        [("/openapi.json", "GET"), ("/openapi.json", "PUT"), ("/publish/a", "GET")]
    {
        let request = Request::new(method, target).header("Origin", origin);
        let response = broker.exchange(&request);
        let allowed = response.header("Access-Control-Allow-Origin");
        assert_eq!(allowed, Some(origin), "{method} {target}");
    }
}

#[test]
fn f2_refused_publications_are_counted_by_cause_whichever_way_they_came() {
    let broker = Broker::start();
    let refused =
        |cause: &str| broker.metric(&format!("weft_publish_refused_total{{cause=\"{cause}\"}}"));
    let post = Request::post("/publish/a", "1");
    for (request, status) in [
        (Request::get("/publish/a"), 405),
        (post.clone().header("Origin", "https://evil.example"), 403),
        (post.header("Host", "evil.example"), 403),
        (Request::new("OPTIONS", "/publish/a"), 204),
        (Request::get("/history/a/*"), 405),
    ] {
        assert_eq!(broker.exchange(&request).status, status);
    }
    assert_eq!((refused("method"), refused("origin")), (1.0, 2.0));
    let mut client = Client::connected(&broker);
    client.publish("/a/*", 1);
    client.ask("/a", json!({}));
    client.ask("/a", json!({"data": 1, "ext": {"weft": {"key": ""}}}));
    client.ask("/a", json!({"data": 1, "ext": {"weft": {"key": "k"}}}));
    client.ask("/a", json!({"data": 2, "ext": {"weft": {"key": "k"}}}));
    client.subscribe("/meta/x");
    let counts = ["channel", "unreadable", "invalid"].map(refused);
    assert_eq!(counts, [1.0, 2.0, 1.0]);
    ok(&client.disconnect());
    client.publish("/a", 1);
    assert_eq!(refused("session"), 1.0);
    assert_eq!(broker.metric("weft_publish_refused_total"), 8.0);
}
