//! Tokens as others make them, and as attackers do.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use serde_json::{Value, json};
use weft_tests::kept_file::KeptFile;
use weft_tests::token::{self, Maker, SECRET};

use super::algorithm::Algorithm;
use super::options::{AuthOptions, KeyPlace, SourceOptions};
use super::{Access, AuthStats, Unidentified};
use crate::core::clock::Clock;
use crate::core::principal::Principal;

mod claims;
mod figures;
mod files;
mod forged;
mod properties;
mod sets;
mod vectors;

/// A clock that stands until it is moved.
#[derive(Debug)]
struct At(AtomicI64);

impl At {
    fn set(&self, seconds: i64) {
        self.0.store(seconds, Ordering::SeqCst);
    }
}

impl Clock for At {
    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn wall_us(&self) -> i64 {
        self.0.load(Ordering::SeqCst) * 1_000_000
    }
}

/// When all of this happens.
const NOW: i64 = 1_800_000_000;

fn source(name: &str, algorithms: &[Algorithm], place: KeyPlace) -> SourceOptions {
    SourceOptions {
        name: name.to_owned(),
        algorithms: algorithms.to_vec(),
        place,
        issuer: None,
        audience: Vec::new(),
        require_exp: true,
        max_age: None,
    }
}

fn secret() -> SourceOptions {
    source("s", &[Algorithm::Hs256], KeyPlace::Secret(SECRET.as_bytes().to_vec()))
}

fn asking(sources: Vec<SourceOptions>) -> AuthOptions {
    AuthOptions { open: false, leeway: 30, sources, ..AuthOptions::default() }
}

fn access_at(options: AuthOptions) -> (Access, Arc<At>) {
    let clock = Arc::new(At(AtomicI64::new(NOW)));
    let stats = AuthStats::unregistered().unwrap();
    (Access::new(options, stats, Arc::clone(&clock) as Arc<dyn Clock>).unwrap(), clock)
}

fn access(sources: Vec<SourceOptions>) -> Access {
    access_at(asking(sources)).0
}

/// Claims that are good for an hour.
fn good() -> Value {
    json!({"sub": "me", "exp": NOW + 3_600})
}

