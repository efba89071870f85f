//! Names that must not be guessed: the clientId of a session, the identity of a browser.

use std::fmt;

/// Letters and digits only (Bayeux 1.0, `client_id`, rule B10); 32 of them carry five bits each.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz012345";

/// How many characters a clientId has: 32 × 5 = 160 random bits (rule B11 asks for 128).
pub const SESSION_ID_LEN: usize = 32;

/// The identity of one handshaken client, on the wire `clientId`.
///
/// Whoever knows it may speak for the session, so its `Debug` form shows only the first letters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId([u8; SESSION_ID_LEN]);

impl SessionId {
    /// Makes an id of 32 bytes of entropy, of which five bits each are used.
    #[must_use]
    pub fn from_entropy(entropy: [u8; SESSION_ID_LEN]) -> Self {
        Self(entropy.map(|byte| ALPHABET[usize::from(byte & 31)]))
    }

    /// A fresh id from the operating system's generator.
    ///
    /// # Errors
    /// When the operating system has no entropy to give.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut entropy = [0; SESSION_ID_LEN];
        getrandom::fill(&mut entropy)?;
        Ok(Self::from_entropy(entropy))
    }

    /// Reads a clientId off the wire; `None` if it cannot be one of ours.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; SESSION_ID_LEN] = text.as_bytes().try_into().ok()?;
        bytes.iter().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'5')).then_some(Self(bytes))
    }

    /// Where it stands in tables: nobody but us makes the ids there, and they are random.
    pub(crate) fn hash(&self) -> u64 {
        let (words, _) = self.0.as_chunks();
        let hash = words.iter().fold(0, |hash: u64, word| {
            (hash ^ u64::from_le_bytes(*word)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        });
        hash ^ (hash >> 32)
    }

    /// A number that differs from session to session: spreads what all would do at one moment.
    #[must_use]
    pub fn spread(&self) -> u64 {
        self.0.iter().fold(0, |sum, &byte| (sum * 31 + u64::from(byte)) % 1_000_003)
    }

    /// The text that goes on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}…", self.as_str().get(..6).unwrap_or_default())
    }
}

/// Where clientIds come from: a seam, so that a simulated run can be replayed exactly.
pub trait SessionIds: Send + Sync + fmt::Debug {
    /// A fresh id; `None` if there is no entropy to be had.
    fn next(&self) -> Option<SessionId>;
}

/// Ids from the operating system's generator.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemIds;

impl SessionIds for SystemIds {
    fn next(&self) -> Option<SessionId> {
        SessionId::random().ok()
    }
}

/// The identity that a browser's tabs share, as proved by the cookie's MAC (decisions 3.11).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct BrowserId(pub [u8; 16]);

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn b10_b11_b12_ids_are_alphanumeric_long_and_unique() {
        let mut seen = HashSet::new();
        for _ in 0..10_000 {
            let id = SessionId::random().expect("entropy");
            assert!(id.as_str().bytes().all(|b| b.is_ascii_alphanumeric()));
            assert_eq!(id.as_str().len(), 32);
            assert!(seen.insert(id));
        }
    }

    #[test]
    fn an_id_survives_the_wire_and_others_are_refused() {
        let id = SessionId::random().expect("entropy");
        assert_eq!(SessionId::parse(id.as_str()), Some(id));
        for bad in ["", "nosuch", "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345", &"é".repeat(16)] {
            assert_eq!(SessionId::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn c9_a_log_line_never_shows_a_whole_client_id() {
        let id = SessionId::random().expect("entropy");
        assert!(!format!("{id:?}").contains(id.as_str()));
    }
}
