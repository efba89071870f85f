//! The hook beside tokens and rules: it is asked last, and both must allow.

use serde_json::json;
use weft_tests::bayeux::{Client, ok, refused};
use weft_tests::broker::{Broker, Setup};
use weft_tests::hook::{Asked, Hook, Say, no, yes};
use weft_tests::http::Request;
use weft_tests::tls::{Files, Pair};
use weft_tests::token::{auth, token};

const RULES: &str = "[[auth.rules]]\nchannels = [\"/news/**\", \"/**\"]\nroles = [\"reader\"]\n";

/// A client with a session, by a token.
fn shaken<'b>(broker: &'b Broker, token: &str) -> Client<'b> {
    let mut client = Client::new(broker);
    ok(&client.handshake_with(json!({"ext": {"token": token}})));
    client
}

#[test]
fn p7_bad_tokens_and_rules_refuse_before_the_hook_is_asked() {
    let hook = Hook::start(|asked: &Asked| match asked.json["channel"].as_str() {
        Some("/news/no") => no(),
        _ => yes(),
    });
    let broker = Broker::with(&format!("{}{RULES}{}", auth(""), hook.section("")));
    let mut stranger = Client::new(&broker);
    let bad = json!({"ext": {"token": "bad.token.here"}});
    refused(&stranger.handshake_with(bad), "401::token_invalid");
    refused(&stranger.handshake(), "401::token_missing");
    let publish = Request::post("/publish/news/a", "1");
    assert_eq!(broker.exchange(&publish).status, 401);
    assert_eq!(hook.asked().len(), 0);
    let mut client = shaken(&broker, &token("me", &["reader"]));
    let asked = hook.last().json;
    assert_eq!((&asked["token"], &asked["ext"]), (&json!(null), &json!(null)), "{asked}");
    let me = &asked["principal"];
    assert_eq!(
        (&me["kind"], &me["sub"], &me["roles"]),
        (&json!("token"), &json!("me"), &json!(["reader"]))
    );
    ok(&client.publish("/news/a", 1));
    refused(&client.publish("/news/no", 1), "403:/news/no:publish_denied");
    let mut other = shaken(&broker, &token("you", &["other"]));
    let before = hook.asked().len();
    refused(&other.publish("/news/a", 1), "403:/news/a:publish_denied");
    refused(&other.subscribe("/news/a"), "403:/news/a:subscribe_denied");
    assert_eq!(hook.asked().len(), before, "the rules have said no");
    // Calls are the hook's business alone.
    ok(&other.publish("/service/a", 1));
    let bearer = format!("Bearer {}", token("you", &["other"]));
    let denied = broker.exchange(&publish.header("Authorization", &bearer));
    assert_eq!(denied.status, 403);
    assert_eq!(hook.count("publish"), 2);
}

#[test]
fn a_token_that_is_good_may_still_not_be_let_in() {
    let hook = Hook::start(|asked: &Asked| match asked.json["principal"]["sub"].as_str() {
        Some("banned") => Say::Json(json!({"allow": false, "error": "banned"})),
        _ => yes(),
    });
    let broker = Broker::with(&format!("{}{RULES}{}", auth(""), hook.section("")));
    let mut client = Client::new(&broker);
    let ext = json!({"ext": {"token": token("banned", &["reader"])}});
    refused(&client.handshake_with(ext), "403::banned");
    broker.wait_sessions(0);
    let bearer = format!("Bearer {}", token("banned", &["reader"]));
    let request = Request::get("/history/news/a").header("Authorization", &bearer);
    assert_eq!(broker.exchange(&request).status, 403);
}

#[test]
fn without_any_rule_the_hook_decides_and_only_on_what_it_is_to_decide() {
    let hook = Hook::start(|_| yes());
    let section = hook.section("events = [\"publish\"]");
    let broker = Broker::with(&format!("{}{section}", auth("")));
    let mut client = shaken(&broker, &token("me", &[]));
    ok(&client.publish("/a", 1));
    refused(&client.subscribe("/a"), "403:/a:subscribe_denied");
    assert_eq!(hook.asked().len(), 1);
    let bearer = format!("Bearer {}", token("me", &[]));
    let history = Request::get("/history/a").header("Authorization", &bearer);
    assert_eq!(broker.exchange(&history).status, 403);
}

#[test]
fn k1_rules_hold_for_those_of_whom_the_hook_says_who_they_are() {
    let hook = Hook::start(|asked: &Asked| match asked.json["token"].as_str() {
        Some("s1") => Say::Json(json!({"allow": true, "sub": "me", "roles": ["reader"]})),
        Some("s2") => Say::Json(json!({"allow": true, "sub": "denied"})),
        Some("s3") => yes(),
        None if asked.event() != "handshake" => yes(),
        _ => no(),
    });
    let rules = "[[auth.rules]]\nchannels = \"/user/{sub}/**\"\n";
    let toml = format!(
        "[auth]\nmode = \"token\"\ndenied = [\"denied\"]\n{rules}{}",
        hook.section("cache = \"1h\"")
    );
    let broker = Broker::with(&toml);
    let mut client = shaken(&broker, "s1");
    ok(&client.subscribe("/user/me/**"));
    refused(&client.subscribe("/user/you/**"), "403:/user/you/**:subscribe_denied");
    let mut other = Client::new(&broker);
    refused(&other.handshake(), "403::handshake_denied");
    refused(&other.handshake_with(json!({"ext": {"token": "s2"}})), "401::token_denied");
    ok(&other.handshake_with(json!({"ext": {"token": "s3"}})));
    refused(&other.subscribe("/user/me/**"), "403:/user/me/**:subscribe_denied");
}

#[test]
fn over_tls_the_hook_must_have_a_certificate_that_is_trusted() {
    let (ours, theirs) = (Pair::until(2040), Pair::until(2040));
    let (files, others) = (Files::with(&ours), Files::with(&theirs));
    // Whatever answers with 404 says no.
    let service = files.setup("").start();
    let url = format!("https://localhost:{}/nothing", service.listen.port());
    for (ca, result) in
        [(Some(&files), "deny"), (Some(&others), "unreachable"), (None, "unreachable")]
    {
        let ca = ca.map(|files| format!("ca = {:?}\n", files.directory.join("cert.pem")));
        let ca = ca.unwrap_or_default();
        let broker = Broker::with(&format!("[hook]\nurl = \"{url}\"\n{ca}"));
        assert_eq!(Client::new(&broker).handshake()["successful"], false);
        let name = format!("weft_hook_total{{event=\"handshake\",result=\"{result}\"}}");
        assert_eq!(broker.metric(&name), 1.0, "{}", broker.log());
    }
    let missing = Setup::default()
        .toml("[hook]\nurl = \"https://localhost\"\nca = \"/nowhere.pem\"\n")
        .try_start();
    assert!(missing.expect_err("no file").log.contains("hook.ca /nowhere.pem"));
}
