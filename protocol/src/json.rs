//! Small helpers over raw JSON text, so that no value is decoded that nobody asked for.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The text of a JSON string; `None` for any other type and for a lone surrogate.
pub(crate) fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    let inner = raw.get().strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        return serde_json::from_str(raw.get()).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(inner))
}

/// A JSON number; one too large for a double is infinite, which every cast then saturates.
pub(crate) fn number(raw: &RawValue) -> Option<f64> {
    let text = raw.get();
    let numeric = text.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    if numeric { text.parse().ok() } else { None }
}

pub(crate) fn is_null(raw: &RawValue) -> bool {
    raw.get() == "null"
}

pub(crate) fn is_string(raw: &RawValue) -> bool {
    raw.get().starts_with('"')
}

pub(crate) fn is_object(raw: &RawValue) -> bool {
    raw.get().starts_with('{')
}

/// The text without raw CR and LF, which JSON allows only between tokens (decisions 3.8): a value
/// is then one line, as NDJSON and SSE need it.
pub(crate) fn one_line(text: &str) -> Cow<'_, str> {
    if text.contains('\n') || text.contains('\r') {
        return Cow::Owned(text.replace(['\r', '\n'], ""));
    }
    Cow::Borrowed(text)
}

/// Writes `text` as a JSON string.
pub(crate) fn push_string(out: &mut String, text: &str) {
    out.push('"');
    if text.bytes().any(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        for character in text.chars() {
            match character {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\u{0}'..='\u{1f}' => {
                    let _ = write!(out, "\\u{:04x}", u32::from(character));
                }
                _ => out.push(character),
            }
        }
    } else {
        out.push_str(text);
    }
    out.push('"');
}

/// Visits the elements of an array in their order; `false` if the value is none. Nothing is
/// collected, so an array of a million elements costs its text and no more.
pub(crate) fn each_element<'a>(raw: &'a RawValue, visit: impl FnMut(&'a RawValue)) -> bool {
    let mut deserializer = serde_json::Deserializer::from_str(raw.get());
    deserializer.deserialize_seq(ElementsVisitor(visit)).is_ok()
}

struct ElementsVisitor<F>(F);

impl<'a, F: FnMut(&'a RawValue)> Visitor<'a> for ElementsVisitor<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'a>>(mut self, mut array: A) -> Result<(), A::Error> {
        while let Some(element) = array.next_element()? {
            (self.0)(element);
        }
        Ok(())
    }
}

/// The members of an object in their order, keys and values as spelled, duplicates included.
pub(crate) struct Members<'a>(pub(crate) Vec<(&'a RawValue, &'a RawValue)>);

impl<'a> Members<'a> {
    /// `None` if the value is no object.
    pub(crate) fn of(raw: &'a RawValue) -> Option<Self> {
        serde_json::from_str(raw.get()).ok()
    }

    /// The last value under `key`, as every JSON reader in browsers takes it.
    pub(crate) fn get(&self, key: &str) -> Option<&'a RawValue> {
        let found = self.0.iter().rev().find(|(name, _)| string(name).as_deref() == Some(key));
        found.map(|(_, value)| *value)
    }
}

impl<'a> Deserialize<'a> for Members<'a> {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'a> Visitor<'a> for MembersVisitor {
    type Value = Members<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Members<'a>, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> &RawValue {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn strings_without_escapes_are_borrowed() {
        assert!(matches!(string(raw(r#""/a/b""#)), Some(Cow::Borrowed("/a/b"))));
        assert_eq!(string(raw(r#""\/a\u0062""#)).unwrap(), "/ab");
        assert_eq!(string(raw(r#""""#)).unwrap(), "");
        assert_eq!(string(raw(r#""\ud800""#)), None);
        assert_eq!(string(raw("17")), None);
    }

    #[test]
    fn numbers_saturate_and_other_types_are_none() {
        assert_eq!(number(raw("100.7")), Some(100.7));
        assert_eq!(number(raw("-0")), Some(0.0));
        assert_eq!(number(raw("1e400")), Some(f64::INFINITY));
        assert_eq!(number(raw("\"1\"")), None);
        assert_eq!(number(raw("null")), None);
    }

    #[test]
    fn line_ends_between_tokens_are_dropped() {
        assert!(matches!(one_line("[1, 2]"), Cow::Borrowed("[1, 2]")));
        assert_eq!(one_line("[1,\r\n 2\n]"), "[1, 2]");
        assert_eq!(one_line("[1,\r2]"), "[1,2]");
    }

    #[test]
    fn strings_are_written_as_json_reads_them() {
        for text in ["", "/a/b", "a\"b\\c", "\u{1}\n\t", "ü\u{2028}"] {
            let mut out = String::new();
            push_string(&mut out, text);
            assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
        }
    }

    #[test]
    fn of_duplicate_members_the_last_counts() {
        let members = Members::of(raw(r#"{"a":1,"\u0061":2,"b":{"a":3}}"#)).unwrap();
        assert_eq!(members.get("a").unwrap().get(), "2");
        assert_eq!(members.0.len(), 3);
        assert!(members.get("c").is_none());
        assert!(Members::of(raw("[1]")).is_none());
    }
}
