//! Buckets by key, in a table that never grows.
//!
//! Strangers choose their addresses, and with IPv6 a customer has as many as he likes, so the table
//! is made once, with places for so many keys. A key's hash says which few places it may have; only
//! these are locked and looked at, and nothing is allocated. When a newcomer finds all of them taken,
//!
//! 1. it gets the place of a key whose buckets are all full: that key loses nothing by it;
//! 2. else that of the key which is nearest to full, unless it is being limited. It starts anew some
//!    day with full buckets, as it would have by a new address, which cost as much to come by;
//! 3. else, with all of them being limited, none. It shares one set of buckets with all who find no
//!    place among these, and their rate is that of one.
//!
//! So whoever is being limited stays limited, whatever else comes; a crowd of strangers can at most
//! make other newcomers share, and for that each of `WAYS` keys in a set must be kept short at once.

use std::fmt;
use std::hash::{BuildHasher, RandomState};

use parking_lot::Mutex;

use super::key::Key;
use super::rate::{FullAt, Quota, Shortage};

/// How many rates a key may have.
pub const RATES: usize = 4;
/// Among how many places a key may stand.
const WAYS: usize = 16;

/// The rates that hold for all keys of a table, where one is set.
pub type Quotas = [Option<Quota>; RATES];

/// A bounded number of keys with their buckets.
pub struct Table {
    sets: Box<[Mutex<Set>]>,
    hasher: RandomState,
}

/// The places that some keys share.
struct Set {
    places: [Option<(Key, Buckets)>; WAYS],
    shared: Buckets,
}

type Buckets = [FullAt; RATES];

/// What a take came to, besides what was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The key has its own.
    Own,
    /// It had to share.
    Shared,
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Table({} keys)", self.sets.len() * WAYS)
    }
}

impl Table {
    /// A table for at least so many keys.
    #[must_use]
    pub fn new(keys: usize) -> Self {
        let set = || Mutex::new(Set { places: [None; WAYS], shared: Buckets::default() });
        let sets = (0..keys.div_ceil(WAYS).max(1)).map(|_| set()).collect();
        Self { sets, hasher: RandomState::new() }
    }

    /// Takes `n` from a key's bucket for the rate at `index`.
    ///
    /// # Errors
    /// When it does not hold so many.
    pub fn take(
        &self,
        key: Key,
        quotas: &Quotas,
        index: usize,
        now: u64,
        n: u64,
    ) -> (Place, Result<(), Shortage>) {
        let Some(quota) = quotas.get(index).copied().flatten() else { return (Place::Own, Ok(())) };
        let mut set = self.set(key).lock();
        let (place, buckets) = set.of(key, quotas, now);
        let Some(bucket) = buckets.get_mut(index) else { return (place, Ok(())) };
        let taken = quota.take(*bucket, now, n).map(|then| *bucket = then);
        (place, taken)
    }

    /// Gives `n` back that were taken in vain.
    pub fn give_back(&self, key: Key, quota: Quota, index: usize, n: u64) {
        let mut set = self.set(key).lock();
        // Whoever lost its place meanwhile has full buckets.
        let found = set.places.iter_mut().flatten().find(|(known, _)| *known == key);
        if let Some(bucket) = found.and_then(|(_, buckets)| buckets.get_mut(index)) {
            *bucket = quota.give_back(*bucket, n);
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "the remainder is an index")]
    fn set(&self, key: Key) -> &Mutex<Set> {
        &self.sets[(self.hasher.hash_one(key) % self.sets.len() as u64) as usize]
    }

    #[cfg(test)]
    fn keys(&self) -> usize {
        self.sets.iter().map(|set| set.lock().places.iter().flatten().count()).sum()
    }
}

impl Set {
    /// The buckets of a key.
    fn of(&mut self, key: Key, quotas: &Quotas, now: u64) -> (Place, &mut Buckets) {
        let found =
            self.places.iter().position(|place| place.is_some_and(|(known, _)| known == key));
        let index = found.or_else(|| {
            let index = self.free(quotas, now)?;
            self.places[index] = Some((key, Buckets::default()));
            Some(index)
        });
        match index.and_then(|index| self.places[index].as_mut()) {
            Some((_, buckets)) => (Place::Own, buckets),
            None => (Place::Shared, &mut self.shared),
        }
    }

