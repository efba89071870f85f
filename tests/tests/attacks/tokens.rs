//! Tokens that nobody of ours made, by every way in. (Each thing that can be done to a token:
//! `broker/src/auth`.)

use serde_json::{Value, json};
use weft_tests::broker::Broker;
use weft_tests::http::{Connection, Request};
use weft_tests::siege::HANDSHAKE;
use weft_tests::token::{
    Algorithm, EncodingKey, Maker, SECRET, auth, base64, now, token, token_until,
};
use weft_tests::websocket::{Socket, upgrade};

/// A broker that lets users in by their tokens, and lets them do everything.
fn broker(more: &str) -> Broker {
    let rules = "[[auth.rules]]\nchannels = [\"/**\"]\n";
    Broker::with(&format!("{}{more}{rules}", auth("cookie = \"weft_token\"\n")))
}

/// Ways to show a token.
fn shown(token: &str) -> Vec<Request> {
    let mut message: Value = serde_json::from_str(HANDSHAKE).expect("messages");
    message[0]["ext"] = json!({"token": token});
    let bearer = format!("Bearer {token}");
    let with = |request: Request| request.header("Authorization", &bearer);
    vec![
        Request::post("/bayeux", message.to_string()),
        with(Request::post("/bayeux", HANDSHAKE)),
        Request::post("/bayeux", HANDSHAKE).header("Cookie", &format!("weft_token={token}")),
        with(Request::post("/publish/a", "1")),
        with(Request::get("/history/a")),
        with(Request::get("/events/a")),
        with(Request::get("/stream/a")),
        with(upgrade("/bayeux")),
    ]
}

/// Shows a token by every way; nothing comes of it.
#[track_caller]
fn gets_nowhere(broker: &Broker, what: &str, token: &str) {
    for request in shown(token) {
        let mut connection = Connection::open(broker.listen);
        connection.start(&request);
        let head = connection.read_head().expect("an answer");
        if head.status == 101 {
            // A socket opens, and nobody gets a session on it.
            let mut socket = Socket { connection, answers_pings: true };
            socket.send_text(HANDSHAKE);
            let told = socket.next_text();
            assert!(told.contains("\"error\":\"401"), "{what}: {told}");
            continue;
        }
        assert!(matches!(head.status, 200 | 400 | 401), "{what}: {head:?}");
        // Bayeux says it in a 200.
        if head.status == 200 {
            let length = head.header("Content-Length").and_then(|length| length.parse().ok());
            let body = connection.take(length.expect("a length")).expect("a body");
            let body = String::from_utf8_lossy(&body).into_owned();
            assert!(body.contains("\"error\":\"401"), "{what}: {body}");
            assert!(!body.contains("clientId"), "{what}: {body}");
        }
        assert_eq!(head.header("Set-Cookie"), None, "{what}");
    }
    assert_eq!(broker.metric("weft_sessions"), 0.0, "{what}");
    assert_eq!(broker.metric("weft_messages_in_total"), 0.0, "{what}");
}

