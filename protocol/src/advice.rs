//! Advice, both ways (Bayeux 1.0 §3.1; checklist 1.D).

use std::fmt::Write as _;

use serde_json::value::RawValue;

use crate::json::{self, Members};

/// What a client is to do after a reply (checklist D1-D3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reconnect {
    /// Connect again, after the interval.
    Retry,
    /// The session is gone: start with a new handshake.
    Handshake,
    /// Stop.
    None,
}

impl Reconnect {
    /// The name in the `reconnect` field.
    pub fn wire_name(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Handshake => "handshake",
            Self::None => "none",
        }
    }
}

/// Advice to a client. It replaces all earlier advice there (checklist C10), so it is always
/// written complete (decisions 3.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advice {
    /// Whether and how to come back.
    pub reconnect: Reconnect,
    /// The least time before the next connect, in ms (checklist D7).
    pub interval_ms: u64,
    /// How long a connect is held, in ms (checklist D5).
    pub timeout_ms: u64,
    /// Whether several sessions were seen in one browser (checklist D9); written only if so.
    pub multiple_clients: bool,
}

impl Advice {
    pub(crate) fn write(&self, out: &mut String) {
        let Self { reconnect, interval_ms, timeout_ms, multiple_clients } = self;
        let reconnect = reconnect.wire_name();
        let _ = write!(
            out,
            r#"{{"reconnect":"{reconnect}","interval":{interval_ms},"timeout":{timeout_ms}"#
        );
        out.push_str(if *multiple_clients { r#","multiple-clients":true}"# } else { "}" });
    }
}

/// The `advice` object of a connect request (checklist D6).
///
/// Anything but a non-negative number counts as not given; a fraction is cut off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClientAdvice {
    /// How long this connect may be held, in ms; 0 asks for an answer at once.
    pub timeout_ms: Option<u64>,
    /// The interval the client means to keep, in ms.
    pub interval_ms: Option<u64>,
}

impl ClientAdvice {
    /// `None` if the field is no object.
    pub(crate) fn read(field: &RawValue) -> Option<Self> {
        let members = Members::of(field)?;
        let duration = |key| {
            let number = json::number(members.get(key)?)?;
            (number >= 0.0).then_some(number as u64)
        };
        Some(Self { timeout_ms: duration("timeout"), interval_ms: duration("interval") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(field: &str) -> Option<ClientAdvice> {
        ClientAdvice::read(serde_json::from_str(field).unwrap())
    }

    fn check(timeout: &str, expected: Option<u64>) {
        let advice = read(&format!(r#"{{"timeout":{timeout}}}"#)).unwrap();
        assert_eq!(advice.timeout_ms, expected, "{timeout}");
        assert_eq!(advice.interval_ms, None);
    }

    #[test]
    fn d6_a_timeout_is_any_number_that_is_not_negative() {
        check("0", Some(0));
        check("-0", Some(0));
        check("500", Some(500));
        check("100.7", Some(100));
        check("1e3", Some(1_000));
        check("1e400", Some(u64::MAX));
        check("-1", None);
        check("-0.5", None);
        check(r#""500""#, None);
        check("null", None);
        check("true", None);
        check("{}", None);
    }

    #[test]
    fn d6_advice_of_another_type_is_no_advice() {
        assert_eq!(read("{}"), Some(ClientAdvice::default()));
        assert_eq!(read("17"), None);
        assert_eq!(read("null"), None);
        assert_eq!(read("[]"), None);
        assert_eq!(read(r#"{"interval":7,"x":1}"#).unwrap().interval_ms, Some(7));
    }

    #[test]
    fn c10_advice_is_written_complete() {
        let mut advice = Advice {
            reconnect: Reconnect::Retry,
            interval_ms: 0,
            timeout_ms: 30_000,
            multiple_clients: false,
        };
        let mut out = String::new();
        advice.write(&mut out);
        assert_eq!(out, r#"{"reconnect":"retry","interval":0,"timeout":30000}"#);
        advice.reconnect = Reconnect::None;
        advice.multiple_clients = true;
        out.clear();
        advice.write(&mut out);
        let expected =
            r#"{"reconnect":"none","interval":0,"timeout":30000,"multiple-clients":true}"#;
        assert_eq!(out, expected);
    }
}
