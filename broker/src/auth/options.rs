//! What is asked of those who come, as plain data.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::algorithm::Algorithm;

/// Who is let in, and by what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthOptions {
    /// Whether nobody is asked for anything.
    pub open: bool,
    /// The member of `ext` that holds a token: a name, or a path with dots.
    pub token_field: String,
    /// The cookie that may hold one.
    pub cookie: Option<String>,
    /// The claim that holds the subject: a name, or a path with dots.
    pub subject_claim: String,
    /// The claim that holds the roles: a name, or a path with dots.
    pub roles_claim: String,
    /// Whether those who show nothing are let in.
    pub anonymous: bool,
    /// Subjects that are not let in.
    pub denied: Vec<String>,
    /// How far clocks may be off, in seconds.
    pub leeway: i64,
    /// Whose tokens are good.
    pub sources: Vec<SourceOptions>,
    /// Which API keys are good.
    pub keys: Vec<KeyOptions>,
}

impl Default for AuthOptions {
    /// Open.
    fn default() -> Self {
        Self {
            open: true,
            token_field: "token".to_owned(),
            cookie: None,
            subject_claim: "sub".to_owned(),
            roles_claim: "roles".to_owned(),
            anonymous: false,
            denied: Vec::new(),
            leeway: 0,
            sources: Vec::new(),
            keys: Vec::new(),
        }
    }
}

/// Somebody who makes tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceOptions {
    /// Its name.
    pub name: String,
    /// How its tokens may be signed.
    pub algorithms: Vec<Algorithm>,
    /// Where its keys are.
    pub place: KeyPlace,
    /// What `iss` must be.
    pub issuer: Option<String>,
    /// One of which `aud` must hold; none = `aud` must not be there.
    pub audience: Vec<String>,
    /// Whether `exp` must be there.
    pub require_exp: bool,
    /// How old tokens may be, in seconds.
    pub max_age: Option<i64>,
}

/// Where keys are.
#[derive(Clone, PartialEq, Eq)]
pub enum KeyPlace {
    /// Here: a secret.
    Secret(Vec<u8>),
    /// In a file: a secret.
    SecretFile(PathBuf),
    /// In a file: a public key or a certificate.
    Pem(PathBuf),
    /// In a file: a JWK Set.
    SetFile(PathBuf),
    /// At an address: a JWK Set, asked for so often.
    SetUrl(String, Duration),
}

impl fmt::Debug for KeyPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret(_) => f.write_str("Secret(..)"),
            Self::SecretFile(path) => f.debug_tuple("SecretFile").field(path).finish(),
            Self::Pem(path) => f.debug_tuple("Pem").field(path).finish(),
            Self::SetFile(path) => f.debug_tuple("SetFile").field(path).finish(),
            Self::SetUrl(..) => f.write_str("SetUrl(..)"),
        }
    }
}

/// An API key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyOptions {
    /// Its name.
    pub name: String,
    /// Its SHA-256.
    pub sha256: [u8; 32],
    /// The roles of whoever shows it.
    pub roles: Vec<String>,
    /// When it stops being good, in seconds since 1970.
    pub expires: Option<i64>,
}
