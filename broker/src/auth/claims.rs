//! What claims must say (RFC 7519), and what they say of their subject.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::Unidentified;
use super::options::SourceOptions;
use crate::core::principal::at;

/// The most that a moment may be: far beyond all dates, and far from overflowing.
const MOMENT_MAX: i64 = 1 << 53;
/// The longest subject, and the longest role.
const NAME_BYTES: usize = 256;
/// The most roles.
const ROLES_MAX: usize = 256;

/// Whether `iss` is who the source says. Nothing that is not signed by its keys gets further for it.
pub(super) fn issuer_fits(source: &SourceOptions, claims: &Map<String, Value>) -> bool {
    match &source.issuer {
        None => true,
        Some(issuer) => claims.get("iss").and_then(Value::as_str) == Some(issuer),
    }
}

/// Whether `aud` holds one of those who are meant; where nobody is, it must not be there at all.
pub(super) fn audience_fits(source: &SourceOptions, claims: &Map<String, Value>) -> bool {
    let meant = |value: &Value| {
        value.as_str().is_some_and(|name| source.audience.iter().any(|meant| meant == name))
    };
    match claims.get("aud") {
        None => source.audience.is_empty(),
        Some(Value::Array(names)) => names.iter().any(meant),
        Some(name) => meant(name),
    }
}

/// Until when a token is good, leeway included, if it is now.
pub(super) fn times(
    source: &SourceOptions,
    claims: &Map<String, Value>,
    leeway: i64,
    now: i64,
) -> Result<Option<i64>, Unidentified> {
    let mut until = moment(claims, "exp")?;
    if until.is_none() && source.require_exp {
        return Err(Unidentified::Malformed);
    }
    if moment(claims, "nbf")?.is_some_and(|from| now.saturating_add(leeway) < from) {
        return Err(Unidentified::NotYet);
    }
    let made = moment(claims, "iat")?;
    if let Some(age) = source.max_age {
        let made = made.ok_or(Unidentified::Malformed)?;
        if now.saturating_add(leeway) < made {
            return Err(Unidentified::NotYet);
        }
        let old = made.saturating_add(age);
        until = Some(until.map_or(old, |until| until.min(old)));
    }
    let until = until.map(|until| until.saturating_add(leeway));
    if until.is_some_and(|until| until <= now) {
        return Err(Unidentified::Expired);
    }
    Ok(until)
}

/// A moment in seconds, which may have a fraction; texts are none.
fn moment(claims: &Map<String, Value>, name: &str) -> Result<Option<i64>, Unidentified> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let whole = value.as_i64().or_else(|| {
        let float = value.as_f64().filter(|float| float.abs() <= MOMENT_MAX as f64)?;
        // In range, so that nothing is lost but the fraction.
        #[expect(clippy::cast_possible_truncation, reason = "checked above")]
        Some(float as i64)
    });
    let sane = whole.filter(|whole| (-MOMENT_MAX..=MOMENT_MAX).contains(whole));
    sane.map(Some).ok_or(Unidentified::Malformed)
}

/// Whom a token is about: a text, or a whole number, which some makers of tokens write.
pub(super) fn subject(claims: &Map<String, Value>, path: &str) -> Result<Arc<str>, Unidentified> {
    let subject: Arc<str> = match at(claims, path) {
        Some(Value::String(text)) => text.as_str().into(),
        Some(Value::Number(number)) if number.is_i64() || number.is_u64() => {
            number.to_string().into()
        }
        _ => return Err(Unidentified::Malformed),
    };
    let fine = (1..=NAME_BYTES).contains(&subject.len()) && !subject.chars().any(char::is_control);
    if fine { Ok(subject) } else { Err(Unidentified::Malformed) }
}

/// Their roles: texts in a list, or words of a text. Anything else is none: it gives no rights.
pub(super) fn roles(claims: &Map<String, Value>, path: &str) -> Vec<Arc<str>> {
    let fine = |role: &&str| (1..=NAME_BYTES).contains(&role.len());
    match at(claims, path) {
        Some(Value::Array(list)) => {
            let texts = list.iter().filter_map(Value::as_str).filter(fine);
            texts.take(ROLES_MAX).map(Arc::from).collect()
        }
        Some(Value::String(text)) => {
            text.split_whitespace().filter(fine).take(ROLES_MAX).map(Arc::from).collect()
        }
        _ => Vec::new(),
    }
}
