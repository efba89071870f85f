//! Subscriptions and what they match (checklist 1.B, 1.E, 1.G, 1.L; decisions 3.9, 3.10).

use serde_json::{Value, json};
use weft_tests::bayeux::{Client, data, ok, only, refused};
use weft_tests::broker::Broker;

/// Subscribes a fresh session to `pattern`, publishes to each name and returns those that came.
fn received(broker: &Broker, pattern: &str, names: &[&str]) -> Vec<String> {
    let mut client = Client::handshaken(broker);
    ok(&client.subscribe(pattern));
    for name in names {
        ok(&client.publish(name, *name));
    }
    let names = data(client.peek());
    ok(&client.disconnect());
    names.iter().map(|name| name.as_str().expect("a name").to_owned()).collect()
}

#[test]
fn e22_c16_the_reply_echoes_the_subscription_and_nothing_more() {
    let broker = Broker::start();
    let mut client = Client::connected(&broker);
    for subscription in [json!("/a"), json!(["/b", "/c/*"]), json!(["/b", "/b"])] {
        let expected = json!({"channel": "/meta/subscribe", "id": (client.last_id + 1).to_string(),
            "successful": true, "subscription": subscription});
        assert_eq!(client.subscribe(subscription.clone()), expected);
        let expected = json!({"channel": "/meta/unsubscribe",
            "id": (client.last_id + 1).to_string(), "successful": true,
            "subscription": subscription});
        assert_eq!(client.unsubscribe(subscription), expected);
    }
    assert_eq!(broker.metric("weft_subscriptions"), 0.0);
}

#[test]
fn b1_b4_b5_l6_names_that_are_none_are_refused() {
    let broker = Broker::start();
    let mut client = Client::connected(&broker);
    let names = [
        "", "/", "//", "//a", "/a/", "/a//b", "a", "a/b", "/a b", "/a%20b", "/a+b", "/ü", "/a?b",
        "/a:b", "/a\"b", "/a,b", "/a\u{0}b", "/a*", "/*a", "/a/*/b", "/a/**/b", "/**/a", "/***",
        "/a/***", "*", "**", "/.", "/..", "/a/./b", "/a/..", "/../a", "/.*",
    ];
    for name in names {
        let reply = client.subscribe(name);
        refused(&reply, "403::subscription_invalid");
        assert_eq!(reply["subscription"], name);
        refused(&client.subscribe(json!(["/good", name])), "403::subscription_invalid");
        refused(&client.unsubscribe(name), "403::subscription_invalid");
    }
    assert_eq!(broker.metric("weft_subscriptions"), 0.0);
}

#[test]
fn c16_l6_subscriptions_that_are_missing_or_of_another_type_are_refused() {
    let broker = Broker::start();
    let mut client = Client::connected(&broker);
    for channel in ["/meta/subscribe", "/meta/unsubscribe"] {
        refused(&client.ask(channel, json!({})), "403::subscription_missing");
        let body = format!(
            r#"{{"channel":"{channel}","clientId":"{}","subscription":null}}"#,
            client.client_id
        );
        refused(&only(client.post(body).messages()), "403::subscription_missing");
        let oddities = [
            json!([]),
            json!(1),
            json!(true),
            json!({"0": "/a"}),
            json!(["/a", 1]),
            json!(["/a", null]),
            json!(["/a", ["/b"]]),
        ];
        for odd in oddities {
            let reply = client.ask(channel, json!({"subscription": odd}));
            refused(&reply, "403::subscription_invalid");
            assert_eq!(reply["subscription"], odd, "echoed all the same");
        }
    }
}

