//! One rule of origins for CORS, POST, JSONP and the admin address, and one of names against DNS
//! rebinding (checklist R32, A3, K3; decisions 3.15).

use weft_tests::broker::{Broker, Setup};
use weft_tests::http::{Connection, Request, Response};
use weft_tests::jsonp;
use weft_tests::siege::{HANDSHAKE, Siege, is_text};

const HEADERS: &str = "content-type, pragma, cache-control, x-requested-with, authorization, \
                       last-event-id, idempotency-key";

/// A broker that others can reach, and that means it.
fn public(origins: &str) -> Broker {
    let toml = format!("origins = {origins}\n[auth]\nmode = \"open\"\n");
    let setup = Setup::default().toml(&toml).without_flags();
    setup.env("WEFT_LISTEN", "0.0.0.0:0").env("WEFT_ADMIN", "127.0.0.1:0").start()
}

fn from(origin: &str) -> Request {
    Request::post("/bayeux", HANDSHAKE).header("Origin", origin)
}

fn preflight(origin: &str) -> Request {
    Request::new("OPTIONS", "/bayeux/handshake")
        .header("Origin", origin)
        .header("Access-Control-Request-Method", "POST")
        .header("Access-Control-Request-Headers", "content-type,x-foo")
}

#[track_caller]
fn is_allowed(response: &Response, status: u16, origin: &str) {
    assert_eq!(response.status, status, "{origin}");
    assert_eq!(response.all("Access-Control-Allow-Origin"), [origin]);
    assert_eq!(response.header("Access-Control-Allow-Credentials"), Some("true"));
    assert_eq!(response.header("Vary"), Some("Origin"));
}

#[track_caller]
fn is_foreign(response: &Response, origin: &str) {
    assert_eq!(response.status, 403, "{origin}");
    for header in ["Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Set-Cookie"]
    {
        assert_eq!(response.header(header), None, "{origin}");
    }
}

#[test]
fn r32_a3_on_loopback_pages_of_this_machine_and_listed_ones_are_welcome() {
    let broker =
        Broker::with("origins = [\"https://app.example.com\", \"https://*.b.test:8443\"]\n");
    let same = format!("http://{}", broker.listen);
    for origin in [
        same.as_str(),
        "http://localhost:3000",
        "http://127.0.0.1:1",
        "https://127.9.9.9",
        "http://[::1]:9",
        "https://app.example.com",
        "https://app.example.com:443",
        "https://x.b.test:8443",
        "https://x.y.b.test:8443",
    ] {
        is_allowed(&broker.exchange(&from(origin)), 200, origin);
        let response = broker.exchange(&preflight(origin));
        is_allowed(&response, 204, origin);
        assert_eq!(response.header("Access-Control-Allow-Methods"), Some("GET, POST, OPTIONS"));
        assert_eq!(response.header("Access-Control-Allow-Headers"), Some(HEADERS));
        assert!(response.header("Access-Control-Max-Age").is_some());
    }
    for origin in [
        "null",
        "",
        "http://app.example.com",
        "https://app.example.com:8443",
        "https://b.test:8443",
        "https://xb.test:8443",
        "https://x.b.test",
        "https://evil.test",
        "https://app.example.com.evil.test",
        "http://localhost.evil.test",
    ] {
        let origin = if origin.is_empty() { " " } else { origin };
        is_foreign(&broker.exchange(&from(origin)), origin);
        is_foreign(&broker.exchange(&preflight(origin)), origin);
    }
    let none = broker.exchange(&Request::post("/bayeux", HANDSHAKE));
    assert_eq!((none.status, none.header("Access-Control-Allow-Origin")), (200, None));
    let none = broker.exchange(&Request::new("OPTIONS", "/bayeux"));
    assert_eq!((none.status, none.header("Allow")), (204, Some("GET, POST, OPTIONS")));
    assert_eq!(none.header("Access-Control-Allow-Headers"), None);
}

#[test]
fn r32_cors_stands_on_refusals_of_allowed_origins_too() {
    let broker = Broker::start();
    let origin = "http://localhost:3000";
    let bad = Request::post("/bayeux", "[]").header("Origin", origin);
    is_allowed(&broker.exchange(&bad), 400, origin);
    let put = Request::new("PUT", "/bayeux").header("Origin", origin);
    is_allowed(&broker.exchange(&put), 405, origin);
    let big = Request::post("/bayeux", vec![b'x'; 2 << 20]).header("Origin", origin);
    is_allowed(&broker.exchange(&big), 413, origin);
}

#[test]
fn r32_elsewhere_only_the_same_origin_and_listed_ones_are_welcome() {
    let broker = public("[\"https://app.example.com\"]");
    let host = "weft.example.com:8080";
    for origin in
        ["http://weft.example.com:8080", "https://weft.example.com:8080", "https://app.example.com"]
    {
        is_allowed(&broker.exchange(&from(origin).header("Host", host)), 200, origin);
    }
    for origin in ["http://localhost:3000", "http://127.0.0.1", "http://weft.example.com", "null"] {
        is_foreign(&broker.exchange(&from(origin).header("Host", host)), origin);
    }
    let any = broker.exchange(&Request::post("/bayeux", HANDSHAKE).header("Host", "any.test"));
    assert_eq!(any.status, 200, "a proxy may call it what it likes");
}

