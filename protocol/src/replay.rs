//! What `ext` asks for: replay (the extension that Salesforce's clients speak, decisions 5) and
//! publications that are not to happen twice.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Bound::{Included, Unbounded};

use serde_json::value::RawValue;

use crate::json::{self, Members};

/// Where a subscription starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With what is published from now on (-1).
    New,
    /// With all that is kept (-2).
    All,
    /// After this position, 0 or more.
    After(i64),
}

impl Start {
    /// `null`, what is no number, and other numbers below 0 count as -1 (jsforce puts its one
    /// channel into every subscribe, with or without a number).
    fn read(raw: &RawValue) -> Self {
        if let Ok(position) = raw.get().parse::<i64>() {
            return match position {
                0.. => Self::After(position),
                -2 => Self::All,
                _ => Self::New,
            };
        }
        #[expect(clippy::cast_possible_truncation, reason = "saturates, as it should")]
        match json::number(raw) {
            Some(number) if number >= 0.0 => Self::After(number as i64),
            Some(number) if number.to_bits() == (-2.0_f64).to_bits() => Self::All,
            _ => Self::New,
        }
    }
}

/// The `ext.replay` of a subscribe: a start by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replay<'a> {
    starts: BTreeMap<Cow<'a, str>, Start>,
}

impl<'a> Replay<'a> {
    /// Reads a subscribe's `ext`; `None` if it does not ask for replay. Of a name that comes twice,
    /// the later one counts.
    pub fn read(ext: &'a RawValue) -> Option<Self> {
        let members = Members::of(Members::of(ext)?.get("replay")?)?;
        let starts = members.0.into_iter().filter_map(|(name, value)| {
            let name = json::string(name)?;
            Some((name, Start::read(value)))
        });
        Some(Self { starts: starts.collect() })
    }

    /// Where the subscription to this name is to start, if that was said.
    pub fn start(&self, name: &str) -> Option<Start> {
        self.starts.get(name).copied()
    }

    /// The names that are to begin in the past.
    pub fn past(&self) -> impl Iterator<Item = &str> {
        let past = self.starts.iter().filter(|(_, start)| **start != Start::New);
        past.map(|(name, _)| &**name)
    }

    /// The names that begin so, with their starts.
    pub fn below(&self, prefix: &str) -> impl Iterator<Item = (&str, Start)> {
        let from = self.starts.range::<str, _>((Included(prefix), Unbounded));
        let below = from.take_while(move |(name, _)| name.starts_with(prefix));
        below.map(|(name, start)| (&**name, *start))
    }
}

/// Starts by name, from wherever they are known. Of a name that comes twice, the later one counts.
impl<'a, N: Into<Cow<'a, str>>> FromIterator<(N, Start)> for Replay<'a> {
    fn from_iter<I: IntoIterator<Item = (N, Start)>>(starts: I) -> Self {
        Self { starts: starts.into_iter().map(|(name, start)| (name.into(), start)).collect() }
    }
}

/// Whether a handshake's `ext` announces replay: `{"replay": true}`.
pub fn announces_replay(ext: &RawValue) -> bool {
    Members::of(ext).and_then(|ext| ext.get("replay")).is_some_and(|value| value.get() == "true")
}

/// The key is no string, empty, or longer than [`KEY_BYTES_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidKey;

/// The longest idempotency key, in bytes.
pub const KEY_BYTES_MAX: usize = 256;

/// The idempotency key of a publish, `ext.weft.key`, if there is one.
///
/// # Errors
/// When there is one that cannot serve.
pub fn publish_key(ext: &RawValue) -> Result<Option<Cow<'_, str>>, InvalidKey> {
    let weft = Members::of(ext).and_then(|ext| Members::of(ext.get("weft")?));
    let Some(key) = weft.and_then(|weft| weft.get("key")) else { return Ok(None) };
    json::string(key)
        .filter(|key| (1..=KEY_BYTES_MAX).contains(&key.len()))
        .map(Some)
        .ok_or(InvalidKey)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> &RawValue {
        serde_json::from_str(text).expect("JSON")
    }

    fn start(value: &str) -> Option<Start> {
        let ext = format!(r#"{{"replay":{{"/a":{value}}}}}"#);
        let ext: &RawValue = serde_json::from_str(&ext).expect("JSON");
        Replay::read(ext).expect("asked").start("/a")
    }

    #[test]
    fn x2_starts_are_new_all_or_after() {
        assert_eq!(start("-1"), Some(Start::New));
        assert_eq!(start("-2"), Some(Start::All));
        assert_eq!(start("-2.0"), Some(Start::All));
        assert_eq!(start("1800000000000000"), Some(Start::After(1_800_000_000_000_000)));
        assert_eq!(start("1.8e15"), Some(Start::After(1_800_000_000_000_000)));
        assert_eq!(start("0"), Some(Start::After(0)));
    }

    #[test]
    fn x2_null_and_what_is_no_number_count_as_new() {
        for value in ["null", "\"7\"", "{}", "[]", "true", "-3", "-1.5"] {
            assert_eq!(start(value), Some(Start::New), "{value}");
        }
    }

    #[test]
    fn x2_only_an_object_asks() {
        for ext in ["{}", r#"{"replay":true}"#, r#"{"replay":-2}"#, r#"{"replay":null}"#, "1"] {
            assert_eq!(Replay::read(raw(ext)), None, "{ext}");
        }
        assert_eq!(Replay::read(raw(r#"{"replay":{}}"#)), Some(Replay::default()));
        let two = Replay::read(raw(r#"{"replay":{"\u002fa":1,"/a":2}}"#)).expect("asked");
        assert_eq!(two.start("/a"), Some(Start::After(2)), "the last counts");
        assert_eq!(two.start("/b"), None);
    }

    #[test]
    fn x2_a_handshake_announces_replay_with_true_alone() {
        assert!(announces_replay(raw(r#"{"replay":true}"#)));
        assert!(!announces_replay(raw(r#"{"replay":1}"#)));
        assert!(!announces_replay(raw(r#"{"ack":true}"#)));
    }

    #[test]
    fn a_publish_may_carry_a_key() {
        let key = |ext| publish_key(raw(ext)).map(|key| key.map(Cow::into_owned));
        assert_eq!(key(r#"{"weft":{"key":"k-1"}}"#), Ok(Some("k-1".into())));
        assert_eq!(key(r#"{"weft":{}}"#), Ok(None));
        assert_eq!(key(r#"{"key":"k"}"#), Ok(None));
        assert_eq!(key(r#"{"weft":{"key":7}}"#), Err(InvalidKey));
        assert_eq!(key(r#"{"weft":{"key":""}}"#), Err(InvalidKey));
        let long = format!(r#"{{"weft":{{"key":"{}"}}}}"#, "k".repeat(257));
        assert_eq!(
            publish_key(&serde_json::from_str::<Box<RawValue>>(&long).unwrap()),
            Err(InvalidKey)
        );
    }
}
