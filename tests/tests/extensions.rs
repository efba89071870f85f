//! Extensions that stock clients bring, and the shapes of a POST (checklist 1.A, 1.C, 1.I, X3, X6;
//! decisions 3.14, section 2).

use serde_json::{Value, json};
use weft_tests::bayeux::{Client, data, ok, only};
use weft_tests::broker::Broker;
use weft_tests::http::Request;
use weft_tests::jsonp::encode;

fn handshake() -> String {
    json!([{"channel": "/meta/handshake", "version": "1.0"}]).to_string()
}

/// Posts a form body with the client's cookie, under this content type (none if empty).
fn post_form(client: &mut Client<'_>, form: &str, content_type: &str) -> Vec<Value> {
    let request = client.request(form).header("Content-Type", content_type);
    client.exchange(&request).messages()
}

#[test]
fn i4_a_form_carries_messages_in_five_shapes() {
    let broker = Broker::start();
    let mut client = Client::subscribed(&broker, "/a");
    let shapes: [&[&[u64]]; 5] =
        [&[&[1]], &[&[1, 2]], &[&[1], &[2], &[3]], &[&[1, 2], &[3, 4]], &[&[1], &[2, 3], &[4]]];
    for (shape, values) in shapes.iter().enumerate() {
        let mut form = String::new();
        let mut sent = Vec::new();
        for value in *values {
            let mut messages: Vec<Value> =
                value.iter().map(|n| client.message("/a", json!({"data": n}))).collect();
            sent.extend(value.iter().map(|n| json!(n)));
            // One alone stands without an array, except where arrays are meant.
            let text = match (messages.len(), shape) {
                (1, 0 | 2 | 4) => messages.remove(0).to_string(),
                _ => Value::from(messages).to_string(),
            };
            form.push_str(if form.is_empty() { "message=" } else { "&message=" });
            form.push_str(&encode(&text));
        }
        let replies = post_form(&mut client, &form, "application/x-www-form-urlencoded");
        assert_eq!(replies.len(), sent.len());
        replies.iter().for_each(ok);
        assert_eq!(data(client.peek()), sent);
    }
}

#[test]
fn i4_a_form_is_known_by_its_first_bytes_whatever_its_content_type() {
    let broker = Broker::start();
    let form = format!("message={}&jsonp=x&other=%zz", encode(&handshake()));
    for kind in ["application/x-www-form-urlencoded", "text/plain", "application/json", ""] {
        ok(&only(post_form(&mut Client::new(&broker), &form, kind)));
    }
}

#[test]
fn i3_json_is_read_whatever_the_content_type() {
    let broker = Broker::start();
    let kinds = [
        "application/json",
        "application/json;charset=UTF-8",
        "text/json",
        "text/plain;charset=UTF-8",
        "application/x-www-form-urlencoded",
        "application/octet-stream",
        "nonsense",
        "",
    ];
    for kind in kinds {
        let request = Request::post("/bayeux", handshake()).header("Content-Type", kind);
        ok(&only(broker.exchange(&request).messages()));
    }
}

#[test]
fn i4_a_connect_by_form_is_held_like_any_other() {
    let broker = Broker::start();
    let mut client = Client::subscribed(&broker, "/a");
    let connect = client.message("/meta/connect", json!({}));
    let mut connection = broker.connect();
    connection.start(&client.request(format!("message={}", encode(&connect.to_string()))));
    broker.wait_held(1);
    ok(&client.publish("/a", 1));
    assert_eq!(data(connection.read().unwrap().messages()), [json!(1)]);
}

#[test]
fn i5_r17_r31_every_answer_is_json_and_kept_by_no_cache() {
    let broker = Broker::start();
    let mut client = Client::connected(&broker);
    let connect = client.message("/meta/connect", json!({"advice": {"timeout": 100}}));
    let unknown = json!([{"channel": "/meta/connect", "clientId": "x"}]);
    for body in [handshake(), connect.to_string(), unknown.to_string()] {
        let response = client.post(body);
        assert_eq!(response.status, 200);
        let kind = response.header("Content-Type").unwrap();
        assert!(kind.starts_with("application/json"), "{kind}");
        assert_eq!(response.header("Cache-Control"), Some("no-cache, no-store"));
        assert_eq!(response.header("X-Content-Type-Options"), Some("nosniff"));
        assert!(response.header("Server").is_none(), "R20: no banner");
    }
    let others =
        [Request::post("/bayeux", "x"), Request::new("PUT", "/bayeux"), Request::get("/x")];
    for request in others {
        let response = broker.exchange(&request);
        assert!(response.status >= 400);
        assert_eq!(response.header("Cache-Control"), Some("no-cache, no-store"));
        assert_eq!(response.header("X-Content-Type-Options"), Some("nosniff"));
    }
}

