//! The algorithms that tokens may be signed with (RFC 7518, RFC 8037). `none` is not one.

use aws_lc_rs::hmac::{Algorithm as Hash, HMAC_SHA256, HMAC_SHA384, HMAC_SHA512};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519,
    EcdsaVerificationAlgorithm, EdDSAParameters, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, VerificationAlgorithm,
};

/// How a token is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "their names are the standard's")]
pub enum Algorithm {
    Hs256,
    Hs384,
    Hs512,
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    Es512,
    EdDsa,
}

/// What kind of key an algorithm takes, and what to do with it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Needs {
    /// A secret of no fewer bytes.
    Secret(Hash, usize),
    /// An RSA key.
    Rsa(&'static RsaParameters),
    /// A key on this curve.
    Ec(&'static EcdsaVerificationAlgorithm),
    /// An Ed25519 key.
    Ed(&'static EdDSAParameters),
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Hs256,
        Self::Hs384,
        Self::Hs512,
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::Es512,
        Self::EdDsa,
    ];

    /// Its name, as a token's header and the configuration have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::EdDsa => "EdDSA",
        }
    }

    /// By its name, letter by letter.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    pub(super) fn needs(self) -> Needs {
        match self {
            Self::Hs256 => Needs::Secret(HMAC_SHA256, 32),
            Self::Hs384 => Needs::Secret(HMAC_SHA384, 48),
            Self::Hs512 => Needs::Secret(HMAC_SHA512, 64),
            Self::Rs256 => Needs::Rsa(&RSA_PKCS1_2048_8192_SHA256),
            Self::Rs384 => Needs::Rsa(&RSA_PKCS1_2048_8192_SHA384),
            Self::Rs512 => Needs::Rsa(&RSA_PKCS1_2048_8192_SHA512),
            Self::Ps256 => Needs::Rsa(&RSA_PSS_2048_8192_SHA256),
            Self::Ps384 => Needs::Rsa(&RSA_PSS_2048_8192_SHA384),
            Self::Ps512 => Needs::Rsa(&RSA_PSS_2048_8192_SHA512),
            Self::Es256 => Needs::Ec(&ECDSA_P256_SHA256_FIXED),
            Self::Es384 => Needs::Ec(&ECDSA_P384_SHA384_FIXED),
            Self::Es512 => Needs::Ec(&ECDSA_P521_SHA512_FIXED),
            Self::EdDsa => Needs::Ed(&ED25519),
        }
    }

    /// The curve's name in a JWK, where there is one.
    pub(super) fn curve(self) -> Option<&'static str> {
        match self {
            Self::Es256 => Some("P-256"),
            Self::Es384 => Some("P-384"),
            Self::Es512 => Some("P-521"),
            Self::EdDsa => Some("Ed25519"),
            _ => None,
        }
    }
}

impl Needs {
    /// What verifies with a public key; `None` for secrets.
    pub(super) fn public(self) -> Option<&'static dyn VerificationAlgorithm> {
        match self {
            Self::Secret(..) => None,
            Self::Rsa(parameters) => Some(parameters),
            Self::Ec(curve) => Some(curve),
            Self::Ed(parameters) => Some(parameters),
        }
    }
}
