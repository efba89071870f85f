//! Configuration from outside: what starts, what does not, and what the operator is told.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use weft_tests::bayeux::{Client, ok};
use weft_tests::broker::{Broker, Setup, workspace};
use weft_tests::http::Request;
use weft_tests::wait::{PATIENCE, until};

/// Starts with a configuration file that must be refused; what stderr says.
fn refused(toml: &str) -> String {
    refused_setup(Setup::default().toml(toml))
}

fn refused_setup(setup: Setup) -> String {
    let failure = setup.try_start().expect_err("a refusal");
    assert_eq!(failure.code, Some(1), "{}", failure.log);
    assert!(failure.log.starts_with("weft: "), "{}", failure.log);
    assert!(!failure.log.contains("panicked"), "{}", failure.log);
    failure.log
}

#[test]
fn mistakes_in_the_file_are_named_with_file_line_and_column() {
    for (toml, place, text) in [
        ("listne = \"127.0.0.1:1\"\n", ":1:1: listne", "unknown key; did you mean `listen`?"),
        (
            "# one\n[sessions]\ntimout = \"1s\"\n",
            ":3:1: sessions.timout",
            "did you mean `timeout`?",
        ),
        ("[sesions]\n", ":1:2: sesions", "did you mean `sessions`?"),
        ("[sessions]\ntimeout = 30\n", ":2:11: sessions.timeout", "\"30s\""),
        ("[sessions]\ntimeout = \"30\"\n", ":2:11: sessions.timeout", "\"30s\""),
        ("[limits]\nbody = \"1MB\"\n", ":2:8: limits.body", "MiB"),
        ("[limits]\ndepth = \"x\"\n", ":2:9: limits.depth", "invalid type"),
        ("origins = [\"app.example.com\"]\n", ":1:11: origins", "the scheme is missing"),
        ("[auth]\nmode = \"token\"\n", ":2:8: auth.mode", "lets nobody in"),
        ("[log]\nformat = \"xml\"\n", ":2:10: log.format", "xml"),
        ("[rates]\nmessages = \"50\"\n", ":2:12: rates.messages", "such as \"50/s\""),
        ("[rates]\nmessages = 50\n", ":2:12: rates.messages", "\"50/s\" or \"50/m\""),
        ("[rates]\nbytes = \"1MB/s\"\n", ":2:9: rates.bytes", "such as \"1MiB/s\""),
        ("[rates]\nbytes = \"1KiB/s burst 1KiB\"\n", ":2:9: rates.bytes", "limits.body (1MiB)"),
        ("[limits]\nrate_keys = 1\n", ":2:13: limits.rate_keys", "1024"),
        ("[[channels]]\npatern = \"/a\"\n", ":2:1: channels[0].patern", "did you mean `pattern`?"),
        (
            "[[channels]]\npattern = \"/a\"\nbacklog = { mesages = 1 }\n",
            ":3:13: channels[0].backlog.mesages",
            "did you mean `messages`?",
        ),
        (
            "[[channels]]\npattern = \"/a\"\ndurability = \"disk\"\n",
            ":3:14: channels[0].durability",
            "memory",
        ),
        ("[store]\nkind = \"redis\"\n", ":2:8: store.kind", "sled"),
        ("a = = b\n", ":1:5", ""),
        ("[sessions]\ntimeout = \"1s\"\ntimeout = \"2s\"\n", ":3:1", "duplicate key"),
    ] {
        let log = refused(toml);
        let (file, rest) = log.split_once("weft.toml").expect("the file's name");
        assert!(file.starts_with("weft: /"), "{log}");
        assert!(rest.starts_with(place) && rest.contains(text), "{toml}{log}");
    }
}

