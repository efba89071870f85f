//! How many connections there may be, in all and per address (RFC 6202, security considerations; R33).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

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

/// Counts connections.
#[derive(Debug)]
pub struct Gate {
    limits: ConnectionLimits,
    total: AtomicUsize,
    by_address: Mutex<HashMap<IpAddr, usize>>,
}

/// One admitted connection; its place is free again when this is dropped.
#[derive(Debug)]
pub struct Permit {
    gate: Arc<Gate>,
    counted: Option<IpAddr>,
}

impl Gate {
    /// A gate with these bounds.
    #[must_use]
    pub fn new(limits: ConnectionLimits) -> Arc<Self> {
        Arc::new(Self { limits, total: AtomicUsize::new(0), by_address: Mutex::default() })
    }

    /// Lets a connection in.
    ///
    /// # Errors
    /// When a bound is reached.
    pub fn admit(self: &Arc<Self>, peer: IpAddr) -> Result<Permit, Refusal> {
        let mut permit = self.admit_proxy()?;
        if self.limits.loopback || !group(peer).is_loopback() {
            permit.count(peer)?;
        }
        Ok(permit)
    }

    /// Lets a connection of a proxy in, which stands for many addresses and so for none.
    ///
    /// # Errors
    /// When there is no room in all.
    pub fn admit_proxy(self: &Arc<Self>) -> Result<Permit, Refusal> {
        if self.total.fetch_add(1, Ordering::Relaxed) >= self.limits.total {
            self.total.fetch_sub(1, Ordering::Relaxed);
            return Err(Refusal::Total);
        }
        Ok(Permit { gate: Arc::clone(self), counted: None })
    }
}

impl Permit {
    /// Counts the connection for this address; one that a proxy told may be loopback, too.
    ///
    /// # Errors
    /// When the address has as many as it may have.
    pub fn count(&mut self, address: IpAddr) -> Result<(), Refusal> {
        let address = group(address);
        let mut by_address = self.gate.by_address.lock();
        let count = by_address.get(&address).copied().unwrap_or(0);
        if count >= self.gate.limits.per_address {
            return Err(Refusal::Address);
        }
        by_address.insert(address, count + 1);
        self.counted = Some(address);
        Ok(())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.gate.total.fetch_sub(1, Ordering::Relaxed);
        let Some(peer) = self.counted else { return };
        let mut by_address = self.gate.by_address.lock();
        match by_address.get_mut(&peer) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                by_address.remove(&peer);
            }
        }
    }
}

/// One IPv6 customer has a /64, so its addresses count as one.
fn group(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => {
            let [a, b, c, d, ..] = v6.segments();
            std::net::Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        other => other,
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
        assert_eq!(strict.total.load(Ordering::Relaxed), 1, "a refusal takes no place");
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
