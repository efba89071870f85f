use super::*;
use crate::Request;

const GOOD: &str = r#"{"channel":"/a","data":1}"#;

/// The data of every publish in the body.
fn read(body: &[u8], limits: &DecodeLimits) -> Result<Vec<String>, BodyError> {
    let body = Body::post(body)?;
    let data = |message: &Message<'_>| match &message.request {
        Ok(Request::Publish { data, .. }) => data.to_string(),
        other => format!("{other:?}"),
    };
    Ok(body.messages(limits)?.iter().map(data).collect())
}

fn accepts(body: &str, data: &[&str]) {
    assert_eq!(read(body.as_bytes(), &DecodeLimits::default()).unwrap(), data, "{body}");
}

fn refuses(body: &[u8], expected: BodyError) {
    let found = read(body, &DecodeLimits::default());
    assert_eq!(found, Err(expected), "{}", String::from_utf8_lossy(body));
}

fn refuses_syntax(body: &[u8]) {
    let found = read(body, &DecodeLimits::default());
    let text = String::from_utf8_lossy(body);
    assert!(matches!(found, Err(BodyError::NotJson { .. })), "{text}: {found:?}");
}

#[test]
fn c3_an_array_and_a_bare_object_are_both_accepted() {
    accepts(GOOD, &["1"]);
    accepts(&format!(" [ {GOOD} ,\n{GOOD} ]\t"), &["1", "1"]);
}

#[test]
fn i4_a_form_has_five_shapes() {
    let message = |data| format!("%7B%22channel%22:%22/a%22,%22data%22:{data}%7D");
    let (one, two, three) = (message("1"), message("%222+3%22"), message("3"));
    accepts(&format!("message={one}"), &["1"]);
    accepts(&format!("message=[{one},{two}]"), &["1", "\"2 3\""]);
    accepts(&format!("message={one}&message={three}"), &["1", "3"]);
    accepts(&format!("message=[{one},{two}]&message=[{three}]"), &["1", "\"2 3\"", "3"]);
    accepts(&format!("message={one}&x=y&message=[{two},{three}]"), &["1", "\"2 3\"", "3"]);
}

#[test]
fn l10_trailing_data_and_a_bom_are_refused() {
    refuses_syntax(format!("{GOOD}{GOOD}").as_bytes());
    refuses_syntax(format!("[{GOOD}]]").as_bytes());
    refuses_syntax(format!("[{GOOD}] x").as_bytes());
    refuses_syntax(format!("[{GOOD},]").as_bytes());
    refuses_syntax(format!("\u{feff}[{GOOD}]").as_bytes());
    refuses_syntax(format!("[{GOOD}]\0").as_bytes());
    refuses_syntax(format!("/**/[{GOOD}]").as_bytes());
}

#[test]
fn l10_what_is_no_message_spoils_the_whole_unit() {
    for body in ["1", "null", "\"x\"", "true", "[1]", "[null]", "[[]]", "[[{}]]", "[\"x\"]"] {
        refuses(body.as_bytes(), BodyError::NotMessages);
    }
    refuses(format!("[{GOOD},5]").as_bytes(), BodyError::NotMessages);
    refuses(format!("[[{GOOD}]]").as_bytes(), BodyError::NotMessages);
}

#[test]
fn l10_a_body_without_messages_is_refused() {
    for body in ["", " \r\n", "[]", "[ ]", "message=", "message=[]", "message=&message=[]"] {
        refuses(body.as_bytes(), BodyError::Empty);
    }
    assert_eq!(Body::values(Vec::new()).unwrap_err(), BodyError::Empty);
}

#[test]
fn l10_bytes_that_are_no_utf8_are_refused() {
    refuses(b"[{\"channel\":\"/a\",\"data\":\"\xff\"}]", BodyError::NotUtf8);
    refuses(b"message=%7B%22data%22:%22%ff%22%7D", BodyError::NotUtf8);
}

