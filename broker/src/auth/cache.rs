//! Tokens that were found good, by their SHA-256: a polling client shows the same one every time.
//!
//! What was refused is not kept, since anybody could fill a table with that.

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::core::principal::Principal;

const SHARDS: usize = 16;
/// What one of a shard's two halves holds: 32,768 tokens in all, and 16 MiB of them.
const HALF_ENTRIES: usize = 1_024;
const HALF_BYTES: usize = 512 << 10;

/// The table. Each shard has two halves: when the younger one is full it becomes the older one, whose
/// tokens are forgotten unless they were asked for since.
#[derive(Debug, Default)]
pub(super) struct Cache([Mutex<Shard>; SHARDS]);

#[derive(Debug, Default)]
struct Shard {
    young: HashMap<[u8; 32], Entry>,
    old: HashMap<[u8; 32], Entry>,
    young_bytes: usize,
}

#[derive(Debug, Clone)]
struct Entry {
    principal: Arc<Principal>,
    /// Which keys and rules vouched for it; others may not.
    generation: u64,
    /// How long the token is.
    bytes: usize,
}

impl Cache {
    /// Who showed this token before, as long as nothing has changed since.
    pub(super) fn get(&self, hash: &[u8; 32], generation: u64) -> Option<Arc<Principal>> {
        let mut shard = self.shard(hash).lock();
        if let Some(entry) = shard.young.get(hash) {
            let fresh = entry.generation == generation;
            return fresh.then(|| Arc::clone(&entry.principal));
        }
        let entry = shard.old.remove(hash).filter(|entry| entry.generation == generation)?;
        let principal = Arc::clone(&entry.principal);
        shard.put(*hash, entry);
        Some(principal)
    }

    pub(super) fn put(
        &self,
        hash: [u8; 32],
        generation: u64,
        bytes: usize,
        principal: &Arc<Principal>,
    ) {
        let entry = Entry { principal: Arc::clone(principal), generation, bytes };
        self.shard(&hash).lock().put(hash, entry);
    }

    /// Forgets a token.
    pub(super) fn forget(&self, hash: &[u8; 32]) {
        let mut shard = self.shard(hash).lock();
        if let Some(entry) = shard.young.remove(hash) {
            shard.young_bytes -= entry.bytes;
        }
        shard.old.remove(hash);
    }

    fn shard(&self, hash: &[u8; 32]) -> &Mutex<Shard> {
        &self.0[usize::from(hash[0]) % SHARDS]
    }

    #[cfg(test)]
    pub(super) fn size(&self) -> (usize, usize) {
        self.0.iter().map(|shard| shard.lock()).fold((0, 0), |(entries, bytes), shard| {
            let all = shard.young.values().chain(shard.old.values());
            let count = shard.young.len() + shard.old.len();
            (entries + count, bytes + all.map(|entry| entry.bytes).sum::<usize>())
        })
    }
}

impl Shard {
    fn put(&mut self, hash: [u8; 32], entry: Entry) {
        let full = self.young_bytes + entry.bytes > HALF_BYTES;
        if full || self.young.len() >= HALF_ENTRIES {
            self.old = mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes += entry.bytes;
        if let Some(before) = self.young.insert(hash, entry) {
            self.young_bytes -= before.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(n: u32) -> [u8; 32] {
        let mut hash = [0; 32];
        hash[..4].copy_from_slice(&n.wrapping_mul(2_654_435_761).to_le_bytes());
        hash
    }

    #[test]
    fn the_table_is_bounded_in_number_and_in_bytes() {
        let principal = Arc::new(Principal::anonymous());
        for bytes in [1, 8 << 10] {
            let cache = Cache::default();
            for n in 0..200_000 {
                cache.put(hash(n), 1, bytes, &principal);
            }
            let (entries, total) = cache.size();
            assert!(entries <= 2 * SHARDS * HALF_ENTRIES, "{entries}");
            assert!(total <= 2 * SHARDS * HALF_BYTES, "{total}");
            assert!(cache.get(&hash(199_999), 1).is_some(), "the last one is there");
        }
    }

    #[test]
    fn what_is_asked_for_stays_and_what_has_changed_does_not() {
        let principal = Arc::new(Principal::anonymous());
        let cache = Cache::default();
        cache.put(hash(0), 1, 10, &principal);
        for n in 1..200_000 {
            cache.put(hash(n), 1, 10, &principal);
            assert!(n % 256 > 0 || cache.get(&hash(0), 1).is_some(), "{n}");
        }
        assert!(cache.get(&hash(0), 2).is_none(), "other keys, other answers");
        cache.forget(&hash(199_999));
        assert!(cache.get(&hash(199_999), 1).is_none());
    }
}
