//! `[compression]`: gzip of large replies.

use serde::{Deserialize, Serialize};

use super::ByteSize;

/// `[compression]`: gzip of large replies, for clients that take it. Never of JSONP, of streams, or of
/// a reply with a clientId.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Compression {
    /// Whether any reply is compressed. Default true; off where a proxy in front does it, or where
    /// the length of a reply may tell too much (docs/compression.md).
    pub enabled: bool,
    /// The least size of a reply that is compressed, 64B to 1GiB. Default 1400B: what is smaller
    /// travels in one packet anyway.
    pub min_bytes: ByteSize,
    /// How hard to try, 1 to 9. Default 1: 2 takes half as much time again for replies three quarters
    /// the size, 9 seven times as much for little more than half.
    pub level: u32,
}

impl Default for Compression {
    fn default() -> Self {
        Self { enabled: true, min_bytes: ByteSize::bytes(1_400), level: 1 }
    }
}
