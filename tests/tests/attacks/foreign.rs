//! Pages of other sites, as far as headers show them: every way in asks the same rule. (From a real
//! browser: `tests/js`.)

use weft_tests::http::{Connection, Request, Response};
use weft_tests::jsonp;
use weft_tests::siege::{HANDSHAKE, Siege};
use weft_tests::websocket::upgrade;

/// Every way in, as a page would use it.
fn ways() -> Vec<Request> {
    let message = jsonp::encode(HANDSHAKE);
    let mut ways = vec![
        Request::post("/bayeux", HANDSHAKE),
        // What pages may send anywhere without asking first.
        Request::post("/bayeux", HANDSHAKE).header("Content-Type", "text/plain"),
        Request::post("/cometd/handshake", format!("message={message}"))
            .header("Content-Type", "application/x-www-form-urlencoded"),
        Request::get(&format!("/faye?jsonp=f&message={message}")),
        upgrade("/bayeux"),
        Request::get("/faye/eventsource/0123456789abcdefghijklmnopqrstuv")
            .header("Accept", "text/event-stream"),
        Request::post("/publish/a", "1"),
        Request::post("/publish", r#"[{"channel":"/a","data":1}]"#),
        Request::post("/publish", "{\"channel\":\"/a\",\"data\":1}\n")
            .header("Content-Type", "application/x-ndjson"),
        Request::get("/history/a"),
        Request::get("/events/a"),
        Request::get("/stream/a"),
    ];
    let asked = ["/bayeux", "/publish/a", "/history/a", "/events/a", "/stream/a"].map(|path| {
        Request::new("OPTIONS", path)
            .header("Access-Control-Request-Method", "POST")
            .header("Access-Control-Request-Headers", "authorization")
    });
    ways.extend(asked);
    ways
}

/// The head of the answer: those that go on have no end.
fn head(siege: &Siege, request: &Request) -> Response {
    let mut connection = siege.0.connect();
    connection.start(request);
    connection.read_head().expect("an answer")
}

#[track_caller]
fn nothing_came_of_it(siege: &Siege) {
    for metric in
        ["weft_handshakes_total", "weft_messages_in_total", "weft_sessions", "weft_websockets"]
    {
        assert_eq!(siege.0.metric(metric), 0.0, "{metric}");
    }
}

#[test]
fn r32_a_foreign_origin_gets_in_nowhere() {
    let siege = Siege::begin();
    for origin in [
        "https://evil.test",
        "null",
        "http://localhost.evil.test",
        "http://127.0.0.1.evil.test",
        "http://evil.test:80@localhost",
        "file://",
        "chrome-extension://abcdefgh",
        "http://localhost, http://evil.test",
        "http://[::1].evil.test",
        "http://0x7f000001",
        "http://127.1",
    ] {
        for way in ways() {
            let response = head(&siege, &way.clone().header("Origin", origin));
            assert_eq!(response.status, 403, "{origin}: {way:?}");
            for name in ["Access-Control-Allow-Origin", "Set-Cookie", "Last-Event-ID"] {
                assert_eq!(response.header(name), None, "{origin}: {way:?}");
            }
        }
    }
    nothing_came_of_it(&siege);
    siege.over();
}

#[test]
fn r32_k3_a_foreign_script_gets_nothing_to_read() {
    let siege = Siege::begin();
    let target = format!("/bayeux?jsonp=f&message={}", jsonp::encode(HANDSHAKE));
    for headers in [
        &[("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "no-cors")][..],
        &[("Sec-Fetch-Site", "same-site")],
        &[("Sec-Fetch-Site", "same-site"), ("Referer", "http://evil.test/")],
        &[("Sec-Fetch-Site", "")],
        &[("Sec-Fetch-Site", "Same-Origin")],
        &[("Sec-Fetch-Site", "nonsense")],
        &[("Referer", "https://evil.test/")],
        &[("Referer", "http://localhost.evil.test/")],
        &[("Referer", "http://localhost@evil.test/")],
        &[("Referer", "nonsense")],
    ] {
        let with = |request: Request, (name, value): &(&str, &str)| {
            request.header(name, if value.is_empty() { " " } else { value })
        };
        let request = headers.iter().fold(Request::get(&target), with);
        let response = siege.0.exchange(&request);
        assert_eq!(response.status, 403, "{headers:?}");
        assert_eq!(response.header("Content-Type"), Some("text/plain;charset=UTF-8"));
    }
    nothing_came_of_it(&siege);
    siege.over();
}

#[test]
fn r32_a_name_that_was_bound_anew_is_not_served() {
    let siege = Siege::begin();
    let port = siege.0.listen.port();
    for host in [
        format!("evil.test:{port}"),
        "evil.test".to_owned(),
        format!("127.0.0.1.evil.test:{port}"),
        format!("localhost.evil.test:{port}"),
        "0x7f000001".to_owned(),
        "2130706433".to_owned(),
        "127.1".to_owned(),
        "0.0.0.0".to_owned(),
        "localhost.".to_owned(),
        "[::]".to_owned(),
        "localhost evil.test".to_owned(),
        "evil.test#localhost".to_owned(),
        "localhost@evil.test".to_owned(),
        "localhost:80:80".to_owned(),
    ] {
        for way in ways() {
            // To the browser it is one origin with its own host, so that alone says nothing.
            let own = format!("http://{host}");
            for way in [way.clone(), way.clone().header("Origin", &own)] {
                let status = head(&siege, &way.clone().header("Host", &host)).status;
                assert!(matches!(status, 400 | 403), "{status}: {host}: {way:?}");
            }
        }
        // Who administers is not asked by pages either.
        for path in ["/metrics", "/healthz", "/readyz"] {
            let mut admin = Connection::open(siege.0.admin);
            let response = admin.exchange(&Request::get(path).header("Host", &host));
            assert!(matches!(response.status, 400 | 403), "{host}{path}: {}", response.status);
        }
    }
    nothing_came_of_it(&siege);
    siege.over();
}

#[test]
fn r32_pages_of_others_read_nothing_of_the_admin_address() {
    let siege = Siege::begin();
    for origin in ["https://evil.test", "null"] {
        for path in ["/metrics", "/healthz", "/readyz"] {
            let mut admin = Connection::open(siege.0.admin);
            let response = admin.exchange(&Request::get(path).header("Origin", origin));
            assert_eq!(response.header("Access-Control-Allow-Origin"), None, "{path}");
            assert_ne!(response.status, 200, "{path}");
        }
    }
    siege.over();
}