    /// A place that a newcomer may have.
    fn free(&self, quotas: &Quotas, now: u64) -> Option<usize> {
        let mut best: Option<(FullAt, usize)> = None;
        for (index, place) in self.places.iter().enumerate() {
            let Some((_, buckets)) = place else { return Some(index) };
            let full_at = buckets.iter().copied().max().unwrap_or(0);
            if full_at <= now {
                return Some(index);
            }
            let short = |(quota, &full_at): (&Option<Quota>, &FullAt)| {
                quota.is_some_and(|quota| quota.is_short(full_at, now))
            };
            let limited = quotas.iter().zip(buckets).any(short);
            if !limited && best.is_none_or(|(least, _)| full_at < least) {
                best = Some((full_at, index));
            }
        }
        best.map(|(_, index)| index)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    use std::time::Duration;

    use super::super::rate::{Rate, ticks};
    use super::*;

    fn quotas(amount: u64, burst: u64) -> Quotas {
        let quota = Quota::new(Rate { amount, per: Duration::from_secs(1), burst });
        [Some(quota), None, None, None]
    }

    fn key(n: u32) -> Key {
        Key::address(IpAddr::V4(Ipv4Addr::from(n)))
    }

    fn secs(n: u64) -> u64 {
        ticks(Duration::from_secs(n))
    }

    #[test]
    fn r35_each_key_has_buckets_of_its_own() {
        let (table, two) = (Table::new(64), quotas(1, 2));
        let take = |n, now| table.take(key(n), &two, 0, now, 1);
        for n in 0..8 {
            assert_eq!(
                (take(n, secs(9)), take(n, secs(9))),
                ((Place::Own, Ok(())), (Place::Own, Ok(())))
            );
            assert!(take(n, secs(9)).1.is_err());
            assert!(take(n, secs(10)).1.is_ok(), "and it comes back");
        }
        assert_eq!(table.take(key(1), &two, 1, secs(9), 1_000).1, Ok(()), "no such rate");
        if let [Some(quota), ..] = two {
            table.give_back(key(3), quota, 0, 1);
        }
        assert!(take(3, secs(10)).1.is_ok(), "what was given back can be had again");
    }

    #[test]
    fn r35_two_hundred_thousand_keys_take_no_more_room_than_there_is() {
        let (table, two) = (Table::new(10_000), quotas(1, 2));
        let room = table.sets.len() * WAYS;
        assert!((10_000..10_000 + WAYS).contains(&room));
        for n in 0..200_000_u128 {
            let address = Ipv6Addr::from(n << 64 | 0x2001 << 112);
            let (place, taken) = table.take(Key::address(address.into()), &two, 0, secs(9), 1);
            assert_eq!((place, taken), (Place::Own, Ok(())), "nobody is being limited");
        }
        assert!(table.keys() <= room, "{} of {room}", table.keys());
        assert!(
            size_of::<Mutex<Set>>() * table.sets.len() < 10_000 * 80,
            "48 bytes and a little each"
        );
    }

    #[test]
    fn r35_whoever_is_limited_stays_limited_whatever_comes() {
        let (table, one) = (Table::new(WAYS * 4), quotas(1, 1));
        let limited: Vec<u32> = (0..8).collect();
        for &n in &limited {
            assert!(table.take(key(n), &one, 0, secs(9), 1).1.is_ok());
        }
        let mut shared = 0;
        for n in 1_000..50_000 {
            shared += usize::from(table.take(key(n), &one, 0, secs(9), 1).0 == Place::Shared);
        }
        for &n in &limited {
            let (place, taken) = table.take(key(n), &one, 0, secs(9), 1);
            assert!(place == Place::Own && taken.is_err(), "{n}");
        }
        // All places were taken by those who are limited: the others had to share one rate.
        assert!(shared > 48_000, "{shared}");
        let granted =
            (60_000..70_000).filter(|&n| table.take(key(n), &one, 0, secs(9), 1).1.is_ok()).count();
        assert_eq!(granted, 0, "who shares gets no more than one would");
        // A second later everybody is full again, and there is room.
        let (place, taken) = table.take(key(99_999), &one, 0, secs(11), 1);
        assert_eq!((place, taken), (Place::Own, Ok(())));
    }

    #[test]
    fn r35_the_places_of_the_idle_go_first_then_of_those_nearest_to_full() {
        let (table, ten) = (Table::new(WAYS), quotas(1, 10));
        let take = |n: u32, now, k| table.take(key(n), &ten, 0, now, k).1;
        for n in 0..16 {
            assert!(take(n, secs(100), if n == 5 { 1 } else { 6 }).is_ok());
        }
        assert!(take(7, secs(100), 5).is_err());
        assert!(take(100, secs(103), 9).is_ok(), "the sixth is idle by now");
        assert!(take(3, secs(103), 8).is_err(), "the others are still known");
        assert!(take(4, secs(103), 7).is_ok());
        // Now none is idle; the newcomer's place is one of those with least taken.
        assert!(take(101, secs(103), 1).is_ok());
        assert!(take(100, secs(103), 2).is_err(), "who has taken most is still known");
        assert!(take(4, secs(103), 1).is_err());
    }
}
