//! One rule of origins on every path: each path of both addresses, asked by each kind of page
//! (decisions 3.15; checklist R32).

use weft_tests::broker::{Broker, Setup};
use weft_tests::http::{Connection, Request, Response};
use weft_tests::jsonp;
use weft_tests::siege::HANDSHAKE;
use weft_tests::websocket::upgrade;

const LISTED: &str = "https://app.example.com";

/// A path, and how whoever is welcome finds it.
struct Path {
    name: &'static str,
    request: Request,
    status: u16,
    /// Whether pages of listed origins may read the answer.
    cors: bool,
    /// Whether it is a script that changes something: then following a link is refused, too.
    script: bool,
    admin: bool,
}

fn paths() -> Vec<Path> {
    let path = |name, request, status| Path {
        name,
        request,
        status,
        cors: true,
        script: false,
        admin: false,
    };
    let page =
        |name, target, status| Path { cors: false, ..path(name, Request::get(target), status) };
    let admin = |name| Path { admin: true, ..page(name, name, 200) };
    let options = |target| Request::new("OPTIONS", target);
    let script = format!("/bayeux?jsonp=a&message={}", jsonp::encode(HANDSHAKE));
    vec![
        path("POST", Request::post("/bayeux", HANDSHAKE), 200),
        path("POST below a mount", Request::post("/cometd/handshake", HANDSHAKE), 200),
        path(
            "POST as text",
            Request::post("/faye", HANDSHAKE).header("Content-Type", "text/plain"),
            200,
        ),
        path("PUT", Request::new("PUT", "/bayeux"), 405),
        path("preflight", options("/bayeux"), 204),
        Path { script: true, ..path("JSONP", Request::get(&script), 200) },
        Path { cors: false, ..path("WebSocket", upgrade("/bayeux"), 101) },
        path(
            "eventsource",
            Request::get("/bayeux/nobody").header("Accept", "text/event-stream"),
            404,
        ),
        path("/events", Request::get("/events/a"), 200),
        path("/events preflight", options("/events/a"), 204),
        path("/stream", Request::get("/stream/a"), 200),
        path("/stream preflight", options("/stream/a"), 204),
        path("/history", Request::get("/history/a"), 200),
        path("/history preflight", options("/history/a"), 204),
        path("/publish", Request::post("/publish/a", "1"), 200),
        path("/publish array", Request::post("/publish", r#"[{"channel":"/a","data":1}]"#), 200),
        path(
            "/publish lines",
            Request::post("/publish", "").header("Content-Type", "application/x-ndjson"),
            200,
        ),
        path("/publish preflight", options("/publish/a"), 204),
        path("/publish by GET", Request::get("/publish/a"), 405),
        path("/openapi.json", Request::get("/openapi.json"), 200),
        page("/demo/", "/demo/", 200),
        page("/demo/ script", "/demo/demo.js", 200),
        page("/", "/", 302),
        page("nothing", "/nothing", 404),
        admin("/metrics"),
        admin("/healthz"),
        admin("/readyz"),
    ]
}

/// Who asks: headers, and what of the paths is open to them.
struct Asker {
    name: &'static str,
    headers: Vec<(&'static str, String)>,
    welcome: fn(&Path) -> bool,
}

fn all(_: &Path) -> bool {
    true
}

fn none(_: &Path) -> bool {
    false
}

fn all_but_scripts(path: &Path) -> bool {
    !path.script
}

/// Nobody here says where a script is loaded from: that is what the columns are about.
fn askers(port: u16) -> Vec<Asker> {
    let asker = |name, pairs: &[(&'static str, &str)], welcome| {
        let headers = pairs.iter().map(|&(name, value)| (name, value.to_owned())).collect();
        Asker { name, headers, welcome }
    };
    let (host, rebound) = (format!("evil.test:{port}"), format!("http://evil.test:{port}"));
    let (cross, same) = (("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Site", "same-site"));
    let (no_cors, navigate) = (("Sec-Fetch-Mode", "no-cors"), ("Sec-Fetch-Mode", "navigate"));
    let frame = ("Sec-Fetch-Dest", "iframe");
    vec![
        asker("no page", &[], all),
        asker("listed", &[("Origin", LISTED), ("Referer", "https://app.example.com/")], all),
        asker(
            "listed, as a script",
            &[cross, no_cors, ("Referer", "https://app.example.com/")],
            all,
        ),
        asker("its own page, as a script", &[("Sec-Fetch-Site", "same-origin"), no_cors], all),
        asker("foreign", &[("Origin", "http://evil.test"), ("Referer", "http://evil.test/")], none),
        asker(
            "foreign, of a listed host's port",
            &[("Origin", "https://app.example.com:444")],
            none,
        ),
        asker("null", &[("Origin", "null")], none),
        asker("two origins", &[("Origin", "https://app.example.com http://evil.test")], none),
        asker("foreign, without CORS", &[cross, no_cors, ("Referer", "http://evil.test/")], none),
        asker("foreign, that says no more", &[cross], none),
        asker("of the same site", &[same, no_cors], none),
        asker("foreign, framing", &[cross, navigate, frame], none),
        asker(
            "foreign, linking",
            &[cross, navigate, ("Sec-Fetch-Dest", "document"), ("Referer", "http://evil.test/")],
            all_but_scripts,
        ),
        asker("rebound", &[("Host", &host), ("Origin", &rebound), ("Referer", &rebound)], none),
        asker(
            "rebound, without Origin",
            &[("Host", &host), ("Sec-Fetch-Site", "same-origin")],
            none,
        ),
    ]
}

fn ask(broker: &Broker, path: &Path, headers: &[(&'static str, String)]) -> Response {
    let request = path.request.clone();
    let request =
        headers.iter().fold(request, |request, (name, value)| request.header(name, value));
    let mut connection = Connection::open(if path.admin { broker.admin } else { broker.listen });
    connection.start(&request);
    connection.read_head().expect("an answer")
}

#[test]
fn r32_every_path_asks_the_same_of_every_page() {
    let toml = format!("origins = [\"{LISTED}\"]\n");
    let broker = Setup::default().toml(&toml).env("WEFT_DEMO_ENABLED", "true").start();
    let askers = askers(broker.listen.port());
    for asker in &askers {
        for path in paths().iter().filter(|path| !(asker.welcome)(path)) {
            let response = ask(&broker, path, &asker.headers);
            let case = format!("{}, {}: {response:?}", asker.name, path.name);
            assert_eq!(response.status, 403, "{case}");
            for header in ["Access-Control-Allow-Origin", "Set-Cookie", "Last-Event-ID"] {
                assert_eq!(response.header(header), None, "{case}");
            }
        }
    }
    for metric in ["weft_handshakes_total", "weft_messages_in_total", "weft_sessions"] {
        assert_eq!(broker.metric(metric), 0.0, "{metric}: nothing was obeyed");
    }
    for asker in &askers {
        for path in paths().iter().filter(|path| (asker.welcome)(path)) {
            let response = ask(&broker, path, &asker.headers);
            let case = format!("{}, {}: {response:?}", asker.name, path.name);
            assert_eq!(response.status, path.status, "{case}");
            let origin = asker.headers.iter().find(|(name, _)| *name == "Origin");
            let origin = origin.filter(|_| path.cors).map(|(_, origin)| origin.as_str());
            assert_eq!(response.header("Access-Control-Allow-Origin"), origin, "{case}");
        }
    }
}

#[test]
fn r32_pages_of_the_brokers_own_origin_may_all() {
    let broker = Setup::default().env("WEFT_DEMO_ENABLED", "true").start();
    for path in paths() {
        let own = if path.admin { broker.admin } else { broker.listen };
        let response = ask(&broker, &path, &[("Origin", format!("http://{own}"))]);
        assert_eq!(response.status, path.status, "{}: {response:?}", path.name);
    }
}

#[test]
fn a_listed_page_on_the_internet_may_ask_for_what_is_in_a_private_network() {
    let broker = Broker::with(&format!("origins = [\"{LISTED}\"]\n"));
    let preflight = |origin| {
        let request = Request::new("OPTIONS", "/bayeux").header("Origin", origin);
        broker.exchange(&request.header("Access-Control-Request-Private-Network", "true"))
    };
    let header = "Access-Control-Allow-Private-Network";
    assert_eq!(preflight(LISTED).header(header), Some("true"));
    assert_eq!(preflight("https://evil.test").header(header), None);
    let unasked = Request::new("OPTIONS", "/bayeux").header("Origin", LISTED);
    assert_eq!(broker.exchange(&unasked).header(header), None);
}
