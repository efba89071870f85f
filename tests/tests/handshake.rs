//! Handshakes (Bayeux 1.0 §4.1; checklist 1.E, decisions 3.5 and 3.11).

use std::collections::HashSet;

use serde_json::{Value, json};
use weft_tests::bayeux::{Client, ok, only, refused};
use weft_tests::broker::Broker;

/// Posts one handshake with these fields besides the channel.
fn handshake(client: &mut Client<'_>, fields: &Value) -> Value {
    let mut message = json!({"channel": "/meta/handshake"});
    message.as_object_mut().expect("an object").extend(fields.as_object().expect("fields").clone());
    only(client.send(&json!([message])))
}

#[test]
fn e5_e6_c4_c5_c14_d5_i6_a_success_names_session_versions_types_and_advice() {
    let broker = Broker::with("[sessions]\ntimeout = \"7s\"\ninterval = \"250ms\"\n");
    let mut client = Client::new(&broker);
    let reply = client.handshake();
    ok(&reply);
    assert_eq!(reply["channel"], "/meta/handshake");
    assert_eq!(reply["id"], "1");
    assert_eq!(reply["version"], "1.0");
    assert_eq!(reply["minimumVersion"], "1.0");
    let advice = json!({"reconnect": "retry", "interval": 250, "timeout": 7000});
    assert_eq!(reply["advice"], advice);
    let known = [
        "channel",
        "id",
        "successful",
        "version",
        "minimumVersion",
        "supportedConnectionTypes",
        "clientId",
        "advice",
    ];
    for field in reply.as_object().unwrap().keys() {
        assert!(known.contains(&field.as_str()), "{field}");
    }
}

#[test]
fn c6_e6_the_reply_lists_the_brokers_types_whatever_the_client_has() {
    let broker = Broker::start();
    let reply = Client::new(&broker).handshake();
    let types = json!([
        "websocket",
        "long-polling",
        "cross-origin-long-polling",
        "callback-polling",
        "eventsource"
    ]);
    let listed = reply["supportedConnectionTypes"].as_array().unwrap();
    for wanted in types.as_array().unwrap() {
        assert!(listed.contains(wanted), "{wanted} in {listed:?}");
    }
}

#[test]
fn c6_r32_callback_polling_can_be_switched_off() {
    let broker = Broker::with("[bayeux]\ncallback_polling = false\n");
    let mut client = Client::new(&broker);
    let reply = client.handshake();
    assert!(!reply["supportedConnectionTypes"].to_string().contains("callback"), "{reply}");
    let message = client.message("/meta/connect", json!({}));
    let response = client.exchange(&client.script("cb", &[message]));
    assert_eq!(response.status, 405);
    assert!(!response.header("Allow").unwrap().contains("GET"));
}

#[test]
fn b10_b11_b12_client_ids_are_long_alphanumeric_and_unique() {
    let broker = Broker::start();
    let mut client = Client::new(&broker);
    let mut ids = HashSet::new();
    for _ in 0..1_000 {
        let id = client.handshake()["clientId"].as_str().unwrap().to_owned();
        assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}");
        let digits_only = id.bytes().all(|byte| byte.is_ascii_hexdigit());
        assert!(id.len() >= if digits_only { 32 } else { 22 }, "{id} is too short for 128 bits");
        assert!(ids.insert(id));
    }
    broker.wait_sessions(1_000);
}

#[test]
fn e4_whatever_comes_with_a_handshake_is_ignored() {
    let broker = Broker::start();
    let mut listener = Client::subscribed(&broker, "/a");
    let mut client = Client::handshaken(&broker);
    let sessions = broker.metric("weft_sessions");
    for at in 0..3 {
        let handshake = json!({"channel": "/meta/handshake", "id": "hs", "version": "1.0"});
        let mut batch = vec![
            client.message("/meta/subscribe", json!({"subscription": "/b"})),
            client.message("/a", json!({"data": "ignored"})),
        ];
        batch.insert(at, handshake);
        let reply = only(client.send(&Value::Array(batch)));
        ok(&reply);
        assert_eq!(reply["id"], "hs");
    }
    assert_eq!(broker.metric("weft_subscriptions"), 1.0);
    assert_eq!(broker.metric("weft_sessions"), sessions + 3.0);
    assert_eq!(listener.peek().len(), 1, "nothing was published");
}

