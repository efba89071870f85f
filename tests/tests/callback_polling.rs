//! callback-polling, JSONP (Bayeux 1.0 §6.2; checklist 1.J, R29-R31; decisions 3.16).

use serde_json::{Value, json};
use weft_tests::bayeux::{Client, data, events_and_reply, ok, only, refused};
use weft_tests::broker::Broker;
use weft_tests::http::Request;
use weft_tests::jsonp;

fn handshake() -> Value {
    json!([{"channel": "/meta/handshake", "version": "1.0",
        "supportedConnectionTypes": ["callback-polling"]}])
}

/// A session that speaks callback-polling, whose first connect is done, subscribed to `/a`.
fn subscribed(broker: &Broker) -> Client<'_> {
    let mut client = Client::new(broker);
    let reply = only(client.call(&[handshake()]));
    ok(&reply);
    client.client_id = reply["clientId"].as_str().expect("an id").to_owned();
    let connect = client.message("/meta/connect", json!({}));
    ok(&only(client.call(&[connect])));
    let subscribe = client.message("/meta/subscribe", json!({"subscription": "/a"}));
    ok(&only(client.call(&[subscribe])));
    client
}

/// Connects together with another message: what is queued comes at once.
fn peek(client: &mut Client<'_>) -> Vec<Value> {
    let connect = client.message("/meta/connect", json!({}));
    let other = client.message("/meta/unsubscribe", json!({"subscription": "/x"}));
    let mut messages = client.call(&[json!([other, connect])]);
    messages.retain(|message| message["channel"] != "/meta/unsubscribe");
    messages
}

#[test]
fn j1_j3_r30_r31_an_answer_is_a_script_that_calls_the_function_with_an_array() {
    let broker = Broker::start();
    let client = Client::new(&broker);
    let response = broker.exchange(&client.script("app.cb$_1", &[handshake()]));
    assert_eq!(response.status, 200);
    let (name, messages) = jsonp::decode(response.text());
    assert_eq!(name, "app.cb$_1");
    ok(&only(messages));
    assert_eq!(response.header("Content-Type"), Some("text/javascript;charset=UTF-8"));
    assert_eq!(response.header("Cache-Control"), Some("no-cache, no-store"));
    assert_eq!(response.header("X-Content-Type-Options"), Some("nosniff"));
    assert_eq!(response.header("Content-Disposition"), Some("attachment; filename=f.txt"));
    assert!(response.header("Set-Cookie").is_some());
}

#[test]
fn j2_the_default_name_is_jsonpcallback() {
    let broker = Broker::start();
    let target = format!("/bayeux?message={}", jsonp::encode(&handshake().to_string()));
    let (name, messages) = jsonp::answer(&broker.exchange(&Request::get(&target)));
    assert_eq!(name, "jsonpcallback");
    ok(&only(messages));
}

#[test]
fn r29_names_of_functions_are_accepted_and_all_else_is_400() {
    let broker = Broker::start();
    let client = Client::new(&broker);
    let longest = "a".repeat(64);
    for name in ["a", "_", "$", "$.cb", "_cometd_jsonp_0", "A.b9._.c", &longest] {
        let (called, _) = jsonp::answer(&broker.exchange(&client.script(name, &[handshake()])));
        assert_eq!(called, name);
    }
    let sessions = broker.metric("weft_sessions");
    let too_long = "a".repeat(65);
    let very_long = "a".repeat(5_000);
    let refused = [
        "",
        ".",
        "a.",
        ".a",
        "a..b",
        "0abc",
        "a.0",
        "a-b",
        "cb;alert(1)",
        "alert(1)//",
        "a[0]",
        "<script>",
        "a b",
        "a\n",
        "a\r\nX-Evil: 1",
        "\"a\"",
        "'",
        "ü",
        "a\u{2028}",
        "a\0",
        "/**/",
        "a,b",
        "a%41",
        &too_long,
        &very_long,
    ];
    for name in refused {
        let response = broker.exchange(&client.script(name, &[handshake()]));
        assert_eq!(response.status, 400, "{name:?}");
        assert_eq!(response.header("Content-Type"), Some("text/plain;charset=UTF-8"));
        assert_eq!(response.header("X-Content-Type-Options"), Some("nosniff"));
        assert!(response.header("X-Evil").is_none());
        assert!(!response.text().contains("alert"), "the name is not echoed");
    }
    let message = jsonp::encode(&handshake().to_string());
    let twice = format!("/bayeux?jsonp=a&message={message}&jsonp=a");
    assert_eq!(broker.exchange(&Request::get(&twice)).status, 400);
    assert_eq!(broker.metric("weft_sessions"), sessions, "nothing was obeyed");
}

