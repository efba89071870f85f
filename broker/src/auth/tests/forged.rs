//! What attackers try.

use super::*;
use crate::auth::token::CREDENTIAL_BYTES;
use token::Algorithm as By;
use token::base64;

/// A broker that trusts an RSA key, by RS256 alone.
fn trusting(maker: &Maker) -> (Access, KeptFile) {
    let pem = KeptFile::new(maker.pem());
    let place = KeyPlace::Pem(pem.0.clone());
    (access(vec![source("rsa", &[Algorithm::Rs256], place)]), pem)
}

#[tokio::test]
async fn nobody_signs_with_none_or_with_what_is_not_asked_for() {
    let maker = Maker::new(By::RS256);
    let (access, _pem) = trusting(&maker);
    let payload = good().to_string();
    let signature = maker.sign(&good()).rsplit_once('.').unwrap().1.to_owned();
    for alg in ["none", "None", "NONE", "nOnE", "", "rs256", "RS256 ", "HS256", "RS1", "ES256K"] {
        let header = json!({ "alg": alg }).to_string();
        let message = format!("{}.{}", base64(header.as_bytes()), base64(payload.as_bytes()));
        for signature in ["", "AA", &signature] {
            let answer = said(&access, &format!("{message}.{signature}")).await;
            assert_eq!(answer, Err(Unidentified::UnknownKey), "{alg} {signature}");
        }
    }
    for header in [r"{}", r#"{"alg":null}"#, r#"{"alg":["RS256"]}"#, r#"{"alg":1}"#, "[]", "\"\""] {
        let token = maker.sign_raw(header, &payload);
        assert_eq!(said(&access, &token).await, Err(Unidentified::Malformed), "{header}");
    }
    // Its key could, but the source does not say so.
    for by in [By::RS384, By::RS512, By::PS256, By::PS384, By::PS512] {
        let token = maker.clone().by(by).sign(&good());
        assert_eq!(said(&access, &token).await, Err(Unidentified::UnknownKey), "{by:?}");
    }
    assert!(said(&access, &maker.sign(&good())).await.is_ok());
}

