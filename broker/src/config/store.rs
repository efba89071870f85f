//! `[store]` and `[publish]`: what is kept over a restart, and what servers may do over HTTP.

use serde::{Deserialize, Serialize};

use super::{ByteSize, HumanDuration};

/// `[store]`: where channels' pasts are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// `sled` keeps them in the data directory; `memory` keeps them while the process lives, whatever
    /// the channels' rules say. Default `sled`.
    pub kind: StoreKind,
    /// Bytes of messages on disk, all channels together; the channels that were not used for longest
    /// go first. Default 1GiB. The files take two to seven times that, and never shrink by themselves.
    pub bytes: ByteSize,
    /// Most channels with a past. Default 100000, so that inventing names costs little.
    pub channels: u64,
    /// Recent messages in memory, all channels together: what most replays are served from, and all
    /// there is of `memory` channels. Default 64MiB.
    pub memory: ByteSize,
    /// The store's own cache, 1MiB to 1GiB. Default 32MiB.
    pub cache: ByteSize,
    /// The longest time before a message of an `interval` channel is on its way to disk, 1ms to 10s;
    /// when publishers outrun the disk, it waits for those before it besides. Default 100ms.
    pub interval: HumanDuration,
    /// The free space below which nothing more is written. Default 16MiB: a store that runs into a
    /// full disk has to be opened anew.
    pub reserve: ByteSize,
    /// A file that is given up to open the store on a full disk. Default 4MiB.
    pub ballast: ByteSize,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            kind: StoreKind::Sled,
            bytes: ByteSize::mib(1_024),
            channels: 100_000,
            memory: ByteSize::mib(64),
            cache: ByteSize::mib(32),
            interval: HumanDuration::millis(100),
            reserve: ByteSize::mib(16),
            ballast: ByteSize::mib(4),
        }
    }
}

/// Where the past is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    /// In the data directory.
    Sled,
    /// In memory alone.
    Memory,
}

/// `[publish]`: publishing and reading over plain HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Publish {
    /// Whether `POST /publish` is served. Default true.
    pub enabled: bool,
    /// Whether `GET /history` is served. Default true.
    pub history: bool,
    /// How long an idempotency key is remembered, 1s to 24h. Default 10m.
    pub repeat_window: HumanDuration,
    /// Most keys that are remembered; the oldest go first. Default 1000000, about 100 bytes each.
    pub repeat_keys: u64,
}

impl Default for Publish {
    fn default() -> Self {
        Self {
            enabled: true,
            history: true,
            repeat_window: HumanDuration::secs(600),
            repeat_keys: 1_000_000,
        }
    }
}