#[test]
fn r32_k3_scripts_load_only_into_known_pages() {
    let broker = public("[\"https://app.example.com\"]");
    let script = |headers: &[(&str, &str)]| {
        let target = format!("/bayeux?jsonp=a&message={}", jsonp::encode(HANDSHAKE));
        let request = Request::get(&target).header("Host", "weft.example.com");
        let pairs = headers.iter();
        let request = pairs.fold(request, |request, (name, value)| request.header(name, value));
        broker.exchange(&request).status
    };
    for good in [
        [("Sec-Fetch-Site", "same-origin")],
        [("Sec-Fetch-Site", "none")],
        [("Referer", "https://weft.example.com/page?x#y")],
        [("Referer", "https://app.example.com/page")],
    ] {
        assert_eq!(script(&good), 200, "{good:?}");
    }
    assert_eq!(
        script(&[("Sec-Fetch-Site", "cross-site"), ("Referer", "https://app.example.com/")]),
        200
    );
    for bad in [
        &[][..],
        &[("Sec-Fetch-Site", "cross-site")],
        &[("Sec-Fetch-Site", "same-site")],
        &[("Referer", "https://evil.test/")],
        &[("Referer", "http://127.0.0.1/")],
        &[("Referer", "https://app.example.com.evil.test/")],
        &[("Referer", "about:blank")],
    ] {
        assert_eq!(script(bad), 403, "{bad:?}");
    }
    let near = Broker::start();
    let target = format!("/bayeux?jsonp=a&message={}", jsonp::encode(HANDSHAKE));
    assert_eq!(near.exchange(&Request::get(&target)).status, 200, "both ends are on this machine");
}

#[test]
fn r32_the_admin_address_follows_the_same_rules() {
    let broker = Broker::with("origins = [\"http://ops.test\"]\n");
    for path in ["/metrics", "/healthz", "/readyz"] {
        let get = |name: &str, value: &str| {
            let request = Request::get(path).header(name, value);
            Connection::open(broker.admin).exchange(&request).status
        };
        assert_eq!(get("Host", "evil.test"), 403);
        assert_eq!(get("Host", "ops.test"), 200);
        assert_eq!(get("Origin", "http://evil.test"), 403);
        assert_eq!(get("Origin", "null"), 403);
        assert_eq!(get("Accept", "text/plain"), 200);
        assert_eq!(broker.exchange(&Request::get(path)).status, 404, "not where clients connect");
    }
}

#[test]
fn r32_pages_are_not_served_under_foreign_names() {
    let broker = Broker::start();
    for path in ["/demo/", "/", "/nothing"] {
        let request = Request::get(path).header("Host", "evil.test");
        assert_eq!(broker.exchange(&request).status, 403, "{path}");
    }
}

#[test]
fn r32_foreign_pages_and_rebound_names_get_403() {
    let siege = Siege::begin();
    let port = siege.0.listen.port();
    let script = Request::get(&format!("/bayeux?jsonp=a&message={}", jsonp::encode(HANDSHAKE)));
    let host = "this Host is not served here; name it in `origins` if it should be";
    let origin = "this Origin is not allowed; name it in `origins` if it should be";
    let page = "this page may not load from here; name its origin in `origins` if it should";
    let rebound = format!("Host: evil.test:{port}|Origin: http://evil.test:{port}");
    let cases = [
        ("POST", "Host: evil.test", host),
        ("POST", &rebound, host),
        ("POST", "Host: 127.0.0.1.evil.test", host),
        ("GET", "Host: evil.test", host),
        ("POST", "Origin: http://evil.test", origin),
        ("POST", "Origin: null", origin),
        ("POST", "Origin: http://127.0.0.1.evil.test", origin),
        ("POST", "Origin: http://127.0.0.1@evil.test", origin),
        ("POST", "Origin: file://", origin),
        ("POST", "Origin: http://evil.test|Content-Type: text/plain", origin),
        ("OPTIONS", "Origin: http://evil.test", origin),
        ("DELETE", "Origin: http://evil.test", origin),
        ("GET", "Origin: http://evil.test", origin),
        ("GET", "Referer: http://evil.test/127.0.0.1", page),
        ("GET", "Referer: http://127.0.0.1:1@evil.test/", page),
        ("GET", "Referer: about:blank", page),
        ("GET", "Sec-Fetch-Site: cross-site", page),
        ("GET", "Sec-Fetch-Site: same-site", page),
    ];
    for (method, headers, text) in cases {
        let request = if method == "GET" { &script } else { &Request::post("/bayeux", HANDSHAKE) };
        let pairs = headers.split('|').filter_map(|header| header.split_once(": "));
        let request =
            pairs.fold(request.clone(), |request, (name, value)| request.header(name, value));
        let response = siege.0.exchange(&request.method(method));
        is_text(&response, 403, text);
        assert_eq!(response.header("Access-Control-Allow-Origin"), None, "{headers}");
        assert_eq!(response.header("Set-Cookie"), None, "{headers}");
    }
    assert_eq!(siege.0.metric("weft_handshakes_total"), 0.0, "nothing was obeyed");
    siege.over();
}
