//! CometD's clock extension (cometd-wire 13; checklist X3).

use std::fmt::Write as _;

use serde_json::value::RawValue;

use crate::json::{self, Members};

/// An estimate that is this close, in ms, need not be corrected (CometD's default).
const ACCURACY_MS: u64 = 25;

/// `ext.timesync` of a request. Numbers beyond 64 bits saturate, fractions are cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimesyncRequest {
    /// The client's clock, in ms.
    pub tc: i64,
    /// The lag the client reckons with, in ms.
    pub l: Option<i64>,
    /// The offset the client reckons with, in ms.
    pub o: Option<i64>,
}

/// `ext.timesync` of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimesyncAnswer {
    /// The request's `tc`.
    pub tc: i64,
    /// When the request arrived, in ms.
    pub ts: i64,
    /// How long it took to answer, in ms.
    pub p: i64,
    /// How far off the client's estimate was, in ms; `None` if it made none.
    pub a: Option<i64>,
}

/// The `timesync` of an `ext`; `None` if it is missing or has no number `tc`.
pub fn timesync(ext: &RawValue) -> Option<TimesyncRequest> {
    let ext = Members::of(ext)?;
    let timesync = Members::of(ext.get("timesync")?)?;
    let field = |key| json::number(timesync.get(key)?).map(|number| number as i64);
    Some(TimesyncRequest { tc: field("tc")?, l: field("l"), o: field("o") })
}

impl TimesyncRequest {
    /// What to answer: nothing, if the client's estimate is close already.
    pub fn answer(&self, received_ms: i64, replied_ms: i64) -> Option<TimesyncAnswer> {
        let error = self.l.map(|lag| {
            let offset = self.o.unwrap_or_default();
            self.tc.saturating_add(offset).saturating_add(lag).saturating_sub(received_ms)
        });
        let is_close = error.is_some_and(|error| error.unsigned_abs() < ACCURACY_MS);
        if is_close && self.l != Some(0) {
            return None;
        }
        let p = replied_ms.saturating_sub(received_ms).max(0);
        Some(TimesyncAnswer { tc: self.tc, ts: received_ms, p, a: error })
    }
}

impl TimesyncAnswer {
    pub(crate) fn write(&self, out: &mut String) {
        let Self { tc, ts, p, a } = self;
        let _ = write!(out, r#"{{"tc":{tc},"ts":{ts},"p":{p}"#);
        if let Some(a) = a {
            let _ = write!(out, r#","a":{a}"#);
        }
        out.push('}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The request arrives at 1,000 and is answered at 1,007.
    fn check(request: &str, answer: Option<&str>) {
        let ext = format!(r#"{{"timesync":{request}}}"#);
        let found = timesync(serde_json::from_str(&ext).unwrap());
        let written = found.and_then(|found| found.answer(1_000, 1_007)).map(|answer| {
            let mut out = String::new();
            answer.write(&mut out);
            out
        });
        assert_eq!(written.as_deref(), answer, "{request}");
    }

    #[test]
    fn x3_without_a_lag_the_clock_is_always_told() {
        check(r#"{"tc":990}"#, Some(r#"{"tc":990,"ts":1000,"p":7}"#));
        check(r#"{"tc":1000,"o":0}"#, Some(r#"{"tc":1000,"ts":1000,"p":7}"#));
        check(r#"{"tc":1000,"l":"3"}"#, Some(r#"{"tc":1000,"ts":1000,"p":7}"#));
    }

    #[test]
    fn x3_with_a_lag_only_a_bad_estimate_is_corrected() {
        check(r#"{"tc":990,"l":5,"o":5}"#, None);
        check(r#"{"tc":1000,"l":24,"o":0}"#, None);
        check(r#"{"tc":1000,"l":25,"o":0}"#, Some(r#"{"tc":1000,"ts":1000,"p":7,"a":25}"#));
        check(r#"{"tc":970,"l":5}"#, Some(r#"{"tc":970,"ts":1000,"p":7,"a":-25}"#));
        check(r#"{"tc":1000,"l":0,"o":0}"#, Some(r#"{"tc":1000,"ts":1000,"p":7,"a":0}"#));
    }

    #[test]
    fn x3_odd_numbers_saturate_and_odd_types_are_ignored() {
        let huge = r#"{"tc":9223372036854775807,"ts":1000,"p":7,"a":9223372036854774807}"#;
        check(r#"{"tc":1e400,"l":1e400,"o":1e400}"#, Some(huge));
        check(r#"{"tc":99.9}"#, Some(r#"{"tc":99,"ts":1000,"p":7}"#));
        check(r#"{"tc":"990"}"#, None);
        check("{}", None);
        check("[1]", None);
        check("null", None);
        assert_eq!(timesync(serde_json::from_str("{}").unwrap()), None);
        assert_eq!(timesync(serde_json::from_str("7").unwrap()), None);
    }

    #[test]
    fn x3_a_clock_set_back_gives_no_negative_duration() {
        let request = TimesyncRequest { tc: i64::MIN, l: Some(i64::MIN), o: Some(i64::MIN) };
        assert_eq!(request.answer(i64::MAX, i64::MIN).unwrap().p, 0);
    }
}
