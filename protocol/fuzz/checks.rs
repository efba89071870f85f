// What each fuzz target asserts: shared with `tests/corpus.rs` and `tests/properties.rs`, so that
// plain `cargo test` runs the same over the saved corpus.

use serde_json::Value;
use serde_json::value::RawValue;
use weft_protocol::{
    Array, Body, BodyError, CURSOR_BYTES_MAX, CallbackName, ChannelLimits, ChannelName, Cursor,
    DecodeLimits, KEY_BYTES_MAX, Message, Pattern, Publication, Reply, ReplyExt, Request, Start,
    callback_query, event, publish_array, publish_data, publish_line, publisher_ext, timesync,
    wrap,
};

/// Invariant: no body panics. An accepted one has messages within the limit; every reply and event
/// made of it is valid JSON; `data` leaves the event as it entered, but for CR and LF.
pub(crate) fn body(bytes: &[u8]) {
    let limits = DecodeLimits::default();
    let Ok(body) = Body::post(bytes) else { return };
    let messages = match body.messages(&limits) {
        Ok(messages) => messages,
        Err(error) => return assert!(matches!(error.status(), 400 | 413)),
    };
    assert!((1..=limits.messages).contains(&messages.len()));
    let mut answer = Array::with_capacity(bytes.len());
    for message in &messages {
        answer.push(&reply(message));
        if let Some(event) = published(message, &limits) {
            answer.push_text(&event);
        }
    }
    let length = answer.len();
    let answer = answer.finish();
    assert_eq!(answer.len(), length);
    let elements: Vec<&RawValue> = serde_json::from_str(&answer).expect("answers are JSON");
    assert!(elements.len() >= messages.len());
}

/// The plainest answer to a message.
pub(crate) fn reply<'a>(message: &'a Message<'_>) -> Reply<'a> {
    let request = message.ext.and_then(timesync);
    Reply {
        channel: message.channel,
        id: message.id,
        subscription: message.subscription,
        client_id: message.client_id.as_deref(),
        outcome: message.request.as_ref().map(|_| ()).map_err(Clone::clone),
        advice: None,
        ext: ReplyExt {
            timesync: request.and_then(|r| r.answer(1_000, 1_007)),
            ..ReplyExt::default()
        },
        handshake: None,
    }
}

/// The event a message becomes, checked against what was sent.
fn published(message: &Message<'_>, limits: &DecodeLimits) -> Option<String> {
    let request = message.request.as_ref().ok()?;
    let (Request::Publish { channel, data } | Request::Service { channel, data }) = request else {
        return None;
    };
    let name = ChannelName::parse(channel, &limits.channel).expect("names are checked");
    assert!(!name.is_meta());
    assert_eq!(name.is_service(), matches!(request, Request::Service { .. }));
    assert!(!data.contains(['\r', '\n']));
    let ext = message.ext.and_then(|ext| publisher_ext(ext, Some("token")));
    let event = event(name, data, ext.as_deref());
    assert_eq!(event.capacity(), event.len());
    assert!(event.starts_with(&format!("{{\"channel\":\"{channel}\"")));
    let body = Body::post(event.as_bytes()).expect("an event is a body");
    let again = body.messages(limits).expect("an event is a message");
    match &again[0].request {
        Ok(Request::Publish { data: again, .. } | Request::Service { data: again, .. }) => {
            assert_eq!(again, data);
        }
        other => panic!("{other:?}"),
    }
    // What went on once goes on unchanged: nothing of ours is left in it.
    let ext_again = again[0].ext.and_then(|ext| publisher_ext(ext, Some("token")));
    assert_eq!(ext_again, ext);
    Some(event)
}

