//! What holds for every input, over inputs made at random.

#[path = "../fuzz/checks.rs"]
mod checks;

use proptest::prelude::*;
use serde_json::value::RawValue;
use weft_protocol::{Body, DecodeLimits, Error, Request, publisher_ext};

/// White space between tokens, line ends included.
fn space() -> impl Strategy<Value = &'static str> {
    prop_oneof![6 => Just(""), 1 => Just(" "), 1 => Just("\t"), 1 => Just("\r\n"), 1 => Just("\n")]
}

fn scalar() -> impl Strategy<Value = String> {
    prop_oneof![
        prop_oneof![Just("null"), Just("true"), Just("false"), Just(r#""\ud800""#)]
            .prop_map(str::to_owned),
        "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,20})?([eE][-+]?[0-9]{1,3})?",
        any::<String>().prop_map(|text| serde_json::to_string(&text).expect("text")),
        "\"[<>/a-z\u{2028}\u{2029}]{0,8}\"",
    ]
}

/// Any JSON text, in any spelling.
fn json() -> impl Strategy<Value = String> {
    scalar().prop_recursive(6, 40, 5, |inner| {
        let element =
            (space(), inner, space()).prop_map(|(a, text, b)| format!("{a}{text}{b}")).boxed();
        let member =
            ("\"[a-z\\\\/]?\"", space(), element.clone()).prop_map(|(name, space, value)| {
                format!("{}{space}:{value}", name.replace('\\', r"\\"))
            });
        prop_oneof![
            prop::collection::vec(element, 0..5).prop_map(|all| format!("[{}]", all.join(","))),
            prop::collection::vec(member, 0..5).prop_map(|all| format!("{{{}}}", all.join(","))),
        ]
    })
}

/// The names of members: ours in several spellings, and others.
fn member_name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        r#""ack""#,
        r#""\u0061ck""#,
        r#""weft""#,
        r#""w\u0065ft""#,
        r#""replay""#,
        r#""timesync""#,
        r#""token""#,
        r#""\u0074oken""#,
        r#""a""#,
        r#""Ack""#,
        r#""""#,
        r#""\ud800""#,
    ])
}

fn object() -> impl Strategy<Value = String> {
    let member = (space(), member_name(), space(), json())
        .prop_map(|(before, name, after, value)| format!("{before}{name}{after}:{value}"));
    prop::collection::vec(member, 0..6).prop_map(|all| format!("{{{}}}", all.join(",")))
}

/// Something like a message: known fields with any value in them.
fn message() -> impl Strategy<Value = String> {
    let fields = vec![
        "channel",
        "id",
        "clientId",
        "subscription",
        "data",
        "ext",
        "advice",
        "supportedConnectionTypes",
        "x",
    ];
    let channels = vec!["/meta/connect", "/meta/handshake", "/meta/subscribe", "/a", "/service/a"];
    let member = (prop::sample::select(fields), json())
        .prop_map(|(name, value)| format!(",\"{name}\":{value}"));
    let rest = prop::collection::vec(member, 0..5);
    (prop::sample::select(channels), rest)
        .prop_map(|(channel, rest)| format!("{{\"channel\":\"{channel}\"{}}}", rest.concat()))
}

/// Few letters, so that names and patterns meet.
fn channel() -> impl Strategy<Value = String> {
    "(/[ab]){1,4}(/\\*{1,2})?|(/(a|b|meta|\\.|\\*|)){0,5}|[/a*. é]{0,8}"
}

fn error() -> impl Strategy<Value = Error> {
    prop_oneof![
        prop::collection::vec(any::<String>(), 0..4).prop_map(Error::SubscribeDenied),
        any::<String>().prop_map(Error::PublishDenied),
        any::<String>().prop_map(Error::ChannelUnknown),
        any::<String>().prop_map(Error::ServiceUnknown),
        prop::sample::select(vec![
            Error::ChannelMissing,
            Error::ChannelInvalid,
            Error::MessageIdInvalid,
            Error::DataMissing,
            Error::SessionUnknown,
            Error::SubscriptionMissing,
            Error::SubscriptionInvalid,
            Error::ConnectionTypes,
            Error::TooManySubscriptions,
            Error::RateLimited,
            Error::Overloaded,
            Error::Draining,
            Error::StoreUnavailable,
        ]),
    ]
}

