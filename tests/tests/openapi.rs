//! The description of publishing and reading, held against what the broker does.

use std::collections::BTreeSet;

use serde_json::json;
use weft_tests::bayeux::Client;
use weft_tests::broker::Broker;
use weft_tests::http::{Connection, Request, Response};
use weft_tests::schema::Description;
use weft_tests::token::auth;

const ONE: &str = "/publish/{channel}";
const MANY: &str = "/publish";
const HISTORY: &str = "/history/{channel}";
const STREAMS: [(&str, &str); 2] =
    [("/events/{channel}", "/events"), ("/stream/{channel}", "/stream")];

/// What is described and cannot be provoked here, and why.
const WAITING: [(u16, &str, &str); 1] =
    [(503, HISTORY, "a disk that cannot be read, or memory for bodies that stays full")];

fn description(broker: &Broker) -> Description {
    Description::new(broker.exchange(&Request::get("/openapi.json")).json())
}

/// Sends requests, and compares what comes with what is described.
struct Comparison {
    description: Description,
    seen: BTreeSet<(String, String, u16)>,
}

impl Comparison {
    #[track_caller]
    fn note(&mut self, path: &str, method: &str, status: u16, response: &Response) {
        let text = String::from_utf8_lossy(&response.body);
        assert_eq!(response.status, status, "{method} {path}: {text}");
        let complaints = self.description.complaints(path, method, response);
        assert!(complaints.is_empty(), "{method} {path} {status}: {complaints:?} {text}");
        self.seen.insert((path.to_owned(), method.to_owned(), status));
    }

    #[track_caller]
    fn post(&mut self, broker: &Broker, path: &str, status: u16, request: &Request) -> Response {
        let response = broker.exchange(request);
        self.note(path, "post", status, &response);
        response
    }

    /// GET and HEAD, which differ in the body alone.
    #[track_caller]
    fn history(&mut self, broker: &Broker, status: u16, request: &Request) {
        let got = broker.exchange(request);
        self.note(HISTORY, "get", status, &got);
        let mut connection = broker.connect();
        connection.start(&request.clone().method("HEAD"));
        let head = connection.read_head().expect("a head");
        self.note(HISTORY, "head", status, &head);
        for name in ["Content-Type", "Content-Length", "Allow", "Retry-After"] {
            assert_eq!(head.header(name), got.header(name), "{name}");
        }
    }

    /// Whatever is asked of any of the paths: no Host, a foreign Origin.
    fn strangers(&mut self, broker: &Broker) {
        let foreign = ("Origin", "https://evil.example");
        for (name, value, status) in
            [("Host", "", 400), ("Host", "evil.example", 403), (foreign.0, foreign.1, 403)]
        {
            let with = |request: Request| request.header(name, value);
            self.post(broker, ONE, status, &with(Request::post("/publish/a", "1")));
            self.post(broker, MANY, status, &with(Request::post("/publish", "[]")));
            self.history(broker, status, &with(Request::get("/history/a")));
            for (path, form) in STREAMS {
                let response = broker.exchange(&with(Request::get(&format!("{form}/a"))));
                self.note(path, "get", status, &response);
            }
        }
    }
}

fn lines(body: &str) -> Request {
    Request::post("/publish", body).header("Content-Type", "application/x-ndjson")
}

