//! `[auth]`: who may use the broker, and how they show it.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{AuthRule, HumanDuration};

/// `[auth]`: who may use the broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// How clients are told apart. Default `unset`, which serves this machine alone: `listen` must
    /// then be a loopback address.
    pub mode: AuthMode,
    /// The member of a message's `ext` that holds a token; dots lead into objects. Default `token`.
    pub token_field: String,
    /// The cookie that may hold a token. Default none: cookies come along with whatever a foreign page
    /// makes a browser send, so that this is for those who need it.
    pub cookie: String,
    /// The claim that says whom a token is about. Default `sub`; dots lead into objects.
    pub subject_claim: String,
    /// The claim that says what roles they have: a list of texts, or a text with spaces between, such
    /// as `scope`. Default `roles`; dots lead into objects, as in `realm_access.roles`.
    pub roles_claim: String,
    /// Whether those who show nothing are let in, with the role `anonymous` alone. Default false.
    pub anonymous: bool,
    /// Subjects that are refused whatever they show: a token cannot be called back otherwise. Default
    /// none.
    pub denied: Vec<String>,
    /// How far the clocks of those who make tokens may be off, up to 10m; expired tokens are good that
    /// much longer. Default 0s: a token ends when it says so.
    pub leeway: HumanDuration,
    /// Whose tokens are good. Default none.
    pub tokens: Vec<TokenSource>,
    /// API keys, for programs. Default none.
    pub keys: Vec<ApiKey>,
    /// Who may do what where. Default none: then nobody may do anything.
    pub rules: Vec<AuthRule>,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            mode: AuthMode::Unset,
            token_field: "token".to_owned(),
            cookie: String::new(),
            subject_claim: "sub".to_owned(),
            roles_claim: "roles".to_owned(),
            anonymous: false,
            denied: Vec::new(),
            leeway: HumanDuration::secs(0),
            tokens: Vec::new(),
            keys: Vec::new(),
            rules: Vec::new(),
        }
    }
}

/// How clients are told apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuthMode {
    /// Nobody has decided yet.
    #[default]
    Unset,
    /// Whoever reaches the broker may publish and subscribe, and that is meant.
    Open,
    /// Whoever shows a token or a key may do what the rules allow, and nobody else anything.
    Token,
}

/// One entry of `[[auth.tokens]]`: somebody who makes tokens (JWT), and what is asked of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokenSource {
    /// Its name, in logs and in what is said of principals.
    pub name: String,
    /// The algorithms that its tokens may be signed with. What a token says of itself only ever
    /// chooses among these.
    pub algorithms: Vec<Algorithm>,
    /// The secret that signs and verifies (HS256, HS384, HS512): no fewer bytes than the hash has.
    pub secret: Option<Secret>,
    /// The file that holds that secret; one newline at its end does not count.
    pub secret_file: Option<PathBuf>,
    /// The file that holds a public key (`PUBLIC KEY`) or a certificate, in PEM.
    pub pem: Option<PathBuf>,
    /// A file or an address (http or https) that holds a JWK Set.
    pub jwks: Option<String>,
    /// How often an address is asked anew, 1s to 24h. Default 10m; a key that is not known yet is asked
    /// for at once, but no more often than every 30s.
    pub refresh: HumanDuration,
    /// What `iss` must say. Default: anything.
    pub issuer: Option<String>,
    /// What `aud` must say: one of these. Default none: then tokens that are made for somebody named
    /// are refused, as RFC 7519 has it.
    pub audience: Vec<String>,
    /// Whether tokens must say when they expire. Default true.
    pub require_exp: bool,
    /// How old a token may be by its `iat`, whatever it says itself. Default 0s: it does not matter.
    pub max_age: HumanDuration,
}

impl Default for TokenSource {
    fn default() -> Self {
        Self {
            name: String::new(),
            algorithms: Vec::new(),
            secret: None,
            secret_file: None,
            pem: None,
            jwks: None,
            refresh: HumanDuration::secs(600),
            issuer: None,
            audience: Vec::new(),
            require_exp: true,
            max_age: HumanDuration::secs(0),
        }
    }
}

