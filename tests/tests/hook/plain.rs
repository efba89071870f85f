//! Plain HTTP: the hook is asked there as well.

use serde_json::{Value, json};
use weft_tests::bayeux::Client;
use weft_tests::broker::Broker;
use weft_tests::hook::{Asked, Hook, Say, no, yes};
use weft_tests::http::{Request, Response};
use weft_tests::stream::Stream;

fn picky(asked: &Asked) -> Say {
    let names = [&asked.json["channel"], &asked.json["channels"]];
    if names.iter().any(|name| name.to_string().contains("/no")) { no() } else { yes() }
}

fn error(response: &Response) -> (u16, Value) {
    let body: Value = serde_json::from_str(response.text()).expect("JSON");
    (response.status, body["error"].clone())
}

#[test]
fn p7_publishing_by_plain_http_is_what_the_hook_says() {
    let hook = Hook::start(picky);
    let broker = Broker::with(&hook.section(""));
    let post = |path: &str, body: &str| broker.exchange(&Request::post(path, body));
    assert_eq!(post("/publish/yes", "1").status, 200);
    let asked: Vec<_> = hook.asked().iter().map(|it| it.event().to_owned()).collect();
    assert_eq!(asked, ["handshake", "publish"]);
    assert_eq!(error(&post("/publish/no", "1")), (403, json!("403:/no:publish_denied")));
    let all = r#"[{"channel":"/yes","data":1},{"channel":"/no","data":2}]"#;
    let refused = post("/publish", all);
    assert_eq!(error(&refused), (403, json!("403:/no:publish_denied")));
    assert!(refused.text().contains(r#""index":1"#), "{}", refused.text());
    let lines = "{\"channel\":\"/yes\",\"data\":3}\n{\"channel\":\"/no\",\"data\":4}\n\
                 {\"channel\":\"/yes\",\"data\":5}\n";
    let request = Request::post("/publish", lines).header("Content-Type", "application/x-ndjson");
    let answer = broker.exchange(&request);
    let outcomes: Vec<Value> =
        answer.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(outcomes[0]["position"].is_i64() && outcomes[2]["position"].is_i64());
    assert_eq!(outcomes[1]["error"], "403:/no:publish_denied");
    let kept = broker.exchange(&Request::get("/history/yes"));
    let kept: Value = serde_json::from_str(kept.text()).expect("JSON");
    let data: Vec<&Value> =
        kept["messages"].as_array().expect("an array").iter().map(|it| &it["data"]).collect();
    assert_eq!(data, [&json!(1), &json!(3), &json!(5)], "the array was refused as a whole");
}

#[test]
fn p7_reading_by_plain_http_is_what_the_hook_says() {
    let hook = Hook::start(picky);
    let broker = Broker::with(&hook.section(""));
    let get = |path: &str| broker.exchange(&Request::get(path));
    assert_eq!(error(&get("/history/no")), (403, json!("403:/no:history_denied")));
    assert_eq!(hook.last().json["history"], true);
    assert_eq!(get("/history/yes").status, 200);
    for path in ["/events/no", "/stream/no", "/events/yes?channel=/no", "/stream/yes?channel=/no"] {
        let (status, text) = error(&get(path));
        assert_eq!(status, 403, "{path}");
        assert!(text.as_str().expect("a text").ends_with(":subscribe_denied"), "{text}");
    }
    let mut stream = Stream::open(&broker, "/events/yes", None);
    assert_eq!(hook.last().json["history"], false);
    assert_eq!(broker.exchange(&Request::post("/publish/yes", "7")).status, 200);
    assert_eq!(stream.data(1), [json!(7)]);
    let _past = Stream::open(&broker, "/events/yes?since=-2", None);
    assert_eq!(hook.last().json["history"], true);
}

#[test]
fn whoever_may_not_come_in_does_nothing_by_plain_http() {
    let hook = Hook::start(|asked: &Asked| match asked.json["token"].as_str() {
        Some("good") => Say::Json(json!({"allow": true, "sub": "me", "roles": ["r"]})),
        Some("bad") => Say::Json(json!({"allow": false, "status": 401, "error": "bad token"})),
        None if asked.event() != "handshake" => yes(),
        _ => no(),
    });
    let broker = Broker::with(&hook.section("cache = \"1h\""));
    for (method, path) in
        [("POST", "/publish/a"), ("GET", "/history/a"), ("GET", "/events/a"), ("GET", "/stream/a")]
    {
        let ask = |token: Option<&str>| {
            let request = Request::new(method, path).body(if method == "POST" { "1" } else { "" });
            let bearer = token.map(|token| format!("Bearer {token}")).unwrap_or_default();
            error(&broker.exchange(&request.header("Authorization", &bearer)))
        };
        assert_eq!(ask(None), (403, json!("403::handshake_denied")), "{path}");
        assert_eq!(ask(Some("bad")), (401, json!("401::bad token")), "{path}");
    }
    assert_eq!(hook.count("handshake"), 2, "credentials are remembered, too");
    let good = Request::post("/publish/a", "1").header("Authorization", "Bearer good");
    for _ in 0..3 {
        assert_eq!(broker.exchange(&good).status, 200);
    }
    assert_eq!((hook.count("handshake"), hook.count("publish")), (3, 1));
    let asked = hook.last().json;
    let me = json!({"kind": "hook", "sub": "me", "roles": ["r"], "claims": {}});
    assert_eq!((&asked["event"], &asked["principal"]), (&json!("publish"), &me));
    let mut stranger = Client::new(&broker);
    weft_tests::bayeux::refused(&stranger.handshake(), "403::handshake_denied");
}
