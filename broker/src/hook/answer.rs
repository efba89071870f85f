//! What the hook answers.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::{Decision, Denial};

/// What is remembered of one answer, in bytes, at most: larger ones are asked for anew.
const REMEMBERED_MAX: usize = 4 << 10;
/// The longest reason, in characters, that is passed on.
const REASON_MAX: usize = 200;

/// Whom the hook takes somebody for.
#[derive(Clone, PartialEq)]
pub struct Identity {
    /// The subject.
    pub subject: Arc<str>,
    /// Its roles.
    pub roles: Vec<Arc<str>>,
    /// What else it says.
    pub claims: Map<String, Value>,
    /// For how long, in seconds from the answer on; `None` = for good.
    pub expires_in: Option<i64>,
    /// Until when, in seconds since 1970.
    pub expires: Option<i64>,
}

impl fmt::Debug for Identity {
    /// Claims are nobody's business.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({:?} {:?})", self.subject, self.roles)
    }
}

/// An answer that makes sense.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) allow: bool,
    code: u16,
    text: Option<Box<str>>,
    identity: Option<Arc<Identity>>,
    /// For how long it may be remembered, if it says so.
    cache: Option<Duration>,
    /// Which of several names are denied, if it says so.
    denied: BTreeSet<String>,
    pub(super) data: Option<Box<str>>,
    bytes: usize,
}

#[derive(Deserialize)]
struct Wire<'a> {
    allow: bool,
    error: Option<String>,
    status: Option<u16>,
    sub: Option<String>,
    #[serde(default)]
    roles: Vec<String>,
    #[serde(default)]
    claims: Map<String, Value>,
    expires_in: Option<f64>,
    cache: Option<f64>,
    #[serde(default)]
    denied: BTreeSet<String>,
    #[serde(borrow, default, deserialize_with = "given")]
    data: Option<&'a RawValue>,
}

/// `null` is data, too.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl Answer {
    /// Reads the body of a 200. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// When it is no answer.
    pub(super) fn read(body: &[u8], now: i64) -> Result<Self, serde_json::Error> {
        let wire: Wire<'_> = serde_json::from_slice(body)?;
        let expires_in = wire.expires_in.map(whole);
        let identity = wire.sub.filter(|_| wire.allow).map(|sub| {
            Arc::new(Identity {
                subject: sub.into(),
                roles: wire.roles.into_iter().map(Arc::from).collect(),
                claims: wire.claims,
                expires_in,
                expires: expires_in.map(|seconds| now.saturating_add(seconds)),
            })
        });
        let seconds = |seconds: f64| Duration::try_from_secs_f64(seconds.max(0.0));
        Ok(Self {
            allow: wire.allow,
            code: if wire.status == Some(401) { 401 } else { 403 },
            text: wire.error.as_deref().and_then(reason),
            identity,
            cache: wire.cache.map(|time| seconds(time).unwrap_or(Duration::MAX)),
            denied: wire.denied,
            data: wire.data.map(|data| Box::from(data.get())),
            bytes: body.len(),
        })
    }

    /// A refusal by status alone. It says why, if its body is an answer all the same.
    pub(super) fn refusal(status: u16, body: &[u8]) -> Self {
        let told = Self::read(body, 0).ok().filter(|told| !told.allow);
        Self {
            allow: false,
            code: if status == 401 { 401 } else { 403 },
            text: told.and_then(|told| told.text),
            identity: None,
            cache: Some(Duration::ZERO),
            denied: BTreeSet::new(),
            data: None,
            bytes: body.len(),
        }
    }

    pub(super) fn decision(&self) -> Decision {
        if self.allow {
            return Ok(self.identity.clone());
        }
        Err(Denial { code: self.code, text: self.text.clone() })
    }

    /// How long it may be remembered, for all that it says.
    pub(super) fn lasts(&self) -> Duration {
        let granted = self.identity.as_ref().and_then(|identity| identity.expires_in);
        let granted = granted.map(|seconds| Duration::from_secs(seconds.max(0).unsigned_abs()));
        self.cache.into_iter().chain(granted).min().unwrap_or(Duration::MAX)
    }

    /// Whether it names this one as refused.
    pub(super) fn denies(&self, name: &str) -> bool {
        self.denied.contains(name)
    }

    pub(super) fn is_large(&self) -> bool {
        self.bytes > REMEMBERED_MAX
    }
}

/// Saturates; what is no number at all is no time at all.
#[expect(clippy::cast_possible_truncation, reason = "saturates, as it should")]
fn whole(seconds: f64) -> i64 {
    seconds as i64
}

/// A reason as it is passed on, if there is one.
fn reason(text: &str) -> Option<Box<str>> {
    let text: String = text.trim().chars().take(REASON_MAX).collect();
    (!text.is_empty()).then(|| text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Answer {
        Answer::read(body.as_bytes(), 1_000).expect("an answer")
    }

    #[test]
    fn an_answer_allows_or_denies() {
        let yes = read(r#"{"allow":true,"more":1}"#);
        assert_eq!(yes.decision(), Ok(None));
        let no = read(r#"{"allow":false,"error":" no credit ","status":401}"#);
        assert_eq!(no.decision(), Err(Denial { code: 401, text: Some("no credit".into()) }));
        let odd = read(r#"{"allow":false,"status":200,"error":"","sub":"me"}"#);
        assert_eq!(odd.decision(), Err(Denial { code: 403, text: None }));
        for garbage in ["", "{}", "[]", "true", r#"{"allow":1}"#, r#"{"allow":null}"#, "{"] {
            assert!(Answer::read(garbage.as_bytes(), 0).is_err(), "{garbage}");
        }
    }

    #[test]
    fn it_says_who_somebody_is_and_for_how_long() {
        let told = read(
            r#"{"allow":true,"sub":"me","roles":["a"],"claims":{"x":1},"expires_in":60,"cache":1.5}"#,
        );
        assert_eq!(told.cache, Some(Duration::from_millis(1_500)));
        let identity = told.decision().expect("yes").expect("somebody");
        assert_eq!((&*identity.subject, identity.expires), ("me", Some(1_060)));
        assert!(!format!("{identity:?}").contains('x'));
        assert_eq!(told.lasts(), Duration::from_millis(1_500));
        let short = read(r#"{"allow":true,"sub":"me","expires_in":1,"cache":60}"#);
        assert_eq!(short.lasts(), Duration::from_secs(1));
        assert_eq!(read(r#"{"allow":true}"#).lasts(), Duration::MAX);
        assert_eq!(read(r#"{"allow":true,"cache":1e300}"#).cache, Some(Duration::MAX));
        assert_eq!(read(r#"{"allow":true,"cache":-1}"#).cache, Some(Duration::ZERO));
    }

    #[test]
    fn data_is_kept_as_it_was_sent_and_null_is_data() {
        assert_eq!(
            read(r#"{"allow":true,"data":{"n": 1.50}}"#).data,
            Some(r#"{"n": 1.50}"#.into())
        );
        assert_eq!(read(r#"{"allow":true,"data":null}"#).data, Some("null".into()));
        assert_eq!(read(r#"{"allow":true}"#).data, None);
    }

    #[test]
    fn a_status_refuses_whatever_its_body_says() {
        let refused = Answer::refusal(404, br#"{"allow":true}"#);
        assert_eq!(refused.decision(), Err(Denial { code: 403, text: None }));
        assert_eq!(refused.cache, Some(Duration::ZERO));
        let told = Answer::refusal(401, br#"{"allow":false,"error":"who are you"}"#);
        assert_eq!(told.decision(), Err(Denial { code: 401, text: Some("who are you".into()) }));
    }
}