#[test]
fn j1_all_message_parameters_are_one_batch() {
    let broker = Broker::start();
    let mut client = subscribed(&broker);
    let one = client.message("/a", json!({"data": 1}));
    let two = client.message("/a", json!({"data": 2}));
    let three = client.message("/a", json!({"data": 3}));
    let connect = client.message("/meta/connect", json!({}));
    let messages = client.call(&[json!([one, two]), three, json!([connect])]);
    let (events, replies) = messages.split_at(3);
    assert_eq!(events.iter().map(|event| &event["data"]).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(replies.len(), 4);
    replies.iter().for_each(ok);
    assert_eq!(replies[3]["channel"], "/meta/connect");
}

#[test]
fn j1_parameters_are_decoded_and_others_ignored() {
    let broker = Broker::start();
    let mut client = subscribed(&broker);
    let message = client.message("/a", json!({"data": "a+b & ü = 100%"}));
    let encoded = jsonp::encode(&message.to_string()).replace("%20", "+");
    let target = format!("/bayeux/x?_=123&jsonp=cb&x=%zz&message={encoded}&&=");
    let request = Request::get(&target).header("Cookie", client.cookie.as_deref().unwrap());
    let (_, replies) = jsonp::answer(&client.exchange(&request));
    ok(&only(replies));
    assert_eq!(data(peek(&mut client)), [json!("a+b & ü = 100%")]);
}

#[test]
fn r30_nothing_in_the_data_breaks_out_of_the_script() {
    let broker = Broker::start();
    let mut client = subscribed(&broker);
    let nasty = [
        "</script><script>alert(1)</script>",
        "<!--",
        "]]>",
        "\u{2028}\u{2029}",
        "*/alert(1)/*",
        "\");alert(1);//",
        "\\",
        "\u{0}\u{7f}",
        "😀",
        "'\"`${x}",
    ];
    for text in nasty {
        let message = client.message("/a", json!({"data": {text: [text]}}));
        ok(&only(client.call(&[message])));
        let connect = client.message("/meta/connect", json!({}));
        let other = client.message("/meta/unsubscribe", json!({"subscription": "/x"}));
        let request = client.script("cb", &[json!([other, connect])]);
        let response = client.exchange(&request);
        for raw in ["<", "\u{2028}", "\u{2029}", "\n", "\r"] {
            assert!(!response.text().contains(raw), "{raw:?} in {}", response.text());
        }
        let (_, messages) = jsonp::answer(&response);
        assert_eq!(messages[0]["data"], json!({text: [text]}));
    }
}

#[test]
fn j4_i1_x4_connects_are_held_and_woken_as_in_long_polling() {
    let broker = Broker::start();
    let mut client = subscribed(&broker);
    let mut held = client.held_script();
    assert!(held.is_waiting());
    ok(&Client::connected(&broker).publish("/a", "x"));
    let (name, messages) = jsonp::answer(&held.response());
    assert_eq!(name, "callback");
    assert_eq!(data(messages), [json!("x")]);
}

#[test]
fn j4_d5_a_held_script_is_answered_at_the_timeout() {
    let broker = Broker::with("[sessions]\ntimeout = \"300ms\"\n");
    let mut client = subscribed(&broker);
    let (_, messages) = jsonp::answer(&client.held_script().response());
    ok(&only(messages));
}

#[test]
fn j5_any_other_message_by_script_releases_the_held_connect() {
    let broker = Broker::start();
    let mut client = subscribed(&broker);
    let others = [
        ("/b", json!({"data": 1})),
        ("/meta/subscribe", json!({"subscription": "/c"})),
        ("/meta/unsubscribe", json!({"subscription": "/c"})),
        ("/service/x", json!({"data": 1})),
    ];
    for (channel, fields) in others {
        let mut held = client.held_script();
        let message = client.message(channel, fields);
        let reply = only(client.call(&[message]));
        assert_eq!(reply["channel"], channel);
        let (_, messages) = jsonp::answer(&held.response());
        ok(&only(messages));
    }
}

#[test]
fn j5_l11_its_own_event_comes_with_the_released_connect_and_not_with_the_reply() {
    let broker = Broker::start();
    let mut client = subscribed(&broker);
    let mut held = client.held_script();
    let message = client.message("/a", json!({"data": 1}));
    ok(&only(client.call(&[message])));
    let (_, messages) = jsonp::answer(&held.response());
    assert_eq!(data(messages), [json!(1)]);
}

#[test]
fn j5_another_message_by_long_polling_leaves_a_held_connect_alone() {
    let broker = Broker::start();
    let mut client = subscribed(&broker);
    let mut held = client.held_script();
    ok(&client.publish("/b", 1));
    assert!(held.is_waiting());
}

#[test]
fn e14_l5_a_session_moves_between_the_polling_transports() {
    let broker = Broker::start();
    let mut client = subscribed(&broker);
    let mut script = client.held_script();
    let mut post = client.start_connect();
    let (_, messages) = jsonp::answer(&script.response());
    ok(&only(messages));
    broker.wait_held(1);
    ok(&client.publish("/a", 1));
    assert_eq!(data(post.answer()), [json!(1)]);
    let mut script = client.held_script();
    ok(&client.publish("/a", 2));
    assert_eq!(data(jsonp::answer(&script.response()).1), [json!(2)]);
}

#[test]
fn l12_an_aborted_script_loses_nothing() {
    let broker = Broker::start();
    let mut client = subscribed(&broker);
    client.held_script().abort();
    broker.wait_held(0);
    ok(&Client::connected(&broker).publish("/a", 1));
    assert_eq!(data(peek(&mut client)), [json!(1)]);
}

#[test]
fn l13_a_failed_message_is_told_inside_the_script() {
    let broker = Broker::start();
    let mut client = Client::new(&broker);
    let connect = client.message("/meta/connect", json!({"clientId": "unknown"}));
    let (_, reply) = events_and_reply(client.call(&[connect]));
    refused(&reply, "402::session_unknown");
    assert_eq!(reply["advice"]["reconnect"], "handshake");
}

#[test]
fn l10_unreadable_messages_are_400_and_no_script() {
    let broker = Broker::start();
    for message in ["", "x", "[]", "[1]", "{", "null", "%ff", "[{}][{}]", "7"] {
        let target = format!("/bayeux?jsonp=cb&message={message}");
        let response = broker.exchange(&Request::get(&target));
        assert_eq!(response.status, 400, "{message}");
        assert!(response.text().len() < 200 && !response.text().contains("cb("));
        assert_eq!(response.header("Content-Type"), Some("text/plain;charset=UTF-8"));
    }
    for target in ["/bayeux", "/bayeux?jsonp=cb", "/bayeux?", "/bayeux?jsonp=cb&messages=1"] {
        assert_eq!(broker.exchange(&Request::get(target)).status, 400, "{target}");
    }
}

#[test]
fn d9_h2_tabs_by_script_are_told_as_well() {
    let broker = Broker::start();
    let mut client = subscribed(&broker);
    let mut held = client.held_script();
    let mut tab = client.tab();
    let _newer = tab.start_connect();
    let (_, messages) = jsonp::answer(&held.response());
    let (_, reply) = events_and_reply(messages);
    assert_eq!(reply["advice"]["multiple-clients"], true);
}