#[test]
fn e4_two_handshakes_in_one_request_make_one_session() {
    let broker = Broker::start();
    let handshake = json!({"channel": "/meta/handshake", "version": "1.0"});
    ok(&only(Client::new(&broker).send(&json!([handshake, handshake]))));
    assert_eq!(broker.metric("weft_sessions"), 1.0);
}

#[test]
fn e7_e8_no_type_in_common_fails_for_good_and_makes_no_session() {
    let broker = Broker::start();
    for types in [json!(["carrier-pigeon"]), json!([]), json!(["LONG-POLLING", 7, null])] {
        let mut client = Client::new(&broker);
        let reply = client.handshake_with(json!({"supportedConnectionTypes": types}));
        refused(&reply, "301::connection_types_not_supported");
        assert_eq!(reply["advice"]["reconnect"], "none");
        assert_eq!(reply["channel"], "/meta/handshake");
        assert_eq!(reply["id"], "1");
        assert_eq!(reply["version"], "1.0");
        assert!(reply["supportedConnectionTypes"].is_array());
        assert!(reply.get("clientId").is_none(), "{reply}");
        assert!(client.cookie.is_none(), "no cookie without a session");
    }
    assert_eq!(broker.metric("weft_sessions"), 0.0);
}

#[test]
fn e7_one_type_in_common_is_enough() {
    let broker = Broker::start();
    for name in ["long-polling", "cross-origin-long-polling", "callback-polling"] {
        let types = json!(["carrier-pigeon", name]);
        ok(&Client::new(&broker).handshake_with(json!({"supportedConnectionTypes": types})));
    }
}

#[test]
fn l1_b9_e2_missing_or_odd_versions_and_missing_types_are_accepted() {
    let broker = Broker::start();
    let mut client = Client::new(&broker);
    let oddities = [
        json!({}),
        json!({"version": "1.0"}),
        json!({"version": "2.0"}),
        json!({"version": "x y"}),
        json!({"version": 1}),
        json!({"version": null, "supportedConnectionTypes": null}),
        json!({"version": "1.0", "minimumVersion": "9.0"}),
        json!({"version": "1.0beta", "minimumVersion": "0.9"}),
    ];
    for fields in oddities {
        let reply = handshake(&mut client, &fields);
        ok(&reply);
        assert_eq!(reply["version"], "1.0", "{fields}");
    }
}

#[test]
fn c21_c22_what_the_client_should_not_send_is_neither_obeyed_nor_echoed() {
    let broker = Broker::start();
    let fields = json!({
        "clientId": "chosenByTheClient", "advice": {"timeout": 1, "interval": 9},
        "ext": {"com.example.x": {"a": 1}}, "connectionId": "x",
        "json-comment-filtered": true, "whatever": [1],
    });
    let reply = Client::new(&broker).handshake_with(fields);
    ok(&reply);
    assert_ne!(reply["clientId"], "chosenByTheClient");
    assert_eq!(reply["advice"]["interval"], 0);
    for absent in ["ext", "connectionId", "json-comment-filtered", "whatever"] {
        assert!(reply.get(absent).is_none(), "{absent}");
    }
}

