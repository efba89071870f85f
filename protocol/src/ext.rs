//! Credentials in an `ext`, and the publisher's `ext` on its way to subscribers (checklist C9, C21, K2).

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::json::{self, Members};

/// Members that speak to the broker, and that only the broker may speak to subscribers with.
const OURS: [&str; 4] = ["weft", "replay", "ack", "timesync"];

/// What of a publisher's `ext` goes on to subscribers and into the history: all but `weft`,
/// `replay`, `ack`, `timesync` and the member that holds a token (decisions 3.8). Nobody can forge
/// a position or a gap that way, and no token leaves the broker.
///
/// The rest stays as it was spelled, on one line. `None` if nothing is left, or if `ext` is no
/// object.
pub fn publisher_ext<'a>(ext: &'a RawValue, token_field: Option<&str>) -> Option<Cow<'a, str>> {
    without(ext, |name| OURS.contains(&name) || token_field.is_some_and(|field| holds(name, field)))
}

/// A handshake's `ext` as others may see it: all but the member that holds a token. Where that is
/// named by a path, all that stands below its first name is left out.
///
/// `None` if nothing is left, or if `ext` is no object.
pub fn shown_ext<'a>(ext: &'a RawValue, token_field: &str) -> Option<Cow<'a, str>> {
    without(ext, |name| holds(name, token_field))
}

/// Whether a member holds the token: where the field is a path, all that its first name holds stays
/// here.
fn holds(name: &str, field: &str) -> bool {
    name == field || Some(name) == field.split('.').next()
}

/// What is left of an object without some members; the rest stays as it was spelled, on one line.
fn without(ext: &RawValue, hidden: impl Fn(&str) -> bool) -> Option<Cow<'_, str>> {
    let members = Members::of(ext)?;
    // Names are compared as decoded: "\u0061ck" is ack.
    let is_ours = |name: &RawValue| json::string(name).is_some_and(|name| hidden(&name));
    if !members.0.iter().any(|(name, _)| is_ours(name)) {
        return Some(json::one_line(ext.get()));
    }
    let mut out = String::new();
    for (name, value) in members.0.into_iter().filter(|(name, _)| !is_ours(name)) {
        out.push(if out.is_empty() { '{' } else { ',' });
        out.push_str(name.get());
        out.push(':');
        out.push_str(&json::one_line(value.get()));
    }
    if out.is_empty() {
        return None;
    }
    out.push('}');
    Some(Cow::Owned(out))
}

/// The credentials in an `ext`: the string in this field, which is a name, or a path of names with dots
/// between, so that the habits of Faye's and CometD's clients fit.
///
/// # Errors
/// When the field is there and holds no string.
pub fn token<'a>(ext: &'a RawValue, field: &str) -> Result<Option<Cow<'a, str>>, NoToken> {
    let Some(members) = Members::of(ext) else { return Ok(None) };
    if let Some(value) = members.get(field).filter(|value| !json::is_null(value)) {
        return json::string(value).map(Some).ok_or(NoToken);
    }
    let Some((first, rest)) = field.split_once('.') else { return Ok(None) };
    members.get(first).map_or(Ok(None), |below| token(below, rest))
}

