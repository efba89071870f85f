//! What a reload takes away ends at once.

use std::time::Duration;

use serde_json::json;
use weft_tests::bayeux::{Client, ok, only, refused};
use weft_tests::broker::Broker;
use weft_tests::http::Request;
use weft_tests::stream::Stream;
use weft_tests::token::{SECRET, auth, token};
use weft_tests::wait::{PATIENCE, now, until};

use super::{RULES, SHORT_LIVES, broker};

/// A second is promised; a loaded machine may take longer.
const SOON: Duration = Duration::from_secs(5);

fn denying(subjects: &str) -> String {
    format!("{}{RULES}{SHORT_LIVES}", auth(&format!("denied = [{subjects}]")))
}

#[test]
fn a_subject_that_is_denied_loses_its_sessions_and_streams_and_others_do_not() {
    let broker = broker();
    let mut ann = Client::with_token(&broker, &token("ann", &[]));
    let mut bob = Client::with_token(&broker, &token("bob", &[]));
    let (mut hers, mut his) = (ann.held_connect(), bob.held_connect());
    let bearer = format!("Bearer {}", token("ann", &[]));
    let request = Request::get("/events/news/a").header("Authorization", &bearer);
    let mut stream = Stream::ask(&broker, &request);
    let start = now();
    broker.reload(&denying("\"ann\""));
    let reply = only(hers.answer());
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    refused(&reply, "402::session_unknown");
    assert_eq!(reply["advice"]["reconnect"], "handshake");
    let _ = stream.rest();
    assert!(his.is_waiting());
    assert_eq!(broker.metric("weft_sessions_ended_total{cause=\"revoked\"}"), 2.0);
    let reply = ann.handshake_with(json!({"ext": {"token": token("ann", &[])}}));
    refused(&reply, "401::token_denied");
    assert_eq!(broker.exchange(&request).status, 401);
    assert!(broker.log().contains("event=\"changed\""), "{}", broker.log());
    // And back.
    broker.reload(&denying(""));
    until("ann is let in again", PATIENCE, || {
        let mut again = Client::new(&broker);
        let reply = again.handshake_with(json!({"ext": {"token": token("ann", &[])}}));
        (reply["successful"] == true).then_some(())
    });
}

#[test]
fn a_key_that_is_gone_takes_its_sessions_along() {
    let broker = broker();
    let mut ann = Client::with_token(&broker, &token("ann", &[]));
    let mut held = ann.held_connect();
    let other = SECRET.replace('0', "z");
    broker.reload(&denying("").replace(SECRET, &other));
    refused(&only(held.answer()), "402::session_unknown");
    let reply = ann.handshake_with(json!({"ext": {"token": token("ann", &[])}}));
    refused(&reply, "401::token_invalid");
}

#[test]
fn p7_rules_that_are_gone_end_what_they_allowed() {
    let broker = broker();
    let mut ann = Client::with_token(&broker, &token("ann", &[]));
    ok(&ann.subscribe("/news/*"));
    let mut bob = Client::with_token(&broker, &token("bob", &[]));
    ok(&bob.subscribe("/live/*"));
    let (mut hers, mut his) = (ann.held_connect(), bob.held_connect());
    let rules = RULES.replace("\"/news/*\", ", "");
    broker.reload(&format!("{}{rules}{SHORT_LIVES}", auth("")));
    refused(&only(hers.answer()), "402::session_unknown");
    assert!(his.is_waiting());
    drop(his);
    until("publishing is denied, too", PATIENCE, || {
        let reply = bob.publish("/news/a", 1);
        (reply["error"] == "403:/news/a:publish_denied").then_some(())
    });
}

#[test]
fn a_reload_that_cannot_be_taken_changes_nothing() {
    let broker = broker();
    let mut ann = Client::with_token(&broker, &token("ann", &[]));
    let mut held = ann.held_connect();
    let wrong = [
        "[auth]\nmode = \"tokne\"\n".to_owned(),
        format!("{}pem = \"/no/such/file\"\n", auth("")),
        "[auth]\nmode = \"open\"\n".to_owned(),
    ];
    for (count, toml) in wrong.iter().enumerate() {
        broker.reload(toml);
        until("what is wrong with it is said", PATIENCE, || {
            let log = broker.log();
            let said = log.lines().filter(|line| line.contains("not reloaded")).count();
            (said > count).then_some(())
        });
    }
    assert!(held.is_waiting());
    let _bob = Client::with_token(&broker, &token("bob", &[]));
}

#[test]
fn what_only_a_restart_takes_is_said() {
    let broker = Broker::with(&auth(""));
    broker.reload(&format!("{}[sessions]\ntimeout = \"7s\"\n", auth("")));
    until("it is said", PATIENCE, || {
        broker.log().contains("only taken at the next start").then_some(())
    });
    assert!(broker.is_alive());
}
