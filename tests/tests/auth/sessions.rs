//! Sessions, and those who are not known.

use std::time::Duration;

use serde_json::json;
use weft_tests::bayeux::{Client, data, ok, only, refused};
use weft_tests::broker::Broker;
use weft_tests::http::Request;
use weft_tests::token::{auth, token};
use weft_tests::wait::{PATIENCE, now, until};

use super::{SHORT_LIVES, broker};

#[test]
fn r34_k1_e9_x7_who_is_not_known_gets_no_session_and_holds_nothing() {
    let broker = broker();
    for ext in
        [json!({}), json!({"token": "x"}), json!({"token": 7}), json!({"other": token("a", &[])})]
    {
        let mut client = Client::new(&broker);
        let reply = client.handshake_with(json!({"ext": ext}));
        assert_eq!(reply["successful"], false, "{reply}");
        let error = reply["error"].as_str().expect("an error");
        assert!(error.starts_with("401::token_"), "{reply}");
        assert_eq!(reply["advice"]["reconnect"], "none", "{reply}");
        assert_eq!(reply.get("clientId"), None);
        let start = now();
        refused(&only(client.connect()), "402::session_unknown");
        assert!(start.elapsed() < Duration::from_secs(5), "answered at once");
    }
    assert_eq!(broker.metric("weft_sessions"), 0.0);
    assert_eq!(broker.metric("weft_handshakes_total"), 0.0);
}

#[test]
fn r34_a_flood_of_strangers_leaves_nothing_behind() {
    let broker = broker();
    let mut client = Client::new(&broker);
    for _ in 0..500 {
        let reply = client.handshake_with(json!({"ext": {"token": "no"}}));
        refused(&reply, "401::token_invalid");
    }
    assert_eq!(broker.metric("weft_sessions"), 0.0);
    let lines = broker.log().lines().filter(|line| line.contains("event=\"refused\"")).count();
    assert!(lines < 400, "{lines} lines of the audit log");
}

#[test]
fn k1_whoever_is_known_has_a_session_like_any_other() {
    let broker = broker();
    let mut ann = Client::with_token(&broker, &token("ann", &[]));
    ok(&ann.subscribe("/news/*"));
    let mut held = ann.held_connect();
    let mut bob = Client::with_token(&broker, &token("bob", &[]));
    let ext = json!({"token": token("bob", &[]), "mine": 1});
    ok(&bob.ask("/news/today", json!({"data": "hello", "ext": ext})));
    let messages = held.answer();
    assert_eq!(messages[0]["data"], "hello");
    // No token goes on to anybody, nor into the past (decisions 3.8).
    assert_eq!(messages[0]["ext"], json!({"mine": 1}));
}

#[test]
fn l15_a_session_is_its_principals_whoever_knows_its_id() {
    let broker = broker();
    let mut ann = Client::with_token(&broker, &token("ann", &[]));
    ok(&ann.subscribe("/news/*"));
    let theft = |header: Option<String>, ext: Option<String>| {
        let mut message = json!({"channel": "/meta/subscribe", "clientId": ann.client_id,
            "subscription": "/news/*"});
        if let Some(token) = ext {
            message["ext"] = json!({"token": token});
        }
        let request = ann.request(json!([message]).to_string());
        let request = match header {
            Some(token) => request.header("Authorization", &format!("Bearer {token}")),
            None => request,
        };
        broker.exchange(&request).messages().remove(0)
    };
    refused(&theft(Some(token("bob", &[])), None), "402::session_unknown");
    refused(&theft(None, Some(token("bob", &[]))), "402::session_unknown");
    refused(&theft(None, Some("rubbish".to_owned())), "401::token_invalid");
    refused(&theft(Some("rubbish".to_owned()), None), "401::token_invalid");
    ok(&theft(None, None));
    ok(&theft(Some(token("ann", &[])), None));
    // The owner has noticed nothing.
    let mut publisher = Client::with_token(&broker, &token("bob", &[]));
    ok(&publisher.publish("/news/a", 1));
    assert_eq!(data(ann.connect()), [json!(1)]);
}

#[test]
fn those_who_do_not_say_who_they_are_may_be_let_in_with_their_own_role() {
    let rules = "[[auth.rules]]\nchannels = \"/public/*\"\nroles = \"anonymous\"\n\
                 actions = \"subscribe\"\n[[auth.rules]]\nchannels = \"/**\"\n";
    let broker = Broker::with(&format!("{}{rules}{SHORT_LIVES}", auth("anonymous = true")));
    let mut nobody = Client::connected(&broker);
    ok(&nobody.subscribe("/public/*"));
    refused(&nobody.subscribe("/other"), "403:/other:subscribe_denied");
    refused(&nobody.publish("/public/a", 1), "403:/public/a:publish_denied");
    let mut ann = Client::with_token(&broker, &token("ann", &[]));
    ok(&ann.publish("/public/a", 1));
    assert_eq!(data(nobody.connect()), [json!(1)]);
    // A bad token is not the same as none.
    refused(
        &Client::new(&broker).handshake_with(json!({"ext": {"token": "x"}})),
        "401::token_invalid",
    );
    let history = broker.exchange(&Request::get("/history/public/a"));
    assert_eq!(history.status, 403, "{}", history.text());
}

#[test]
fn the_audit_log_tells_who_came_and_who_was_refused_and_no_secrets() {
    let broker = broker();
    let good = token("ann\" event=\"forged", &[]);
    let ann = Client::with_token(&broker, &good);
    let id = ann.client_id.clone();
    drop(ann);
    let mut bob = Client::with_token(&broker, &token("bob", &[]));
    refused(&bob.subscribe("/secret/x"), "403:/secret/x:subscribe_denied");
    let wrong = format!("{good}x");
    let reply = Client::new(&broker).handshake_with(json!({"ext": {"token": wrong}}));
    refused(&reply, "401::token_invalid");
    let line = |words: &[&str]| {
        until(&format!("{words:?} in the log"), PATIENCE, || {
            let log = broker.log();
            let has = |line: &str| words.iter().all(|word| line.contains(word));
            log.lines().any(has).then_some(())
        });
    };
    line(&["event=\"opened\"", "token:ann\\\" event=", "address=127.0.0.1"]);
    line(&["event=\"denied\"", "what=\"subscribe\"", "/secret/x", "token:bob"]);
    line(&["event=\"refused\"", "what=\"handshake\"", "why=\"token_invalid\""]);
    let log = broker.log();
    assert!(!log.contains(&id), "a whole clientId is in\n{log}");
    assert!(!log.contains(&good), "a token is in\n{log}");
}

#[test]
fn the_audit_log_may_have_a_file_of_its_own() {
    let more = "[audit]\nfile = \"audit.log\"\n[log]\nlevel = \"error,weft_broker::server=info\"\n";
    let broker = Broker::with(&format!("{}{}{more}", auth(""), super::RULES));
    let _ann = Client::with_token(&broker, &token("ann", &[]));
    let file = broker.data().parent().expect("a directory").join("audit.log");
    let text = std::fs::read_to_string(file).expect("the audit log");
    let line: serde_json::Value = serde_json::from_str(text.trim()).expect("one JSON object");
    assert_eq!(line["event"], "opened");
    assert_eq!(line["who"], "token:ann");
    assert!(!broker.log().contains("opened"));
    let off = Broker::with(&format!("{}{}[audit]\nenabled = false\n", auth(""), super::RULES));
    let _ann = Client::with_token(&off, &token("ann", &[]));
    assert!(!off.log().contains("opened"), "{}", off.log());
}