#[test]
fn r14_values_out_of_range_are_refused_before_anything_starts() {
    for (toml, place, text) in [
        ("[sessions]\ntimeout = \"121s\"\n", ":2:11: sessions.timeout", "not between 100ms and 2m"),
        ("[sessions]\ntimeout = \"50ms\"\n", ":2:11: sessions.timeout", "not between 100ms and 2m"),
        ("[sessions]\nmax_interval = \"0s\"\n", ":2:16: sessions.max_interval", "not between"),
        ("[browsers]\nheld_per_browser = 0\n", ":2:20: browsers.held_per_browser", "at least 1"),
        (
            "[browsers]\nsame_site = \"None\"\nsecure = false\n",
            ":2:13: browsers.same_site",
            "secure",
        ),
        ("[browsers]\ncookie = \"a b\"\n", ":2:10: browsers.cookie", "not a cookie's name"),
        ("[store]\ncache = \"1KiB\"\n", ":2:9: store.cache", "not between"),
        ("[store]\ninterval = \"1m\"\n", ":2:12: store.interval", "not between 1ms and 10s"),
        ("[publish]\nrepeat_window = \"0s\"\n", ":2:17: publish.repeat_window", "not between"),
        ("[publish]\nrepeat_keys = 0\n", ":2:15: publish.repeat_keys", "at least 1"),
        (
            "[streams]\nheartbeat = \"1ms\"\n",
            ":2:13: streams.heartbeat",
            "not between 100ms and 1h",
        ),
        ("[streams]\nmax_age = \"25h\"\n", ":2:11: streams.max_age", "not between 1s and 24h"),
        ("[streams]\nmax_bytes = \"1B\"\n", ":2:13: streams.max_bytes", "less than 1KiB"),
        ("[streams]\nretry = \"2h\"\n", ":2:9: streams.retry", "not between 0s and 1h"),
        ("[streams]\npadding = \"65KiB\"\n", ":2:11: streams.padding", "not between 0B and 64KiB"),
        (
            "[[channels]]\npattern = \"/a\"\n[[channels]]\nreplay = false\n",
            ":3:1: channels[1]",
            "no channel pattern",
        ),
        ("[[channels]]\npattern = \"a\"\n", ":2:11: channels[0].pattern", "no channel pattern"),
        ("[[channels]]\npattern = \"/meta/x\"\n", ":2:11: channels[0].pattern", "published to"),
        ("[[channels]]\nreplay = true\n", ":1:1: channels", "no channel pattern"),
        (
            "[[channels]]\npattern = \"/a/**\"\n[[channels]]\npattern = \"/a/b\"\n",
            ":4:11: channels[1].pattern",
            "can never match: \"/a/**\" stands before it",
        ),
        (
            "[[channels]]\npattern = \"/a\"\nlazy = \"2h\"\n",
            ":3:8: channels[0].lazy",
            "more than 1h",
        ),
        ("[limits]\nqueue_bytes = \"1KiB\"\n", ":2:15: limits.queue_bytes", "limits.body"),
        ("[bayeux]\nmounts = [\"/publish\"]\n", ":2:10: bayeux.mounts", "is taken"),
        ("[tls]\ncert = \"cert.pem\"\n", ":2:8: tls.cert", "set both, or neither"),
        (
            "[tls]\nhandshake_timeout = \"1ms\"\n",
            ":2:21: tls.handshake_timeout",
            "not between 100ms and 1h",
        ),
        ("[proxies]\nprotocol = true\n", ":2:12: proxies.protocol", "it names none"),
        ("[proxies]\ntrusted = [\"0.0.0.0/0\"]\n", ":2:11: proxies.trusted", "everybody"),
        ("[proxies]\ntrusted = [\"localhost\"]\n", ":2:11: proxies.trusted", "neither"),
        ("[compression]\nlevel = 0\n", ":2:9: compression.level", "not between 1 and 9"),
        ("[compression]\nmin_bytes = \"1B\"\n", ":2:13: compression.min_bytes", "not between 64B"),
        ("[bayeux]\nmounts = []\n", ":2:10: bayeux.mounts", "at least one path"),
        ("[http]\nidle_timeout = \"1s\"\n[browsers]\ninterval = \"5s\"\n", ":2:16: http.idle", ""),
    ] {
        let log = refused(toml);
        assert!(log.contains(place) && log.contains(text), "{toml}{log}");
    }
    let both = refused("[sessions]\ntimeout = \"1h\"\n[browsers]\ncookie = \"\"\n");
    assert!(both.contains("sessions.timeout") && both.contains("browsers.cookie"), "{both}");
    let longest = Broker::with("[sessions]\ntimeout = \"120s\"\n");
    assert_eq!(Client::new(&longest).handshake()["advice"]["timeout"], 120_000);
    assert_eq!(Client::new(&Broker::start()).handshake()["advice"]["timeout"], 30_000);
}

#[test]
fn an_address_that_others_reach_needs_a_decision() {
    for listen in ["0.0.0.0:0", "[::]:0", "[::ffff:0.0.0.0]:0"] {
        let log = refused_setup(Setup::default().without_flags().arg("--listen").arg(listen));
        assert!(log.contains("can be reached from other machines"), "{log}");
        assert!(log.contains("auth.mode = \"open\"") && log.contains("--listen"), "{log}");
    }
    let setup = Setup::default().toml("[auth]\nmode = \"open\"\n").without_flags();
    let setup = setup.env("WEFT_LISTEN", "0.0.0.0:0").env("WEFT_ADMIN", "127.0.0.1:0");
    let broker = setup.start();
    assert!(broker.listen.ip().is_unspecified());
    ok(&Client::new(&broker).handshake());
}

