//! `GET /events` and `GET /stream`: messages as they are published, to whoever can read a response
//! as it comes.

use serde_json::{Value, json};
use weft_tests::api::publish;
use weft_tests::bayeux::{Client, ok};
use weft_tests::broker::Broker;
use weft_tests::http::Request;
use weft_tests::stream::{Event, Stream};

const FORMS: [&str; 2] = ["/events", "/stream"];

/// Opens a stream of each form.
fn both(broker: &Broker, target: &str) -> [Stream; 2] {
    FORMS.map(|form| Stream::open(broker, &format!("{form}{target}"), None))
}

fn status(broker: &Broker, request: &Request) -> (u16, String) {
    let response = broker.exchange(request);
    (response.status, response.text().trim().to_owned())
}

#[test]
fn t4_t5_messages_come_as_they_are_published() {
    let broker = Broker::start();
    let streams = both(&broker, "/news/today");
    let text = r#"{"b":1,"a":[1.0,"\u0007é\u2028"],  "c":"\\n"}"#;
    let raw = broker.exchange(&Request::post("/publish/news/today", format!("{text}\r\n")));
    let position = raw.json()["position"].clone();
    let mut client = Client::handshaken(&broker);
    ok(&client.ask("/news/today", json!({"data": 1, "ext": {"x": 2, "weft": {"key": "k"}}})));
    for mut stream in streams {
        let event = stream.event();
        assert_eq!(event.data["channel"], "/news/today");
        assert_eq!(event.data["position"], position);
        assert_eq!(event.data["ext"], Value::Null);
        assert_eq!(event.data["data"], serde_json::from_str::<Value>(text).unwrap());
        let event = stream.event();
        assert_eq!((&event.data["data"], &event.data["ext"]), (&json!(1), &json!({"x": 2})));
        assert!(stream.is_silent());
    }
}

