//! Which calls of `/service` the hook answers.

use weft_protocol::{ChannelLimits, ChannelName, Pattern};

const ANY: ChannelLimits = ChannelLimits { bytes: usize::MAX, segments: usize::MAX };

/// Channels below `/service`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Services {
    /// None.
    None,
    /// All.
    All,
    /// Those that one of these patterns means.
    Some(Vec<String>),
}

impl Services {
    /// Whether a channel is one of them.
    #[must_use]
    pub fn have(&self, channel: &str) -> bool {
        let patterns = match self {
            Self::None => return false,
            Self::All => return true,
            Self::Some(patterns) => patterns,
        };
        let Ok(name) = ChannelName::parse(channel, &ANY) else { return false };
        patterns.iter().any(|text| Pattern::parse(text, &ANY).is_ok_and(|it| it.matches(name)))
    }
}