fn publications(all: &mut Comparison, broker: &Broker) {
    let example = all.description.example(ONE, "post").to_string();
    all.post(broker, ONE, 200, &Request::post("/publish/a?durable=1", example));
    let key = |body: &str| Request::post("/publish/a", body).header("Idempotency-Key", "k");
    all.post(broker, ONE, 200, &key("1"));
    let repeat = all.post(broker, ONE, 200, &key("1").header("Content-Type", "text/csv"));
    assert_eq!(repeat.json()["repeat"], true);
    all.post(broker, ONE, 422, &key("2"));
    let long = vec![b' '; (1 << 20) + 1];
    for (status, request) in [
        (400, Request::post("/publish/a", "{")),
        (400, Request::post("/publish/a?durable=7", "1")),
        (403, Request::post("/publish/meta/a", "1")),
        (405, Request::post("/publish/a/*", "1")),
        (413, Request::post("/publish/a", long.clone())),
    ] {
        all.post(broker, ONE, status, &request);
    }
    let example = all.description.example(MANY, "post").to_string();
    all.post(broker, MANY, 200, &Request::post("/publish", example));
    all.post(broker, MANY, 413, &Request::post("/publish", long));
    all.post(broker, MANY, 400, &Request::post("/publish", "{}"));
    let bad = json!([{"channel": "/a", "data": 1}, {"channel": "/a/*", "data": 1}]);
    let refused = all.post(broker, MANY, 422, &Request::post("/publish", bad.to_string()));
    assert_eq!(refused.json()["index"], 1);
    let outcomes = "{\"channel\":\"/a\",\"data\":1}\n\n{\"channel\":\"/a\",\"data\":2,\"id\":\"k\"}\n\
                    {\"channel\":\"/meta/a\",\"data\":1}\n{\"channel\":\"a\",\"data\":1}\n{\n";
    let outcomes = all.post(broker, MANY, 200, &lines(outcomes));
    assert_eq!(outcomes.text().lines().count(), 5);
}

fn pages(all: &mut Comparison, broker: &Broker) {
    let mixed =
        json!([{"channel": "/h", "data": 1, "ext": {"x": 1}}, {"channel": "/h", "data": null}]);
    all.post(broker, MANY, 200, &Request::post("/publish", mixed.to_string()));
    for (status, target) in [
        (200, "/history/h?since=-2&limit=99999"),
        (200, "/history/h?since=7"),
        (200, "/history/h?since=2020-01-01T00:00:00Z&limit=x"),
        (200, "/history/never"),
        (400, "/history/h?since=x"),
        (403, "/history/service/h"),
        (405, "/history/h/*"),
    ] {
        all.history(broker, status, &Request::get(target));
    }
}

/// Streams that end soon.
fn streams(all: &mut Comparison) {
    let config = "[streams]\nmax_age = \"1s\"\n[limits]\nsubscriptions_per_session = 1\n\
                  [[channels]]\npattern = \"/a\"\nbacklog = { messages = 2 }\n";
    let broker = Broker::with(config);
    for n in 0..4 {
        all.post(&broker, ONE, 200, &Request::post("/publish/a", n.to_string()));
    }
    for (path, form) in STREAMS {
        for (status, target) in [
            (200, "/a?since=-2"),
            (200, "/a?since=1000000000000000&padding=9"),
            (400, "/a?since=x"),
            (403, "/meta/*"),
            (405, "/a/*/b"),
            (413, "/a?channel=/b"),
        ] {
            let response = broker.exchange(&Request::get(&format!("{form}{target}")));
            all.note(path, "get", status, &response);
        }
    }
    let off = Broker::with("[streams]\nenabled = false\n");
    for (path, form) in STREAMS {
        all.note(path, "get", 404, &off.exchange(&Request::get(&format!("{form}/a"))));
    }
    let full = Broker::with("[sessions]\nmax = 1\n");
    let _one = Client::handshaken(&full);
    all.note(STREAMS[0].0, "get", 200, &full.exchange(&Request::get("/events/a")));
    all.note(STREAMS[1].0, "get", 503, &full.exchange(&Request::get("/stream/a")));
}

/// A body that does not come.
fn slowly(all: &mut Comparison) {
    let broker = Broker::with("[http]\nbody_timeout = \"200ms\"\n");
    for (path, target) in [(ONE, "/publish/a"), (MANY, "/publish")] {
        let mut connection = Connection::open(broker.listen);
        connection.start(&Request::post(target, "[").header("Content-Length", "10"));
        all.note(path, "post", 408, &connection.read().expect("an answer"));
    }
    let mut connection = Connection::open(broker.listen);
    connection.start(&lines("").header("Content-Length", "10"));
    all.note(MANY, "post", 200, &connection.read().expect("an answer"));
}

