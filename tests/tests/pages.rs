//! What browsers are told of our pages and of our cookie.

use weft_tests::broker::{Broker, Setup};
use weft_tests::http::{Connection, Request, Response};
use weft_tests::siege::HANDSHAKE;
use weft_tests::tls::{Files, Pair, client, tunnel};

fn demo() -> Broker {
    Setup::default().env("WEFT_DEMO_ENABLED", "true").start()
}

#[track_caller]
fn is_fenced(response: &Response, case: &str) {
    let policy = response.header("Content-Security-Policy").unwrap_or_default();
    for part in
        ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"]
    {
        assert!(policy.split("; ").any(|directive| directive == part), "{case}: {policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains('*'), "{case}: {policy}");
    for (name, value) in [
        ("X-Frame-Options", "DENY"),
        ("Referrer-Policy", "same-origin"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("X-Content-Type-Options", "nosniff"),
    ] {
        assert_eq!(response.all(name), [value], "{case}: {name}");
    }
}

#[test]
fn pages_and_all_that_may_be_shown_as_one_are_fenced_in() {
    let broker = demo();
    for path in ["/demo/", "/demo/demo.css", "/demo/demo.js", "/", "/demo", "/nothing", "/demo/x"] {
        is_fenced(&broker.exchange(&Request::get(path)), path);
    }
    for (case, request) in [
        ("no method", Request::new("PUT", "/demo/")),
        ("no Bayeux", Request::post("/bayeux", "{")),
        ("no callback", Request::get("/bayeux?jsonp=a(b&message=[]")),
        ("a stranger", Request::post("/bayeux", HANDSHAKE).header("Origin", "http://evil.test")),
        ("a wrong Host", Request::get("/demo/").header("Host", "evil.test")),
        ("no session", Request::get("/bayeux/x").header("Accept", "text/event-stream")),
    ] {
        let response = broker.exchange(&request);
        assert_ne!(response.status, 200, "{case}");
        is_fenced(&response, case);
    }
    is_fenced(&broker.admin_get("/healthz"), "/healthz");
    is_fenced(&broker.admin_get("/nothing"), "admin");
}

#[test]
fn replies_are_no_longer_for_it() {
    let broker = demo();
    for request in [Request::post("/bayeux", HANDSHAKE), Request::get("/history/a")] {
        let response = broker.exchange(&request);
        assert_eq!(response.status, 200);
        for name in ["Content-Security-Policy", "X-Frame-Options", "Cross-Origin-Opener-Policy"] {
            assert_eq!(response.header(name), None, "{request:?}");
        }
    }
}

/// The cookie of a handshake, without its value.
fn attributes(broker: &Broker, request: &Request) -> String {
    let response = broker.exchange(request);
    let cookie = response.header("Set-Cookie").expect("a cookie");
    cookie.split_once("; ").expect("attributes").1.to_owned()
}

#[test]
fn h1_the_cookies_attributes_are_options_with_safe_defaults() {
    for (options, expected) in [
        ("", "Path=/; HttpOnly; SameSite=Lax"),
        ("secure = false", "Path=/; HttpOnly; SameSite=Lax"),
        ("secure = true", "Path=/; HttpOnly; SameSite=Lax; Secure"),
        ("same_site = \"Strict\"", "Path=/; HttpOnly; SameSite=Strict"),
        ("same_site = \"None\"", "Path=/; HttpOnly; SameSite=None; Secure"),
        ("http_only = false", "Path=/; SameSite=Lax"),
        ("cookie = \"__Host-weft\"", "Path=/; HttpOnly; SameSite=Lax; Secure"),
        (
            "same_site = \"None\"\npartitioned = true",
            "Path=/; HttpOnly; SameSite=None; Secure; Partitioned",
        ),
    ] {
        let broker = Broker::with(&format!("[browsers]\n{options}\n"));
        let request = Request::post("/bayeux", HANDSHAKE);
        assert_eq!(attributes(&broker, &request), expected, "{options}");
        // Whoever is not trusted may say what it likes.
        let request = request.header("X-Forwarded-Proto", "https");
        assert_eq!(attributes(&broker, &request), expected, "{options}");
    }
}

#[test]
fn h1_the_cookie_is_secure_where_a_trusted_proxy_or_weft_itself_speaks_tls() {
    let plain = "Path=/; HttpOnly; SameSite=Lax";
    let secure = format!("{plain}; Secure");
    let request = || Request::post("/bayeux", HANDSHAKE);
    let broker = Broker::with("[proxies]\ntrusted = [\"127.0.0.1\"]\n");
    for (said, expected) in [
        ("", plain),
        ("http", plain),
        ("https", &secure),
        ("HTTPS", &secure),
        // The nearest proxy's word counts.
        ("http, https", &secure),
        ("https, http", plain),
        ("httpsx", plain),
    ] {
        let request = request().header("X-Forwarded-Proto", said);
        assert_eq!(attributes(&broker, &request), expected, "{said}");
    }
    let elsewhere = Broker::with("[proxies]\ntrusted = [\"192.0.2.1\"]\n");
    let request = request().header("X-Forwarded-Proto", "https");
    assert_eq!(attributes(&elsewhere, &request), plain, "no proxy of ours says so");

    let pair = Pair::until(2040);
    let files = Files::with(&pair);
    for (options, expected) in [("", secure.as_str()), ("[browsers]\nsecure = false\n", plain)] {
        let broker = files.setup(options).start();
        let inside = tunnel(broker.listen, client(&[&pair], &["http/1.1"]));
        let request = Request::post("/bayeux", HANDSHAKE);
        let response = Connection::open(inside).exchange(&request);
        let cookie = response.header("Set-Cookie").expect("a cookie");
        assert!(cookie.ends_with(&format!("; {expected}")), "{cookie}");
    }
}