/// What stands where credentials should be is no string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoToken;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ext: &str, expected: Option<&str>) {
        let raw = serde_json::from_str(ext).unwrap();
        assert_eq!(publisher_ext(raw, Some("token")).as_deref(), expected, "{ext}");
    }

    #[test]
    fn c9_members_that_are_ours_never_go_on() {
        check(r#"{"ack":1}"#, None);
        check(r#"{"weft":{"gap":[]},"replay":{"id":1},"timesync":{},"token":"s"}"#, None);
        check(r#"{"a":1,"ack":2,"b":3}"#, Some(r#"{"a":1,"b":3}"#));
        check(r#"{"ack":1,"a":{"ack":2}}"#, Some(r#"{"a":{"ack":2}}"#));
        check(r#"{"ack":1,"ack":2,"Ack":3}"#, Some(r#"{"Ack":3}"#));
    }

    #[test]
    fn k2_credentials_stand_in_a_field_or_at_a_path() {
        let check = |ext: &str, field: &str, expected: Result<Option<&str>, NoToken>| {
            let raw = serde_json::from_str(ext).unwrap();
            assert_eq!(token(raw, field), expected.map(|text| text.map(Into::into)), "{ext}");
        };
        check(r#"{"token":"t"}"#, "token", Ok(Some("t")));
        check(r#"{"t\u006fken":"t"}"#, "token", Ok(Some("t")));
        check(r#"{"token":"a","token":"b"}"#, "token", Ok(Some("b")));
        check(r#"{"auth":{"token":"t"}}"#, "auth.token", Ok(Some("t")));
        check(r#"{"auth.token":"t","auth":{"token":"u"}}"#, "auth.token", Ok(Some("t")));
        check(r#"{"token":null}"#, "token", Ok(None));
        check(r#"{"auth":"t"}"#, "auth.token", Ok(None));
        check(r#"{"auth":{}}"#, "auth.token", Ok(None));
        check("[]", "token", Ok(None));
        check(r#"{"token":7}"#, "token", Err(NoToken));
        check(r#"{"token":{"token":"t"}}"#, "token", Err(NoToken));
    }

    #[test]
    fn c9_nothing_below_a_path_to_credentials_goes_on() {
        let raw = serde_json::from_str(r#"{"auth":{"token":"t","x":1},"b":2}"#).unwrap();
        assert_eq!(publisher_ext(raw, Some("auth.token")).as_deref(), Some(r#"{"b":2}"#));
    }

    #[test]
    fn c9_an_escaped_name_is_the_same_name() {
        check(r#"{"\u0061ck":1}"#, None);
        check(r#"{"\u0074oken":1,"x":2}"#, Some(r#"{"x":2}"#));
    }

    #[test]
    fn c21_all_else_goes_on_as_it_was_spelled() {
        check(r#"{}"#, Some("{}"));
        check(r#"{ "b" : 1e2, "a":[ 1 ] }"#, Some(r#"{ "b" : 1e2, "a":[ 1 ] }"#));
        check("{\"a\":\n[1,\r\n2]}", Some(r#"{"a":[1,2]}"#));
        check("{\"ack\":1,\n\"z\":\n[1,\r\n2],\"a\":1}", Some(r#"{"z":[1,2],"a":1}"#));
        check(r#"{"\ud800":1,"ack":2}"#, Some(r#"{"\ud800":1}"#));
    }

    #[test]
    fn c21_an_ext_that_is_no_object_does_not_go_on() {
        check("1", None);
        check("null", None);
        check(r#"["ack"]"#, None);
    }

    #[test]
    fn a_handshake_shows_all_but_its_token() {
        let shown =
            |ext, field| shown_ext(serde_json::from_str(ext).unwrap(), field).map(Cow::into_owned);
        let ext = r#"{"ack":true,"\u0074oken":"s","x.y":1,"x":{"y":"s","z":2}}"#;
        assert_eq!(shown(ext, "token").unwrap(), r#"{"ack":true,"x.y":1,"x":{"y":"s","z":2}}"#);
        assert_eq!(shown(ext, "x.y").unwrap(), r#"{"ack":true,"\u0074oken":"s"}"#);
        assert_eq!(shown(r#"{"token":"s"}"#, "token"), None);
        assert_eq!(shown("[]", "token"), None);
    }

    #[test]
    fn without_a_token_field_a_token_is_an_ordinary_member() {
        let raw = serde_json::from_str(r#"{"token":1}"#).unwrap();
        assert_eq!(publisher_ext(raw, None).as_deref(), Some(r#"{"token":1}"#));
    }
}