#[test]
fn b1_b4_b5_b8_names_of_the_grammar_and_dots_are_accepted() {
    let broker = Broker::start();
    let mut client = Client::connected(&broker);
    let long = format!("/{}", "a".repeat(254));
    let deep = "/a".repeat(32);
    let names = [
        "/a",
        "/A/0",
        "/-_!~()$@",
        "/a.b",
        "/...",
        "/.a",
        "/a./b",
        "/*",
        "/**",
        "/a/*",
        "/a/**",
        "/metal",
        "/services/x",
        &long,
        &deep,
    ];
    for name in names {
        ok(&client.subscribe(name));
    }
    assert_eq!(broker.metric("weft_subscriptions"), names.len() as f64);
}

#[test]
fn l4_names_that_are_too_long_or_too_deep_are_refused() {
    let broker = Broker::start();
    let mut client = Client::connected(&broker);
    let long = format!("/{}", "a".repeat(255));
    let deep = "/a".repeat(33);
    for name in [&long, &deep] {
        refused(&client.subscribe(name.as_str()), "403::subscription_invalid");
        refused(&client.publish(name, 1), "405::channel_invalid");
    }
    let broker = Broker::with("[limits]\nchannel_bytes = 32\nchannel_segments = 2\n");
    let mut client = Client::connected(&broker);
    refused(&client.subscribe("/a/b/c"), "403::subscription_invalid");
    refused(&client.subscribe(format!("/{}", "a".repeat(32))), "403::subscription_invalid");
    ok(&client.subscribe("/a/b"));
}

#[test]
fn b6_one_star_matches_exactly_one_more_segment() {
    let broker = Broker::start();
    let names = ["/foo", "/foobar", "/foo/bar", "/foo/bar/boo", "/other/bar", "/foo/b.z"];
    assert_eq!(received(&broker, "/foo/*", &names), ["/foo/bar", "/foo/b.z"]);
    assert_eq!(received(&broker, "/*", &names), ["/foo", "/foobar"]);
}

#[test]
fn b7_two_stars_match_one_or_more_segments() {
    let broker = Broker::start();
    let names = ["/foo", "/foobar", "/foo/bar", "/foo/bar/boo", "/other/bar"];
    assert_eq!(received(&broker, "/foo/**", &names), ["/foo/bar", "/foo/bar/boo"]);
    assert_eq!(received(&broker, "/foo/bar/**", &names), ["/foo/bar/boo"]);
    assert_eq!(received(&broker, "/**", &names), names);
}

#[test]
fn b4_names_are_compared_exactly() {
    let broker = Broker::start();
    assert_eq!(received(&broker, "/Foo", &["/foo", "/Foo", "/FOO", "/Foo/x"]), ["/Foo"]);
}

#[test]
fn l8_f10_overlapping_subscriptions_give_one_copy() {
    let broker = Broker::start();
    let mut client = Client::connected(&broker);
    ok(&client.subscribe(json!(["/a/b", "/a/*", "/a/**", "/**", "/a/b"])));
    ok(&client.subscribe("/a/b"));
    assert_eq!(broker.metric("weft_subscriptions"), 4.0);
    ok(&client.publish("/a/b", 1));
    assert_eq!(data(client.peek()), [json!(1)]);
    ok(&client.unsubscribe(json!(["/a/b", "/a/*"])));
    ok(&client.publish("/a/b", 2));
    assert_eq!(data(client.peek()), [json!(2)], "the others still match");
}

#[test]
fn l6_an_array_with_one_refused_name_changes_nothing_and_all_refused_are_named() {
    let broker = Broker::start();
    let mut client = Client::connected(&broker);
    let reply = client.subscribe(json!(["/a", "/meta/connect", "/b", "/meta/**"]));
    refused(&reply, "403:/meta/connect,/meta/**:subscribe_denied");
    refused(&client.subscribe(json!(["/a", "/b/"])), "403::subscription_invalid");
    ok(&client.publish("/a", 1));
    ok(&client.publish("/b", 1));
    assert_eq!(client.peek().len(), 1);
    assert_eq!(broker.metric("weft_subscriptions"), 0.0);
}

