//! Tokens that expire while a session lives (checklist K2).

use std::time::Duration;

use serde_json::{Value, json};
use weft_tests::bayeux::{Client, data, events_and_reply, ok, only, refused};
use weft_tests::broker::Broker;
use weft_tests::http::Request;
use weft_tests::stream::Stream;
use weft_tests::token::{auth, now, token, token_until};
use weft_tests::transports::Transport;
use weft_tests::wait::{PATIENCE, until};

use super::{RULES, broker};

/// A token that is good for a moment.
fn brief(subject: &str) -> String {
    token_until(subject, &[], now() + 2)
}

fn is_sent_away(reply: &Value) {
    refused(reply, "401::token_expired");
    assert_eq!(reply["advice"]["reconnect"], "retry", "{reply}");
    assert!(reply["advice"]["interval"].as_u64() >= Some(1_000), "{reply}");
    assert!(reply["advice"]["timeout"].is_u64(), "complete advice: {reply}");
}

#[test]
fn k2_an_expired_token_lets_the_held_poll_go_and_a_fresh_one_goes_on_with_the_session() {
    let broker = broker();
    let mut ann = Client::with_token(&broker, &brief("ann"));
    ok(&ann.subscribe("/news/*"));
    let id = ann.client_id.clone();
    let mut held = ann.held_connect();
    let (events, reply) = events_and_reply(held.answer());
    assert!(events.is_empty());
    is_sent_away(&reply);
    assert_eq!(broker.metric("weft_sessions_lapsed_total"), 1.0);
    // Nothing is done, and nothing told, until a fresh one comes.
    let mut bob = Client::with_token(&broker, &token("bob", &[]));
    ok(&bob.publish("/news/a", "meanwhile"));
    refused(&ann.publish("/news/a", 1), "401::token_expired");
    refused(&ann.subscribe("/news/a"), "401::token_expired");
    is_sent_away(&only(ann.connect()));
    let stale = token_until("ann", &[], now() - 1);
    is_sent_away(&only(ann.connect_with(json!({"ext": {"token": stale}}))));
    let fresh = token("ann", &[]);
    let answer = ann.connect_with(json!({"ext": {"token": fresh}}));
    let (events, reply) = events_and_reply(answer);
    ok(&reply);
    assert_eq!(events.len(), 1, "what came meanwhile");
    assert_eq!(events[0]["data"], "meanwhile");
    assert_eq!(ann.client_id, id);
    assert_eq!(broker.metric("weft_sessions_renewed_total"), 1.0);
    let mut held = ann.held_connect();
    ok(&bob.publish("/news/a", "after"));
    assert_eq!(data(held.answer()), ["after"]);
}

#[test]
fn k2_l12_a_refused_connect_proves_the_reply_before_it_and_nothing_comes_twice() {
    // It is silent while its token expires.
    let broker = Broker::with(&format!("{}{RULES}", auth("")));
    let mut ann = Client::with_token(&broker, &brief("ann"));
    ok(&ann.subscribe("/news/*"));
    let mut held = ann.held_connect();
    let mut bob = Client::with_token(&broker, &token("bob", &[]));
    ok(&bob.publish("/news/a", "once"));
    assert_eq!(data(held.answer()), ["once"]);
    broker.wait_metric("weft_sessions_lapsed_total", |lapsed| lapsed == 1.0);
    is_sent_away(&only(ann.connect()));
    // So cometd goes on after a failure.
    let fresh = json!({"ext": {"token": token("ann", &[])}, "advice": {"timeout": 0}});
    let (events, reply) = events_and_reply(ann.connect_with(fresh));
    ok(&reply);
    assert_eq!(events, Vec::<Value>::new());
}

#[test]
fn k2_a_fresh_token_in_time_is_not_noticed_by_anybody() {
    let broker = broker();
    let mut ann = Client::with_token(&broker, &brief("ann"));
    let mut held = ann.held_connect_with(json!({"ext": {"token": token("ann", &[])}}));
    assert!(held.is_waiting_for(Duration::from_secs(4)), "the first token has expired by now");
    assert_eq!(broker.metric("weft_sessions_lapsed_total"), 0.0);
}

#[test]
fn k2_a_session_that_gets_no_fresh_token_ends() {
    let broker = broker();
    let mut ann = Client::with_token(&broker, &brief("ann"));
    ok(&ann.subscribe("/news/*"));
    let mut polite = Client::with_token(&broker, &brief("polite"));
    until("its end, whatever it says", PATIENCE, || {
        ann.connect();
        (broker.metric("weft_sessions") == 0.0).then_some(())
    });
    refused(&only(ann.connect()), "402::session_unknown");
    refused(&polite.disconnect(), "402::session_unknown");
    assert_eq!(broker.metric("weft_subscriptions"), 0.0);
}

#[test]
fn k2_whoever_slept_past_their_session_is_advised_to_shake_hands_a_little_later() {
    let broker = broker();
    let stale = token_until("ann", &[], now() - 1);
    let reply = Client::new(&broker).handshake_with(json!({"ext": {"token": stale}}));
    refused(&reply, "401::token_expired");
    assert_eq!(reply["advice"]["reconnect"], "handshake", "{reply}");
    assert!(reply["advice"]["interval"].as_u64() >= Some(1_000), "{reply}");
    assert_eq!(broker.metric("weft_sessions"), 0.0);
}

#[test]
fn k2_a_goodbye_needs_no_fresh_token() {
    let broker = broker();
    let mut ann = Client::with_token(&broker, &brief("ann"));
    let mut held = ann.held_connect();
    is_sent_away(&only(held.answer()));
    ok(&ann.disconnect());
    assert_eq!(broker.metric("weft_sessions"), 0.0);
}

#[test]
fn k2_on_a_socket_the_connect_is_let_go_and_events_wait() {
    let broker = broker();
    let mut ann = Transport::WebSocket.session(&broker, &json!({"token": brief("ann")}));
    ok(&ann.ask("/meta/subscribe", json!({"subscription": "/news/*"})));
    let (events, reply) = ann.connect(json!({}));
    assert!(events.is_empty());
    is_sent_away(&reply);
    let bearer = format!("Bearer {}", token("bob", &[]));
    let publish = Request::post("/publish/news/a", "1").header("Authorization", &bearer);
    assert_eq!(broker.exchange(&publish).status, 200);
    assert_eq!(broker.metric("weft_messages_out_total"), 0.0, "nothing goes to whom it may not");
    let fresh = json!({"ext": {"token": token("ann", &[])}, "advice": {"timeout": 0}});
    let (mut events, reply) = ann.connect(fresh);
    ok(&reply);
    if events.is_empty() {
        events = ann.take(1);
    }
    assert_eq!(events[0].data, "1");
}

#[test]
fn k2_a_stream_ends_with_its_token() {
    let broker = broker();
    for target in ["/events/news/a", "/stream/news/a"] {
        let bearer = format!("Bearer {}", brief("ann"));
        let request = Request::get(target).header("Authorization", &bearer);
        let mut stream = Stream::ask(&broker, &request);
        let _ = stream.rest();
        assert_eq!(broker.exchange(&request).status, 401, "and is not begun again");
    }
    broker.wait_sessions(0);
}