#[test]
fn t4_t5_each_form_is_what_it_says_and_nobody_on_the_way_keeps_it_back() {
    let broker = Broker::start();
    for (form, kind) in [("/events", "text/event-stream"), ("/stream", "application/x-ndjson")] {
        let stream = Stream::open(&broker, &format!("{form}/a"), None);
        let header = |name| stream.head.header(name);
        assert_eq!(header("Content-Type"), Some(kind));
        assert_eq!(header("Cache-Control"), Some("no-cache, no-store"));
        assert_eq!(header("X-Accel-Buffering"), Some("no"));
        assert_eq!(header("X-Content-Type-Options"), Some("nosniff"));
        assert_eq!(header("Content-Length"), None);
    }
    let mut events = Stream::open(&broker, "/events/a", None);
    let id = events.last_id.clone().unwrap();
    assert_eq!(events.block().unwrap(), format!("retry: 2000\nid: {id}\n\n"));
    publish(&broker, "/a", json!({"x": 1}));
    let block = events.block().unwrap();
    let (id, rest) = block.strip_prefix("id: ").unwrap().split_once('\n').unwrap();
    let Event { data, .. } = Stream::open(&broker, "/stream/a?since=-2", None).event();
    let text =
        format!(r#"data: {{"channel":"/a","position":{},"data":{{"x":1}}}}"#, data["position"]);
    assert_eq!((rest, id.is_empty()), (&*format!("{text}\n\n"), false));
}

#[test]
fn t5_channels_and_patterns_come_by_path_and_by_parameter() {
    let broker = Broker::start();
    let streams = both(&broker, "/a/*?channel=/b&channel=/c/**&channel=%2Fd%2Fe&channel=/b");
    for (n, channel) in ["/a/1", "/a/1/2", "/b", "/c", "/c/1/2", "/d/e", "/b/1", "/a/%28x%29"]
        .into_iter()
        .enumerate()
    {
        publish(&broker, channel, n);
    }
    for mut stream in streams {
        assert_eq!(stream.data(5), [0, 2, 4, 5, 7]);
        assert!(stream.is_silent());
    }
    let everything = both(&broker, "/**");
    let escaped = both(&broker, "/a/%28x%29");
    let none_in_the_path = both(&broker, "?channel=/a/(x)");
    publish(&broker, "/a/(x)", 8);
    for mut stream in everything.into_iter().chain(escaped).chain(none_in_the_path) {
        assert_eq!(stream.data(1), [8]);
    }
}

#[test]
fn t4_what_cannot_be_read_is_refused_in_words() {
    let broker = Broker::with("[limits]\nsubscriptions_per_session = 3\n");
    for (target, code, words) in [
        ("", 400, "name a channel"),
        ("/", 400, "name a channel"),
        ("/meta/connect", 403, "403:/meta/connect:subscribe_denied"),
        ("/meta/**", 403, "403:/meta/**:subscribe_denied"),
        ("/service/x", 403, "403:/service/x:subscribe_denied"),
        ("/a?channel=/service/*", 403, "403:/service/*:subscribe_denied"),
        ("/a%2Fb", 405, "channel_invalid"),
        ("/a//b", 405, "channel_invalid"),
        ("/a/", 405, "channel_invalid"),
        ("/*/b", 405, "channel_invalid"),
        ("/a?channel=b", 405, "channel_invalid"),
        ("/a?since=x", 400, "since is a position"),
        ("/a?since=-3", 400, "since is a position"),
        ("/a?since=", 400, "since is a position"),
        ("/a?since=wN", 400, "damaged"),
        ("/a?padding=x", 400, "padding is in bytes"),
        ("/a?channel=/b&channel=/c&channel=/d", 413, "413::too_many_subscriptions"),
    ] {
        for form in FORMS {
            let (status, text) = status(&broker, &Request::get(&format!("{form}{target}")));
            assert_eq!(status, code, "{form}{target}: {text}");
            assert!(text.contains(words), "{form}{target}: {text}");
        }
    }
    for id in ["x", "wN~1", "\u{e9}"] {
        let request = Request::get("/events/a?since=-2").header("Last-Event-ID", id);
        let (status, text) = status(&broker, &request);
        assert_eq!(status, 400, "{text}");
        assert!(text.contains("Last-Event-ID"), "{text}");
    }
    for method in ["POST", "PUT", "DELETE"] {
        let response = broker.exchange(&Request::new(method, "/stream/a"));
        assert_eq!((response.status, response.header("Allow")), (405, Some("GET, OPTIONS")));
    }
    let mut connection = broker.connect();
    connection.start(&Request::new("HEAD", "/events/a"));
    assert_eq!(connection.read_head().unwrap().status, 405);
    broker.wait_sessions(0);
    let off = Broker::with("[streams]\nenabled = false\n");
    assert_eq!(status(&off, &Request::get("/events/a")).0, 404);
}

#[test]
fn t4_pages_of_allowed_origins_alone_may_read() {
    let broker = Broker::with("origins = [\"https://app.example.com\"]\n");
    for form in FORMS {
        let ask = |origin: &str| Request::get(&format!("{form}/a")).header("Origin", origin);
        let stream = Stream::ask(&broker, &ask("https://app.example.com"));
        let header = |name| stream.head.header(name);
        assert_eq!(header("Access-Control-Allow-Origin"), Some("https://app.example.com"));
        assert_eq!(header("Access-Control-Allow-Credentials"), Some("true"));
        assert_eq!(header("Access-Control-Expose-Headers"), Some("last-event-id"));
        assert_eq!(header("Vary"), Some("Origin"));
        assert_eq!(status(&broker, &ask("https://evil.example")).0, 403);
        assert_eq!(status(&broker, &ask("null")).0, 403);
        let rebound = Request::get(&format!("{form}/a")).header("Host", "evil.example");
        assert_eq!(status(&broker, &rebound).0, 403);
        let preflight = ask("https://app.example.com").method("OPTIONS");
        let response = broker.exchange(&preflight);
        assert_eq!(response.status, 204);
        let allowed = response.header("Access-Control-Allow-Headers").unwrap();
        assert!(allowed.contains("last-event-id"), "{allowed}");
    }
}

#[test]
fn t4_t5_a_stream_begins_where_it_is_asked_to() {
    let broker = Broker::start();
    let positions: Vec<i64> = (1..=5).map(|n| publish(&broker, "/a", n)).collect();
    let time = broker.exchange(&Request::get("/history/a")).json()["messages"][2]["time"].clone();
    let time = time.as_str().unwrap();
    for (since, first) in [
        ("-2", 1),
        ("-1", 6),
        (&*positions[2].to_string(), 4),
        (time, 4),
        ("1999-01-01T00:00:00Z", 1),
        ("2999-01-01T00:00:00Z", 6),
    ] {
        for mut stream in both(&broker, &format!("/a?since={since}")) {
            let last = publish(&broker, "/a", 6);
            let mut seen = Vec::new();
            while seen.last() != Some(&last) {
                let event = stream.event();
                if event.kind == "message" {
                    seen.push(event.data["position"].as_i64().unwrap());
                }
            }
            let wanted: Vec<i64> = positions[first - 1..].to_vec();
            assert_eq!(seen[..wanted.len()], wanted, "since={since}");
        }
    }
}

#[test]
fn t4_t5_whoever_comes_again_goes_on_behind_the_last_event_and_nothing_repeats() {
    let broker = Broker::start();
    for form in FORMS {
        let target = format!("{form}/r{form}/a?channel=/r{form}/p/**&channel=/r{form}/b");
        let channel = |name: &str| format!("/r{form}/{name}");
        // Just before anybody reads: not new to anyone.
        for name in ["a", "b", "p/x", "p/y"] {
            publish(&broker, &channel(name), "old");
        }
        let mut stream = Stream::open(&broker, &target, None);
        publish(&broker, &channel("a"), 1);
        publish(&broker, &channel("p/x"), 2);
        assert_eq!(stream.data(2), [1, 2]);
        let last = stream.last_id.clone();
        drop(stream);
        broker.wait_sessions(0);
        // Of two of these channels it has seen nothing yet.
        for (name, n) in [("a", 3), ("p/x", 4), ("p/y", 5), ("b", 6), ("p/new", 7)] {
            publish(&broker, &channel(name), n);
        }
        let mut stream = Stream::open(&broker, &target, last.as_deref());
        let mut seen: Vec<i64> =
            stream.data(5).iter().map(|value| value.as_i64().expect("what is new")).collect();
        seen.sort_unstable();
        assert_eq!(seen, [3, 4, 5, 6, 7], "{form}");
        publish(&broker, &channel("p/x"), 8);
        assert_eq!(stream.data(1), [8]);
        assert!(stream.is_silent());
    }
}

#[test]
fn t4_who_has_seen_nothing_yet_goes_on_from_where_it_began() {
    let broker = Broker::start();
    for form in FORMS {
        let target = format!("{form}/s{form}/**");
        let channel = format!("/s{form}/x");
        publish(&broker, &channel, "old");
        let mut stream = Stream::open(&broker, &target, None);
        stream.block();
        let last = stream.last_id.clone();
        drop(stream);
        publish(&broker, &channel, 1);
        let mut stream = Stream::open(&broker, &target, last.as_deref());
        assert_eq!(stream.data(1), [1]);
        // The parameter is what browsers can set at first; the header wins.
        let target = format!("{target}?since={}", last.unwrap());
        assert_eq!(Stream::open(&broker, &target, None).data(1), [1]);
        let newer = stream.last_id.as_deref();
        assert!(Stream::open(&broker, &target, newer).is_silent());
    }
}

#[test]
fn t4_beyond_64_channels_whoever_comes_again_may_get_some_twice_and_misses_none() {
    const CHANNELS: usize = 150;
    let broker = Broker::start();
    let mut published = vec![Vec::new(); CHANNELS];
    let mut seen = vec![Vec::new(); CHANNELS];
    let mut last = Stream::open(&broker, "/events/many/*", None).last_id;
    for (round, form) in FORMS.iter().cycle().take(6).enumerate() {
        for n in 0..CHANNELS * 2 {
            // Not all of them each time, and never in the same order.
            let channel = (n * 7 + round * 31) % CHANNELS;
            if (n + round) % 3 > 0 {
                published[channel].push(publish(&broker, &format!("/many/{channel}"), n));
            }
        }
        let mut stream = Stream::open(&broker, &format!("{form}/many/*"), last.as_deref());
        let whole = published.iter().map(Vec::len).sum::<usize>();
        let had = seen.iter().map(Vec::len).sum::<usize>();
        // Cut somewhere in the middle, but for the last time.
        let share = if round == 5 { whole - had } else { (whole - had) * 2 / 3 };
        let mut new = 0;
        while new < share {
            let event = stream.event();
            assert_eq!(event.kind, "message", "{event:?}");
            assert!(event.id.len() <= 4_096, "{} bytes", event.id.len());
            let channel: usize =
                event.data["channel"].as_str().unwrap()["/many/".len()..].parse().unwrap();
            let position = event.data["position"].as_i64().unwrap();
            if !seen[channel].contains(&position) {
                assert!(seen[channel].last() < Some(&position), "in their order, at first");
                seen[channel].push(position);
                new += 1;
            }
        }
        last.clone_from(&stream.last_id);
    }
    assert_eq!(seen, published);
}
