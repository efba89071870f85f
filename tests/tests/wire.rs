//! Whole answers, byte by byte: what typical exchanges look like on the wire. A change here is a
//! change of the wire, and stands in the changelog.

use serde_json::json;
use weft_tests::bayeux::Client;
use weft_tests::broker::Broker;
use weft_tests::held::Held;
use weft_tests::http::Response;

/// Replaces the session's clientId in `text`.
fn masked(text: &str, client: &Client<'_>) -> String {
    if client.client_id.is_empty() {
        return text.to_owned();
    }
    text.replace(&client.client_id, "CLIENT")
}

/// Posts `body`, in which `CLIENT` stands for the clientId, and compares the whole body of the
/// answer.
#[track_caller]
fn check(client: &mut Client<'_>, body: &str, answer: &str) {
    let body = body.replace("CLIENT", &client.client_id);
    let response = client.post(body);
    check_response(client, &response, answer);
}

#[track_caller]
fn check_response(client: &Client<'_>, response: &Response, answer: &str) {
    assert_eq!(response.status, 200);
    assert_eq!(masked(response.text(), client), answer);
}

fn hold(client: &Client<'_>, body: &str) -> Held {
    let mut connection = client.broker.connect();
    connection.start(&client.request(body.replace("CLIENT", &client.client_id)));
    client.broker.wait_held(1);
    Held(connection)
}

const CONNECT: &str =
    r#"[{"channel":"/meta/connect","clientId":"CLIENT","connectionType":"long-polling","id":"7"}]"#;

#[test]
fn e6_wire_of_a_handshake() {
    let broker = Broker::start();
    let mut client = Client::new(&broker);
    let response = client.post(
        r#"[{"channel":"/meta/handshake","version":"1.0","minimumVersion":"1.0","supportedConnectionTypes":["long-polling","callback-polling"],"advice":{"timeout":60000,"interval":0},"id":"1"}]"#,
    );
    client.client_id = response.messages()[0]["clientId"].as_str().unwrap().to_owned();
    check_response(
        &client,
        &response,
        r#"[{"channel":"/meta/handshake","id":"1","successful":true,"version":"1.0","minimumVersion":"1.0","supportedConnectionTypes":["websocket","long-polling","cross-origin-long-polling","callback-polling","eventsource"],"clientId":"CLIENT","advice":{"reconnect":"retry","interval":0,"timeout":30000}}]"#,
    );
}

#[test]
fn e8_wire_of_a_refused_handshake() {
    let broker = Broker::start();
    check(
        &mut Client::new(&broker),
        r#"{"channel":"/meta/handshake","supportedConnectionTypes":["iframe"],"id":3}"#,
        r#"[{"channel":"/meta/handshake","id":3,"successful":false,"error":"301::connection_types_not_supported","version":"1.0","minimumVersion":"1.0","supportedConnectionTypes":["websocket","long-polling","cross-origin-long-polling","callback-polling","eventsource"],"advice":{"reconnect":"none","interval":0,"timeout":30000}}]"#,
    );
}

#[test]
fn x4_wire_of_a_first_connect_as_cometd_js_sends_it() {
    let broker = Broker::start();
    check(
        &mut Client::handshaken(&broker),
        r#"[{"id":"2","channel":"/meta/connect","connectionType":"long-polling","advice":{"timeout":0},"clientId":"CLIENT"}]"#,
        r#"[{"channel":"/meta/connect","id":"2","successful":true,"advice":{"reconnect":"retry","interval":0,"timeout":30000}}]"#,
    );
}

#[test]
fn i1_wire_of_a_connect_that_timed_out() {
    let broker = Broker::with("[sessions]\ntimeout = \"100ms\"\n");
    check(
        &mut Client::connected(&broker),
        CONNECT,
        r#"[{"channel":"/meta/connect","id":"7","successful":true}]"#,
    );
}

