//! Ids and chance, from one seed.

use parking_lot::Mutex;
use weft_broker::core::id::{SessionId, SessionIds};

/// Where everybody is.
pub(crate) const HERE: std::net::IpAddr = std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

pub use crate::common::{Chance, VirtualClock};

/// Ids that the seed decides.
#[derive(Debug)]
pub struct SeededIds(pub Mutex<Chance>);

impl SessionIds for SeededIds {
    fn next(&self) -> Option<SessionId> {
        let mut entropy = [0; 32];
        let mut chance = self.0.lock();
        for chunk in entropy.chunks_mut(8) {
            chunk.copy_from_slice(&chance.next().to_be_bytes());
        }
        Some(SessionId::from_entropy(entropy))
    }
}
