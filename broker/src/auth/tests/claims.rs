//! What is asked of claims, and what is taken from them.

use super::*;

/// What is said of the good claims with these others, by a source that asks for nothing else.
async fn judge(claims: &Value) -> Result<String, Unidentified> {
    said(&access(vec![secret()]), &Maker::secret().sign(&with(claims))).await
}

#[tokio::test]
async fn times_are_numbers_and_hold_with_leeway() {
    let ok = Ok("me".to_owned());
    let expired = Err(Unidentified::Expired);
    let bad = Err(Unidentified::Malformed);
    for (claims, expected) in [
        (json!({"exp": NOW - 29}), &ok),
        (json!({"exp": NOW - 30}), &expired),
        (json!({"exp": (NOW - 29) as f64 + 0.5}), &ok),
        (json!({"exp": 0}), &expired),
        (json!({"exp": -1}), &expired),
        (json!({"exp": (NOW + 60).to_string()}), &bad),
        (json!({"exp": null}), &bad),
        (json!({"exp": [NOW + 60]}), &bad),
        (json!({"exp": i64::MAX}), &bad),
        (json!({"exp": u64::MAX}), &bad),
        (json!({"exp": 1e300}), &bad),
        (json!({"exp": -1e300}), &bad),
        (json!({"nbf": NOW + 30}), &ok),
        (json!({"nbf": NOW + 31}), &Err(Unidentified::NotYet)),
        (json!({"nbf": "soon"}), &bad),
        (json!({"nbf": 1e300}), &bad),
        (json!({"iat": true}), &bad),
        (json!({"iat": NOW + 9_999}), &ok),
    ] {
        assert_eq!(judge(&claims).await, *expected, "{claims}");
    }
    let maker = Maker::secret();
    let timeless = maker.sign(&json!({"sub": "me"}));
    assert_eq!(said(&access(vec![secret()]), &timeless).await, bad);
    let patient = SourceOptions { require_exp: false, ..secret() };
    let principal = identify(&access(vec![patient]), &timeless).await.unwrap();
    assert_eq!(principal.expires, None);
}

#[tokio::test]
async fn tokens_may_be_bounded_in_age() {
    let young = SourceOptions { max_age: Some(100), require_exp: false, ..secret() };
    let access = access(vec![young]);
    for (claims, expected) in [
        (json!({"sub": "me"}), Err(Unidentified::Malformed)),
        (json!({"sub": "me", "iat": NOW - 50}), Ok(Some(NOW + 80))),
        (json!({"sub": "me", "iat": NOW - 50, "exp": NOW}), Ok(Some(NOW + 30))),
        (json!({"sub": "me", "iat": NOW - 130, "exp": NOW + 999}), Err(Unidentified::Expired)),
        (json!({"sub": "me", "iat": NOW + 31}), Err(Unidentified::NotYet)),
    ] {
        let answer = identify(&access, &Maker::secret().sign(&claims)).await;
        assert_eq!(answer.map(|principal| principal.expires), expected, "{claims}");
    }
}

#[tokio::test]
async fn the_subject_is_a_text_or_a_whole_number() {
    for (sub, expected) in [
        (json!("a/b c é"), Some("a/b c é")),
        (json!(17), Some("17")),
        (json!(-1), Some("-1")),
        (json!(u64::MAX), Some("18446744073709551615")),
        (json!(1.5), None),
        (json!(""), None),
        (json!(null), None),
        (json!(true), None),
        (json!(["me"]), None),
        (json!({"a": 1}), None),
        (json!("a\nb"), None),
        (json!("a\u{0}"), None),
        (json!("x".repeat(257)), None),
    ] {
        let expected = expected.map(str::to_owned).ok_or(Unidentified::Malformed);
        assert_eq!(judge(&json!({ "sub": sub })).await, expected, "{sub}");
    }
}

#[tokio::test]
async fn subject_and_roles_stand_where_the_configuration_says() {
    let claims = json!({
        "sub": "me",
        "user": {"name": "you"},
        "scope": "read  write",
        "realm_access": {"roles": ["a", 1, "b", null, ""]},
        "https://example.com/roles": ["c"],
        "n": 5,
    });
    for (subject, roles, expected) in [
        ("sub", "scope", ("me", vec!["read", "write"])),
        ("user.name", "realm_access.roles", ("you", vec!["a", "b"])),
        ("sub", "https://example.com/roles", ("me", vec!["c"])),
        ("sub", "roles", ("me", vec![])),
        ("sub", "n", ("me", vec![])),
    ] {
        let options = AuthOptions {
            subject_claim: subject.to_owned(),
            roles_claim: roles.to_owned(),
            ..asking(vec![secret()])
        };
        let (access, _) = access_at(options);
        let principal = identify(&access, &Maker::secret().sign(&with(&claims))).await.unwrap();
        let expected: (_, Vec<Arc<str>>) =
            (expected.0, expected.1.into_iter().map(Arc::from).collect());
        assert_eq!((&*principal.subject, principal.roles.clone()), expected);
        assert_eq!(principal.claim("user.name"), Some(&json!("you")));
    }
}

#[tokio::test]
async fn issuer_and_audience_are_those_who_are_meant() {
    let meant = |issuer: Option<&str>, audience: &[&str]| SourceOptions {
        issuer: issuer.map(str::to_owned),
        audience: audience.iter().map(|&name| name.to_owned()).collect(),
        ..secret()
    };
    let weft = || meant(Some("https://i"), &["weft", "weft2"]);
    for (source, claims, expected) in [
        (weft(), json!({"iss": "https://i", "aud": "weft"}), None),
        (weft(), json!({"iss": "https://i", "aud": ["x", "weft2"]}), None),
        (weft(), json!({"iss": "https://i/", "aud": "weft"}), Some(Unidentified::WrongIssuer)),
        (weft(), json!({"iss": ["https://i"], "aud": "weft"}), Some(Unidentified::WrongIssuer)),
        (weft(), json!({"aud": "weft"}), Some(Unidentified::WrongIssuer)),
        (weft(), json!({"iss": "https://i"}), Some(Unidentified::WrongAudience)),
        (weft(), json!({"iss": "https://i", "aud": "WEFT"}), Some(Unidentified::WrongAudience)),
        (weft(), json!({"iss": "https://i", "aud": []}), Some(Unidentified::WrongAudience)),
        (
            weft(),
            json!({"iss": "https://i", "aud": {"weft": 1}}),
            Some(Unidentified::WrongAudience),
        ),
        (meant(None, &[]), json!({"iss": "anybody"}), None),
        // RFC 7519, 4.1.3: it is for somebody, and nobody says that this is us.
        (meant(None, &[]), json!({"aud": "other"}), Some(Unidentified::WrongAudience)),
    ] {
        let answer = said(&access(vec![source]), &Maker::secret().sign(&with(&claims))).await;
        assert_eq!(answer.err(), expected, "{claims}");
    }
    // One key, two audiences.
    let both = access(vec![
        SourceOptions { name: "a".to_owned(), ..meant(None, &["a"]) },
        SourceOptions { name: "b".to_owned(), ..meant(None, &["b"]) },
    ]);
    for (aud, expected) in [("a", None), ("b", None), ("c", Some(Unidentified::WrongAudience))] {
        let token = Maker::secret().sign(&with(&json!({ "aud": aud })));
        assert_eq!(said(&both, &token).await.err(), expected);
    }
}
