//! JWK Sets in files and at addresses.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use weft_tests::key_server::KeyServer;
use weft_tests::wait::{PATIENCE, until};

use super::*;
use token::Algorithm as By;
use token::key_set;

fn remote(server: &KeyServer) -> SourceOptions {
    source("r", &[Algorithm::Es256], KeyPlace::SetUrl(server.url(), Duration::from_secs(600)))
}

#[tokio::test]
async fn keys_that_do_not_fit_are_left_out() {
    let (one, two) = (Maker::new(By::ES256).named("1"), Maker::new(By::EdDSA).named("2"));
    let change = |maker: &Maker, name: &str, value: Value| {
        let mut jwk = maker.jwk();
        jwk[name] = value;
        jwk
    };
    let useless = [
        json!(5),
        json!({"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA"}),
        json!({"kty": "oct", "k": "AAAA"}),
        change(&one, "use", json!("enc")),
        change(&one, "key_ops", json!(["sign"])),
        change(&one, "alg", json!("ECDH-ES")),
        change(&one, "crv", json!("P-384")),
        change(&one, "x", json!("AAAA")),
        change(&one, "x", json!("not base64!")),
        change(&one, "y", json!(null)),
        change(&one, "kid", json!("k".repeat(257))),
        change(&one, "kid", json!("a\nb")),
        change(&two, "crv", json!("Ed448")),
    ];
    let place = |keys: &Value| {
        let file = KeptFile::new(json!({ "keys": keys }).to_string());
        (KeyPlace::SetFile(file.0.clone()), file)
    };
    let fitting = [Algorithm::Es256, Algorithm::EdDsa];
    for jwk in &useless {
        let (place, _file) = place(&json!([jwk]));
        let options = asking(vec![source("x", &fitting, place)]);
        let error = Access::from_options(options).unwrap_err();
        assert!(error.contains("no key that fits"), "{jwk} {error}");
    }
    let mut all: Vec<Value> = useless.to_vec();
    all.extend([change(&one, "key_ops", json!(["verify"])), two.jwk()]);
    let (place, _file) = place(&json!(all));
    let access = access(vec![source("x", &fitting, place)]);
    for (maker, id) in [(one, "x/1~"), (two, "x/2~")] {
        let principal = identify(&access, &maker.sign(&good())).await.unwrap();
        assert!(principal.issuer_key.starts_with(id), "{}", principal.issuer_key);
    }
    for text in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#, r#"{"keys":[]}"#] {
        let file = KeptFile::new(text);
        let place = KeyPlace::SetFile(file.0.clone());
        let options = asking(vec![source("x", &fitting, place)]);
        assert!(Access::from_options(options).is_err(), "{text}");
    }
}

#[tokio::test]
async fn the_first_token_has_the_set_fetched_and_a_new_key_has_it_fetched_again() {
    let (old, new) = (Maker::new(By::ES256).named("old"), Maker::new(By::ES256).named("new"));
    let server = KeyServer::start(&key_set(&[&old]));
    let access = access(vec![remote(&server)]);
    let tokens: Vec<String> =
        (0..20).map(|n| old.sign(&with(&json!({"sub": n.to_string()})))).collect();
    server.delay(Duration::from_millis(50));
    let many = futures_util::future::join_all(tokens.iter().map(|token| said(&access, token)));
    assert!(many.await.iter().all(Result::is_ok));
    assert_eq!(server.asked(), 1, "one question at a time");

    server.serve(&key_set(&[&new, &old]));
    let token = new.sign(&good());
    assert_eq!(said(&access, &token).await, Ok("me".to_owned()));
    assert_eq!(server.asked(), 2);
    assert!(said(&access, &tokens[0]).await.is_ok());

    // Nobody can have it asked more often than that.
    for n in 0..50 {
        let stranger = Maker::new(By::ES256).named(&n.to_string()).sign(&good());
        assert_eq!(said(&access, &stranger).await, Err(Unidentified::UnknownKey));
    }
    let forged = Maker::new(By::ES256).named("new").sign(&good());
    assert_eq!(said(&access, &forged).await, Err(Unidentified::BadSignature));
    assert_eq!(server.asked(), 2);
}