#[test]
fn e14_wire_of_a_connect_with_events() {
    let broker = Broker::start();
    let mut client = Client::connected(&broker);
    client.subscribe("/stock/**");
    let mut held = hold(&client, CONNECT);
    client.post(
        r#"[{"channel":"/stock/a","clientId":"CLIENT","id":"8","data":{ "price": 1.10 }},{"channel":"/stock/b","clientId":"CLIENT","data":"ü","ext":{"x":[1]}}]"#
            .replace("CLIENT", &client.client_id),
    );
    check_response(
        &client,
        &held.response(),
        r#"[{"channel":"/stock/a","data":{ "price": 1.10 }},{"channel":"/stock/b","data":"ü","ext":{"x":[1]}},{"channel":"/meta/connect","id":"7","successful":true}]"#,
    );
}

#[test]
fn a11_wire_of_a_connect_without_a_session() {
    let broker = Broker::start();
    check(
        &mut Client::new(&broker),
        r#"[{"channel":"/meta/connect","clientId":"gone","connectionType":"long-polling","id":"7"}]"#,
        r#"[{"channel":"/meta/connect","id":"7","successful":false,"error":"402::session_unknown","advice":{"reconnect":"handshake","interval":0,"timeout":30000}}]"#,
    );
}

#[test]
fn e22_wire_of_subscribing() {
    let broker = Broker::start();
    let mut client = Client::connected(&broker);
    check(
        &mut client,
        r#"[{"channel":"/meta/subscribe","clientId":"CLIENT","subscription":"/a","id":"3"}]"#,
        r#"[{"channel":"/meta/subscribe","id":"3","successful":true,"subscription":"/a"}]"#,
    );
    check(
        &mut client,
        r#"[{"channel":"/meta/subscribe","clientId":"CLIENT","subscription":[ "/a/*","/b/**" ],"id":"4"}]"#,
        r#"[{"channel":"/meta/subscribe","id":"4","successful":true,"subscription":[ "/a/*","/b/**" ]}]"#,
    );
    check(
        &mut client,
        r#"[{"channel":"/meta/subscribe","clientId":"CLIENT","subscription":["/a","/meta/x","/meta/y/*"],"id":"5"}]"#,
        r#"[{"channel":"/meta/subscribe","id":"5","successful":false,"error":"403:/meta/x,/meta/y/*:subscribe_denied","subscription":["/a","/meta/x","/meta/y/*"]}]"#,
    );
    check(
        &mut client,
        r#"[{"channel":"/meta/unsubscribe","clientId":"CLIENT","subscription":"/a","id":"6"}]"#,
        r#"[{"channel":"/meta/unsubscribe","id":"6","successful":true,"subscription":"/a"}]"#,
    );
}

#[test]
fn f4_wire_of_publishing() {
    let broker = Broker::start();
    let mut client = Client::connected(&broker);
    check(
        &mut client,
        r#"[{"channel":"/a","clientId":"CLIENT","data":1,"id":"3"},{"channel":"/a/*","clientId":"CLIENT","data":1,"id":"4"},{"channel":"/service/a","clientId":"CLIENT","data":1,"id":"5"},{"channel":"/meta/a","clientId":"CLIENT","data":1,"id":"6"},{"channel":"/a","clientId":"CLIENT","id":"7"}]"#,
        r#"[{"channel":"/a","id":"3","successful":true},{"channel":"/a/*","id":"4","successful":false,"error":"405::channel_invalid"},{"channel":"/service/a","id":"5","successful":false,"error":"404:/service/a:service_unknown"},{"channel":"/meta/a","id":"6","successful":false,"error":"404:/meta/a:channel_unknown"},{"channel":"/a","id":"7","successful":false,"error":"400::data_missing"}]"#,
    );
}

