//! Who somebody is, once their credential is known to be good. Plain data: how that came to be known
//! is `auth`'s business, and what they may do is `policy`'s.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

/// How somebody showed who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// By a token that a key of the configuration vouches for.
    Token,
    /// By an API key of the configuration.
    Key,
    /// The hook said so.
    Hook,
    /// Not at all, where that is allowed.
    Anonymous,
}

/// The role that only those have who did not say who they are.
pub const ANONYMOUS: &str = "anonymous";

/// Somebody.
#[derive(Clone, PartialEq)]
pub struct Principal {
    /// How they showed it.
    pub kind: Kind,
    /// A token's subject, an API key's name.
    pub subject: Arc<str>,
    /// What vouched for it: the name of a source of keys with the key's id, or of an API key. A
    /// principal is worth as much as this is still in the configuration.
    pub issuer_key: Arc<str>,
    /// Its roles.
    pub roles: Vec<Arc<str>>,
    /// Whatever else is said of it.
    pub claims: Map<String, Value>,
    /// Until when that holds, in seconds since 1970; `None` = for good.
    pub expires: Option<i64>,
}

impl Principal {
    /// Somebody who did not say who they are.
    #[must_use]
    pub fn anonymous() -> Self {
        Self {
            kind: Kind::Anonymous,
            subject: Arc::from(ANONYMOUS),
            issuer_key: Arc::from(""),
            roles: vec![Arc::from(ANONYMOUS)],
            claims: Map::new(),
            expires: None,
        }
    }

    /// Whether these are the same somebody, whatever their rights and however long they hold.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.kind == other.kind && self.subject == other.subject
    }

    /// A claim: by its whole name, or by a path of names with dots between.
    #[must_use]
    pub fn claim(&self, path: &str) -> Option<&Value> {
        at(&self.claims, path)
    }
}

/// A member of nested objects, by its whole name or by a path.
#[must_use]
pub fn at<'v>(claims: &'v Map<String, Value>, path: &str) -> Option<&'v Value> {
    if let Some(value) = claims.get(path) {
        return Some(value);
    }
    let (first, rest) = path.split_once('.')?;
    at(claims.get(first)?.as_object()?, rest)
}

impl fmt::Debug for Principal {
    /// Claims are nobody's business.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, subject, roles, expires, .. } = self;
        write!(f, "Principal({kind:?} {subject:?} {roles:?} until {expires:?})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_found_by_its_name_or_by_a_path() {
        let claims = r#"{"a":{"b":1,"c":{"d":2}},"https://x.test/y.z":3,"a.b":4}"#;
        let claims: Map<String, Value> = serde_json::from_str(claims).expect("an object");
        let claim = |path: &str| at(&claims, path).and_then(Value::as_i64);
        assert_eq!(claim("a.c.d"), Some(2));
        assert_eq!(claim("a.b"), Some(4), "the whole name first");
        assert_eq!(claim("https://x.test/y.z"), Some(3));
        for none in ["", "a.x", "b", "a.b.c", ".", "a."] {
            assert_eq!(claim(none), None, "{none}");
        }
    }

    #[test]
    fn nobody_is_shown_what_is_claimed() {
        let mut somebody = Principal::anonymous();
        somebody.claims.insert("email".to_owned(), "me@example.com".into());
        assert!(!format!("{somebody:?}").contains("example.com"));
    }
}