#[test]
fn x6_any_path_at_or_below_a_mount_is_the_same_endpoint() {
    let broker = Broker::start();
    let mut client = Client::subscribed(&broker, "/a");
    let paths = [
        "/bayeux",
        "/bayeux/",
        "/bayeux/handshake",
        "/bayeux/connect",
        "/bayeux/x/y/z",
        "/bayeux/..%2f",
        "/bayeux;jsessionid=1",
        "/bayeux?x=1",
        "/cometd",
        "/cometd/connect",
        "/faye",
        "/faye/any?a=b&c",
    ];
    for (n, path) in paths.into_iter().enumerate() {
        client.path = path.to_owned();
        ok(&client.publish("/a", n));
        assert_eq!(data(client.peek()), [json!(n)], "{path}");
    }
}

#[test]
fn x6_paths_beside_the_mounts_are_not() {
    let broker = Broker::with("[bayeux]\nmounts = [\"/live\", \"/a/b\"]\n");
    for path in ["/bayeux", "/cometd", "/faye", "/livex", "/Live", "/a", "/", "//live"] {
        assert_eq!(broker.exchange(&Request::post(path, handshake())).status, 404, "{path}");
    }
    for path in ["/live", "/live/connect", "/a/b", "/a/b/c"] {
        ok(&only(broker.exchange(&Request::post(path, handshake())).messages()));
    }
}

#[test]
fn x3_timesync_is_answered_with_the_times_of_receipt_and_reply() {
    let broker = Broker::start();
    let mut client = Client::new(&broker);
    let ask = |l: i64| json!({"ext": {"timesync": {"tc": 1_000, "l": l, "o": 0}}});
    let reply = client.handshake_with(ask(0));
    ok(&reply);
    let answer = &reply["ext"]["timesync"];
    assert_eq!(answer["tc"], 1_000);
    let ts = answer["ts"].as_i64().unwrap();
    assert!(ts > 1_600_000_000_000, "milliseconds since 1970: {ts}");
    assert!(answer["p"].as_i64().unwrap() >= 0);
    assert_eq!(answer["a"].as_i64().unwrap(), 1_000 - ts, "tc + o + l - ts");

    let reply = only(client.connect_with(ask(7)));
    let answer = &reply["ext"]["timesync"];
    assert_eq!(answer["a"].as_i64().unwrap(), 1_007 - answer["ts"].as_i64().unwrap());

    let mut fields = json!({"ext": {"timesync": {"tc": 5}}});
    let reply = only(client.connect_with({
        fields["advice"] = json!({"timeout": 300});
        fields
    }));
    let answer = &reply["ext"]["timesync"];
    assert_eq!(answer["tc"], 5);
    assert!(answer["p"].as_i64().unwrap() >= 250, "held in between: {answer}");
    assert!(answer.get("a").is_none(), "no estimate was made");
}

#[test]
fn x3_a_good_estimate_needs_no_answer_and_odd_ones_get_none() {
    let broker = Broker::start();
    let mut client = Client::connected(&broker);
    let reply = only(client.connect_with(
        json!({"advice": {"timeout": 0}, "ext": {"timesync": {"tc": 1_000, "l": 0, "o": 0}}}),
    ));
    let ts = reply["ext"]["timesync"]["ts"].as_i64().unwrap();
    // A lag of 1 and an offset that makes up for it, however long this took: within 25 ms or not.
    let close = json!({"timesync": {"tc": ts, "l": 1, "o": 0}});
    let reply = only(client.connect_with(json!({"advice": {"timeout": 0}, "ext": close})));
    if let Some(error) = reply["ext"]["timesync"]["a"].as_i64() {
        assert!(error.abs() >= 25, "{reply}");
    }
    let oddities = [json!({}), json!({"tc": "1"}), json!([1]), json!(null), json!(7)];
    for odd in oddities {
        let ext = json!({"timesync": odd});
        let reply = only(client.connect_with(json!({"advice": {"timeout": 0}, "ext": ext})));
        ok(&reply);
        assert!(reply.get("ext").is_none(), "{reply}");
    }
}

