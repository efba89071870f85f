//! Keys that verify, each bound to the algorithms that it may be used with before any token is seen:
//! so a public key can never be taken for a secret, whatever a token's header says.

use std::fmt;
use std::sync::{Arc, LazyLock};

use aws_lc_rs::hmac::{Key as MacKey, verify as has_made};
use aws_lc_rs::rsa::PublicKey as RsaPublicKey;
use aws_lc_rs::signature::{ParsedPublicKey, RsaPublicKeyComponents};
use sha2::{Digest, Sha256};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use tokio_rustls::rustls::server::ParsedCertificate;

use super::algorithm::{Algorithm, Needs};

/// The shortest modulus of an RSA key (RFC 7518, 3.3), and the longest that is worth the work.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1_024;

/// What only this process knows.
static SALT: LazyLock<[u8; 32]> = LazyLock::new(|| {
    let mut salt = [0; 32];
    if getrandom::fill(&mut salt).is_err() {
        tracing::warn!("no entropy: what is shown of secrets could help to find them");
    }
    salt
});

/// A key that verifies tokens.
pub(super) struct Key {
    /// What is said of a principal that it vouches for: see [`Key::of`].
    pub(super) id: Arc<str>,
    /// Its name in a JWK Set.
    pub(super) kid: Option<Box<str>>,
    verifiers: Vec<(Algorithm, Verifier)>,
}

enum Verifier {
    Secret(Box<MacKey>),
    Public(ParsedPublicKey),
}

/// What a key is made of.
pub(super) enum Material<'m> {
    Secret(&'m [u8]),
    /// A `SubjectPublicKeyInfo`, in DER.
    Spki(&'m [u8]),
    /// The parts of an RSA key.
    Rsa {
        n: &'m [u8],
        e: &'m [u8],
    },
    /// A point, as SEC 1 has it, or an Ed25519 key's bytes.
    Point(&'m [u8]),
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let algorithms: Vec<&str> = self.verifiers.iter().map(|(a, _)| a.name()).collect();
        write!(f, "Key({} {algorithms:?})", self.id)
    }
}

impl Key {
    /// A key for these algorithms. Its id is `SOURCE/KID~PRINT`, or `SOURCE~PRINT` where it has no kid:
    /// the print says which key it is, so that a new one by an old name is another.
    ///
    /// # Errors
    /// When it does not fit one of them.
    pub(super) fn of(
        source: &str,
        kid: Option<&str>,
        material: &Material<'_>,
        algorithms: &[Algorithm],
    ) -> Result<Self, String> {
        let verifiers: Result<Vec<_>, String> = algorithms
            .iter()
            .map(|algorithm| Ok((*algorithm, material.verifier(*algorithm)?)))
            .collect();
        let print = material.print();
        let id = match kid {
            Some(kid) => format!("{source}/{kid}~{print}"),
            None => format!("{source}~{print}"),
        };
        Ok(Self { id: id.into(), kid: kid.map(Into::into), verifiers: verifiers? })
    }

    /// Whether it may be asked about a token with this header.
    pub(super) fn fits(&self, algorithm: Algorithm, kid: Option<&str>) -> bool {
        let named = match (&self.kid, kid) {
            (Some(own), Some(kid)) => **own == *kid,
            _ => true,
        };
        named && self.verifiers.iter().any(|(own, _)| *own == algorithm)
    }

    /// Whether the message was signed with it.
    pub(super) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let mut fitting = self.verifiers.iter().filter(|(own, _)| *own == algorithm);
        fitting.any(|(_, verifier)| match verifier {
            Verifier::Secret(key) => has_made(key, message, signature).is_ok(),
            Verifier::Public(key) => key.verify_sig(message, signature).is_ok(),
        })
    }
}

impl Material<'_> {
    fn verifier(&self, algorithm: Algorithm) -> Result<Verifier, String> {
        let name = algorithm.name();
        let wrong = || format!("is no key for {name}");
        match (self, algorithm.needs()) {
            (Self::Secret(secret), Needs::Secret(hash, least)) => {
                if secret.len() < least {
                    return Err(format!("{name} needs a secret of {least} bytes or more"));
                }
                Ok(Verifier::Secret(Box::new(MacKey::new(hash, secret))))
            }
            (Self::Spki(spki), Needs::Rsa(parameters)) => {
                let key = RsaPublicKey::from_der(spki).map_err(|_| wrong())?;
                let (n, e) = (key.modulus(), key.exponent());
                let (n, e) =
                    (n.big_endian_without_leading_zero(), e.big_endian_without_leading_zero());
                rsa(n, e)?;
                let key = ParsedPublicKey::new(parameters, spki).map_err(|_| wrong())?;
                Ok(Verifier::Public(key))
            }
            (Self::Rsa { n, e }, Needs::Rsa(parameters)) => {
                rsa(n, e)?;
                let parts = RsaPublicKeyComponents { n, e };
                let key = parts.to_parsed_public_key(parameters).map_err(|_| wrong())?;
                Ok(Verifier::Public(key))
            }
            (Self::Spki(bytes) | Self::Point(bytes), needs @ (Needs::Ec(_) | Needs::Ed(_))) => {
                let algorithm = needs.public().ok_or_else(wrong)?;
                let key = ParsedPublicKey::new(algorithm, bytes).map_err(|_| wrong())?;
                Ok(Verifier::Public(key))
            }
            _ => Err(wrong()),
        }
    }

    /// Eight digits that tell this key from others. A secret's say nothing about it to whoever reads
    /// them: they are taken with what only this process knows.
    fn print(&self) -> String {
        let hash = match self {
            Self::Secret(secret) => Sha256::new().chain_update(*SALT).chain_update(secret),
            Self::Spki(bytes) | Self::Point(bytes) => Sha256::new().chain_update(bytes),
            Self::Rsa { n, e } => Sha256::new().chain_update(n).chain_update(e),
        };
        hash.finalize().iter().take(4).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Refuses RSA keys that can be broken, or that anybody can sign for (an exponent of 1).
fn rsa(n: &[u8], e: &[u8]) -> Result<(), String> {
    let leading = n.first().map_or(0, |byte| byte.leading_zeros());
    if !RSA_BYTES.contains(&n.len()) || (n.len() == *RSA_BYTES.start() && leading > 0) {
        return Err("is an RSA key of less than 2048 bits, or of more than 8192".to_owned());
    }
    let small = e.len() == 1 && e[0] < 3;
    let odd = e.last().is_some_and(|byte| byte & 1 == 1);
    if small || !odd || e.len() > 8 {
        return Err("is an RSA key with an exponent that is no good".to_owned());
    }
    Ok(())
}

/// The public key in a PEM file, in DER: of `PUBLIC KEY`, or of a certificate.
pub(super) fn spki_of_pem(pem: &[u8]) -> Result<Vec<u8>, String> {
    if let Ok(key) = SubjectPublicKeyInfoDer::from_pem_slice(pem) {
        return Ok(key.to_vec());
    }
    let certificate = CertificateDer::from_pem_slice(pem)
        .map_err(|_| "holds neither a PUBLIC KEY nor a CERTIFICATE".to_owned())?;
    let parsed = ParsedCertificate::try_from(&certificate)
        .map_err(|_| "holds a CERTIFICATE that cannot be read".to_owned())?;
    Ok(parsed.subject_public_key_info().to_vec())
}