/// Invariant: a body sent as a form, percent-encoded whole or only as far as it must be, means
/// exactly what it means as JSON; a form of arbitrary bytes does not panic.
pub(crate) fn form(bytes: &[u8]) {
    body(&[b"message=", bytes].concat());
    if bytes.starts_with(b"message=") {
        return;
    }
    let whole: String = bytes.iter().map(|byte| format!("%{byte:02X}")).collect();
    let sparing: Vec<u8> = bytes.iter().flat_map(|byte| spare(*byte)).collect();
    let expected = meaning(bytes);
    assert_eq!(meaning(format!("message={whole}").as_bytes()), expected);
    assert_eq!(meaning(&[b"message=", sparing.as_slice()].concat()), expected);
    if let Ok(query) = callback_query(&format!("jsonp=a&message={whole}")) {
        assert_eq!(query.messages[0].as_bytes(), bytes);
    }
}

fn spare(byte: u8) -> Vec<u8> {
    match byte {
        b' ' => vec![b'+'],
        b'+' | b'%' | b'&' => format!("%{byte:02x}").into_bytes(),
        _ => vec![byte],
    }
}

fn meaning(bytes: &[u8]) -> Result<String, BodyError> {
    let body = Body::post(bytes)?;
    let messages = body.messages(&DecodeLimits::default())?;
    Ok(format!("{messages:?}"))
}

/// Invariant: on a line of two words, the first is a pattern and the second a name exactly if the
/// grammar, written here once more, says so; and `matches` agrees with `patterns`.
pub(crate) fn channel(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (first, second) = text.split_once('\n').unwrap_or((text, text));
    let limits = ChannelLimits::default();
    for text in [first, second] {
        let name = ChannelName::parse(text, &limits);
        assert_eq!(name.is_ok(), is_name(text), "{text:?}");
        let pattern = Pattern::parse(text, &limits);
        assert_eq!(pattern.is_ok(), is_name(text) || is_wild(text), "{text:?}");
        assert!(pattern.is_err() || pattern.is_ok_and(|pattern| pattern.as_str() == text));
    }
    let pattern = Pattern::parse(first, &limits);
    let name = ChannelName::parse(second, &limits);
    if let (Ok(pattern), Ok(name)) = (pattern, name) {
        let mut listed = 0;
        name.patterns(|text| {
            let each = Pattern::parse(text, &ChannelLimits { bytes: 512, segments: 64 });
            assert!(each.expect("patterns are patterns").matches(name));
            listed += usize::from(text == pattern.as_str());
        });
        assert_eq!(listed, usize::from(pattern.matches(name)), "{first} and {second}");
    }
}

fn is_name(text: &str) -> bool {
    let is_token = |segment: &str| {
        let legal = |c: char| c.is_ascii_alphanumeric() || "-_!~()$@.".contains(c);
        !segment.is_empty() && segment.chars().all(legal) && segment != "." && segment != ".."
    };
    let segments: Vec<&str> = text.split('/').collect();
    let (root, rest) = segments.split_first().expect("split gives at least one");
    let in_bounds = text.len() <= 255 && rest.len() <= 32 && !rest.is_empty();
    root.is_empty() && in_bounds && rest.iter().all(|segment| is_token(segment))
}

fn is_wild(text: &str) -> bool {
    // A pattern is a name whose last segment became a star or two.
    let plain =
        |star: &str| Some(format!("{}{}", text.strip_suffix(star)?, "x".repeat(star.len())));
    let becomes_name = |star: &str| {
        text.ends_with(&format!("/{star}")) && plain(star).is_some_and(|text| is_name(&text))
    };
    becomes_name("*") || becomes_name("**")
}

/// Invariant: with the first line as the callback's name and the rest as JSON, the script holds no
/// character that could end it early, and between its frame the same JSON value. As a raw query
/// the bytes do not panic.
pub(crate) fn callback(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(query) = callback_query(text)
        && let Ok(body) = Body::values(query.messages)
    {
        let _ = body.messages(&DecodeLimits::default());
    }
    let (name, json) = text.split_once('\n').unwrap_or(("jsonpcallback", text));
    let parsed = CallbackName::parse(name);
    let legal = |c: char| c.is_ascii_alphanumeric() || "_$.".contains(c);
    assert!(parsed.is_err() || name.chars().all(legal) && (1..=64).contains(&name.len()));
    let name = parsed.unwrap_or(CallbackName::DEFAULT);
    let Ok(value) = serde_json::from_str::<Value>(json) else { return };
    let script = wrap(name, json);
    assert!(!script.contains(['<', '\u{2028}', '\u{2029}']));
    let opening = format!("/**/{}(", name.as_str());
    let inner = script.strip_prefix(&opening).and_then(|rest| rest.strip_suffix(");"));
    let inner = inner.expect("the frame is as it should be");
    assert_eq!(serde_json::from_str::<Value>(inner).expect("still JSON"), value);
}