#[test]
fn c21_x3_unknown_extensions_are_ignored_in_every_message() {
    let broker = Broker::start();
    let mut client = Client::new(&broker);
    let exts = [
        json!({"com.example": {"deep": [[1], {"x": null}]}}),
        json!({}),
        json!([]),
        json!("x"),
        json!(null),
        json!({"binary": true, "reload": {}, "activity": 1, "timestamp": "now"}),
    ];
    for ext in exts {
        let fields = |more: Value| {
            let mut fields = more;
            fields["ext"] = ext.clone();
            fields
        };
        let mut replies = vec![client.handshake_with(fields(json!({})))];
        replies.extend(client.connect_with(fields(json!({}))));
        replies.push(client.ask("/meta/subscribe", fields(json!({"subscription": "/s"}))));
        replies.push(client.ask("/meta/unsubscribe", fields(json!({"subscription": "/s"}))));
        replies.push(client.ask("/a", fields(json!({"data": 1}))));
        replies.push(client.ask("/meta/disconnect", fields(json!({}))));
        for reply in &replies {
            ok(reply);
            assert!(reply.get("ext").is_none(), "{reply}");
        }
    }
}

#[test]
fn x3_binary_data_passes_as_it_is() {
    let broker = Broker::start();
    let mut client = Client::subscribed(&broker, "/a");
    let data = json!({"data": "HelloWorld{}<>&", "last": true, "meta": {"type": "x/y"}});
    let fields = json!({"data": data, "ext": {"binary": {}}});
    ok(&client.ask("/a", fields));
    let event = client.peek().remove(0);
    assert_eq!(event, json!({"channel": "/a", "data": data, "ext": {"binary": {}}}));
}

#[test]
fn x3_reload_goes_on_with_the_old_session_from_a_new_page() {
    let broker = Broker::start();
    let mut client = Client::subscribed(&broker, "/a");
    let _page_that_is_gone = client.held_connect();
    // As the reload extension does: no handshake, timeout 0, the old id and cookie.
    let mut page = Client::new(&broker);
    page.cookie.clone_from(&client.cookie);
    page.client_id.clone_from(&client.client_id);
    let reply = only(page.connect_with(json!({"advice": {"timeout": 0}})));
    ok(&reply);
    assert!(reply["advice"].get("multiple-clients").is_none(), "{reply}");
    let mut held = page.held_connect();
    assert!(held.is_waiting());
    ok(&page.publish("/a", 1));
    assert_eq!(data(held.answer()), [json!(1)]);
}

#[test]
fn c22_deprecated_fields_are_never_emitted() {
    let broker = Broker::start();
    let mut client = Client::new(&broker);
    let fields = json!({"connectionId": "x", "ext": {"json-comment-filtered": true}});
    let reply = client.handshake_with(fields.clone());
    let connect = only(client.connect_with(fields));
    for reply in [reply, connect] {
        ok(&reply);
        let text = reply.to_string();
        assert!(!text.contains("connectionId") && !text.contains("comment"), "{text}");
    }
}

#[test]
fn k3_a_cross_site_get_with_the_victims_cookie_gets_nothing() {
    let broker = Broker::start();
    let mut victim = Client::subscribed(&broker, "/a");
    ok(&victim.publish("/a", "private"));
    let message = encode(&json!([{"channel": "/meta/connect"}]).to_string());
    let request = Request::get(&format!("/bayeux?jsonp=cb&message={message}"))
        .header("Cookie", victim.cookie.as_deref().unwrap());
    let response = broker.exchange(&request);
    assert!(response.text().contains("402::session_unknown"), "{}", response.text());
    assert!(!response.text().contains("private"));
}
