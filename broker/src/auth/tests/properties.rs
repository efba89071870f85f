//! Whatever is shown: nothing panics, and nothing but what was signed is let in.

use std::sync::LazyLock;

use proptest::prelude::*;
use token::Algorithm as By;

use super::*;
use crate::auth::token::peek;

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

struct Rig {
    access: Access,
    makers: Vec<Maker>,
}

/// Trusts a secret, an elliptic key and an RSA key.
static RIG: LazyLock<Rig> = LazyLock::new(|| {
    let makers = vec![Maker::secret(), Maker::new(By::ES256), Maker::new(By::RS256)];
    let pem = |maker: &Maker| KeptFile::new(maker.pem());
    let (ec, rsa) = (pem(&makers[1]), pem(&makers[2]));
    let access = access(vec![
        secret(),
        source("e", &[Algorithm::Es256], KeyPlace::Pem(ec.0.clone())),
        source("r", &[Algorithm::Rs256], KeyPlace::Pem(rsa.0.clone())),
    ]);
    Rig { access, makers }
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn one_bit_more_or_less_is_refused(maker in 0_usize..3, at in any::<prop::sample::Index>(), bit in 0_u8..7) {
        let mut token = RIG.makers[maker].sign(&good()).into_bytes();
        let at = at.index(token.len());
        token[at] ^= 1 << bit;
        if let Ok(token) = String::from_utf8(token) {
            prop_assert!(run(RIG.access.identify(&token)).is_err(), "{token}");
        }
    }

    #[test]
    fn parts_of_two_tokens_are_none(a in 0_usize..3, b in 0_usize..3, which in 0_usize..3) {
        let one = RIG.makers[a].sign(&good());
        let other = RIG.makers[b].sign(&with(&json!({"sub": "root"})));
        let mut parts: Vec<&str> = one.split('.').collect();
        let others: Vec<&str> = other.split('.').collect();
        prop_assume!(parts[which] != others[which]);
        parts[which] = others[which];
        prop_assert!(run(RIG.access.identify(&parts.join("."))).is_err());
    }

    #[test]
    fn any_text_is_refused(text in "\\PC{0,200}") {
        prop_assert!(run(RIG.access.identify(&text)).is_err());
        let _ = peek(&text);
    }

    #[test]
    fn anything_with_dots_is_refused(header in any::<Vec<u8>>(), payload in any::<Vec<u8>>(), signature in any::<Vec<u8>>()) {
        let parts = [header, payload, signature].map(|part| token::base64(&part));
        prop_assert!(run(RIG.access.identify(&parts.join("."))).is_err());
    }

    #[test]
    fn signed_nonsense_is_refused(payload in "\\PC{0,100}", header in r#"\{("alg":"HS256",?)?("kid":"[a-z]*",?)?("(crit|jwk)":[0-9a-z"]*)?\}"#) {
        let token = Maker::secret().sign_raw(&header, &payload);
        prop_assert!(run(RIG.access.identify(&token)).is_err());
    }

    #[test]
    fn claims_of_any_kind_are_judged(name in prop::sample::select(vec!["sub", "exp", "nbf", "iat", "aud", "iss", "roles"]), value in any::<i64>(), kind in 0..6) {
        let value = match kind {
            0 => json!(value),
            1 => json!(value as f64 * 1e200),
            2 => json!(value.to_string()),
            3 => json!([value]),
            4 => json!({"a": value}),
            _ => json!(null),
        };
        let token = Maker::secret().sign(&with(&json!({ name: value })));
        if let Ok(principal) = run(RIG.access.identify(&token)) {
            prop_assert!(principal.expires.is_some_and(|expires| expires > NOW));
            prop_assert!(!principal.subject.is_empty());
        }
    }
}