#[test]
fn e11_e23_f1_wire_of_a_whole_batch() {
    let broker = Broker::start();
    check(
        &mut Client::connected(&broker),
        r#"[{"channel":"/meta/connect","clientId":"CLIENT","id":"a"},{"channel":"/meta/subscribe","clientId":"CLIENT","subscription":"/x","id":"b"},{"channel":"/x","clientId":"CLIENT","data":null,"id":"c"}]"#,
        r#"[{"channel":"/x","data":null},{"channel":"/meta/subscribe","id":"b","successful":true,"subscription":"/x"},{"channel":"/x","id":"c","successful":true},{"channel":"/meta/connect","id":"a","successful":true}]"#,
    );
}

#[test]
fn e18_wire_of_disconnecting() {
    let broker = Broker::start();
    let mut client = Client::connected(&broker);
    let mut held = hold(&client, CONNECT);
    let bye = r#"[{"channel":"/meta/disconnect","clientId":"CLIENT","id":"9"}]"#;
    check(&mut client, bye, r#"[{"channel":"/meta/disconnect","id":"9","successful":true}]"#);
    check_response(
        &client,
        &held.response(),
        r#"[{"channel":"/meta/connect","id":"7","successful":true,"advice":{"reconnect":"none","interval":0,"timeout":30000}}]"#,
    );
    check(
        &mut client,
        bye,
        r#"[{"channel":"/meta/disconnect","id":"9","successful":false,"error":"402::session_unknown","advice":{"reconnect":"handshake","interval":0,"timeout":30000}}]"#,
    );
}

#[test]
fn h2_wire_of_a_demoted_tab() {
    let broker = Broker::start();
    let client = Client::connected(&broker);
    let mut released = hold(&client, CONNECT);
    let mut tab = client.tab();
    let _held = tab.start_connect();
    check_response(
        &client,
        &released.response(),
        r#"[{"channel":"/meta/connect","id":"7","successful":true,"advice":{"reconnect":"retry","interval":2000,"timeout":30000,"multiple-clients":true}}]"#,
    );
}

#[test]
fn l5_wire_of_a_superseded_connect() {
    let broker = Broker::start();
    let mut client = Client::connected(&broker);
    let mut older = hold(&client, CONNECT);
    let _newer = client.start_connect();
    check_response(
        &client,
        &older.response(),
        r#"[{"channel":"/meta/connect","id":"7","successful":true}]"#,
    );
}

#[test]
fn j3_wire_of_callback_polling() {
    let broker = Broker::start();
    let client = Client::new(&broker);
    let message = json!([{"channel": "/<", "id": "</script>\u{2028}"}]);
    let response = broker.exchange(&client.script("$.cb", &[message]));
    check_response(
        &client,
        &response,
        r#"/**/$.cb([{"channel":"/\u003c","id":"\u003c/script>\u2028","successful":false,"error":"405::channel_invalid"}]);"#,
    );
}

#[test]
fn r17_r20_wire_of_the_headers() {
    let broker = Broker::start();
    let mut client = Client::handshaken(&broker);
    let response = client.post(CONNECT.replace("CLIENT", &client.client_id));
    let mut names: Vec<String> =
        response.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    names.sort();
    let expected =
        ["cache-control", "content-length", "content-type", "date", "x-content-type-options"];
    assert_eq!(names, expected);
    assert_eq!(response.version, "HTTP/1.1");
    assert_eq!(response.header("Content-Type"), Some("application/json"));
    let head: usize =
        response.headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
    assert!(head < 250, "{head} bytes of headers in every answer");
}

#[test]
fn c19_the_types_of_ids_survive_in_every_reply() {
    let broker = Broker::start();
    let mut client = Client::connected(&broker);
    let messages = [
        ("/meta/subscribe", json!({"subscription": "/a"})),
        ("/meta/unsubscribe", json!({"subscription": "/a"})),
        ("/a", json!({"data": 1})),
        ("/service/x", json!({"data": 1})),
        ("/meta/connect", json!({"advice": {"timeout": 0}})),
    ];
    for (channel, fields) in messages {
        for id in [json!(17), json!("17"), json!(0.5)] {
            let mut fields = fields.clone();
            fields["id"] = id.clone();
            assert_eq!(client.ask(channel, fields)["id"], id, "{channel}");
        }
    }
}
