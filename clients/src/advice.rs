//! The server's advice: its last word on whether, when and how to come back.

use std::time::Duration;

use serde_json::{Map, Value};

/// The transport whose section of an advice counts.
const TRANSPORT: &str = "long-polling";
/// The hold to reckon with until the server names one. Too long only delays the moment at which a
/// dead connection is noticed; too short cuts held connects.
const TIMEOUT: Duration = Duration::from_secs(60);
/// A day: no advice means more, and no clock overflows.
const LONGEST: Duration = Duration::from_secs(24 * 3_600);

/// How to come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reconnect {
    /// By another connect.
    Retry,
    /// By another handshake.
    Handshake,
    /// Not at all: `none`, and every word that we do not know (checklist D4).
    Never,
}

/// One advice, complete: it replaces all earlier ones, so what it does not name has its default
/// and never what was said before (checklist C10).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Advice {
    pub(crate) reconnect: Reconnect,
    /// The least time between an answer and the next connect; `None` forbids to come back.
    pub(crate) interval: Option<Duration>,
    /// How long the server holds a connect.
    pub(crate) timeout: Duration,
    pub(crate) multiple_clients: bool,
}

impl Default for Advice {
    fn default() -> Self {
        Self {
            reconnect: Reconnect::Retry,
            interval: Some(Duration::ZERO),
            timeout: TIMEOUT,
            multiple_clients: false,
        }
    }
}

impl Advice {
    /// Reads an `advice` field; values of the wrong type count as not given.
    pub(crate) fn read(advice: &Value) -> Self {
        let Value::Object(advice) = advice else { return Self::default() };
        let section = advice.get(TRANSPORT).and_then(Value::as_object);
        let named = |key| {
            section.and_then(|section: &Map<_, _>| section.get(key)).or_else(|| advice.get(key))
        };
        let millis = |key| named(key).and_then(Value::as_f64);
        let default = Self::default();
        Self {
            reconnect: match named("reconnect") {
                None => Reconnect::Retry,
                Some(word) => match word.as_str() {
                    Some("retry") => Reconnect::Retry,
                    Some("handshake") => Reconnect::Handshake,
                    _ => Reconnect::Never,
                },
            },
            interval: millis("interval").map_or(default.interval, duration),
            timeout: millis("timeout").and_then(duration).unwrap_or(default.timeout),
            multiple_clients: named("multiple-clients") == Some(&Value::Bool(true)),
        }
    }

    /// When the client may come back: not at all, or after this time.
    pub(crate) fn comes_back_after(&self) -> Option<Duration> {
        self.interval.filter(|_| self.reconnect != Reconnect::Never)
    }
}

/// `None` for negative ones.
fn duration(millis: f64) -> Option<Duration> {
    let seconds = (millis / 1_000.0).min(LONGEST.as_secs_f64());
    (seconds >= 0.0).then(|| Duration::from_secs_f64(seconds))
}

/// The random delay after so many failures in a row, by a dice in [0, 1): anywhere between nothing
/// and a ceiling that doubles with each failure up to `cap` (checklist D8).
pub(crate) fn back_off(failures: u32, base: Duration, cap: Duration, dice: f64) -> Duration {
    let doubled = base.saturating_mul(1 << failures.saturating_sub(1).min(16));
    doubled.min(cap).mul_f64(dice.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn c10_what_is_not_named_has_its_default() {
        assert_eq!(Advice::read(&json!({})), Advice::default());
        assert_eq!(Advice::read(&json!(null)), Advice::default());
        let advice = Advice::read(&json!({ "interval": 1500, "timeout": 30000 }));
        assert_eq!(advice.interval, Some(Duration::from_millis(1_500)));
        assert_eq!(advice.timeout, Duration::from_secs(30));
        assert_eq!(advice.reconnect, Reconnect::Retry);
    }

    #[test]
    fn c10_the_section_of_the_transport_overrides() {
        let advice = Advice::read(&json!({
            "reconnect": "none", "interval": 5, "timeout": 7,
            "long-polling": { "reconnect": "retry", "interval": 10 },
            "callback-polling": { "interval": 20 },
        }));
        assert_eq!(advice.reconnect, Reconnect::Retry);
        assert_eq!(advice.interval, Some(Duration::from_millis(10)));
        assert_eq!(advice.timeout, Duration::from_millis(7));
    }

    #[test]
    fn d4_an_unknown_word_forbids_to_come_back() {
        for word in [json!("x"), json!("Retry"), json!(1), json!(null)] {
            let advice = Advice::read(&json!({ "reconnect": word }));
            assert_eq!(advice.comes_back_after(), None, "{word}");
        }
    }

    #[test]
    fn d7_a_negative_interval_forbids_to_come_back() {
        assert_eq!(Advice::read(&json!({ "interval": -1 })).comes_back_after(), None);
        let endless = Advice::read(&json!({ "interval": 1e300 }));
        assert_eq!(endless.comes_back_after(), Some(LONGEST));
        let odd = Advice::read(&json!({ "interval": "soon", "timeout": -1 }));
        assert_eq!(odd, Advice::default());
    }

    #[test]
    fn d8_the_back_off_doubles_up_to_its_cap_and_is_random() {
        let (base, cap) = (Duration::from_secs(1), Duration::from_secs(30));
        let ceilings: Vec<_> =
            (1..8).map(|failures| back_off(failures, base, cap, 1.0).as_secs()).collect();
        assert_eq!(ceilings, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(back_off(u32::MAX, base, cap, 1.0), cap);
        assert_eq!(back_off(3, base, cap, 0.5), Duration::from_secs(2));
        assert_eq!(back_off(3, base, cap, 0.0), Duration::ZERO);
    }
}
