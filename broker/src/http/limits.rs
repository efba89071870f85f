//! How many connections there may be, in all and per address (RFC 6202, security considerations; R33).

use std::net::IpAddr;
use std::sync::Arc;

use crate::limits::key::Key;
use crate::limits::tally::{Bounds, Place, Tally};
use crate::limits::{Payer, Scope};

/// Bounds of connections.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// Most in all.
    pub total: usize,
    /// Most from one address.
    pub per_address: usize,
    /// Whether the bound per address holds for loopback peers too.
    pub loopback: bool,
}

/// Which bound was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The one in all.
    Total,
    /// The one per address.
    Address,
}

impl From<Scope> for Refusal {
    fn from(scope: Scope) -> Self {
        if scope == Scope::All { Self::Total } else { Self::Address }
    }
}

/// Counts connections.
#[derive(Debug)]
pub struct Gate {
    tally: Arc<Tally>,
    loopback: bool,
}

/// One admitted connection; its place is free again when this is dropped.
#[derive(Debug)]
pub struct Permit(Place);

impl Gate {
    /// A gate with these bounds.
    #[must_use]
    pub fn new(limits: ConnectionLimits) -> Arc<Self> {
        let ConnectionLimits { total, per_address, loopback } = limits;
        let tally = Tally::new(Bounds { per_address, total, ..Bounds::NONE });
        Arc::new(Self { tally, loopback })
    }

    /// Lets a connection in.
    ///
    /// # Errors
    /// When a bound is reached.
    pub fn admit(self: &Arc<Self>, peer: IpAddr) -> Result<Permit, Refusal> {
        let counts = self.loopback || !peer.to_canonical().is_loopback();
        let address = counts.then(|| Key::address(peer));
        Ok(Permit(self.tally.admit(Payer { address, principal: None })?))
    }

    /// Lets a connection of a proxy in, which stands for many addresses and so for none.
    ///
    /// # Errors
    /// When there is no room in all.
    pub fn admit_proxy(self: &Arc<Self>) -> Result<Permit, Refusal> {
        Ok(Permit(self.tally.admit(Payer::default())?))
    }
}

impl Permit {
    /// Counts the connection for this address; one that a proxy told may be loopback, too.
    ///
    /// # Errors
    /// When the address has as many as it may have.
    pub fn count(&mut self, address: IpAddr) -> Result<(), Refusal> {
        Ok(self.0.belongs_to(Some(Key::address(address)))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(total: usize, per_address: usize, loopback: bool) -> Arc<Gate> {
        Gate::new(ConnectionLimits { total, per_address, loopback })
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn r33_each_address_has_its_own_bound_and_gets_its_places_back() {
        let gate = gate(100, 2, false);
        let first = gate.admit(ip("192.0.2.1")).expect("room");
        let _second = gate.admit(ip("192.0.2.1")).expect("room");
        assert_eq!(gate.admit(ip("192.0.2.1")).err(), Some(Refusal::Address));
        let _other = gate.admit(ip("192.0.2.2")).expect("others are unaffected");
        drop(first);
        assert!(gate.admit(ip("192.0.2.1")).is_ok());
    }

    #[test]
    fn r33_an_ipv6_customer_is_a_slash_64() {
        let gate = gate(100, 1, false);
        let _one = gate.admit(ip("2001:db8:1:2::1")).expect("room");
        assert!(gate.admit(ip("2001:db8:1:2:9::7")).is_err());
        assert!(gate.admit(ip("2001:db8:1:3::1")).is_ok());
    }

    #[test]
    fn loopback_counts_only_in_all_unless_asked_for() {
        let open = gate(3, 1, false);
        let permits: Vec<_> = (0..3).map(|_| open.admit(ip("127.0.0.1"))).collect();
        assert!(permits.iter().all(Result::is_ok));
        assert_eq!(open.admit(ip("::1")).err(), Some(Refusal::Total));
        let strict = gate(3, 1, true);
        let _one = strict.admit(ip("127.0.0.1")).expect("room");
        assert_eq!(strict.admit(ip("::ffff:127.0.0.1")).err(), Some(Refusal::Address));
        assert_eq!(strict.tally.total(), 1, "a refusal takes no place");
    }

    #[test]
    fn r33_a_proxy_is_not_bound_and_whom_it_names_is_be_it_loopback() {
        let gate = gate(100, 1, false);
        let mut one = gate.admit_proxy().expect("room");
        let mut two = gate.admit_proxy().expect("room");
        one.count(ip("127.0.0.1")).expect("room");
        assert_eq!(two.count(ip("127.0.0.1")), Err(Refusal::Address));
        drop(one);
        assert_eq!(two.count(ip("127.0.0.1")), Ok(()));
    }
}
