use super::*;
use crate::{Body, ClientAdvice, ConnectionType};

/// Reads one message and shows it to `look`.
fn with(text: &str, look: impl FnOnce(&Message<'_>)) {
    let body = Body::post(text.as_bytes()).unwrap();
    let messages = body.messages(&DecodeLimits::default()).unwrap();
    assert_eq!(messages.len(), 1);
    look(&messages[0]);
}

fn refuses(text: &str, error: &Error) {
    with(text, |message| assert_eq!(message.request.as_ref(), Err(error), "{text}"));
}

fn patterns(subscription: &str, expected: Result<&[&str], &Error>) {
    for (channel, subscribes) in [("/meta/subscribe", true), ("/meta/unsubscribe", false)] {
        let text = format!(r#"{{"channel":"{channel}","subscription":{subscription}}}"#);
        with(&text, |message| {
            let found = match message.request.clone() {
                Ok(Request::Subscribe { patterns }) if subscribes => Ok(patterns),
                Ok(Request::Unsubscribe { patterns }) if !subscribes => Ok(patterns),
                Ok(other) => panic!("{other:?}"),
                Err(error) => Err(error),
            };
            let expected = expected.map(|names| names.iter().map(|name| (*name).into()).collect());
            assert_eq!(found.as_ref(), expected.as_ref().map_err(|error| *error), "{text}");
        });
    }
}

fn event(channel: &str, expected: Result<&Request<'_>, &Error>) {
    let text = format!(r#"{{"channel":"{channel}","data":1}}"#);
    with(&text, |message| assert_eq!(message.request.as_ref(), expected, "{text}"));
}

#[test]
fn c1_a_message_without_a_channel_is_answered_as_such() {
    refuses("{}", &Error::ChannelMissing);
    refuses(r#"{"channel":null}"#, &Error::ChannelMissing);
    for odd in ["17", "{}", "[]", "true", r#"["/a"]"#, r#""\ud800""#] {
        refuses(&format!(r#"{{"channel":{odd},"data":1}}"#), &Error::ChannelInvalid);
    }
}

#[test]
fn c1_the_channel_is_echoed_only_if_it_is_a_string() {
    let check = |channel: &str, echo: Option<&str>| {
        with(&format!(r#"{{"channel":{channel}}}"#), |message| {
            assert_eq!(message.channel.map(RawValue::get), echo);
        });
    };
    check(r#""\/meta/connect""#, Some(r#""\/meta/connect""#));
    check(r#""not a name""#, Some(r#""not a name""#));
    check("17", None);
    check("null", None);
}

#[test]
fn l3_an_id_is_a_string_or_a_number_and_echoed_as_sent() {
    for id in ["17", "1.50", "-0", "1e400", r#""17""#, r#""a b\u00fc""#, r#""""#] {
        with(&format!(r#"{{"channel":"/a","data":1,"id":{id}}}"#), |message| {
            assert_eq!(message.id.map(RawValue::get), Some(id));
            assert!(message.request.is_ok());
        });
    }
    with(r#"{"channel":"/a","data":1,"id":null}"#, |message| {
        assert!(message.id.is_none() && message.request.is_ok());
    });
}

#[test]
fn l3_any_other_id_is_refused_and_not_echoed() {
    for id in ["{}", "[1]", "true", "false"] {
        with(&format!(r#"{{"channel":"/meta/connect","id":{id}}}"#), |message| {
            assert!(message.id.is_none());
            assert!(message.channel.is_some());
            assert_eq!(message.request, Err(Error::MessageIdInvalid));
        });
    }
    refuses(r#"{"id":{}}"#, &Error::ChannelMissing);
}

#[test]
fn l4_an_id_too_long_to_echo_is_refused() {
    let check = |length: usize, accepted: bool| {
        let id = "7".repeat(length - 2);
        with(&format!(r#"{{"channel":"/a","data":1,"id":"{id}"}}"#), |message| {
            assert_eq!(message.id.is_some(), accepted);
            assert_eq!(message.request.is_ok(), accepted);
        });
    };
    check(1_024, true);
    check(1_025, false);
}

#[test]
fn e2_a_handshake_offers_its_types_and_nothing_else_counts() {
    let text = r#"{"channel":"/meta/handshake","version":7,"clientId":"x","data":1,
        "supportedConnectionTypes":["websocket"]}"#;
    with(text, |message| match &message.request {
        Ok(Request::Handshake { offered }) => assert!(offered.is_listed()),
        other => panic!("{other:?}"),
    });
    with(r#"{"channel":"/meta/handshake"}"#, |message| match &message.request {
        Ok(Request::Handshake { offered }) => assert!(!offered.is_listed()),
        other => panic!("{other:?}"),
    });
}

#[test]
fn l2_a_connect_may_name_its_type_and_no_name_is_a_fault() {
    let check = |rest: &str, by: Option<ConnectionType>| {
        let text = format!(r#"{{"channel":"/meta/connect"{rest}}}"#);
        with(&text, |message| {
            assert_eq!(message.request, Ok(Request::Connect { advice: None, by }), "{text}");
        });
    };
    check(r#","connectionType":"eventsource""#, Some(ConnectionType::EventSource));
    check(r#","connectionType":"carrier-pigeon""#, None);
    check(r#","connectionType":7"#, None);
}

#[test]
fn d6_a_connect_carries_advice_if_it_is_an_object() {
    let check = |rest: &str, expected: Option<ClientAdvice>| {
        let text = format!(r#"{{"channel":"/meta/connect"{rest}}}"#);
        with(&text, |message| {
            assert_eq!(
                message.request,
                Ok(Request::Connect { advice: expected, by: None }),
                "{text}"
            );
        });
    };
    let zero = ClientAdvice { timeout_ms: Some(0), interval_ms: None };
    check("", None);
    check(r#","advice":null"#, None);
    check(r#","advice":"x""#, None);
    check(r#","advice":{}"#, Some(ClientAdvice::default()));
    check(r#","advice":{"timeout":0}"#, Some(zero));
    check(r#","connectionType":{},"advice":{"timeout":0}"#, Some(zero));
}

#[test]
fn c16_a_subscription_is_a_name_or_an_array_of_names() {
    patterns(r#""/a""#, Ok(&["/a"]));
    patterns(r#""\/a\/**""#, Ok(&["/a/**"]));
    patterns(r#"["/a","/b/*"]"#, Ok(&["/a", "/b/*"]));
    patterns(
        r#"["/meta/connect","/service/x","/**"]"#,
        Ok(&["/meta/connect", "/service/x", "/**"]),
    );
    patterns(r#"["/b","/a","/b","\/a"]"#, Ok(&["/b", "/a"]));
}

#[test]
fn l6_one_bad_name_refuses_the_whole_array() {
    for bad in ["[]", "17", "{}", "true", "\"\"", "\"/\"", "\"a\"", "\"/a/\"", "\"/a/**/b\""] {
        patterns(bad, Err(&Error::SubscriptionInvalid));
    }
    for bad in [r#"["/a",1]"#, r#"["/a",null]"#, r#"["/a","b"]"#, r#"[["/a"]]"#, r#"["/a","/ "]"#] {
        patterns(bad, Err(&Error::SubscriptionInvalid));
    }
    patterns("null", Err(&Error::SubscriptionMissing));
    refuses(r#"{"channel":"/meta/subscribe"}"#, &Error::SubscriptionMissing);
}

#[test]
fn l4_an_array_of_very_many_names_is_read_in_good_time() {
    let names: Vec<String> = (0..100_000).map(|n| format!("\"/a{}\"", n % 50_000)).collect();
    let text = format!(r#"{{"channel":"/meta/subscribe","subscription":[{}]}}"#, names.join(","));
    with(&text, |message| match &message.request {
        Ok(Request::Subscribe { patterns }) => assert_eq!(patterns.len(), 50_000),
        other => panic!("{other:?}"),
    });
}

#[test]
fn c16_the_subscription_is_echoed_as_sent_on_subscribe_and_unsubscribe_only() {
    let check = |channel: &str, subscription: &str, echo: bool| {
        let text = format!(r#"{{"channel":"{channel}","subscription":{subscription}}}"#);
        with(&text, |message| {
            assert_eq!(message.subscription.map(RawValue::get), echo.then_some(subscription));
        });
    };
    check("/meta/subscribe", r#"["/a", "/a"]"#, true);
    check("/meta/unsubscribe", r#""\/a""#, true);
    check("/meta/subscribe", "17", true);
    check("/meta/subscribe", "null", false);
    check("/meta/connect", r#""/a""#, false);
    check("/a", r#""/a""#, false);
}

#[test]
fn f3_a_publish_is_any_ordinary_name_with_data() {
    let publish = |channel| Request::Publish { channel: Cow::Borrowed(channel), data: "1".into() };
    event("/a", Ok(&publish("/a")));
    event(r"\/a\u002fb", Ok(&publish("/a/b")));
    event("/metal", Ok(&publish("/metal")));
    event("/a/meta/connect", Ok(&publish("/a/meta/connect")));
    for bad in ["", "/", "a", "/a/", "/a b", "/ü", "/a/..", "//a"] {
        event(bad, Err(&Error::ChannelInvalid));
    }
}

#[test]
fn l9_a_publish_to_a_wildcard_is_refused() {
    for wild in ["/*", "/**", "/a/*", "/a/**", "/meta/*", "/meta/**", "/service/*"] {
        event(wild, Err(&Error::ChannelInvalid));
    }
}

#[test]
fn e27_unknown_meta_channels_are_never_a_publish() {
    for name in ["/meta", "/meta/foo", "/meta/connect/x", "/meta/Handshake", "/meta/unsubscribe.x"]
    {
        event(name, Err(&Error::ChannelUnknown(name.into())));
    }
    event("/meta/", Err(&Error::ChannelInvalid));
    event("/meta/ü", Err(&Error::ChannelInvalid));
}

#[test]
fn b8_service_channels_are_calls() {
    let service = |channel| Request::Service { channel: Cow::Borrowed(channel), data: "1".into() };
    event("/service/x", Ok(&service("/service/x")));
    event("/service", Ok(&service("/service")));
}

#[test]
fn c17_a_publish_without_data_is_refused_and_null_is_data() {
    refuses(r#"{"channel":"/a"}"#, &Error::DataMissing);
    refuses(r#"{"channel":"/service/a"}"#, &Error::DataMissing);
    with(r#"{"channel":"/a","data":null}"#, |message| match &message.request {
        Ok(Request::Publish { data, .. }) => assert_eq!(data, "null"),
        other => panic!("{other:?}"),
    });
}

#[test]
fn l16_data_without_line_ends_is_borrowed() {
    let check = |data: &str, borrowed: bool| {
        with(&format!(r#"{{"channel":"/a","data":{data}}}"#), |message| match &message.request {
            Ok(Request::Publish { data, channel }) => {
                assert!(matches!(channel, Cow::Borrowed(_)));
                assert_eq!(matches!(data, Cow::Borrowed(_)), borrowed);
            }
            other => panic!("{other:?}"),
        });
    };
    check(r#"{"x":"a\nb"}"#, true);
    check("{\"x\":\r\n1}", false);
}

#[test]
fn l10_a_wrong_type_in_one_field_spoils_that_field_only() {
    let text = r#"{"channel":"/a","data":1,"clientId":17,"ext":[],"advice":3,"subscription":{}}"#;
    with(text, |message| {
        assert!(message.client_id.is_none() && message.ext.is_none());
        assert!(message.request.is_ok());
    });
    with(r#"{"channel":"/meta/disconnect","clientId":"a\u0062","ext":{"ack":1}}"#, |message| {
        assert_eq!(message.client_id.as_deref(), Some("ab"));
        assert_eq!(message.ext.map(RawValue::get), Some(r#"{"ack":1}"#));
        assert_eq!(message.request, Ok(Request::Disconnect));
    });
}

#[test]
fn l10_a_faulty_message_leaves_its_neighbours_alone() {
    let text = r#"[{"channel":"/a/"},{"channel":"/a","data":1},{"id":[]}]"#;
    let body = Body::post(text.as_bytes()).unwrap();
    let messages = body.messages(&DecodeLimits::default()).unwrap();
    let good: Vec<bool> = messages.iter().map(|message| message.request.is_ok()).collect();
    assert_eq!(good, [false, true, false]);
}
