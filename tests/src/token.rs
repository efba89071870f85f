//! Tokens as somebody else makes them, and keys to sign them with.
//!
//! Keys are made when they are asked for, so that none is kept in the repository. What signs here is
//! not what verifies in the broker.

use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::jwk::Jwk;
pub use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{
    KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256,
    RsaKeySize,
};
use serde_json::{Value, json};

/// The secret of [`Maker::secret`]: 64 bytes, enough for each of HS256, HS384 and HS512.
pub const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// Those who sign with a secret or a key of their own.
#[derive(Clone)]
pub struct Maker {
    algorithm: Algorithm,
    key: EncodingKey,
    kid: Option<String>,
    public: String,
    /// The public key's own bytes, without what says of which kind they are.
    bytes: Vec<u8>,
}

impl std::fmt::Debug for Maker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Maker").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

/// Seconds since 1970.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "tokens are about the machine's time")]
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).expect("a clock that is set")
}

/// `[auth]` that trusts [`Maker::secret`] with HS256; what `more` says comes right after its first
/// lines, so that it may begin with keys of `[auth]`.
#[must_use]
pub fn auth(more: &str) -> String {
    let source = "[[auth.tokens]]\nname = \"test\"\nalgorithms = [\"HS256\"]\n";
    format!("[auth]\nmode = \"token\"\n{more}\n{source}secret = \"{SECRET}\"\n")
}

/// A token that [`auth`] trusts for an hour.
#[must_use]
pub fn token(subject: &str, roles: &[&str]) -> String {
    token_until(subject, roles, now() + 3_600)
}

/// A token that [`auth`] trusts until then, and `leeway` longer.
#[must_use]
pub fn token_until(subject: &str, roles: &[&str], exp: i64) -> String {
    Maker::secret().sign(&json!({"sub": subject, "roles": roles, "exp": exp}))
}

impl Maker {
    /// Signs with [`SECRET`], by HS256.
    #[must_use]
    pub fn secret() -> Self {
        Self::with_secret(Algorithm::HS256, SECRET.as_bytes())
    }

    /// Signs with a secret.
    #[must_use]
    pub fn with_secret(algorithm: Algorithm, secret: &[u8]) -> Self {
        Self::with_key(algorithm, EncodingKey::from_secret(secret))
    }

    /// Signs with a key that is had already.
    #[must_use]
    pub fn with_key(algorithm: Algorithm, key: EncodingKey) -> Self {
        Self { algorithm, key, kid: None, public: String::new(), bytes: Vec::new() }
    }

    /// Signs with a new key; RSA keys, which take long to make, are the same for all.
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Self {
        static RSA: LazyLock<KeyPair> = LazyLock::new(|| {
            KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).expect("a key")
        });
        let pair = |of| KeyPair::generate_for(of).expect("a key");
        let pem = |pair: &KeyPair| {
            (pair.serialize_pem(), pair.public_key_pem(), pair.public_key_raw().to_vec())
        };
        let ((private, public, bytes), read): (_, fn(&[u8]) -> _) = match algorithm {
            Algorithm::ES256 => (pem(&pair(&PKCS_ECDSA_P256_SHA256)), EncodingKey::from_ec_pem),
            Algorithm::ES384 => (pem(&pair(&PKCS_ECDSA_P384_SHA384)), EncodingKey::from_ec_pem),
            Algorithm::EdDSA => (pem(&pair(&PKCS_ED25519)), EncodingKey::from_ed_pem),
            _ => (pem(&RSA), EncodingKey::from_rsa_pem),
        };
        let key = read(private.as_bytes()).expect("a key");
        Self { algorithm, key, kid: None, public, bytes }
    }

    /// The same, with a name for its key.
    #[must_use]
    pub fn named(mut self, kid: &str) -> Self {
        self.kid = Some(kid.to_owned());
        self
    }

    /// The same key with another algorithm of its kind.
    #[must_use]
    pub fn by(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = algorithm;
        self
    }

    /// How it signs.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The public key, in PEM.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.public
    }

    /// The public key as a JWK, with its name.
    #[must_use]
    pub fn jwk(&self) -> Value {
        let mut jwk = match self.algorithm {
            Algorithm::EdDSA => {
                json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "x": base64(&self.bytes)})
            }
            by => serde_json::to_value(Jwk::from_encoding_key(&self.key, by).expect("a key"))
                .expect("JSON"),
        };
        jwk["use"] = json!("sig");
        if let Some(kid) = &self.kid {
            jwk["kid"] = json!(kid);
        }
        jwk
    }

    /// A token with these claims.
    #[must_use]
    pub fn sign(&self, claims: &Value) -> String {
        let header = Header { kid: self.kid.clone(), ..Header::new(self.algorithm) };
        jsonwebtoken::encode(&header, claims, &self.key).expect("a token")
    }

    /// A token that is good for an hour.
    #[must_use]
    pub fn token(&self, subject: &str, roles: &[&str]) -> String {
        self.sign(&json!({"sub": subject, "roles": roles, "exp": now() + 3_600}))
    }

    /// A token with any header and any payload, spelt as they are given, and signed.
    #[must_use]
    pub fn sign_raw(&self, header: &str, payload: &str) -> String {
        let message = format!("{}.{}", base64(header.as_bytes()), base64(payload.as_bytes()));
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &self.key, self.algorithm);
        format!("{message}.{}", signature.expect("a signature"))
    }
}

/// A JWK Set of these keys.
#[must_use]
pub fn key_set(makers: &[&Maker]) -> String {
    let keys: Vec<Value> = makers.iter().map(|maker| maker.jwk()).collect();
    json!({ "keys": keys }).to_string()
}

/// Base64 for URLs, without padding.
#[must_use]
pub fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let mut group = [0; 4];
        group[1..=three.len()].copy_from_slice(three);
        let group = u32::from_be_bytes(group);
        for digit in 0..=three.len() {
            let digit = (group >> (18 - 6 * digit)) & 63;
            text.push(char::from(DIGITS[digit as usize]));
        }
    }
    text
}

#[test]
fn base64_is_as_others_spell_it() {
    for (bytes, text) in [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg")]
    {
        assert_eq!(base64(bytes.as_bytes()), text);
    }
    assert_eq!(base64(&[0xff, 0xfe, 0xfd, 0xfb]), "__79-w");
}