#[test]
fn l10_a_repeated_known_field_is_refused() {
    refuses(br#"{"channel":"/a","channel":"/a"}"#, BodyError::RepeatedField);
    refuses(br#"{"channel":"/a","\u0063hannel":"/b"}"#, BodyError::RepeatedField);
    refuses(br#"{"channel":null,"channel":"/b"}"#, BodyError::RepeatedField);
    for field in ["id", "clientId", "subscription", "data", "ext", "advice", "version"] {
        refuses(format!("[{{\"{field}\":1,\"{field}\":1}}]").as_bytes(), BodyError::RepeatedField);
    }
    for field in ["supportedConnectionTypes", "connectionType", "minimumVersion"] {
        refuses(format!("[{{\"{field}\":1,\"{field}\":1}}]").as_bytes(), BodyError::RepeatedField);
    }
}

#[test]
fn c21_unknown_fields_are_ignored() {
    accepts(r#"{"x":1,"x":2,"__proto__":{},"\ud800":[],"channel":"/a","data":1}"#, &["1"]);
}

#[test]
fn l16_what_is_no_json_is_refused_wherever_it_stands() {
    for data in
        ["01", "1.", ".5", "-", "+1", "NaN", "Infinity", "1e", "0x1", "'a'", "{a:1}", "[1,]"]
    {
        refuses_syntax(format!(r#"{{"channel":"/a","data":{data}}}"#).as_bytes());
        refuses_syntax(format!(r#"{{"channel":"/a","data":1,"x":{data}}}"#).as_bytes());
    }
    for data in ["\"\n\"", "\"\r\"", "\"\u{1}\"", "\"\0\"", r#""\x""#, r#""\u12""#, "\"a", "tru"] {
        refuses_syntax(format!(r#"{{"channel":"/a","data":{data}}}"#).as_bytes());
    }
}

#[test]
fn l16_data_is_passed_as_it_was_sent() {
    for data in ["12345678901234567890123", "1e400", "-0", "1.50", r#"{"b":1,"a":1,"b":2}"#] {
        accepts(&format!(r#"{{"channel":"/a","data":{data}}}"#), &[data]);
    }
    for data in [r#""\u00e9\/\ud800""#, "\"\u{2028}\"", "null", "[ 1 , 2 ]", r#""\n""#] {
        accepts(&format!(r#"{{"channel":"/a","data": {data} }}"#), &[data]);
    }
    accepts("{\"channel\":\"/a\",\"data\":[1,\r\n\t2]}", &["[1,\t2]"]);
}

#[test]
fn l4_depth_is_bounded_in_and_out_of_data() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let data = |depth| format!(r#"[{{"channel":"/a","data":{}}}]"#, nested(depth));
    accepts(&data(62), &[&nested(62)]);
    refuses(data(63).as_bytes(), BodyError::TooDeep);
    refuses(format!(r#"[{{"x":{}}}]"#, nested(63)).as_bytes(), BodyError::TooDeep);
    refuses(nested(200_000).as_bytes(), BodyError::TooDeep);
    refuses("{\"a\":".repeat(200_000).as_bytes(), BodyError::TooDeep);
    refuses(format!("message={}", nested(200_000)).as_bytes(), BodyError::TooDeep);
}

#[test]
fn l4_a_depth_limit_beyond_any_parsers_own_still_holds() {
    let limits = DecodeLimits { depth: 300_000, ..DecodeLimits::default() };
    let nested = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let body = format!(r#"[{{"channel":"/a","data":{nested},"x":{nested},"id":{nested}}}]"#);
    assert!(read(body.as_bytes(), &limits).is_ok());
}

#[test]
fn l4_messages_are_counted_over_the_whole_request() {
    let limits = DecodeLimits { messages: 3, ..DecodeLimits::default() };
    let many = |count| format!("[{}]", vec![GOOD; count].join(","));
    assert_eq!(read(many(3).as_bytes(), &limits).unwrap().len(), 3);
    assert_eq!(read(many(4).as_bytes(), &limits), Err(BodyError::TooMany));
    let form = |first, second| format!("message={}&message={}", many(first), many(second));
    assert_eq!(read(form(1, 2).as_bytes(), &limits).unwrap().len(), 3);
    assert_eq!(read(form(2, 2).as_bytes(), &limits), Err(BodyError::TooMany));
    // Counted while parsing: what follows the one too many is not looked at.
    let cut = format!("[{GOOD},{GOOD},{GOOD},{{broken");
    assert_eq!(read(cut.as_bytes(), &limits), Err(BodyError::TooMany));
}

#[test]
fn l10_a_refusal_has_a_status_and_a_text_that_quotes_nothing() {
    let check = |error: BodyError, status, text| {
        assert_eq!(error.status(), status);
        assert_eq!(error.to_string(), text);
    };
    check(BodyError::NotUtf8, 400, "not UTF-8");
    check(BodyError::NotJson { line: 1, column: 7 }, 400, "not JSON at line 1 column 7");
    check(BodyError::NotMessages, 400, "not a message or an array of messages");
    check(BodyError::RepeatedField, 400, "a field stands twice in one message");
    check(BodyError::Empty, 400, "no message");
    check(BodyError::TooDeep, 400, "nested too deep");
    check(BodyError::TooMany, 413, "too many messages in one request");
}
