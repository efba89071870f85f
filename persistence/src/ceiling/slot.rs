//! One slot of the file: little-endian numbers and a checksum over them.

use super::STRIDE;

/// How much of its place a slot fills.
pub(super) const SLOT_BYTES: usize = 64;
/// Says whose file this is, and in which format.
const MAGIC: u64 = u64::from_le_bytes(*b"weftpos1");
/// Numbers in a slot; the last one is the checksum.
const WORDS: usize = SLOT_BYTES / size_of::<u64>();

/// What a slot says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    /// Counts the writes; the higher one holds.
    pub(super) sequence: u64,
    pub(super) ceiling: i64,
    pub(super) doubt: i64,
    /// Written by a process that has not stopped cleanly since.
    pub(super) dirty: bool,
}

impl Slot {
    /// Where it is written, in bytes from the start of the file: not where the one before it is.
    pub(super) const fn offset(&self) -> u64 {
        (self.sequence % 2) * STRIDE as u64
    }

    pub(super) fn encode(&self) -> [u8; SLOT_BYTES] {
        let mut words = [0; WORDS];
        words[0] = MAGIC;
        words[1] = self.sequence;
        words[2] = self.ceiling.cast_unsigned();
        words[3] = self.doubt.cast_unsigned();
        words[4] = u64::from(self.dirty);
        let mut bytes = [0; SLOT_BYTES];
        for (place, word) in bytes.chunks_exact_mut(size_of::<u64>()).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        let (said, sum) = bytes.split_at_mut(SLOT_BYTES - size_of::<u64>());
        sum.copy_from_slice(&checksum(said).to_le_bytes());
        bytes
    }

    /// The slot that starts with these bytes, if it was written as a whole.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..SLOT_BYTES)?;
        let mut words = [0; WORDS];
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        let sum = checksum(&bytes[..SLOT_BYTES - size_of::<u64>()]);
        (words[0] == MAGIC && words[WORDS - 1] == sum).then(|| Self {
            sequence: words[1],
            ceiling: words[2].cast_signed(),
            doubt: words[3].cast_signed(),
            dirty: words[4] != 0,
        })
    }
}

/// FNV-1a with 64 bits: against torn writes, not against people.
fn checksum(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}
