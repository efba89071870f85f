//! `[tls]`: HTTPS without a proxy in front.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::HumanDuration;

/// `[tls]`: TLS on the address that clients connect to, with HTTP/2 and HTTP/1.1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// The certificate and those that lead to its issuer, in PEM. Read again when the file changes.
    /// Default "": no TLS.
    pub cert: PathBuf,
    /// Its private key, in PEM (PKCS#8, PKCS#1 or SEC1). Default "": no TLS.
    pub key: PathBuf,
    /// How long a client may take from connecting to the end of the TLS handshake. Default 10s, as
    /// `http.head_timeout`: it needs two round trips.
    pub handshake_timeout: HumanDuration,
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            cert: PathBuf::new(),
            key: PathBuf::new(),
            handshake_timeout: HumanDuration::secs(10),
        }
    }
}

impl Tls {
    /// Whether there is to be any.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        !self.cert.as_os_str().is_empty()
    }
}