/// Invariant: what is published over plain HTTP, as data, as a line and as an array, does not panic;
/// what is accepted is on one line, means what it meant, and becomes an event that is a message.
pub(crate) fn publication(bytes: &[u8]) {
    let limits = DecodeLimits::default();
    match publish_data(bytes, &limits) {
        Ok(data) => {
            assert!(!data.contains(['\r', '\n']));
            // Numbers may be larger than any that is read here; they are text.
            let before = serde_json::from_slice::<Value>(bytes).ok();
            assert_eq!(serde_json::from_str(&data).ok(), before);
            assert!(serde_json::from_str::<&RawValue>(&data).is_ok());
        }
        Err(error) => assert!(matches!(error.status(), 400 | 413)),
    }
    match publish_line(bytes, &limits, Some("token")) {
        Ok(one) => publishable(&one, &limits),
        Err(error) => assert!(matches!(error.status(), 400 | 403 | 405 | 413)),
    }
    match publish_array(bytes, &limits, Some("token")) {
        Ok(all) => {
            assert!(all.len() <= limits.messages);
            all.iter().flatten().for_each(|one| publishable(one, &limits));
        }
        Err(error) => assert!(matches!(error.status(), 400 | 413)),
    }
}

fn publishable(one: &Publication<'_>, limits: &DecodeLimits) {
    let name = ChannelName::parse(&one.channel, &limits.channel).expect("names are checked");
    assert!(!name.is_meta() && !name.is_service());
    assert!(one.key.as_ref().is_none_or(|key| (1..=KEY_BYTES_MAX).contains(&key.len())));
    let event = event(name, &one.data, one.ext.as_deref());
    assert!(!event.contains(['\r', '\n']));
    let again = publish_line(event.as_bytes(), limits, Some("token"))
        .expect("an event is a message to publish");
    assert_eq!(again, Publication { key: None, ..one.clone() });
}

/// Invariant: no text panics as a cursor, nor does the same with a right check behind it; what is
/// read is written as it was meant, in bounds, and only goes forward.
pub(crate) fn cursor(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = Cursor::parse(text);
    let open = format!("w{text}");
    // FNV-1a, folded to 20 bits: a fuzzer does not guess it.
    let hash = open
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let Ok(mut cursor) =
        Cursor::parse(&format!("{open}~{}", base36((hash ^ (hash >> 16)) & 0xf_ffff)))
    else {
        return;
    };
    written(&cursor);
    let far = cursor.channels().map(|(_, position)| position).max().unwrap_or(0);
    cursor.see("/a/b", far);
    written(&cursor);
    cursor.see_all(far / 2);
    assert!(cursor.channels().all(|(_, position)| position > far / 2));
    assert!(matches!(cursor.others(), Start::After(others) if others >= far / 2));
    written(&cursor);
}

fn written(cursor: &Cursor) {
    let text = cursor.to_string();
    assert!(text.len() <= CURSOR_BYTES_MAX);
    assert!(text.bytes().all(|byte| byte.is_ascii_graphic()));
    assert_eq!(Cursor::parse(&text).as_ref(), Ok(cursor), "{text}");
}

fn base36(mut number: u32) -> String {
    let mut digits = Vec::new();
    while number > 0 || digits.is_empty() {
        digits.extend(char::from_digit(number % 36, 36));
        number /= 36;
    }
    digits.iter().rev().collect()
}
