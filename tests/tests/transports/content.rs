//! What messages carry: nothing is too odd, and nothing that fits is too large.

use serde_json::json;
use weft_tests::broker::Broker;
use weft_tests::http::Request;
use weft_tests::transports::{NEW, Transport};

use crate::supply::publish_text;

/// The limit of a request's body.
const BODY_MAX: usize = 1 << 20;

/// JSON that parsers, scripts and lines stumble over.
fn odd() -> Vec<String> {
    let mut all: Vec<String> = [
        r#""""#,
        "null",
        "false",
        "0",
        "-0",
        "-0.0e-0",
        "1e400",
        "1E+2",
        "123456789012345678901234567890",
        "0.1000",
        "[]",
        "{}",
        r#"{"":""}"#,
        r#"{"a":1,"a":2}"#,
        r#"{"channel":"/meta/connect","successful":true,"clientId":"x"}"#,
        r#"[ 1 ,	{ "a" : [ ] } ]"#,
        r#""\u0000\u001f\"\\\/\b\f\n\r\t""#,
        r#""\ud83d\ude00 \u2028""#,
        "\"\u{1f600} \u{e9} e\u{301} \u{202e}rtl \u{feff} \u{ffff} \u{7f} \u{85}\"",
        "\"\u{2028}\u{2029}\"",
        r#""</script><script>alert(1)</script><!--""#,
        r#"");alert(1);//""#,
        r#""data: x\n\nevent: gap\ndata: y""#,
        r#"":comment""#,
    ]
    .map(str::to_owned)
    .into();
    // The message itself is one level more.
    all.push("[".repeat(60) + &"]".repeat(60));
    all
}

pub(crate) fn l16_odd_data_comes_as_it_was_published(on: Transport) {
    let broker = Broker::start();
    let mut subscriber = on.subscriber(&broker, &["/a"], NEW);
    let mut expected = Vec::new();
    for json in odd() {
        publish_text(&broker, "/a", &json);
        expected.push(on.spell(&json));
    }
    // Raw ends of lines between tokens are the one thing that goes.
    publish_text(&broker, "/a", "[1,\r\n2,\n\n \"\\n\"\r]");
    expected.push("[1,2, \"\\n\"]".to_owned());
    let events = subscriber.take(expected.len());
    let came: Vec<&str> = events.iter().map(|event| event.data.as_str()).collect();
    assert_eq!(came, expected);
}

pub(crate) fn p5_what_fits_the_limit_of_a_body_comes_whole(on: Transport) {
    let broker = Broker::start();
    let mut subscriber = on.subscriber(&broker, &["/big"], NEW);
    let text = |n: usize, length: usize| {
        let mut text = format!("\"{n} \u{e9}\u{1f600}");
        text.push_str(&"<".repeat(length - text.len() - 1));
        text + "\""
    };
    for n in 0..6 {
        let length = if n % 2 == 0 { BODY_MAX } else { 1_000 };
        publish_text(&broker, "/big", &text(n, length));
    }
    let too_much = broker.exchange(&Request::post("/publish/big", text(9, BODY_MAX + 1)));
    assert_eq!(too_much.status, 413);
    for (n, event) in subscriber.take(6).iter().enumerate() {
        let length = if n % 2 == 0 { BODY_MAX } else { 1_000 };
        // Not by assert_eq: nobody wants to see a megabyte.
        assert!(event.data == on.spell(&text(n, length)), "{n}: {} bytes came", event.data.len());
    }
    assert!(subscriber.is_silent());
}

pub(crate) fn f9_x3_the_publishers_ext_comes_along(on: Transport) {
    let broker = Broker::start();
    let mut subscriber = on.subscriber(&broker, &["/a"], NEW);
    let ext = json!({"com.acme": {"x": [1, null]}, "replay": {"id": 1}, "weft": {"gap": []}});
    let message = json!([{"channel": "/a", "data": 1, "ext": ext, "id": "once"}]);
    assert_eq!(broker.exchange(&Request::post("/publish", message.to_string())).status, 200);
    let event = subscriber.take(1).remove(0);
    assert_eq!(event.ext["com.acme"], json!({"x": [1, null]}));
    assert!(event.ext.get("weft").is_none(), "nobody tells gaps in our name: {event:?}");
    assert_ne!(event.position, Some(1), "nor positions");
}
