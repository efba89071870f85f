//! Events that were written once and are read, or written in another form, later.

use std::fmt::Write;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json::{self, Members};

/// The parts of an event's text.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Parts<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
    #[serde(borrow)]
    ext: Option<&'a RawValue>,
}

/// The `data` and the `ext` of an event that [`event`](crate::event) wrote; `None` if the text is
/// no such event.
pub fn event_parts(text: &str) -> Option<(&str, Option<&str>)> {
    let parts: Parts<'_> = serde_json::from_str(text).ok()?;
    Some((parts.data.get(), parts.ext.map(RawValue::get)))
}

/// How an event's text takes in its position, for clients that asked for replay (decisions 5): found
/// out once for each event, and used for each who gets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayForm {
    /// A text that is no event stays as it is.
    Unchanged,
    /// There is no `ext` yet.
    NewExt,
    /// There is an `ext` without members.
    EmptyExt,
    /// The position joins what the publisher said.
    MoreExt,
}

impl ReplayForm {
    /// The form of a text that [`event`](crate::event) wrote.
    pub fn of(text: &str) -> Self {
        match event_parts(text) {
            None => Self::Unchanged,
            Some((_, None)) => Self::NewExt,
            Some((_, Some(ext))) if ext.trim_start_matches('{').trim().starts_with('}') => {
                Self::EmptyExt
            }
            Some(_) => Self::MoreExt,
        }
    }

    /// Writes the event with its position in `ext.replay.id`.
    pub fn write(self, text: &str, position: i64, out: &mut String) {
        let (end, lead) = match self {
            Self::Unchanged => return out.push_str(text),
            Self::NewExt => ("}", r#","ext":{"#),
            Self::EmptyExt => ("}}", ""),
            Self::MoreExt => ("}}", ","),
        };
        out.push_str(text.strip_suffix(end).unwrap_or(text));
        out.push_str(lead);
        // A string takes all that is written.
        let _ = write!(out, r#""replay":{{"id":{position}}}}}}}"#);
    }
}

/// `data` as Salesforce's clients expect it: an object whose `event` names the position and the
/// time of creation (decisions 5). Other data, and all other members, stay as they are spelled;
/// so do other members of an `event` that is an object. `None` if the data is no object.
pub fn salesforce_data(data: &str, position: i64, created: &str) -> Option<String> {
    let raw: &RawValue = serde_json::from_str(data).ok()?;
    let members = Members::of(raw)?;
    let named = |name: &RawValue, wanted: &str| json::string(name).as_deref() == Some(wanted);
    let mut out = String::with_capacity(data.len() + 80);
    out.push('{');
    for (name, value) in members.0.iter().filter(|(name, _)| !named(name, "event")) {
        push_member(&mut out, name.get(), value.get());
        out.push(',');
    }
    out.push_str(r#""event":{"#);
    if let Some(event) = members.get("event").and_then(Members::of) {
        let ours = |name: &RawValue| named(name, "replayId") || named(name, "createdDate");
        for (name, value) in event.0.iter().filter(|(name, _)| !ours(name)) {
            push_member(&mut out, name.get(), value.get());
            out.push(',');
        }
    }
    push_member(&mut out, r#""createdDate""#, &format!("\"{created}\""));
    out.push(',');
    push_member(&mut out, r#""replayId""#, &position.to_string());
    out.push_str("}}");
    Some(out)
}

fn push_member(out: &mut String, name: &str, value: &str) {
    out.push_str(name);
    out.push(':');
    out.push_str(value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ChannelLimits, ChannelName, event};

    fn text(data: &str, ext: Option<&str>) -> String {
        event(ChannelName::parse("/a/b", &ChannelLimits::default()).unwrap(), data, ext)
    }

    fn with_position(text: &str) -> String {
        let mut out = String::new();
        ReplayForm::of(text).write(text, 7, &mut out);
        out
    }

    #[test]
    fn an_event_comes_apart_as_it_was_put_together() {
        for (data, ext) in [
            ("1", None),
            (r#"{"ext": 1 }"#, Some(r#"{"x":{"data":2}}"#)),
            ("null", Some("{ }")),
            ("[1e400]", None),
        ] {
            assert_eq!(event_parts(&text(data, ext)), Some((data, ext)));
        }
        assert_eq!(event_parts("{}"), None);
        assert_eq!(event_parts("x"), None);
    }

    #[test]
    fn x2_the_position_joins_what_the_publisher_said() {
        let with = |ext| with_position(&text("{}", ext));
        assert_eq!(with(None), r#"{"channel":"/a/b","data":{},"ext":{"replay":{"id":7}}}"#);
        assert_eq!(
            with(Some(r#"{"x":{}}"#)),
            r#"{"channel":"/a/b","data":{},"ext":{"x":{},"replay":{"id":7}}}"#
        );
        for empty in ["{}", "{ }"] {
            let value: serde_json::Value = serde_json::from_str(&with(Some(empty))).unwrap();
            assert_eq!(value["ext"], serde_json::json!({"replay":{"id":7}}));
        }
        assert_eq!(with_position("x"), "x");
    }

    #[test]
    fn x2_salesforce_data_names_position_and_time() {
        let check = |data, expected: Option<&str>| {
            let made = salesforce_data(data, 7, "2026-11-23T01:02:03.004Z");
            assert_eq!(made.as_deref(), expected, "{data}");
        };
        check(
            r#"{"payload":{"x": 1.0}}"#,
            Some(
                r#"{"payload":{"x": 1.0},"event":{"createdDate":"2026-11-23T01:02:03.004Z","replayId":7}}"#,
            ),
        );
        check(
            r#"{"event":{"type":"updated","replayId":1,"createdDate":"x"},"sobject":{}}"#,
            Some(
                r#"{"sobject":{},"event":{"type":"updated","createdDate":"2026-11-23T01:02:03.004Z","replayId":7}}"#,
            ),
        );
        check(
            r#"{"event":"x"}"#,
            Some(r#"{"event":{"createdDate":"2026-11-23T01:02:03.004Z","replayId":7}}"#),
        );
        check("{}", Some(r#"{"event":{"createdDate":"2026-11-23T01:02:03.004Z","replayId":7}}"#));
        check("[1]", None);
        check("\"x\"", None);
    }
}