fn is_error_text(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || "-_!~()$@ /*.".contains(c))
}

proptest! {
    #[test]
    fn l16_data_leaves_as_it_came_byte_for_byte(data in json()) {
        let text = format!(r#"[{{"channel":"/a","data":{data}}}]"#);
        let body = Body::post(text.as_bytes()).unwrap();
        let messages = body.messages(&DecodeLimits::default()).unwrap();
        let Ok(Request::Publish { data: found, .. }) = &messages[0].request else {
            panic!("{messages:?}");
        };
        prop_assert_eq!(found, &data.trim().replace(['\r', '\n'], ""));
        checks::body(text.as_bytes());
    }

    #[test]
    fn l10_no_bytes_panic(bytes in any::<Vec<u8>>()) {
        checks::body(&bytes);
        checks::form(&bytes);
        checks::channel(&bytes);
        checks::callback(&bytes);
        checks::publication(&bytes);
        checks::cursor(&bytes);
    }

    #[test]
    fn l10_no_text_panics(text in "[\\[\\]{}:,\"\\\\ a-e0-9=&%+/*.\n-]{0,60}") {
        checks::body(text.as_bytes());
        checks::form(text.as_bytes());
        checks::channel(text.as_bytes());
        checks::callback(text.as_bytes());
    }

    #[test]
    fn l10_every_message_is_answered(messages in prop::collection::vec(message(), 1..5)) {
        checks::body(format!("[{}]", messages.join(",")).as_bytes());
    }

    #[test]
    fn i4_a_form_means_what_its_json_means(message in message()) {
        checks::form(message.as_bytes());
    }

    #[test]
    fn b4_b5_names_and_patterns_follow_the_grammar(first in channel(), second in channel()) {
        checks::channel(format!("{first}\n{second}").as_bytes());
    }

    #[test]
    fn c12_every_error_fits_the_grammar(error in error()) {
        let text = error.to_string();
        let parts: Vec<&str> = text.split(':').collect();
        prop_assert_eq!(parts.len(), 3, "{}", text);
        prop_assert!(parts[0].len() == 3 && parts[0].bytes().all(|byte| byte.is_ascii_digit()));
        prop_assert!(parts[1].split(',').all(is_error_text), "{}", text);
        prop_assert!(!parts[2].is_empty() && is_error_text(parts[2]), "{}", text);
    }

    #[test]
    fn r30_a_script_holds_the_same_json_and_nothing_that_ends_it(
        name in "[a-zA-Z_$.0-9]{1,12}",
        json in json(),
    ) {
        checks::callback(format!("{name}\n{json}").as_bytes());
    }

    #[test]
    fn c9_nothing_of_ours_is_left_in_a_publishers_ext(ext in object()) {
        let raw: &RawValue = serde_json::from_str(&ext).unwrap();
        let Some(left) = publisher_ext(raw, Some("token")) else { return Ok(()) };
        prop_assert!(!left.contains(['\r', '\n']));
        let again: &RawValue = serde_json::from_str(&left).unwrap();
        prop_assert_eq!(publisher_ext(again, Some("token")), Some(left.clone()));
        // A lone surrogate is the one name a map cannot hold; it is none of ours.
        if let Ok(map) = serde_json::from_str::<serde_json::Map<_, _>>(&left.replace(r"\ud800", "")) {
            for ours in ["weft", "replay", "ack", "timesync", "token"] {
                prop_assert!(!map.contains_key(ours), "{}", left);
            }
        }
    }
}
