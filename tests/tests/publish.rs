//! Publishing: replies, refusals and what an event is made of (checklist 1.C, 1.F, 1.G, 1.L;
//! decisions 3.6, 3.8-3.10).

use serde_json::{Value, json};
use weft_tests::bayeux::{Client, data, events_and_reply, ok, only, refused};
use weft_tests::broker::Broker;

/// Whether `error` is `ddd:args:text`, each of the grammar's characters (B2, C12).
fn fits_grammar(error: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_!~()$@ /*.,".contains(c);
    let parts: Vec<&str> = error.split(':').collect();
    let [code, args, text] = parts.as_slice() else { return false };
    code.len() == 3
        && code.bytes().all(|byte| byte.is_ascii_digit())
        && args.chars().chain(text.chars()).all(allowed)
        && !text.contains(',')
}

/// Publishes raw `data` and returns the whole event as it arrives.
fn event_of(client: &mut Client<'_>, fields: &str) -> String {
    let id = client.client_id.clone();
    let body = format!(r#"[{{"channel":"/a","clientId":"{id}",{fields}}}]"#);
    ok(&only(client.post(body).messages()));
    let connect = client.message("/meta/connect", json!({}));
    let other = client.message("/meta/unsubscribe", json!({"subscription": "/x"}));
    let text = client.post(json!([other, connect]).to_string()).text().to_owned();
    let end = text.find(r#",{"channel":"/meta/"#).expect("an event and a reply");
    text[1..end].to_owned()
}

#[test]
fn f3_f4_c14_the_reply_has_channel_id_and_success_and_nothing_more() {
    let broker = Broker::start();
    let mut client = Client::subscribed(&broker, "/a");
    let fields = json!({"data": 1, "ext": {"x": 1}, "advice": {}, "subscription": "/b", "x": 1});
    let reply = client.ask("/a", fields);
    assert_eq!(reply, json!({"channel": "/a", "id": "4", "successful": true}));
    let reply = client.ask("/nobody/listens", json!({"data": 1, "id": null}));
    assert_eq!(reply, json!({"channel": "/nobody/listens", "successful": true}));
}

#[test]
fn c17_a_publish_without_data_is_refused_and_null_is_data() {
    let broker = Broker::start();
    let mut client = Client::subscribed(&broker, "/a");
    refused(&client.ask("/a", json!({})), "400::data_missing");
    refused(&client.ask("/service/x", json!({})), "400::data_missing");
    assert_eq!(event_of(&mut client, r#""data":null"#), r#"{"channel":"/a","data":null}"#);
}

#[test]
fn l9_publishing_to_a_wildcard_is_refused() {
    let broker = Broker::start();
    let mut client = Client::subscribed(&broker, "/**");
    for name in ["/*", "/**", "/a/*", "/a/**", "/service/*", "/meta/*"] {
        refused(&client.publish(name, 1), "405::channel_invalid");
    }
    assert_eq!(data(client.peek()), Vec::<Value>::new());
}

#[test]
fn b4_c1_channels_that_are_none_are_refused() {
    let broker = Broker::start();
    let mut client = Client::connected(&broker);
    let names =
        ["", "/", "a", "//a", "/a/", "/a b", "/a\"b", "/ü", "/a/../b", "/.", "/a,b", "/a:b"];
    for name in names {
        let reply = client.publish(name, 1);
        refused(&reply, "405::channel_invalid");
        assert_eq!(reply["channel"], name, "echoed all the same");
    }
    for channel in [json!(7), json!(["/a"]), json!({}), json!(true)] {
        let mut message = client.message("/a", json!({"data": 1}));
        message["channel"] = channel;
        let reply = only(client.send(&json!([message])));
        refused(&reply, "405::channel_invalid");
        assert_eq!(reply["id"], message["id"]);
    }
    for body in [r#"[{"id":"9","data":1}]"#, r#"[{"id":"9","channel":null,"data":1}]"#] {
        let reply = only(client.post(body).messages());
        assert_eq!(reply, json!({"id": "9", "successful": false, "error": "400::channel_missing"}));
    }
    refused(&only(client.post("{}").messages()), "400::channel_missing");
}

#[test]
fn g1_g4_a_service_without_a_handler_is_told_at_once_and_reaches_nobody() {
    let broker = Broker::start();
    let mut listener = Client::connected(&broker);
    ok(&listener.subscribe(json!(["/service/foo", "/service/**", "/**"])));
    let mut client = Client::connected(&broker);
    let reply = client.publish("/service/foo", 1);
    refused(&reply, "404:/service/foo:service_unknown");
    assert_eq!(reply["id"], client.last_id.to_string(), "G4: the call is found by its id");
    refused(&client.publish("/service", 1), "404:/service:service_unknown");
    assert_eq!(data(listener.peek()), Vec::<Value>::new());
}

#[test]
fn e27_unknown_meta_channels_are_refused_and_reach_nobody() {
    let broker = Broker::start();
    let mut client = Client::subscribed(&broker, "/**");
    for name in ["/meta/foo", "/meta", "/meta/connect/x", "/meta/Handshake"] {
        refused(&client.publish(name, 1), &format!("404:{name}:channel_unknown"));
    }
    assert_eq!(data(client.peek()), Vec::<Value>::new());
}

#[test]
fn c9_f9_events_carry_channel_data_and_ext_and_nothing_else_of_the_publishers() {
    let broker = Broker::start();
    let mut client = Client::subscribed(&broker, "/a");
    let rest = r#""id":"p1","advice":{"reconnect":"none"},"successful":false,"error":"x",
        "subscription":"/z","timestamp":"now","connectionType":"x","evil":1"#;
    let fields = format!(r#"{rest},"data":{{"d":1}}"#);
    assert_eq!(event_of(&mut client, &fields), r#"{"channel":"/a","data":{"d":1}}"#);
    let fields = format!(r#"{rest},"data":1,"ext":{{"com.example":[1,{{"ack":2}}]}}"#);
    let expected = r#"{"channel":"/a","data":1,"ext":{"com.example":[1,{"ack":2}]}}"#;
    assert_eq!(event_of(&mut client, &fields), expected);
}

#[test]
fn c21_c9_members_of_ext_that_are_the_brokers_own_never_go_on() {
    let broker = Broker::start();
    let mut client = Client::subscribed(&broker, "/a");
    let ours = r#""weft":{"gap":[]},"replay":{"id":1},"ack":3,"timesync":{"tc":1},"\u0061ck":4"#;
    let fields = format!(r#""data":1,"ext":{{{ours}}}"#);
    assert_eq!(event_of(&mut client, &fields), r#"{"channel":"/a","data":1}"#);
    let fields = format!(r#""data":1,"ext":{{"z":1e2,{ours},"y":"\u00fc"}}"#);
    let expected = r#"{"channel":"/a","data":1,"ext":{"z":1e2,"y":"\u00fc"}}"#;
    assert_eq!(event_of(&mut client, &fields), expected);
    for odd in ["1", "null", r#"["x"]"#, r#""x""#] {
        let fields = format!(r#""data":1,"ext":{odd}"#);
        assert_eq!(event_of(&mut client, &fields), r#"{"channel":"/a","data":1}"#);
    }
}

#[test]
fn l16_data_arrives_byte_for_byte() {
    let broker = Broker::start();
    let mut client = Client::subscribed(&broker, "/a");
    let values = [
        "1",
        "-0",
        "1.0",
        "1e2",
        "1E-7",
        "1e400",
        "0.1000",
        "9007199254740993",
        "12345678901234567890123456789",
        "-123456789012345678901",
        "true",
        "false",
        r#""""#,
        r#""\u00fc ü \ud83d\ude00 😀 \ud800 \/ \u0000 \u2028""#,
        "\"\u{2028}</script><!--\"",
        r#"{"b":1,"a":2,"b":3}"#,
        r#"{"z":{},"a":[]}"#,
        "[[1],[[2]],[]]",
        r#"{ "a" :	[ 1 ,2 ] }"#,
        r#"{"data":{"channel":"/meta/connect","advice":1}}"#,
        r#"{"__proto__":1}"#,
    ];
    for value in values {
        let event = event_of(&mut client, &format!(r#""data":{value}"#));
        assert_eq!(event, format!(r#"{{"channel":"/a","data":{value}}}"#));
    }
}

#[test]
fn l16_line_ends_between_tokens_are_dropped() {
    let broker = Broker::start();
    let mut client = Client::subscribed(&broker, "/a");
    let event = event_of(&mut client, "\"data\":\r\n{\r\n \"a\":\r[1,\n2],\n\"b\":\"\\r\\n\"}");
    assert_eq!(event, r#"{"channel":"/a","data":{ "a":[1,2],"b":"\r\n"}}"#);
}

#[test]
fn l17_a_publisher_gets_its_own_event() {
    let broker = Broker::start();
    let mut client = Client::subscribed(&broker, "/a");
    let mut held = client.held_connect();
    ok(&client.publish("/a", 1));
    assert_eq!(data(held.answer()), [json!(1)]);
}

#[test]
fn a12_a13_c8_l13_without_a_session_every_message_is_answered_402() {
    let broker = Broker::start();
    let mut listener = Client::subscribed(&broker, "/a");
    let handshake = json!({"reconnect": "handshake", "interval": 0, "timeout": 30_000});
    for id in [Value::Null, json!("unknown"), json!(17)] {
        let messages = [
            json!({"channel": "/meta/subscribe", "subscription": ["/x"]}),
            json!({"channel": "/meta/unsubscribe", "subscription": "/x"}),
            json!({"channel": "/meta/disconnect"}),
            json!({"channel": "/a", "data": 1}),
            json!({"channel": "/meta/connect"}),
        ];
        for mut message in messages {
            message["id"] = json!("q");
            if !id.is_null() {
                message["clientId"] = id.clone();
            }
            let reply = only(Client::new(&broker).send(&json!([message])));
            refused(&reply, "402::session_unknown");
            assert_eq!(reply["channel"], message["channel"]);
            assert_eq!(reply["id"], "q");
            assert_eq!(reply.get("subscription"), message.get("subscription"));
            assert_eq!(reply["advice"], handshake, "the id does not exist at all");
            assert!(reply.get("clientId").is_none(), "C8");
        }
    }
    assert_eq!(data(listener.peek()), Vec::<Value>::new());
}

#[test]
fn c2_one_failing_message_stops_no_other_and_replies_keep_the_order() {
    let broker = Broker::start();
    let mut client = Client::subscribed(&broker, "/a");
    let batch = [
        client.message("/a", json!({"data": 1})),
        client.message("/a/", json!({"data": 2})),
        client.message("/a", json!({})),
        client.message("/a", json!({"data": 3})),
    ];
    let replies = client.send(&json!(batch));
    let ids: Vec<&Value> = replies.iter().map(|reply| &reply["id"]).collect();
    assert_eq!(ids, batch.iter().map(|message| &message["id"]).collect::<Vec<_>>());
    ok(&replies[0]);
    refused(&replies[1], "405::channel_invalid");
    refused(&replies[2], "400::data_missing");
    ok(&replies[3]);
    assert_eq!(data(client.peek()), [json!(1), json!(3)]);
}

#[test]
fn e18_after_a_disconnect_in_a_batch_the_rest_is_402() {
    let broker = Broker::start();
    let mut listener = Client::subscribed(&broker, "/a");
    let mut client = Client::connected(&broker);
    let batch = [
        client.message("/a", json!({"data": 1})),
        client.message("/meta/disconnect", json!({})),
        client.message("/a", json!({"data": 2})),
        client.message("/meta/disconnect", json!({})),
    ];
    let replies = client.send(&json!(batch));
    ok(&replies[0]);
    ok(&replies[1]);
    refused(&replies[2], "402::session_unknown");
    refused(&replies[3], "402::session_unknown");
    assert_eq!(data(listener.peek()), [json!(1)]);
}

#[test]
fn l15_another_client_id_in_the_same_request_is_a_stranger() {
    let broker = Broker::start();
    let mut owner = Client::subscribed(&broker, "/a");
    let mut other = Client::connected(&broker);
    let mine = other.message("/a", json!({"data": 1}));
    let theirs = owner.message("/a", json!({"data": 2}));
    let replies = other.send(&json!([mine, theirs]));
    ok(&replies[0]);
    refused(&replies[1], "402::session_unknown");
    assert_eq!(data(owner.peek()), [json!(1)]);
}

#[test]
fn b2_c12_c13_every_error_keeps_to_the_grammar() {
    let broker = Broker::start();
    let mut client = Client::connected(&broker);
    let nasty = ["/a:b", "/a\"b", "/ü", "/meta/x", "/meta/a.b", "/service/x", "/a,b", "/**", "\n"];
    let mut errors = Vec::new();
    for name in nasty {
        errors.push(client.publish(name, 1));
        errors.push(client.subscribe(name));
        errors.push(client.subscribe(json!(["/meta/a", name])));
        errors.push(only(client.connect_with(json!({"clientId": name}))));
        errors.push(client.ask("/a", json!({"id": {"a": name}})));
    }
    let failed: Vec<&Value> = errors.iter().filter(|reply| reply["successful"] != true).collect();
    assert!(failed.len() > 30);
    for reply in failed {
        assert!(fits_grammar(reply["error"].as_str().unwrap()), "{reply}");
    }
}

#[test]
fn c3_a_bare_object_is_accepted_and_answered_with_an_array() {
    let broker = Broker::start();
    let mut client = Client::subscribed(&broker, "/a");
    let message = client.message("/a", json!({"data": 1}));
    ok(&only(client.send(&message)));
    let (events, reply) = events_and_reply(client.peek());
    ok(&reply);
    assert_eq!(events, [json!({"channel": "/a", "data": 1})]);
}
