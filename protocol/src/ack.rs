//! CometD's `ack` extension: replies to connects have numbers, and connects name the last one seen
//! (checklist X1).

use serde_json::value::RawValue;

use crate::json::{self, Members};

/// Whether a handshake's `ext` asks for numbered replies: `{"ack": true}`, and nothing else that may
/// look like it.
pub fn announces_ack(ext: &RawValue) -> bool {
    Members::of(ext).and_then(|ext| ext.get("ack")).is_some_and(|value| value.get() == "true")
}

/// The number of the last reply that a connect's client has seen. Fractions are cut off; negative
/// numbers and what is no number say nothing.
pub fn acknowledged(ext: &RawValue) -> Option<u64> {
    let raw = Members::of(ext)?.get("ack")?;
    if let Ok(number) = raw.get().parse() {
        return Some(number);
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "0 or more; saturates"
    )]
    json::number(raw).filter(|number| *number >= 0.0).map(|number| number as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> &RawValue {
        serde_json::from_str(text).expect("JSON")
    }

    #[test]
    fn x1_only_true_asks_for_numbers() {
        assert!(announces_ack(raw(r#"{"ack":true}"#)));
        for other in [r#"{"ack":1}"#, r#"{"ack":"true"}"#, r#"{"ack":{}}"#, "{}", "[]", "7"] {
            assert!(!announces_ack(raw(other)), "{other}");
        }
    }

    #[test]
    fn x1_only_numbers_acknowledge() {
        for (ext, number) in [
            (r#"{"ack":0}"#, Some(0)),
            (r#"{"ack":12}"#, Some(12)),
            (r#"{"ack":2.7}"#, Some(2)),
            (r#"{"ack":1e30}"#, Some(u64::MAX)),
            (r#"{"ack":-1}"#, None),
            (r#"{"ack":"3"}"#, None),
            (r#"{"ack":true}"#, None),
            (r#"{"ack":null}"#, None),
            ("{}", None),
        ] {
            assert_eq!(acknowledged(raw(ext)), number, "{ext}");
        }
    }
}
