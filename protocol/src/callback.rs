//! The script around a callback-polling answer (checklist J2, J3, R29, R30).

use std::fmt;

/// The `jsonp` parameter is not the name of a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidCallback;

impl fmt::Display for InvalidCallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a valid callback name")
    }
}

impl std::error::Error for InvalidCallback {}

/// The name of the function a JSONP answer calls: a dotted path of identifiers, since it is
/// written into a script as it is (checklist R29; Faye's grammar).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallbackName<'a>(&'a str);

impl<'a> CallbackName<'a> {
    /// The longest name, in bytes (checklist R29).
    pub const MAX_BYTES: usize = 64;

    /// The name when the request gives none (Bayeux 1.0 §6.2; checklist J2).
    pub const DEFAULT: CallbackName<'static> = CallbackName("jsonpcallback");

    /// Checks the name.
    pub fn parse(text: &'a str) -> Result<Self, InvalidCallback> {
        if text.len() <= Self::MAX_BYTES && text.split('.').all(is_identifier) {
            return Ok(Self(text));
        }
        Err(InvalidCallback)
    }

    /// The name, as it was given.
    pub fn as_str(self) -> &'a str {
        self.0
    }
}

fn is_identifier(text: &str) -> bool {
    let starts = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_' || byte == b'$';
    let goes_on = |byte: u8| starts(byte) || byte.is_ascii_digit();
    text.bytes().next().is_some_and(starts) && text.bytes().all(goes_on)
}

/// `/**/name(json);`, from which `json` cannot break out (checklist R30).
///
/// The comment keeps the first bytes out of the requester's hands. U+2028 and U+2029 end a line in
/// old scripts, `<` may open a tag or a comment; in JSON all three stand only in strings, where an
/// escape means the same.
pub fn wrap(name: CallbackName<'_>, json: &str) -> String {
    const FRAME: usize = "/**/();".len();
    let mut out = String::with_capacity(FRAME + name.0.len() + json.len());
    out.push_str("/**/");
    out.push_str(name.0);
    out.push('(');
    let mut rest = json;
    while let Some(at) = rest.find(['<', '\u{2028}', '\u{2029}']) {
        let (before, found) = rest.split_at(at);
        out.push_str(before);
        let mut characters = found.chars();
        out.push_str(match characters.next() {
            Some('<') => "\\u003c",
            Some('\u{2028}') => "\\u2028",
            _ => "\\u2029",
        });
        rest = characters.as_str();
    }
    out.push_str(rest);
    out.push_str(");");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, valid: bool) {
        assert_eq!(CallbackName::parse(name).is_ok(), valid, "{name}");
    }

    #[test]
    fn r29_a_callback_is_a_dotted_path_of_identifiers() {
        check("jsonpcallback", true);
        check("_cometd_jsonp_0", true);
        check("$.cb", true);
        check("A.b9._", true);
        check(&"a".repeat(64), true);
        for refused in ["", ".", "a.", ".a", "a..b", "0abc", "a.0", "a-b", "cb;alert(1)", "a[0]"] {
            check(refused, false);
        }
        for refused in ["alert(1)//", "<script>", "a b", "a\n", "\r\na", "\"a\"", "ü", "a\u{2028}"]
        {
            check(refused, false);
        }
        check(&"a".repeat(65), false);
        check(&"a".repeat(10_000), false);
    }

    #[test]
    fn j2_the_default_name_is_valid() {
        check(CallbackName::DEFAULT.as_str(), true);
    }

    #[test]
    fn j3_the_function_is_called_with_the_array() {
        assert_eq!(wrap(CallbackName::DEFAULT, "[]"), "/**/jsonpcallback([]);");
    }

    #[test]
    fn r30_the_body_cannot_break_out() {
        let name = CallbackName::parse("cb").unwrap();
        let json = "[\"</script><!--\u{2028}x\u{2029}\"]";
        let expected = "/**/cb([\"\\u003c/script>\\u003c!--\\u2028x\\u2029\"]);";
        assert_eq!(wrap(name, json), expected);
    }
}
