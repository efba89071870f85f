//! Tokens and API keys from outside: by each way that they may come, good and forged.

use serde_json::{Value, json};
use weft_tests::bayeux::{Client, ok, refused};
use weft_tests::broker::{Broker, Setup};
use weft_tests::http::{Request, Response};
use weft_tests::kept_file::KeptFile;
use weft_tests::token::{self, Algorithm, Maker, SECRET, base64, now};

/// Whoever is somebody may do everything.
const ALL: &str = "\n[[auth.rules]]\nchannels = \"/**\"\n";

/// A source of the configuration.
fn source(name: &str, algorithms: &str, place: &str) -> String {
    format!("[[auth.tokens]]\nname = \"{name}\"\nalgorithms = [{algorithms}]\n{place}\n")
}

fn asking(more: &str, sources: &str) -> String {
    format!("[auth]\nmode = \"token\"\n{more}\n{sources}{ALL}")
}

/// The ways to show a token.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    Header,
    Ext,
    Cookie,
}

/// Shakes hands, showing a token.
fn handshake(broker: &Broker, way: Way, token: &str) -> Value {
    let mut client = Client::new(broker);
    let mut hello = client.message(
        "/meta/handshake",
        json!({"version": "1.0", "supportedConnectionTypes": ["long-polling"]}),
    );
    if way == Way::Ext {
        hello["ext"] = json!({ "token": token });
    }
    let request = client.request(json!([hello]).to_string());
    let request = match way {
        Way::Header => request.header("Authorization", &format!("Bearer {token}")),
        Way::Cookie => request.header("Cookie", &format!("a=b; pass={token}")),
        Way::Ext => request,
    };
    client.exchange(&request).messages().remove(0)
}

fn publish(broker: &Broker, token: &str) -> Response {
    let request = Request::post("/publish/a", "1");
    broker.exchange(&request.header("Authorization", &format!("Bearer {token}")))
}

