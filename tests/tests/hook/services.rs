//! Calls of `/service`: the hook answers, and whoever asked hears it, and nobody else.

use serde_json::{Value, json};
use weft_tests::bayeux::{Client, data, events_and_reply, ok, refused};
use weft_tests::broker::Broker;
use weft_tests::hook::{Asked, Hook, Say, no, yes};
use weft_tests::websocket::Socket;

/// Echoes calls; everything else is allowed.
fn echo(asked: &Asked) -> Say {
    match (asked.event(), asked.json["channel"].as_str()) {
        ("service", Some("/service/no")) => no(),
        ("service", Some("/service/sorry")) => {
            Say::Json(json!({"allow": false, "error": "no credit"}))
        }
        ("service", Some("/service/fail")) => {
            Say::Json(json!({"allow": false, "data": {"why": 7}}))
        }
        ("service", Some("/service/mute")) => yes(),
        ("service", _) => {
            let data = asked.text.split_once(r#""data":"#).expect("data").1;
            let data = data.strip_suffix('}').expect("its end");
            Say::Text(format!(r#"{{"allow":true,"data":{{"you said":{data}}}}}"#))
        }
        _ => yes(),
    }
}

/// What answers a call, and the reply to the request, among these messages.
fn answers(messages: &[Value]) -> Vec<&Value> {
    messages.iter().filter(|message| message.get("data").is_some()).collect()
}

#[test]
fn g1_g2_g4_whoever_calls_is_answered_and_nobody_else() {
    let hook = Hook::start(echo);
    let broker = Broker::with(&hook.section(""));
    let mut listener = Client::subscribed(&broker, json!(["/**", "/service/**"]));
    let mut twin = listener.tab();
    ok(&twin.subscribe("/service/echo"));
    // Long-polling: the poll that is held brings it.
    let mut caller = Client::subscribed(&broker, json!(["/**", "/service/**"]));
    let mut held = caller.held_connect();
    let reply = caller.ask("/service/echo", json!({"data": [1, {"x": null}], "id": 17}));
    ok(&reply);
    assert_eq!((&reply["id"], &reply["channel"]), (&json!(17), &json!("/service/echo")));
    let messages = held.answer();
    let expected = json!({
        "channel": "/service/echo",
        "id": 17,
        "successful": true,
        "data": {"you said": [1, {"x": null}]},
    });
    assert_eq!(messages[0], expected);
    assert_eq!(messages.len(), 2, "{messages:?}");
    // Callback-polling.
    let call = caller.message("/service/echo", json!({"data": 2}));
    ok(&caller.call(&[json!([&call])])[0]);
    let connect = caller.message("/meta/connect", json!({"connectionType": "callback-polling"}));
    let messages = caller.call(&[json!([connect])]);
    assert_eq!(answers(&messages)[0]["data"], json!({"you said": 2}));
    assert_eq!(answers(&messages)[0]["id"], call["id"]);
    // Nobody else hears anything of it.
    assert_eq!(data(listener.peek()), [] as [Value; 0]);
    assert_eq!(data(twin.peek()), [] as [Value; 0]);
    let mut late = Client::connected(&broker);
    ok(&late
        .ask("/meta/subscribe", json!({"subscription": "/**", "ext": {"replay": {"/**": -2}}})));
    assert_eq!(data(late.peek()), [] as [Value; 0]);
    assert_eq!(broker.metric("weft_store_records"), 0.0);
    assert_eq!(broker.metric("weft_messages_in_total"), 0.0, "a call is no publication");
}

#[test]
fn g2_on_a_socket_the_answer_comes_at_once() {
    let hook = Hook::start(echo);
    let broker = Broker::with(&hook.section(""));
    let mut client = Client::new(&broker);
    let mut socket = Socket::open(broker.listen);
    let mut say = |client: &mut Client<'_>, channel: &str, fields: Value| -> Value {
        let message = client.message(channel, fields);
        socket.send_text(&json!([message]).to_string());
        serde_json::from_str(&socket.next_text()).expect("JSON")
    };
    let types = json!({"version": "1.0", "supportedConnectionTypes": ["websocket"]});
    let shaken = say(&mut client, "/meta/handshake", types);
    shaken[0]["clientId"].as_str().expect("an id").clone_into(&mut client.client_id);
    ok(&say(&mut client, "/meta/connect", json!({"connectionType": "websocket"}))[0]);
    let answered = say(&mut client, "/service/echo", json!({"data": "x"}));
    assert_eq!(answered[0]["data"], json!({"you said": "x"}));
    assert_eq!(answered[0]["id"], client.last_id.to_string());
    let reply: Value = serde_json::from_str(&socket.next_text()).expect("JSON");
    ok(&reply[0]);
    let mut ask = |client: &mut Client<'_>, channel: &str| -> Value {
        let message = client.message(channel, json!({"data": 1}));
        socket.send_text(&json!([message]).to_string());
        serde_json::from_str(&socket.next_text()).expect("JSON")
    };
    refused(&ask(&mut client, "/service/no")[0], "403:/service/no:service_denied");
}

#[test]
fn a_call_that_fails_fails_at_once() {
    let hook = Hook::start(echo);
    let broker = Broker::with(&hook.section("services = [\"/service/*\"]"));
    let mut client = Client::connected(&broker);
    refused(&client.publish("/service/no", 1), "403:/service/no:service_denied");
    refused(&client.publish("/service/sorry", 1), "403:/service/sorry:no credit");
    let before = hook.asked().len();
    refused(&client.publish("/service/a/b", 1), "404:/service/a/b:service_unknown");
    assert_eq!(hook.asked().len(), before, "it is none of its business");
    // A failure with data is an answer, which says so.
    ok(&client.publish("/service/fail", 1));
    let messages = client.connect();
    let answer = answers(&messages)[0];
    assert_eq!((&answer["successful"], &answer["data"]), (&json!(false), &json!({"why": 7})));
    // Without data, the reply is all.
    ok(&client.publish("/service/mute", 1));
    assert_eq!(answers(&client.peek()), [] as [&Value; 0]);
}

#[test]
fn p2_an_answer_stays_until_it_has_arrived() {
    let hook = Hook::start(echo);
    let broker = Broker::with(&hook.section(""));
    let mut client = Client::connected(&broker);
    ok(&client.publish("/service/echo", 1));
    ok(&client.publish("/a", 2));
    let first = client.connect();
    assert_eq!(answers(&first).len(), 1);
    // What this means: the last reply was lost.
    let again = client.connect_with(json!({"advice": {"timeout": 0}}));
    assert_eq!(answers(&again), answers(&first));
    let none = client.connect_with(json!({"advice": {"timeout": 1}}));
    assert_eq!(answers(&none), [] as [&Value; 0]);
}

#[test]
fn x2_an_answer_has_no_position() {
    let hook = Hook::start(echo);
    let broker = Broker::with(&hook.section(""));
    let mut client = Client::new(&broker);
    ok(&client.handshake_with(json!({"ext": {"replay": true, "ack": true}})));
    client.connect();
    ok(&client.subscribe("/a"));
    ok(&client.publish("/service/echo", 1));
    ok(&client.publish("/a", 2));
    let (events, _) = events(client.connect());
    assert_eq!(events[0]["data"], json!({"you said": 1}));
    assert!(events[0].get("ext").is_none(), "{events:?}");
    assert!(events[1]["ext"]["replay"]["id"].is_i64(), "{events:?}");
}

fn events(mut messages: Vec<Value>) -> (Vec<Value>, Value) {
    let reply = messages.pop().expect("a reply");
    ok(&reply);
    (messages, reply)
}

#[test]
fn p5_an_answer_in_a_full_queue_is_not_taken_for_something_that_is_kept() {
    let hook = Hook::start(echo);
    let broker = Broker::with(&hook.section("[limits]\nqueue_messages = 4"));
    let mut reader = Client::subscribed(&broker, "/a");
    let mut publisher = Client::connected(&broker);
    ok(&publisher.publish("/a", 0));
    ok(&reader.publish("/service/echo", 1));
    let batch: Vec<_> = (1..20).map(|n| publisher.message("/a", json!({"data": n}))).collect();
    publisher.send(&json!(batch));
    let mut numbers = Vec::new();
    let mut answered = 0;
    while numbers.len() < 20 {
        let (events, reply) = events(reader.connect());
        assert!(reply.get("ext").is_none(), "{reply}");
        for event in events {
            match event["channel"].as_str() {
                Some("/a") => numbers.push(event["data"].as_i64().expect("a number")),
                _ => answered += 1,
            }
        }
    }
    assert_eq!((numbers, answered), ((0..20).collect::<Vec<_>>(), 1));
    // Where the oldest go, the loss is told.
    let toml = hook.section("[limits]\nqueue_messages = 4\nqueue_policy = \"drop_oldest\"");
    let broker = Broker::with(&toml);
    let mut reader = Client::subscribed(&broker, "/a");
    ok(&reader.publish("/service/echo", 1));
    for n in 0..4 {
        ok(&Client::connected(&broker).publish("/a", n));
    }
    let (_, reply) = events_and_reply(reader.connect());
    assert_eq!(reply["ext"]["weft"]["gap"][0]["channel"], "/service/echo", "{reply}");
}

#[test]
fn an_answer_rides_on_any_reply_where_events_do() {
    let hook = Hook::start(echo);
    let toml = format!("deliver_on_any_reply = true\n{}", hook.section(""));
    let broker = Broker::with(&toml);
    let mut client = Client::connected(&broker);
    let call = client.message("/service/echo", json!({"data": 1}));
    let messages = client.send(&json!([call]));
    assert_eq!(answers(&messages)[0]["id"], call["id"]);
    assert_eq!(messages.len(), 2);
}
