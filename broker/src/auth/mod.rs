//! Who somebody is: tokens (JWT) and API keys in, principals out.
//!
//! [`Access`] holds all of it. What is good is decided by the configuration alone: a token chooses
//! among the keys and algorithms that are given there, and whatever else it says of how it should be
//! verified is not read (`jwk`, `jku`, `x5u`, `x5c`) or refused (`crit`). Reading takes no lock; keys
//! that change, by a reload, in a file or at an address, are swapped in whole.

use std::fmt;

mod access;
pub mod algorithm;
mod api_keys;
mod cache;
mod claims;
mod configured;
mod fetch;
mod files;
pub mod json;
mod jwk;
mod key;
pub mod key_tool;
pub mod options;
mod source;
mod state;
pub mod stats;
#[cfg(test)]
mod tests;
pub mod token;
mod upkeep;
mod verify;

pub use access::Access;
pub use options::AuthOptions;
pub use stats::AuthStats;

/// Why somebody is not known by what they show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unidentified {
    /// It is neither a token nor one of the keys, or lacks what is asked of it.
    Malformed,
    /// It is signed, but not by who it says.
    BadSignature,
    /// It was good once.
    Expired,
    /// It is not good yet.
    NotYet,
    /// It is by somebody else.
    WrongIssuer,
    /// It is for somebody else.
    WrongAudience,
    /// No key is known that could vouch for it.
    UnknownKey,
    /// It is good, and its subject is not let in.
    Denied,
    /// The keys that could vouch for it cannot be had now.
    Unavailable,
}

impl Unidentified {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Malformed,
        Self::BadSignature,
        Self::Expired,
        Self::NotYet,
        Self::WrongIssuer,
        Self::WrongAudience,
        Self::UnknownKey,
        Self::Denied,
        Self::Unavailable,
    ];

    /// A short name, for answers, logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::BadSignature => "bad_signature",
            Self::Expired => "expired",
            Self::NotYet => "not_yet",
            Self::WrongIssuer => "wrong_issuer",
            Self::WrongAudience => "wrong_audience",
            Self::UnknownKey => "unknown_key",
            Self::Denied => "denied",
            Self::Unavailable => "unavailable",
        }
    }
}

impl fmt::Display for Unidentified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for Unidentified {}