#[test]
fn k1_k2_every_algorithm_is_verified_by_whatever_way_it_comes() {
    let makers: Vec<Maker> = [
        Algorithm::RS256,
        Algorithm::RS384,
        Algorithm::RS512,
        Algorithm::PS256,
        Algorithm::PS384,
        Algorithm::PS512,
        Algorithm::ES256,
        Algorithm::ES384,
        Algorithm::EdDSA,
    ]
    .into_iter()
    .map(Maker::new)
    .collect();
    let of = |algorithm| makers.iter().find(|maker| maker.algorithm() == algorithm).expect("one");
    let (rsa, p256) = (KeptFile::new(of(Algorithm::RS256).pem()), of(Algorithm::ES256));
    let p256 = KeptFile::new(p256.pem());
    let set = token::key_set(&[of(Algorithm::ES384), of(Algorithm::EdDSA)]);
    let set = KeptFile::new(set);
    let all = r#""RS256", "RS384", "RS512", "PS256", "PS384", "PS512""#;
    let sources = [
        source("rsa", all, &format!("pem = {:?}", rsa.path())),
        source("p256", "\"ES256\"", &format!("pem = {:?}", p256.path())),
        source("set", "\"ES384\", \"EdDSA\"", &format!("jwks = {:?}", set.path())),
        source("hs", r#""HS256", "HS384", "HS512""#, &format!("secret = {SECRET:?}")),
    ];
    let broker = Broker::with(&asking("cookie = \"pass\"", &sources.concat()));
    let secrets = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
    let secrets = secrets.map(|by| Maker::with_secret(by, SECRET.as_bytes()));
    for maker in makers.iter().chain(&secrets) {
        let token = maker.token("me", &[]);
        for way in [Way::Header, Way::Ext, Way::Cookie] {
            let reply = handshake(&broker, way, &token);
            assert_eq!(reply["successful"], true, "{maker:?} {way:?} {reply}");
        }
        assert_eq!(publish(&broker, &token).status, 200, "{maker:?}");
    }
    let (verified, seen) = ("weft_auth_total{result=\"ok\"}", "weft_auth_total{result=\"cached\"}");
    assert_eq!(broker.metric(verified), 12.0, "once each");
    assert_eq!(broker.metric(seen), 36.0);
}

/// Three sources of tokens, and what is asked of each.
struct Sources {
    hs: Maker,
    rsa: Maker,
    named: Maker,
    files: [KeptFile; 2],
}

impl Sources {
    fn new() -> Self {
        let rsa = Maker::new(Algorithm::RS256);
        let named = Maker::new(Algorithm::ES256).named("k");
        let files = [KeptFile::new(rsa.pem()), KeptFile::new(token::key_set(&[&named]))];
        Self { hs: Maker::secret(), rsa, named, files }
    }

    fn toml(&self) -> String {
        let [pem, set] = self.files.each_ref().map(KeptFile::path);
        let sources = [
            source("hs", "\"HS256\"", &format!("secret = {SECRET:?}")),
            source("rsa", "\"RS256\"", &format!("pem = {pem:?}\naudience = [\"weft\"]")),
            source("set", "\"ES256\"", &format!("jwks = {set:?}\nissuer = \"https://i\"")),
        ];
        asking("cookie = \"pass\"\ndenied = [\"banned\"]", &sources.concat())
    }

    /// What is wrong with each token, the token, and what is told.
    fn forged(&self) -> Vec<(&'static str, String, &'static str)> {
        let Self { hs, rsa, named, .. } = self;
        let claims = json!({"sub": "me", "exp": now() + 3_600});
        let with = |name: &str, value: Value| {
            let mut claims = claims.clone();
            claims[name] = value;
            claims
        };
        let payload = claims.to_string();
        let none = |alg: &str| {
            let header = json!({ "alg": alg }).to_string();
            format!("{}.{}.", base64(header.as_bytes()), base64(payload.as_bytes()))
        };
        let good = hs.sign(&claims);
        let (message, _) = good.rsplit_once('.').expect("a signature");
        let confused = Maker::with_secret(Algorithm::HS256, rsa.pem().as_bytes());
        let stranger = Maker::new(Algorithm::ES256).named("k");
        let kid = |kid: &str| {
            let header = json!({"alg": "ES256", "kid": kid}).to_string();
            named.sign_raw(&header, &with("iss", json!("https://i")).to_string())
        };
        let twice = r#"{"alg":"HS256","alg":"none"}"#;
        vec![
            ("expired", hs.sign(&with("exp", json!(now() - 1))), "token_expired"),
            ("not yet", hs.sign(&with("nbf", json!(now() + 600))), "token_not_valid_yet"),
            ("denied", hs.sign(&with("sub", json!("banned"))), "token_denied"),
            ("for another", hs.sign(&with("aud", json!("x"))), "token_audience_unknown"),
            ("for another", rsa.sign(&with("aud", json!("x"))), "token_audience_unknown"),
            ("for nobody", rsa.sign(&claims), "token_audience_unknown"),
            ("by another", named.sign(&with("iss", json!("https://j"))), "token_issuer_unknown"),
            ("none", none("none"), "token_invalid"),
            ("none", none("NonE"), "token_invalid"),
            ("no signature", format!("{message}."), "token_invalid"),
            ("another secret", confused.sign(&claims), "token_invalid"),
            ("a key as a secret", confused.sign(&with("aud", json!("weft"))), "token_invalid"),
            ("another key", stranger.sign(&with("iss", json!("https://i"))), "token_invalid"),
            ("a path", kid("../../dev/null"), "token_invalid"),
            ("a query", kid("x' UNION SELECT 'k"), "token_invalid"),
            (
                "crit",
                hs.sign_raw(r#"{"alg":"HS256","crit":["x"],"x":1}"#, &payload),
                "token_invalid",
            ),
            ("twice", hs.sign_raw(twice, &payload), "token_invalid"),
            ("no exp", hs.sign(&json!({"sub": "me"})), "token_invalid"),
            ("no sub", hs.sign(&json!({"exp": now() + 60})), "token_invalid"),
            ("long", "x".repeat(9_000), "token_invalid"),
            ("nonsense", "nonsense".to_owned(), "token_invalid"),
        ]
    }
}

#[test]
fn k1_k2_tokens_that_are_no_good_open_nothing() {
    let sources = Sources::new();
    let broker = Broker::with(&sources.toml());
    let forged = sources.forged();
    for (what, token, why) in &forged {
        let error = format!("401::{why}");
        for way in [Way::Header, Way::Ext] {
            let reply = handshake(&broker, way, token);
            assert_eq!(reply["error"], error, "{what} {way:?}");
            assert_eq!(reply.get("clientId"), None, "{what}");
        }
        // Browsers send cookies unasked: one that is no good says nothing.
        let reply = handshake(&broker, Way::Cookie, token);
        assert_eq!(reply["error"], "401::token_missing", "{what}");
        let response = publish(&broker, token);
        assert_eq!((response.status, response.header("WWW-Authenticate")), (401, Some("Bearer")));
        assert!(!response.text().contains(token.as_str()), "{what} is not echoed");
    }
    assert_eq!(broker.metric("weft_sessions"), 0.0);
    for (result, least) in [
        ("expired", 4.0),
        ("not_yet", 4.0),
        ("denied", 4.0),
        ("wrong_audience", 12.0),
        ("wrong_issuer", 4.0),
        ("unknown_key", 4.0),
        ("bad_signature", 4.0),
        ("malformed", 4.0),
    ] {
        let name = format!("weft_auth_total{{result=\"{result}\"}}");
        assert!(broker.metric(&name) >= least, "{result}");
    }
    let log = broker.log();
    for (what, token, _) in &forged {
        assert!(!log.contains(token.as_str()) || token.len() < 20, "{what} is logged");
    }
    assert!(!log.contains(SECRET));
    let good = sources.hs.token("me", &[]);
    assert_eq!(handshake(&broker, Way::Ext, &good)["successful"], true);
}

#[test]
fn k2_the_field_of_a_token_may_be_a_path() {
    let hs = source("hs", "\"HS256\"", &format!("secret = {SECRET:?}"));
    let more = "token_field = \"authentication.token\"\nsubject_claim = \"user.id\"\nroles_claim = \"realm_access.roles\"";
    let toml = format!("[auth]\nmode = \"token\"\n{more}\n{hs}");
    let rules = "[[auth.rules]]\nchannels = \"/a\"\nroles = \"reader\"\n";
    let broker = Broker::with(&format!("{toml}{rules}"));
    let claims =
        json!({"user": {"id": 7}, "exp": now() + 60, "realm_access": {"roles": ["reader"]}});
    let token = Maker::secret().sign(&claims);
    let mut client = Client::new(&broker);
    ok(&client.handshake_with(json!({"ext": {"authentication": {"token": token}}})));
    ok(&client.subscribe("/a"));
    refused(&client.subscribe("/b"), "403:/b:subscribe_denied");
    for ext in [json!({"token": token}), json!({"authentication": {"token": 5}}), json!({})] {
        let reply = Client::new(&broker).handshake_with(json!({ "ext": ext }));
        let error = reply["error"].as_str().expect("an error");
        assert!(error.starts_with("401::token_"), "{reply}");
    }
}

#[test]
fn api_keys_publish_as_weft_key_made_them() {
    let made = weft_key(&["prices", "--role", "publisher"]);
    let (key, lines) = made.split_once("\n\n").expect("a key, and lines");
    let key = key.lines().last().expect("a key");
    assert!(key.starts_with("weft_") && key.len() >= 45, "{key}");
    assert!(!lines.contains(key), "only its hash is for the configuration");
    let rules = "[[auth.rules]]\nchannels = \"/a\"\nactions = \"publish\"\nroles = \"publisher\"\n";
    let gone = "[[auth.keys]]\nname = \"old\"\nexpires = \"2020-01-01T00:00:00Z\"\nsha256 = \
                \"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"\n";
    let broker = Broker::with(&format!("[auth]\nmode = \"token\"\n{lines}{gone}{rules}"));
    let by = |path: &str, name: &str, value: &str| {
        broker.exchange(&Request::post(path, "1").header(name, value))
    };
    assert_eq!(by("/publish/a", "X-API-Key", key).status, 200);
    assert_eq!(by("/publish/a", "Authorization", &format!("Bearer {key}")).status, 200);
    assert_eq!(by("/publish/b", "X-API-Key", key).status, 403);
    let expired = by("/publish/a", "X-API-Key", "abc");
    assert!(expired.status == 401 && expired.text().contains("token_expired"), "{expired:?}");
    for wrong in [&key[..key.len() - 1], "weft_", &key.to_uppercase(), "prices"] {
        assert_eq!(by("/publish/a", "X-API-Key", wrong).status, 401, "{wrong}");
    }
    assert_eq!(broker.exchange(&Request::post("/publish/a", "1")).status, 401);
    assert_eq!(broker.metric("weft_auth_total{result=\"key\"}"), 3.0);
    assert!(!broker.log().contains(key));
}

/// What `weft key` prints.
fn weft_key(arguments: &[&str]) -> String {
    let mut command = std::process::Command::new(weft_tests::broker::binary());
    let output = command.arg("key").args(arguments).output().expect("weft");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn weft_key_makes_another_each_time_and_refuses_odd_names() {
    assert_ne!(weft_key(&["a"]), weft_key(&["a"]));
    for arguments in [&[""][..], &["a b"], &["a\"b"], &["a", "--role", "x\"y"]] {
        let mut command = std::process::Command::new(weft_tests::broker::binary());
        let output = command.arg("key").args(arguments).output().expect("weft");
        assert!(!output.status.success() && output.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_file_that_only_looks_protected_does_not_start() {
    let hs = |more: &str| source("a", "\"HS256\"", more);
    let secret = format!("secret = {SECRET:?}");
    let pem = KeptFile::new(Maker::new(Algorithm::ES256).pem());
    let pem = format!("pem = {:?}", pem.path());
    let key =
        |name: &str| format!("[[auth.keys]]\nname = {name:?}\nsha256 = {:?}\n", "0".repeat(64));
    let auth = |text: &str| format!("[auth]\nmode = \"token\"\n{text}");
    for (toml, expected) in [
        (auth(""), "lets nobody in"),
        (hs(&secret), "nobody is asked for anything"),
        ("[auth]\ndenied = [\"x\"]\n".to_owned(), "nobody is asked for anything"),
        (auth(&hs("")), "needs one of secret, secret_file, pem and jwks"),
        (auth(&hs(&format!("{secret}\n{pem}"))), "no more than one"),
        (auth(&hs("secret = \"short\"")), "needs 32 bytes or more"),
        (auth(&source("a", "\"HS512\"", "secret = \"0123456789abcdef0123456789abcdef\"")), "64"),
        (auth(&hs(&pem)), "whoever knows it could make tokens"),
        (auth(&source("a", "\"ES256\", \"HS256\"", &pem)), "whoever knows it could make tokens"),
        (auth(&source("a", "\"ES256\"", &secret)), "takes a public key"),
        (auth(&source("a", "\"ES384\"", &pem)), "is no key for ES384"),
        (auth(&source("a", "\"none\"", &pem)), "unknown variant `none`"),
        (auth(&source("a", "", &pem)), "say which"),
        (auth(&source("a b", "\"ES256\"", &pem)), "is no name"),
        (auth(&[hs(&secret), hs(&secret)].concat()), "is there twice"),
        (auth(&source("a", "\"ES256\"", "jwks = \"ftp://x/y\"")), "neither an address"),
        (auth(&source("a", "\"ES256\"", "jwks = \"https:///y\"")), "neither an address"),
        (auth(&source("a", "\"ES256\"", "pem = \"/nowhere.pem\"")), "/nowhere.pem"),
        (auth("leeway = \"11m\"\n"), "auth.leeway"),
        (auth("cookie = \"BAYEUX_BROWSER\"\n"), "tells browsers apart"),
        (auth("cookie = \"a b\"\n"), "no name of a cookie"),
        (auth("token_field = \"replay.id\"\n"), "means something else"),
        (auth("[[auth.keys]]\nname = \"a\"\n"), "weft key NAME"),
        (auth("[[auth.keys]]\nname = \"a\"\nsha256 = \"weft_secret\"\n"), "SHA-256 of a key"),
        (auth(&[key("a"), key("b")].concat()), "the same key"),
        (auth("[[auth.keys]]\nname = \"a\"\nexpires = \"soon\"\n"), "is not a moment"),
        (auth("[[auth.keys]]\nnaem = \"a\"\n"), "did you mean `name`?"),
    ] {
        let failure = Setup::default().toml(&toml).try_start().expect_err("an error");
        assert!(failure.log.contains(expected), "{toml}\n{}", failure.log);
        assert!(!failure.log.contains("weft_secret") && !failure.log.contains(SECRET));
    }
}
