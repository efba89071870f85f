//! What is limited, and for whom.

use super::key::Key;

/// What is limited. The first [`RATES`](super::table::RATES) have rates, the others counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Handshakes.
    Handshakes,
    /// Messages that are no handshakes, whatever they are.
    Messages,
    /// Bytes of bodies and frames that come in.
    Bytes,
    /// Names in subscribes.
    Subscriptions,
    /// Held connects, streams and sockets.
    Held,
    /// Sessions.
    Sessions,
}

impl What {
    /// All of it.
    pub const ALL: [Self; 6] = [
        Self::Handshakes,
        Self::Messages,
        Self::Bytes,
        Self::Subscriptions,
        Self::Held,
        Self::Sessions,
    ];

    /// The name in metrics and logs.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Handshakes => "handshakes",
            Self::Messages => "messages",
            Self::Bytes => "bytes",
            Self::Subscriptions => "subscriptions",
            Self::Held => "held",
            Self::Sessions => "sessions",
        }
    }
}

/// For whom a limit holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// One address, or /64.
    Address,
    /// One principal.
    Principal,
    /// One session.
    Session,
    /// Everybody.
    All,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Address, Self::Principal, Self::Session, Self::All];

    /// The name in metrics and logs.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Principal => "principal",
            Self::Session => "session",
            Self::All => "all",
        }
    }
}

/// Out of whose buckets something is taken, and whose place it is; `None` is nobody's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Payer {
    /// Its address.
    pub address: Option<Key>,
    /// Its principal.
    pub principal: Option<Key>,
}

impl Payer {
    /// The one that a limit of this scope counts.
    pub(super) fn of(self, scope: Scope) -> Option<Key> {
        match scope {
            Scope::Address => self.address,
            Scope::Principal => self.principal,
            Scope::Session | Scope::All => None,
        }
    }
}