impl TokenSource {
    /// An entry that has every key, so that the reader of files knows them all.
    pub(super) fn full() -> Self {
        Self {
            secret: Some(Secret(String::new())),
            secret_file: Some(PathBuf::new()),
            pem: Some(PathBuf::new()),
            jwks: Some(String::new()),
            issuer: Some(String::new()),
            ..Self::default()
        }
    }
}

/// An algorithm of RFC 7518 or RFC 8037.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Algorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
    /// RSA PKCS#1 1.5 with SHA-256.
    Rs256,
    /// RSA PKCS#1 1.5 with SHA-384.
    Rs384,
    /// RSA PKCS#1 1.5 with SHA-512.
    Rs512,
    /// RSA PSS with SHA-256.
    Ps256,
    /// RSA PSS with SHA-384.
    Ps384,
    /// RSA PSS with SHA-512.
    Ps512,
    /// ECDSA over P-256 with SHA-256.
    Es256,
    /// ECDSA over P-384 with SHA-384.
    Es384,
    /// ECDSA over P-521 with SHA-512.
    Es512,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

impl Algorithm {
    /// The shortest secret, in bytes (RFC 7518, 3.2); `None` = it takes a public key.
    pub(super) fn secret_bytes(self) -> Option<usize> {
        match self {
            Self::Hs256 => Some(32),
            Self::Hs384 => Some(48),
            Self::Hs512 => Some(64),
            _ => None,
        }
    }
}

/// One entry of `[[auth.keys]]`: an API key, as `weft key NAME` makes them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApiKey {
    /// Its name, and the subject of whoever shows it.
    pub name: String,
    /// The SHA-256 of the key, in hexadecimal. A fast hash is enough: nobody guesses 192 random bits,
    /// so that there is nothing a slow one would slow down.
    pub sha256: Option<KeyHash>,
    /// The roles of whoever shows it.
    pub roles: Vec<String>,
    /// When it stops being good, as in `2027-01-31T00:00:00Z`. Default never.
    pub expires: Option<Moment>,
}

impl ApiKey {
    /// An entry that has every key.
    pub(super) fn full() -> Self {
        let (sha256, expires) = (Some(KeyHash([0; 32])), Some(Moment(0)));
        Self { sha256, expires, ..Self::default() }
    }
}

/// A text that is never shown.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret(String);

impl Secret {
    /// The text.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// The SHA-256 of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyHash(pub [u8; 32]);

impl Serialize for KeyHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let hex: String = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
        serializer.serialize_str(&hex)
    }
}

impl<'de> Deserialize<'de> for KeyHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        // What stands there may be the key itself, by mistake: it is not repeated.
        let wrong = || {
            D::Error::custom("is not the SHA-256 of a key: 64 hexadecimal digits, by weft key NAME")
        };
        let digits: Option<Vec<u8>> =
            text.chars().map(|digit| u8::try_from(digit.to_digit(16)?).ok()).collect();
        let digits = digits.filter(|digits| digits.len() == 64).ok_or_else(wrong)?;
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = pair[0] << 4 | pair[1];
        }
        Ok(Self(hash))
    }
}

/// A moment, in seconds since 1970; written as RFC 3339 has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment(pub i64);

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let moment = OffsetDateTime::from_unix_timestamp(self.0).ok();
        let text = moment.and_then(|moment| moment.format(&Rfc3339).ok());
        serializer.serialize_str(&text.unwrap_or_default())
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let moment = OffsetDateTime::parse(&text, &Rfc3339).map_err(|_| {
            D::Error::custom(format_args!(
                "{text:?} is not a moment such as \"2027-01-31T00:00:00Z\""
            ))
        })?;
        Ok(Self(moment.unix_timestamp()))
    }
}