/// The good claims with others.
fn with(more: &Value) -> Value {
    let mut claims = good();
    for (name, value) in more.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

async fn identify(access: &Access, token: &str) -> Result<Arc<Principal>, Unidentified> {
    access.identify(token).await
}

/// What is said of the token; the subject if it is good.
async fn said(access: &Access, token: &str) -> Result<String, Unidentified> {
    identify(access, token).await.map(|principal| principal.subject.to_string())
}

#[tokio::test]
async fn every_algorithm_of_a_file_or_a_set_is_verified() {
    use token::Algorithm as By;
    for (by, algorithm) in [
        (By::RS256, Algorithm::Rs256),
        (By::RS384, Algorithm::Rs384),
        (By::RS512, Algorithm::Rs512),
        (By::PS256, Algorithm::Ps256),
        (By::PS384, Algorithm::Ps384),
        (By::PS512, Algorithm::Ps512),
        (By::ES256, Algorithm::Es256),
        (By::ES384, Algorithm::Es384),
        (By::EdDSA, Algorithm::EdDsa),
    ] {
        let maker = Maker::new(by).named("k");
        let (pem, set) = (KeptFile::new(maker.pem()), KeptFile::new(token::key_set(&[&maker])));
        for place in [KeyPlace::Pem(pem.0.clone()), KeyPlace::SetFile(set.0.clone())] {
            let access = access(vec![source("x", &[algorithm], place)]);
            assert_eq!(said(&access, &maker.sign(&good())).await, Ok("me".to_owned()), "{by:?}");
            // A key of its kind, and not its own. RSA keys of tests are all one.
            if matches!(by, By::ES256 | By::ES384 | By::EdDSA) {
                let other = Maker::new(by).named("k").sign(&good());
                assert_eq!(said(&access, &other).await, Err(Unidentified::BadSignature));
            }
        }
    }
    for (by, algorithm) in [
        (By::HS256, Algorithm::Hs256),
        (By::HS384, Algorithm::Hs384),
        (By::HS512, Algorithm::Hs512),
    ] {
        let place = KeyPlace::Secret(SECRET.as_bytes().to_vec());
        let access = access(vec![source("x", &[algorithm], place)]);
        let maker = Maker::with_secret(by, SECRET.as_bytes());
        assert_eq!(said(&access, &maker.sign(&good())).await, Ok("me".to_owned()), "{by:?}");
        let other = Maker::with_secret(by, &[b'x'; 64]);
        assert_eq!(said(&access, &other.sign(&good())).await, Err(Unidentified::BadSignature));
    }
}

#[tokio::test]
async fn a_good_token_is_remembered_until_it_expires() {
    let (access, clock) = access_at(asking(vec![secret()]));
    let token = Maker::secret().sign(&good());
    let first = identify(&access, &token).await.unwrap();
    let again = identify(&access, &token).await.unwrap();
    assert!(Arc::ptr_eq(&first, &again), "verified once");
    assert_eq!(first.expires, Some(NOW + 3_630), "leeway included");
    clock.set(NOW + 3_629);
    assert!(identify(&access, &token).await.is_ok());
    clock.set(NOW + 3_630);
    assert_eq!(identify(&access, &token).await, Err(Unidentified::Expired));
    assert_eq!(identify(&access, &token).await, Err(Unidentified::Expired));
}

#[tokio::test]
async fn a_reload_refuses_what_was_good() {
    let (access, _) = access_at(asking(vec![secret()]));
    let mut changed = access.changed();
    let token = Maker::secret().sign(&good());
    let me = identify(&access, &token).await.unwrap();
    assert!(access.still_valid(&me));

    access.reload(asking(vec![secret()])).unwrap();
    assert!(changed.has_changed().unwrap());
    assert!(access.still_valid(&me), "the same secret is the same key");

    let denied = AuthOptions { denied: vec!["me".to_owned()], ..asking(vec![secret()]) };
    access.reload(denied).unwrap();
    assert!(!access.still_valid(&me));
    assert_eq!(identify(&access, &token).await, Err(Unidentified::Denied));

    let other = source("s", &[Algorithm::Hs256], KeyPlace::Secret(vec![b'x'; 32]));
    access.reload(asking(vec![other])).unwrap();
    assert!(!access.still_valid(&me), "another key by the same name");
    assert_eq!(identify(&access, &token).await, Err(Unidentified::BadSignature));

    let mut picky = secret();
    picky.audience = vec!["weft".to_owned()];
    access.reload(asking(vec![picky])).unwrap();
    assert!(!access.still_valid(&me), "it was not made for us");

    let _ = changed.borrow_and_update();
    let missing = source("s", &[Algorithm::Rs256], KeyPlace::Pem("/nowhere/x.pem".into()));
    let error = access.reload(asking(vec![missing])).unwrap_err();
    assert!(error.contains("[[auth.tokens]] \"s\": /nowhere/x.pem"), "{error}");
    assert!(!changed.has_changed().unwrap(), "everything stays");

    access.reload(AuthOptions::default()).unwrap();
    assert!(access.is_open() && access.still_valid(&me));
}

#[tokio::test]
async fn api_keys_are_known_by_their_hash_until_they_expire() {
    use sha2::{Digest, Sha256};

    use super::options::KeyOptions;
    use crate::core::principal::Kind;
    let key = |name: &str, text: &str, expires| KeyOptions {
        name: name.to_owned(),
        sha256: Sha256::digest(text).into(),
        roles: vec!["publisher".to_owned()],
        expires,
    };
    let keys = vec![key("a", "weft_a", None), key("b", "weft.b.c", Some(NOW + 10))];
    let options = AuthOptions { keys, ..asking(Vec::new()) };
    let (access, clock) = access_at(options.clone());
    let a = identify(&access, "weft_a").await.unwrap();
    assert_eq!((a.kind, &*a.subject, a.expires), (Kind::Key, "a", None));
    assert_eq!(a.roles, [Arc::from("publisher")]);
    let b = identify(&access, "weft.b.c").await.unwrap();
    assert_eq!((&*b.subject, b.expires), ("b", Some(NOW + 10)));
    clock.set(NOW + 10);
    assert_eq!(identify(&access, "weft.b.c").await, Err(Unidentified::Expired));
    for wrong in ["", "weft_", "weft_b", "weft_a ", &options.keys[0].name] {
        assert_eq!(identify(&access, wrong).await, Err(Unidentified::Malformed), "{wrong:?}");
    }
    let mut fewer = options.clone();
    fewer.keys.pop();
    fewer.keys[0].roles.clear();
    access.reload(fewer).unwrap();
    assert!(!access.still_valid(&b), "removed");
    assert!(!access.still_valid(&a), "its roles are others");
}

#[tokio::test]
async fn several_sources_each_vouch_for_their_own() {
    let two = source("t", &[Algorithm::Hs256], KeyPlace::Secret(vec![b'x'; 32]));
    let third = SourceOptions { issuer: Some("https://i".to_owned()), ..two.clone() };
    let access = access(vec![secret(), third, SourceOptions { name: "u".to_owned(), ..two }]);
    let other = Maker::with_secret(token::Algorithm::HS256, &[b'x'; 32]);
    for (maker, claims, by) in [
        (Maker::secret(), good(), "s~"),
        (other.clone(), with(&json!({"iss": "https://i"})), "t~"),
        (other, with(&json!({"iss": "https://else"})), "u~"),
    ] {
        let principal = identify(&access, &maker.sign(&claims)).await.unwrap();
        assert!(principal.issuer_key.starts_with(by), "{}", principal.issuer_key);
    }
}
