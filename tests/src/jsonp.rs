//! Callback-polling from the client's side.

use serde_json::Value;

use crate::http::Response;

/// Percent-encodes everything that is not a letter or a digit.
#[must_use]
pub fn encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric();
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// Reads `/**/name(argument);`: the name and the argument.
#[must_use]
pub fn call(script: &str) -> (&str, &str) {
    let call = script.strip_prefix("/**/").unwrap_or_else(|| panic!("no prefix: {script}"));
    let (name, rest) = call.split_once('(').expect("a call");
    (name, rest.strip_suffix(");").unwrap_or_else(|| panic!("no end: {script}")))
}

/// Reads `/**/name([…]);`: the name and the messages, which must parse as JSON.
#[must_use]
pub fn decode(script: &str) -> (String, Vec<Value>) {
    let (name, json) = call(script);
    match serde_json::from_str(json) {
        Ok(Value::Array(messages)) => (name.to_owned(), messages),
        other => panic!("not an array: {other:?} in {script}"),
    }
}

/// The name and the messages of a successful answer.
#[must_use]
pub fn answer(response: &Response) -> (String, Vec<Value>) {
    assert_eq!(response.status, 200, "{}", response.text());
    decode(response.text())
}