/// Whoever does not say who they are where that is asked, and whoever comes too often.
fn turned_away(all: &mut Comparison) {
    let asking = Broker::with(&auth(""));
    let limited = Broker::with("[rates]\nmessages = \"1/h\"\n");
    all.post(&limited, ONE, 200, &Request::post("/publish/a", "1"));
    for (broker, status) in [(&asking, 401), (&limited, 429)] {
        let many = r#"[{"channel":"/a","data":1}]"#;
        all.post(broker, ONE, status, &Request::post("/publish/a", "1"));
        all.post(broker, MANY, status, &Request::post("/publish", many));
        all.history(broker, status, &Request::get("/history/a"));
        for (path, form) in STREAMS {
            let response = broker.exchange(&Request::get(&format!("{form}/a")));
            all.note(path, "get", status, &response);
        }
    }
}

#[test]
fn f2_the_description_is_what_the_broker_does() {
    let broker = Broker::start();
    let description = description(&broker);
    let mut all = Comparison { description, seen: BTreeSet::new() };
    publications(&mut all, &broker);
    pages(&mut all, &broker);
    all.strangers(&broker);
    slowly(&mut all);
    streams(&mut all);
    turned_away(&mut all);
    let off = Broker::with("[publish]\nenabled = false\nhistory = false\n");
    all.post(&off, ONE, 404, &Request::post("/publish/a", "1"));
    all.post(&off, MANY, 404, &Request::post("/publish", "[]"));
    all.history(&off, 404, &Request::get("/history/a"));
    // No disk has as much space as this one keeps in reserve.
    let full = Broker::with("[store]\nreserve = \"1000000GiB\"\n");
    all.post(&full, ONE, 503, &Request::post("/publish/a?durable=1", "1"));
    let many = r#"[{"channel":"/a","data":1}]"#;
    all.post(&full, MANY, 503, &Request::post("/publish?durable=1", many));
    all.post(&full, MANY, 200, &lines("{\"channel\":\"/a\",\"data\":1}\n"));

    let mut complaints = Vec::new();
    for (path, method, status) in all.description.statuses() {
        let waits = WAITING.iter().any(|waiting| (waiting.0, waiting.1) == (status, &path));
        if waits == all.seen.contains(&(path.clone(), method.clone(), status)) {
            complaints.push(format!("{method} {path} {status}: waits is {waits}"));
        }
    }
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[test]
fn methods_that_are_not_described_are_refused_with_those_that_are() {
    let broker = Broker::start();
    for (target, allow) in [
        ("/publish/a", "POST, OPTIONS"),
        ("/publish", "POST, OPTIONS"),
        ("/history/a", "GET, HEAD, OPTIONS"),
        ("/openapi.json", "GET, HEAD, OPTIONS"),
        ("/events/a", "GET, OPTIONS"),
        ("/stream", "GET, OPTIONS"),
    ] {
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"] {
            let mut connection = broker.connect();
            connection.start(&Request::new(method, target));
            let head = connection.read_head().expect("a head");
            let known = allow.split(", ").any(|known| known == method);
            assert_eq!(head.status == 405, !known, "{method} {target}");
            assert_eq!(head.header("Allow"), (!known).then_some(allow), "{method} {target}");
        }
    }
}

#[test]
fn the_comparison_sees_what_differs() {
    let broker = Broker::start();
    let description = description(&broker);
    let response = |status, kind: &str, body: &str| Response {
        version: "HTTP/1.1".to_owned(),
        status,
        headers: vec![("Content-Type".to_owned(), kind.to_owned())],
        body: body.into(),
    };
    let good = r#"{"channel":"/a","position":1,"durable":true,"subscribers":0}"#;
    let json = "application/json";
    let complaints = |response| description.complaints(ONE, "post", &response);
    assert_eq!(complaints(response(200, json, good)), Vec::<String>::new());
    for bad in [
        response(201, json, good),
        response(200, "text/html", good),
        response(200, json, "[]"),
        response(200, json, &good.replace('1', "1.5")),
        response(200, json, &good.replace("0}", "-1}")),
        response(200, json, &good.replace("0}", "0,\"x\":1}")),
        response(200, json, &good.replace("0}", "0,\"repeat\":false}")),
        response(200, json, &good.replace("durable", "durably")),
        response(405, json, r#"{"error":"x"}"#),
    ] {
        assert!(!complaints(bad.clone()).is_empty(), "{bad:?}");
    }
}