#[tokio::test]
async fn a_public_key_is_never_a_secret() {
    let maker = Maker::new(By::RS256);
    let (access, pem) = trusting(&maker);
    let text = maker.pem();
    let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    for secret in [text, text.trim(), &text.replace('\n', "\r\n"), &body] {
        for by in [By::HS256, By::HS384, By::HS512] {
            let forged = Maker::with_secret(by, secret.as_bytes());
            assert!(said(&access, &forged.sign(&good())).await.is_err());
            // And whatever its header says.
            let forged = forged.sign_raw(r#"{"alg":"RS256"}"#, &good().to_string());
            assert_eq!(said(&access, &forged).await, Err(Unidentified::BadSignature));
        }
    }
    // Whoever writes the options cannot make one of it, either.
    let confused = source("x", &[Algorithm::Hs256], KeyPlace::Pem(pem.0.clone()));
    assert!(Access::from_options(asking(vec![confused])).is_err());
    let set = json!({"keys": [{"kty": "oct", "k": base64(SECRET.as_bytes()), "alg": "HS256"}]});
    let set = KeptFile::new(set.to_string());
    let confused = source("x", &[Algorithm::Hs256], KeyPlace::SetFile(set.0.clone()));
    let error = Access::from_options(asking(vec![confused])).unwrap_err();
    assert!(error.contains("no key that fits"), "{error}");
}

#[tokio::test]
async fn a_token_cannot_bring_its_own_key() {
    let (trusted, mine) = (Maker::new(By::ES256).named("k"), Maker::new(By::ES256).named("k"));
    let set = KeptFile::new(token::key_set(&[&trusted]));
    let access = access(vec![source("e", &[Algorithm::Es256], KeyPlace::SetFile(set.0.clone()))]);
    for (name, value) in [
        ("jwk", mine.jwk()),
        ("jku", json!("http://127.0.0.1:1/jwks.json")),
        ("x5u", json!("http://127.0.0.1:1/x5.pem")),
        ("x5c", json!(["MIIB"])),
        ("x5t", json!("AAAA")),
    ] {
        let header = json!({"alg": "ES256", "kid": "k", name: value}).to_string();
        let answer = said(&access, &mine.sign_raw(&header, &good().to_string())).await;
        assert_eq!(answer, Err(Unidentified::BadSignature), "{name}");
        let answer = said(&access, &trusted.sign_raw(&header, &good().to_string())).await;
        assert!(answer.is_ok(), "{name} is not read");
    }
}

#[tokio::test]
async fn a_kid_is_only_compared() {
    let maker = Maker::new(By::ES256).named("k");
    let set = KeptFile::new(token::key_set(&[&maker]));
    let access = access(vec![source("e", &[Algorithm::Es256], KeyPlace::SetFile(set.0.clone()))]);
    let payload = good().to_string();
    let path = set.0.display().to_string();
    for kid in ["../../../../dev/null", "' OR 1=1 --", "", "K", "k\u{0}", "k ", &path, "e/k"] {
        let header = json!({"alg": "ES256", "kid": kid}).to_string();
        let answer = said(&access, &maker.sign_raw(&header, &payload)).await;
        assert_eq!(answer, Err(Unidentified::UnknownKey), "{kid:?}");
    }
    for header in [json!({"alg": "ES256", "kid": 1}), json!({"alg": "ES256", "kid": ["k"]})] {
        let answer = said(&access, &maker.sign_raw(&header.to_string(), &payload)).await;
        assert_eq!(answer, Err(Unidentified::Malformed), "{header}");
    }
    let nameless = maker.sign_raw(r#"{"alg":"ES256"}"#, &payload);
    assert!(said(&access, &nameless).await.is_ok(), "all keys are tried");
}

#[tokio::test]
async fn what_must_be_understood_is_refused_and_nothing_stands_twice() {
    let access = access(vec![secret()]);
    let maker = Maker::secret();
    let payload = good().to_string();
    for header in [
        r#"{"alg":"HS256","crit":["exp"],"exp":1}"#,
        r#"{"alg":"HS256","crit":[]}"#,
        r#"{"alg":"HS256","crit":null}"#,
        r#"{"alg":"HS256","b64":false,"crit":["b64"]}"#,
        r#"{"alg":"HS256","alg":"HS256"}"#,
        r#"{"alg":"none","alg":"HS256"}"#,
        r#"{"alg":"HS256","\u0061lg":"none"}"#,
    ] {
        let answer = said(&access, &maker.sign_raw(header, &payload)).await;
        assert_eq!(answer, Err(Unidentified::Malformed), "{header}");
    }
    let exp = NOW + 60;
    for payload in [
        format!(r#"{{"sub":"me","sub":"root","exp":{exp}}}"#),
        format!(r#"{{"sub":"me","s\u0075b":"root","exp":{exp}}}"#),
        format!(r#"{{"sub":"me","exp":1,"exp":{exp}}}"#),
        format!(r#"{{"sub":"me","exp":{exp},"a":{{"b":1,"b":2}}}}"#),
        format!(r#"[{{"sub":"me","exp":{exp}}}]"#),
        String::new(),
        "null".to_owned(),
        Maker::secret().sign(&good()),
        format!(r#"{{"sub":"me","exp":{exp}}}{{}}"#),
    ] {
        let token = maker.sign_raw(r#"{"alg":"HS256"}"#, &payload);
        assert_eq!(said(&access, &token).await, Err(Unidentified::Malformed), "{payload}");
    }
}

#[tokio::test]
async fn a_token_has_one_spelling() {
    let access = access(vec![secret()]);
    let token = Maker::secret().sign(&good());
    assert!(said(&access, &token).await.is_ok());
    let (message, signature) = token.rsplit_once('.').unwrap();
    let (header, payload) = message.split_once('.').unwrap();
    // The last digit of 32 bytes holds two bits that mean nothing.
    let digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let last = digits.find(signature.chars().last().unwrap()).unwrap();
    let stray = &digits[last ^ 1..=last ^ 1];
    let stray = format!("{message}.{}{stray}", &signature[..signature.len() - 1]);
    for wrong in [
        stray,
        format!("{token}="),
        format!("{token} "),
        format!(" {token}"),
        format!("{token}\n"),
        format!("{token}."),
        format!(".{token}"),
        format!("{header}.{payload}"),
        format!("{header}.{payload}."),
        format!("{header}..{signature}"),
        format!("{header}.{payload}.{signature}.{signature}.{signature}"),
        format!("{header}.\n{payload}.{signature}"),
        token.replace('.', "%2E"),
        "..".to_owned(),
        ".".repeat(8_000),
        format!("{message}.{}", "A".repeat(CREDENTIAL_BYTES)),
    ] {
        let answer = said(&access, &wrong).await;
        let bad = [Err(Unidentified::Malformed), Err(Unidentified::BadSignature)];
        assert!(bad.contains(&answer), "{wrong} {answer:?}");
    }
}

#[tokio::test]
async fn weak_keys_are_no_keys() {
    for (algorithm, bytes) in
        [(Algorithm::Hs256, 31), (Algorithm::Hs384, 47), (Algorithm::Hs512, 63)]
    {
        let weak = source("s", &[algorithm], KeyPlace::Secret(vec![b'x'; bytes]));
        let error = Access::from_options(asking(vec![weak])).unwrap_err();
        assert!(error.contains("bytes or more"), "{error}");
    }
    let odd = |bytes: usize| [vec![0xc1], vec![0x55; bytes - 1]].concat();
    for (n, e, text) in [
        (odd(128), vec![1, 0, 1], "less than 2048"),
        (odd(255), vec![1, 0, 1], "less than 2048"),
        ([vec![0x7f], odd(255)].concat(), vec![1, 0, 1], "less than 2048"),
        (odd(1_025), vec![1, 0, 1], "more than 8192"),
        (odd(256), vec![1], "exponent"),
        (odd(256), vec![2], "exponent"),
        (odd(256), vec![1, 0], "exponent"),
        (odd(256), vec![], "exponent"),
        (odd(256), vec![1; 9], "exponent"),
        (vec![], vec![1, 0, 1], "less than 2048"),
    ] {
        let jwk = json!({"kty": "RSA", "n": base64(&n), "e": base64(&e)});
        let set = KeptFile::new(json!({ "keys": [jwk] }).to_string());
        let weak = source("s", &[Algorithm::Rs256], KeyPlace::SetFile(set.0.clone()));
        let error = Access::from_options(asking(vec![weak])).unwrap_err();
        assert!(error.contains(text), "{error}");
    }
}