#[test]
fn c19_l3_ids_come_back_as_they_were() {
    let broker = Broker::start();
    let mut client = Client::new(&broker);
    for id in ["\"a1\"", "17", "12345678901234567890", "\"\\u00fc\"", "1.50", "\"\""] {
        let body = format!(r#"[{{"channel":"/meta/handshake","id":{id}}}]"#);
        let response = client.post(body);
        ok(&only(response.messages()));
        assert!(response.text().contains(&format!(r#""id":{id},"#)), "{}", response.text());
    }
    for fields in [json!({}), json!({"id": null})] {
        let reply = handshake(&mut client, &fields);
        ok(&reply);
        assert!(reply.get("id").is_none());
    }
}

#[test]
fn l3_e8_an_id_of_another_type_is_refused_and_makes_no_session() {
    let broker = Broker::start();
    let mut client = Client::new(&broker);
    for id in [json!({"a": 1}), json!([1]), json!(true), json!("x".repeat(100_000))] {
        let reply = handshake(&mut client, &json!({"id": id}));
        refused(&reply, "405::message_id_invalid");
        assert!(reply.get("clientId").is_none());
        assert!(reply.get("id").is_none());
    }
    assert_eq!(broker.metric("weft_sessions"), 0.0);
    assert!(client.cookie.is_none());
}

#[test]
fn e4_l3_a_refused_handshake_stands_alone_as_well() {
    let broker = Broker::start();
    let mut client = Client::subscribed(&broker, "/a");
    let handshake = json!({"channel": "/meta/handshake", "id": {"odd": true}});
    let publish = client.message("/a", json!({"data": "ignored"}));
    let reply = only(client.send(&json!([handshake, publish])));
    refused(&reply, "405::message_id_invalid");
    assert_eq!(client.peek().len(), 1, "nothing was published");
}

#[test]
fn h1_the_cookie_is_set_once_and_guarded() {
    let broker = Broker::start();
    let mut client = Client::new(&broker);
    let body = json!([{"channel": "/meta/handshake"}]).to_string();
    let response = client.post(body.clone());
    let cookies = response.all("Set-Cookie");
    assert_eq!(cookies.len(), 1);
    let parts: Vec<&str> = cookies[0].split("; ").collect();
    assert!(parts[0].starts_with("BAYEUX_BROWSER="), "{cookies:?}");
    assert!(parts[0].len() >= "BAYEUX_BROWSER=".len() + 32);
    for attribute in ["Path=/", "HttpOnly", "SameSite=Lax"] {
        assert!(parts.contains(&attribute), "{attribute} in {cookies:?}");
    }
    assert!(!parts.contains(&"Secure"), "only when configured");
    assert!(client.post(body).header("Set-Cookie").is_none(), "the browser is known");
    ok(&client.handshake());
    let connect = client.message("/meta/connect", json!({}));
    assert!(client.post(connect.to_string()).header("Set-Cookie").is_none());
}

#[test]
fn h1_a_cookie_that_the_broker_did_not_sign_is_replaced() {
    let broker = Broker::start();
    let mut client = Client::handshaken(&broker);
    let genuine = client.cookie.clone().unwrap();
    let other_digit = if genuine.ends_with('0') { "1" } else { "0" };
    let forged = format!("{}{other_digit}", &genuine[..genuine.len() - 1]);
    for value in ["BAYEUX_BROWSER=chosen", "BAYEUX_BROWSER=", &forged, &genuine[..20]] {
        client.cookie = Some(value.to_owned());
        let response = client.post(json!([{"channel": "/meta/handshake"}]).to_string());
        let set = response.header("Set-Cookie").expect("a new cookie");
        assert!(!set.starts_with(&format!("{value};")), "{value} was adopted");
    }
}

#[test]
fn h1_the_cookies_name_and_attributes_are_configurable() {
    let toml = "[browsers]\ncookie = \"MINE\"\nsame_site = \"None\"\nsecure = true\n";
    let broker = Broker::with(toml);
    let mut client = Client::new(&broker);
    let response = client.post(json!([{"channel": "/meta/handshake"}]).to_string());
    let set = response.header("Set-Cookie").unwrap();
    assert!(set.starts_with("MINE="), "{set}");
    assert!(set.contains("; SameSite=None") && set.contains("; Secure"), "{set}");
    let mut thief = Client::connected(&broker);
    thief.cookie = client.cookie.clone();
    refused(&only(thief.connect()), "402::session_unknown");
}

#[test]
fn d11_e8_with_no_room_for_a_session_a_handshake_is_told_to_come_back_later() {
    let broker = Broker::with("[sessions]\nmax = 2\n");
    let first = Client::handshaken(&broker);
    let mut second = Client::handshaken(&broker);
    let mut third = Client::new(&broker);
    let reply = third.handshake();
    refused(&reply, "503::overloaded");
    assert_eq!(reply["advice"]["reconnect"], "handshake");
    assert!(reply["advice"]["interval"].as_u64().unwrap() >= 1_000, "{reply}");
    assert!(reply.get("clientId").is_none() && third.cookie.is_none());
    ok(&second.disconnect());
    ok(&third.handshake());
    drop(first);
}
