//! How far things are limited: made from the configuration at start.

use super::rate::Rate;
use super::table::RATES;
use super::tally::Bounds;

/// The rates of one thing; `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rates {
    /// Of one address.
    pub address: Option<Rate>,
    /// Of one principal.
    pub principal: Option<Rate>,
    /// Of one session.
    pub session: Option<Rate>,
    /// In all.
    pub all: Option<Rate>,
}

/// What is limited, and how far.
#[derive(Debug, Clone, Copy)]
pub struct LimitOptions {
    /// Rates, in the order of [`What`](super::What).
    pub rates: [Rates; RATES],
    /// How many addresses and principals are told apart.
    pub keys: usize,
    /// Bounds of held connects, streams and sockets.
    pub held: Bounds,
    /// Bounds of sessions.
    pub sessions: Bounds,
    /// Whether limits per address hold for loopback peers, too.
    pub loopback: bool,
}

impl Default for LimitOptions {
    fn default() -> Self {
        Self {
            rates: Default::default(),
            keys: 100_000,
            held: Bounds::NONE,
            sessions: Bounds::NONE,
            loopback: false,
        }
    }
}