#[test]
fn variables_override_the_file_and_flags_override_both() {
    let file = "listen = \"127.0.0.1:1\"\nadmin = \"127.0.0.1:1\"\n[sessions]\ntimeout = \"5s\"\n\
                interval = \"3s\"\n";
    let setup = Setup::default().toml(file).env("WEFT_SESSIONS_TIMEOUT", "7s");
    let setup =
        setup.env("WEFT_LISTEN", "127.0.0.1:2").env("WEFT_ORIGINS", "http://a.test, http://b.test");
    let broker = setup.start();
    let advice = Client::new(&broker).handshake()["advice"].clone();
    assert_eq!((&advice["timeout"], &advice["interval"]), (&7_000.into(), &3_000.into()));
    for origin in ["http://a.test", "http://b.test"] {
        let request = Request::new("OPTIONS", "/bayeux").header("Origin", origin);
        assert_eq!(broker.exchange(&request).status, 204, "{origin}");
    }
    let log = refused_setup(Setup::default().env("WEFT_LIMITS_DEPTH", "lots"));
    assert!(log.contains("WEFT_LIMITS_DEPTH: limits.depth: invalid type"), "{log}");
    let log = refused_setup(Setup::default().env("WEFT_SESSIONS_TIMEOUT", "5m"));
    assert!(log.contains("WEFT_SESSIONS_TIMEOUT: sessions.timeout: 5m is not between"), "{log}");
    let unknown = Setup::default().env("WEFT_SESSION_TIMEOUT", "1s").start();
    let log = unknown.log();
    assert!(log.contains("WARN") && log.contains("did you mean `WEFT_SESSIONS_TIMEOUT`?"), "{log}");
}

#[test]
fn port_0_takes_free_ports_and_they_are_logged() {
    for format in ["text", "json"] {
        let broker = Broker::with(&format!("[log]\nformat = \"{format}\"\n"));
        assert!(broker.listen.port() > 0 && broker.admin.port() > 0);
        assert_ne!(broker.listen, broker.admin);
        ok(&Client::new(&broker).handshake());
        assert_eq!(broker.admin_get("/healthz").status, 200);
        for nonsense in ["[]", "[{}]"] {
            assert!(broker.exchange(&Request::post("/bayeux", nonsense)).status <= 400);
        }
        until("the first line of the log", PATIENCE, || {
            Some(()).filter(|()| broker.log().contains("listening"))
        });
        let lines = broker.log().lines().count();
        assert_eq!(lines, 1, "quiet, whatever clients do: {}", broker.log());
    }
}

#[test]
fn serve_is_the_default_and_other_words_are_errors() {
    let serve = Setup::default().arg("serve").start();
    ok(&Client::new(&serve).handshake());
    for argument in ["sing", "--lisen", "--listen=nowhere"] {
        let failure = Setup::default().arg(argument).try_start().expect_err("an error");
        assert_eq!(failure.code, Some(2), "{argument} {}", failure.log);
    }
}

#[test]
fn the_example_file_starts_a_broker() {
    let example = std::fs::read_to_string(workspace().join("weft.example.toml")).expect("a file");
    ok(&Client::new(&Broker::with(&example)).handshake());
}

#[test]
fn an_address_in_use_and_a_broken_key_are_told() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let setup = || Setup::default().without_flags().env("WEFT_ADMIN", "127.0.0.1:0");
    let log = refused_setup(setup().env("WEFT_LISTEN", &address));
    assert!(log.contains(&format!("listen address {address}")), "{log}");
    let log =
        refused_setup(setup().env("WEFT_LISTEN", "127.0.0.1:0").env("WEFT_DATA", "/dev/null/x"));
    assert!(log.contains("data directory /dev/null/x"), "{log}");

    let broker = Broker::start();
    let key = broker.data().join("browser.key");
    let mode = std::fs::metadata(&key).expect("a key").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "nobody else reads it");
    let data = tempting(&broker);
    let log = refused_setup(setup().env("WEFT_LISTEN", "127.0.0.1:0").env("WEFT_DATA", &data));
    assert!(log.contains("browser.key does not hold a key of 32 bytes"), "{log}");
}

/// A data directory with half a key.
fn tempting(broker: &Broker) -> String {
    let directory = broker.data().join("broken");
    std::fs::create_dir_all(&directory).expect("a directory");
    std::fs::write(directory.join("browser.key"), [7; 16]).expect("half a key");
    directory.display().to_string()
}

#[test]
fn h1_the_cookie_is_as_configured() {
    let toml = "[browsers]\ncookie = \"__Host-weft\"\nsecure = true\nsame_site = \"None\"\n";
    let broker = Broker::with(toml);
    let request = Request::post("/bayeux", weft_tests::siege::HANDSHAKE);
    let response = broker.exchange(&request);
    let cookie = response.header("Set-Cookie").expect("a cookie");
    let (pair, rest) = cookie.split_once(';').expect("attributes");
    assert!(pair.starts_with("__Host-weft="), "{cookie}");
    assert_eq!(rest, " Path=/; HttpOnly; SameSite=None; Secure");
}