#[tokio::test]
async fn a_set_that_cannot_be_had_makes_tokens_wait_and_one_that_was_had_stays() {
    let maker = Maker::new(By::ES256).named("k");
    let server = KeyServer::start(&key_set(&[&maker]));
    for (status, body) in [
        ("500 Oh", key_set(&[&maker]).into_bytes()),
        ("301 Elsewhere\r\nLocation: /other", Vec::new()),
        ("200 OK", b"<html>".to_vec()),
        ("200 OK", vec![b' '; 300 << 10]),
        ("200 OK", br#"{"keys":[]}"#.to_vec()),
    ] {
        server.answer(status, &body);
        let access = access(vec![remote(&server)]);
        let token = maker.sign(&good());
        assert_eq!(said(&access, &token).await, Err(Unidentified::Unavailable), "{status}");
    }
    server.serve(&key_set(&[&maker]));
    let access = access(vec![remote(&server)]);
    assert!(said(&access, &maker.sign(&good())).await.is_ok());
    server.answer("500 Oh", b"");
    let unknown = Maker::new(By::ES256).named("u").sign(&good());
    assert_eq!(said(&access, &unknown).await, Err(Unidentified::UnknownKey));
    assert!(said(&access, &maker.sign(&with(&json!({"n": 1})))).await.is_ok());

    // A reload that leaves address and algorithms as they are keeps the keys, and who came by them.
    let me = identify(&access, &maker.sign(&good())).await.unwrap();
    let often = KeyPlace::SetUrl(server.url(), Duration::from_secs(60));
    let picky = SourceOptions { place: often, max_age: Some(60), ..remote(&server) };
    access.reload(asking(vec![picky.clone(), secret()])).unwrap();
    assert!(access.still_valid(&me));
    let young = with(&json!({"n": 2, "iat": NOW}));
    assert!(said(&access, &maker.sign(&young)).await.is_ok());
    access.reload(asking(vec![SourceOptions { name: "other".to_owned(), ..picky }])).unwrap();
    assert!(!access.still_valid(&me));
}

#[tokio::test]
async fn those_who_wait_for_an_answer_wait_for_one_only() {
    let maker = Maker::new(By::ES256).named("k");
    let server = KeyServer::start("");
    server.answer("500 Oh", b"");
    server.delay(Duration::from_millis(1_500));
    let access = access(vec![remote(&server)]);
    let tokens: Vec<String> =
        (0..20).map(|n| maker.sign(&with(&json!({"sub": n.to_string()})))).collect();
    let many = futures_util::future::join_all(tokens.iter().map(|token| said(&access, token)));
    assert!(many.await.iter().all(|answer| *answer == Err(Unidentified::Unavailable)));
    assert_eq!(server.asked(), 1);
}

#[tokio::test]
async fn whoever_brings_the_token_may_go_away_while_it_is_asked() {
    let maker = Maker::new(By::ES256).named("k");
    let server = KeyServer::start(&key_set(&[&maker]));
    server.delay(Duration::from_millis(200));
    let access = access(vec![remote(&server)]);
    let token = maker.sign(&good());
    let gone = tokio::time::timeout(Duration::from_millis(50), access.identify(&token)).await;
    assert!(gone.is_err());
    assert!(said(&access, &token).await.is_ok());
    assert_eq!(server.asked(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_asked_when_it_is_time() {
    let (old, new) = (Maker::new(By::ES256).named("k"), Maker::new(By::ES256).named("k"));
    let server = KeyServer::start(&key_set(&[&old]));
    let often = KeyPlace::SetUrl(server.url(), Duration::from_secs(1));
    let access = access(vec![source("r", &[Algorithm::Es256], often)]);
    let mut changed = access.changed();
    let stop = CancellationToken::new();
    let keeper = tokio::spawn(access.clone().keep(stop.clone()));
    changed.changed().await.unwrap();
    let me = identify(&access, &old.sign(&good())).await.unwrap();
    server.serve(&key_set(&[&new]));
    changed.changed().await.unwrap();
    assert!(!access.still_valid(&me), "another key by the old name");
    assert!(identify(&access, &new.sign(&good())).await.is_ok());
    let asked = server.asked();
    server.answer("500 Oh", b"");
    until("questions", PATIENCE, || (server.asked() >= asked + 2).then_some(()));
    assert!(identify(&access, &new.sign(&with(&json!({"n": 1})))).await.is_ok());
    stop.cancel();
    keeper.await.unwrap();
}