#[test]
fn k1_forged_and_expired_tokens_get_nowhere_by_any_way() {
    let broker = broker("");
    let good = token("mallory", &["admin"]);
    let parts: Vec<&str> = good.split('.').collect();
    let [head, claims, signature] = parts.as_slice() else { panic!("a token: {good}") };
    let late = json!({"sub": "mallory", "exp": now() + 3_600});
    let spelt = |header: &str| format!("{}.{claims}.", base64(header.as_bytes()));
    for (what, token) in [
        ("alg none", spelt(r#"{"alg":"none","typ":"JWT"}"#)),
        ("alg None", spelt(r#"{"alg":"None"}"#)),
        ("alg nOnE, the signature kept", format!("{}{signature}", spelt(r#"{"alg":"nOnE"}"#))),
        ("no alg", spelt("{}")),
        ("alg empty", spelt(r#"{"alg":""}"#)),
        ("two algs", format!("{}{signature}", spelt(r#"{"alg":"HS256","alg":"none"}"#))),
        ("no signature", format!("{head}.{claims}.")),
        ("two parts", format!("{head}.{claims}")),
        ("four parts", format!("{good}.{signature}")),
        ("another's claims", {
            let other = base64(late.to_string().replace("mallory", "root").as_bytes());
            format!("{head}.{other}.{signature}")
        }),
        ("another secret", {
            Maker::with_secret(Algorithm::HS256, "x".repeat(64).as_bytes()).sign(&late)
        }),
        ("the empty secret", Maker::with_secret(Algorithm::HS256, b"").sign(&late)),
        ("another algorithm", {
            Maker::with_secret(Algorithm::HS512, SECRET.as_bytes()).sign(&late)
        }),
        ("expired", token_until("mallory", &[], now() - 10)),
        ("never expires", Maker::secret().sign(&json!({"sub": "mallory"}))),
        (
            "expires as a text",
            Maker::secret().sign(&json!({"sub": "mallory", "exp": "9999999999"})),
        ),
        ("not yet", {
            Maker::secret().sign(&json!({"sub": "m", "exp": now() + 99, "nbf": now() + 60}))
        }),
        ("nobody", Maker::secret().sign(&json!({"exp": now() + 99}))),
        ("huge", format!("{head}.{}.{signature}", "A".repeat(10_000))),
    ] {
        gets_nowhere(&broker, what, &token);
    }
    let log = broker.log();
    assert!(!log.contains(signature) && !log.contains(claims), "no token stands in the log");
    // The one that is good is.
    let good = Request::post("/publish/a", "1").header("Authorization", &format!("Bearer {good}"));
    assert_eq!(broker.exchange(&good).status, 200);
}

#[test]
fn k1_a_public_key_is_no_secret_and_a_header_names_no_key() {
    let maker = Maker::new(Algorithm::RS256);
    let directory = std::env::temp_dir().join(format!("weft-attack-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    let pem = directory.join("public.pem");
    std::fs::write(&pem, maker.pem()).expect("a file");
    let source = format!(
        "[[auth.tokens]]\nname = \"keys\"\nalgorithms = [\"RS256\"]\npem = \"{}\"\n",
        pem.display()
    );
    let broker = broker(&source);
    let claims = json!({"sub": "mallory", "exp": now() + 3_600});
    for text in
        [maker.pem().to_owned(), maker.pem().trim().to_owned(), maker.pem().replace('\n', "")]
    {
        let key = EncodingKey::from_secret(text.as_bytes());
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let token = Maker::with_key(algorithm, key.clone()).sign(&claims);
            gets_nowhere(&broker, "the public key as a secret", &token);
        }
    }
    let own = Maker::new(Algorithm::EdDSA);
    let jwk = own.jwk();
    for header in [
        json!({"alg": "EdDSA", "jwk": jwk}),
        json!({"alg": "EdDSA", "jku": "http://127.0.0.1:1/jwks.json", "kid": "a"}),
        json!({"alg": "EdDSA", "x5u": "http://127.0.0.1:1/cert.pem"}),
        json!({"alg": "EdDSA", "kid": "../../../../dev/null"}),
        json!({"alg": "EdDSA", "kid": "' OR 1=1 --"}),
        json!({"alg": "EdDSA", "crit": ["x"], "x": 1}),
        json!({"alg": "RS256", "jwk": jwk}),
    ] {
        let token = own.sign_raw(&header.to_string(), &claims.to_string());
        gets_nowhere(&broker, &header.to_string(), &token);
    }
    let _ = std::fs::remove_dir_all(directory);
}

#[test]
fn what_stands_in_a_token_writes_no_line_into_the_audit_log() {
    let broker = broker("");
    let subject = "mallory\n{\"event\":\"admitted\",\"subject\":\"root\"}\r\u{1b}[31m";
    let good = Maker::secret().token(subject, &["\nadmin"]);
    for request in shown(&good).into_iter().take(4) {
        let _ = broker.exchange(&request);
    }
    for line in broker.log().lines() {
        assert!(line.starts_with("20") || line.starts_with("{\"time"), "no line of ours: {line:?}");
        assert!(!line.contains('\u{1b}') && !line.contains("\r"), "{line:?}");
    }
}
