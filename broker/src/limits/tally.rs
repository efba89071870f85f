//! Counts of what is there at once, by key and in all. A key is known only while it has something, so
//! a tally is no larger than what it counts.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::key::Key;
use super::{Payer, Scope};

/// How many there may be at once; `usize::MAX` is no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Of one address.
    pub per_address: usize,
    /// Of one principal.
    pub per_principal: usize,
    /// In all.
    pub total: usize,
}

impl Bounds {
    /// No bound at all.
    pub const NONE: Self =
        Self { per_address: usize::MAX, per_principal: usize::MAX, total: usize::MAX };
}

const SHARDS: usize = 16;

/// Counts.
#[derive(Debug)]
pub struct Tally {
    bounds: Bounds,
    total: AtomicUsize,
    by_key: [Mutex<HashMap<Key, usize>>; SHARDS],
}

/// One that was admitted; its place is free again when this is dropped.
#[derive(Debug)]
pub struct Place {
    tally: Arc<Tally>,
    payer: Payer,
}

impl Tally {
    /// Counts within these bounds.
    #[must_use]
    pub fn new(bounds: Bounds) -> Arc<Self> {
        Arc::new(Self { bounds, total: AtomicUsize::new(0), by_key: Default::default() })
    }

    /// Whether nothing is bounded here.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.bounds == Bounds::NONE
    }

    /// Lets one in.
    ///
    /// # Errors
    /// When a bound is reached: which.
    pub fn admit(self: &Arc<Self>, payer: Payer) -> Result<Place, Scope> {
        if self.total.fetch_add(1, Ordering::Relaxed) >= self.bounds.total {
            self.total.fetch_sub(1, Ordering::Relaxed);
            return Err(Scope::All);
        }
        let mut place = Place { tally: Arc::clone(self), payer: Payer::default() };
        let Bounds { per_address, per_principal, .. } = self.bounds;
        place.payer.address =
            self.count(payer.address, per_address).map_err(|()| Scope::Address)?;
        place.payer.principal =
            self.count(payer.principal, per_principal).map_err(|()| Scope::Principal)?;
        Ok(place)
    }

    /// How many there are.
    #[must_use]
    pub fn total(&self) -> usize {
        self.total.load(Ordering::Relaxed)
    }

    /// Counts one more of a key; the key, if it is counted at all.
    fn count(&self, key: Option<Key>, most: usize) -> Result<Option<Key>, ()> {
        let Some(key) = key.filter(|_| most < usize::MAX) else { return Ok(None) };
        let mut counts = self.shard(key).lock();
        let count = counts.get(&key).copied().unwrap_or(0);
        if count >= most {
            return Err(());
        }
        counts.insert(key, count + 1);
        Ok(Some(key))
    }

    fn forget(&self, key: Key) {
        let mut counts = self.shard(key).lock();
        match counts.get_mut(&key) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                counts.remove(&key);
            }
        }
    }

    fn shard(&self, key: Key) -> &Mutex<HashMap<Key, usize>> {
        &self.by_key[key.spread() % SHARDS]
    }
}

impl Place {
    /// It turns out to be another address's, such as one that a proxy tells.
    ///
    /// # Errors
    /// When that address has no room; the place is no address's then.
    pub fn belongs_to(&mut self, address: Option<Key>) -> Result<(), Scope> {
        if self.payer.address == address {
            return Ok(());
        }
        if let Some(before) = self.payer.address.take() {
            self.tally.forget(before);
        }
        let most = self.tally.bounds.per_address;
        self.payer.address = self.tally.count(address, most).map_err(|()| Scope::Address)?;
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.tally.total.fetch_sub(1, Ordering::Relaxed);
        let Payer { address, principal } = self.payer;
        for key in [address, principal].into_iter().flatten() {
            self.tally.forget(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(per_address: usize, per_principal: usize, total: usize) -> Arc<Tally> {
        Tally::new(Bounds { per_address, per_principal, total })
    }

    fn at(address: &str) -> Payer {
        Payer { address: Some(Key::address(address.parse().unwrap())), principal: None }
    }

    fn known(tally: &Tally) -> usize {
        tally.by_key.iter().map(|shard| shard.lock().len()).sum()
    }

    #[test]
    fn r33_each_has_its_own_bound_and_gets_its_places_back() {
        let tally = tally(2, usize::MAX, 100);
        let first = tally.admit(at("192.0.2.1")).unwrap();
        let second = tally.admit(at("192.0.2.1")).unwrap();
        assert_eq!(tally.admit(at("192.0.2.1")).err(), Some(Scope::Address));
        let other = tally.admit(at("192.0.2.2")).unwrap();
        drop(first);
        let again = tally.admit(at("192.0.2.1")).unwrap();
        assert_eq!((tally.total(), known(&tally)), (3, 2));
        drop((second, other, again));
        assert_eq!((tally.total(), known(&tally)), (0, 0), "nothing is left");
    }

    #[test]
    fn r33_a_refusal_takes_no_place_anywhere() {
        let tally = tally(2, 1, 3);
        let principal = Some(Key::principal(&std::hash::RandomState::new(), 0, "ann"));
        let one = tally.admit(Payer { principal, ..at("192.0.2.1") }).unwrap();
        let refused = tally.admit(Payer { principal, ..at("192.0.2.1") });
        assert_eq!(refused.err(), Some(Scope::Principal));
        let two = tally.admit(at("192.0.2.1")).unwrap();
        let three = tally.admit(Payer::default()).unwrap();
        assert_eq!(tally.admit(at("192.0.2.9")).err(), Some(Scope::All));
        drop((one, two, three));
        assert_eq!((tally.total(), known(&tally)), (0, 0));
    }

    #[test]
    fn r33_a_place_moves_to_the_address_that_a_proxy_tells() {
        let tally = tally(1, usize::MAX, 9);
        let mut place = tally.admit(at("192.0.2.1")).unwrap();
        let _other = tally.admit(at("192.0.2.2")).unwrap();
        assert_eq!(place.belongs_to(at("192.0.2.2").address), Err(Scope::Address));
        assert_eq!(place.belongs_to(at("192.0.2.3").address), Ok(()));
        assert!(tally.admit(at("192.0.2.1")).is_ok(), "that one is free again");
        drop(place);
        assert!(tally.admit(at("192.0.2.3")).is_ok());
    }
}
