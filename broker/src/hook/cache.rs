//! What the hook has decided, remembered for a while.
//!
//! A decision is found again by all that the hook was told but for `data` and the client: the event,
//! who asks from where, and the channel; of a handshake, the credential and `ext`. Two generations
//! bound the table: when the young one is full it becomes the old one, and what was in that is
//! forgotten. So whatever is used stays, and whatever is not goes.

use std::collections::HashMap;
use std::time::Instant;

use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use super::Decision;
use super::question::{Matter, Party, spell_principal};

/// What is asked, as a digest: no credential is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key([u8; 32]);

impl Key {
    pub(super) fn of(party: &Party<'_>, matter: &Matter<'_>) -> Self {
        let mut digest = Sha256::new();
        // Each part with its length, so that no two questions spell the same.
        let mut part = |text: Option<&str>| {
            digest.update(text.map_or(u64::MAX, |text| text.len() as u64).to_le_bytes());
            digest.update(text.unwrap_or_default());
        };
        part(Some(matter.event().name()));
        part(party.principal.map(spell_principal).as_deref());
        part(Some(&party.address.to_string()));
        match matter {
            Matter::Handshake { token, ext } => {
                part(*token);
                part(*ext);
            }
            Matter::Subscribe { patterns, history } => {
                part(history.then_some("history"));
                patterns.iter().for_each(|pattern| part(Some(pattern)));
            }
            Matter::Publish { channel, .. } | Matter::Service { channel, .. } => {
                part(Some(channel));
            }
        }
        Self(digest.finalize().into())
    }
}

/// A decision, and until when it holds.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) decision: Decision,
    pub(super) until: Instant,
}

/// The table.
#[derive(Debug)]
pub(super) struct Cache {
    generations: Mutex<Generations>,
    /// Most entries of one generation.
    half: usize,
}

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<Key, Known>,
    old: HashMap<Key, Known>,
}

impl Cache {
    /// Room for so many.
    pub(super) fn new(entries: usize) -> Self {
        Self { generations: Mutex::default(), half: entries.div_ceil(2).max(1) }
    }

    /// What is known, if that still holds.
    pub(super) fn get(&self, key: &Key, now: Instant) -> Option<Decision> {
        let mut generations = self.generations.lock();
        if let Some(known) = generations.young.get(key) {
            return (now < known.until).then(|| known.decision.clone());
        }
        let known = generations.old.remove(key).filter(|known| now < known.until)?;
        let decision = known.decision.clone();
        self.insert(&mut generations, *key, known);
        Some(decision)
    }

    pub(super) fn put(&self, key: Key, known: Known) {
        self.insert(&mut self.generations.lock(), key, known);
    }

    fn insert(&self, generations: &mut Generations, key: Key, known: Known) {
        let Generations { young, old } = generations;
        if young.len() >= self.half && !young.contains_key(&key) {
            *old = std::mem::take(young);
        }
        old.remove(&key);
        young.insert(key, known);
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test needs some instant to start from")]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::Duration;

    use super::*;
    use crate::core::principal::Principal;

    const SOMEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn key(number: u64) -> Key {
        Key(Sha256::digest(number.to_le_bytes()).into())
    }

    #[test]
    fn p5_the_table_is_bounded_and_what_is_used_stays() {
        let now = Instant::now();
        let cache = Cache::new(100);
        let known = Known { decision: Ok(None), until: now + Duration::from_secs(9) };
        cache.put(key(0), known.clone());
        for number in 1..10_000 {
            cache.put(key(number), known.clone());
            assert_eq!(cache.get(&key(0), now), Some(Ok(None)), "{number}");
        }
        let Generations { young, old } = &*cache.generations.lock();
        assert!(young.len() + old.len() <= 100);
    }

    #[test]
    fn nothing_is_known_for_longer_than_it_holds() {
        let now = Instant::now();
        let cache = Cache::new(1);
        cache.put(key(1), Known { decision: Ok(None), until: now + Duration::from_secs(1) });
        assert!(cache.get(&key(1), now).is_some());
        assert!(cache.get(&key(1), now + Duration::from_secs(1)).is_none());
        cache.put(key(2), Known { decision: Ok(None), until: now + Duration::from_secs(1) });
        assert!(cache.get(&key(1), now + Duration::from_secs(1)).is_none(), "in the old one, too");
    }

    #[test]
    fn whatever_differs_but_data_is_another_question() {
        let somebody =
            |subject: &str| Principal { subject: subject.into(), ..Principal::anonymous() };
        let (one, two) = (somebody("one"), somebody("two"));
        let party = |principal| Party { principal, address: SOMEWHERE, session: None };
        let elsewhere = Party { address: "192.0.2.1".parse().expect("ip"), ..party(Some(&one)) };
        let publish = |channel, data| Matter::Publish { channel, data };
        let read = |patterns: &[&'static str], history| Matter::Subscribe {
            patterns: patterns.to_vec(),
            history,
        };
        let greet = |token, ext| Matter::Handshake { token, ext };
        let keys = [
            Key::of(&party(Some(&one)), &publish("/a", "1")),
            Key::of(&party(Some(&two)), &publish("/a", "1")),
            Key::of(&party(None), &publish("/a", "1")),
            Key::of(&elsewhere, &publish("/a", "1")),
            Key::of(&party(Some(&one)), &publish("/b", "1")),
            Key::of(&party(Some(&one)), &read(&["/a"], false)),
            Key::of(&party(Some(&one)), &read(&["/a"], true)),
            Key::of(&party(Some(&one)), &read(&["/a", "/b"], false)),
            Key::of(&party(None), &greet(None, None)),
            Key::of(&party(None), &greet(Some(""), None)),
            Key::of(&party(None), &greet(Some("a"), Some("b"))),
            Key::of(&party(None), &greet(Some("ab"), Some(""))),
        ];
        let all: std::collections::HashSet<Key> = keys.into_iter().collect();
        assert_eq!(all.len(), keys.len());
        assert_eq!(keys[0], Key::of(&party(Some(&one)), &publish("/a", "2")));
    }
}