#[test]
fn l7_e24_an_unsubscribe_that_cannot_be_obeyed_as_a_whole_changes_nothing() {
    let broker = Broker::start();
    let mut client = Client::subscribed(&broker, "/a");
    refused(&client.unsubscribe(json!(["/a", "/b/"])), "403::subscription_invalid");
    assert_eq!(broker.metric("weft_subscriptions"), 1.0);
}

#[test]
fn l7_e24_unsubscribing_from_what_was_never_subscribed_succeeds() {
    let broker = Broker::start();
    let mut client = Client::subscribed(&broker, "/a");
    for name in
        [json!("/never"), json!("/a"), json!("/a"), json!(["/a", "/b/**"]), json!("/service/x")]
    {
        ok(&client.unsubscribe(name));
    }
    assert_eq!(broker.metric("weft_subscriptions"), 0.0);
}

#[test]
fn e25_nothing_accepted_after_an_unsubscribe_is_delivered() {
    let broker = Broker::start();
    let mut client = Client::subscribed(&broker, "/a");
    let publish = |client: &mut Client<'_>, n: u64| client.message("/a", json!({"data": n}));
    let batch = [
        publish(&mut client, 1),
        client.message("/meta/unsubscribe", json!({"subscription": "/a"})),
        publish(&mut client, 2),
        client.message("/meta/subscribe", json!({"subscription": "/a"})),
        publish(&mut client, 3),
    ];
    client.send(&json!(batch)).iter().for_each(ok);
    let came = data(client.peek());
    assert!(!came.contains(&json!(2)), "{came:?}");
    assert!(came.contains(&json!(3)), "{came:?}");
}

#[test]
fn e26_b8_meta_channels_cannot_be_subscribed_to() {
    let broker = Broker::start();
    let mut client = Client::connected(&broker);
    for name in ["/meta", "/meta/*", "/meta/**", "/meta/connect", "/meta/x/y"] {
        refused(&client.subscribe(name), &format!("403:{name}:subscribe_denied"));
    }
}

#[test]
fn e27_e26_a_subscription_to_everything_sees_no_meta_traffic() {
    let broker = Broker::start();
    let mut listener = Client::connected(&broker);
    ok(&listener
        .subscribe(json!(["/**", "/*", "/*/x"].map(|n| n.replace("/*/x", "/x/**")).to_vec())));
    let mut other = Client::subscribed(&broker, "/a");
    other.publish("/meta/foo", 1);
    other.publish("/meta", 1);
    other.unsubscribe("/a");
    other.peek();
    other.disconnect();
    assert_eq!(data(listener.peek()), Vec::<Value>::new());
}

#[test]
fn g1_g3_service_subscriptions_succeed_and_are_not_recorded() {
    let broker = Broker::start();
    let mut client = Client::connected(&broker);
    for name in ["/service/x", "/service/*", "/service/**", "/service"] {
        ok(&client.subscribe(name));
    }
    assert_eq!(broker.metric("weft_subscriptions"), 0.0);
    ok(&client.subscribe("/**"));
    let mut other = Client::connected(&broker);
    other.publish("/service/x", "secret");
    client.publish("/service/x", "own");
    assert_eq!(data(client.peek()), Vec::<Value>::new());
}

#[test]
fn e22_a_subscription_made_before_the_first_connect_counts() {
    let broker = Broker::start();
    let mut client = Client::handshaken(&broker);
    ok(&client.subscribe("/a"));
    ok(&client.publish("/a", 1));
    assert_eq!(data(client.connect()), [json!(1)], "already queued, so the first connect has it");
}

#[test]
fn e17_subscriptions_go_with_their_session() {
    let broker = Broker::start();
    let mut client = Client::connected(&broker);
    let names: Vec<String> = (0..500).map(|n| format!("/many/{n}")).collect();
    ok(&client.subscribe(json!(names)));
    assert_eq!(broker.metric("weft_subscriptions"), 500.0);
    ok(&client.disconnect());
    assert_eq!(broker.metric("weft_subscriptions"), 0.0);
    ok(&Client::connected(&broker).publish("/many/1", 1));
}
