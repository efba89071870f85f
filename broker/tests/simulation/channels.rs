//! The channels of the simulation: one for every rule, and what the rule says of it.

use std::time::Duration;

use weft_broker::core::rules::{Durability, Rule, Rules};
use weft_persistence::Retention;
use weft_protocol::{ChannelLimits, ChannelName};

pub const NAMES: [&str; 10] = [
    "/interval/a",
    "/interval/b/c",
    "/sync/a",
    "/sync/b",
    "/memory/a",
    "/none/a",
    "/few/a",
    "/lazy/a",
    "/off/a",
    "/own/a",
];

/// What clients subscribe to.
pub const PATTERNS: [&[&str]; 8] = [
    &["/interval/a"],
    &["/interval/**", "/interval/a"],
    &["/**"],
    &["/sync/*", "/few/a"],
    &["/memory/a", "/none/a", "/lazy/a"],
    &["/interval/*", "/own/a", "/off/a"],
    &["/few/*", "/sync/**", "/lazy/a", "/memory/*"],
    &["/own/a", "/none/*", "/interval/b/c"],
];

/// One number for each channel, or the like.
pub type PerChannel<T> = [T; NAMES.len()];

const FEW: u64 = 5;

pub fn index(name: &str) -> Option<usize> {
    NAMES.iter().position(|known| *known == name)
}

pub fn name(channel: usize) -> ChannelName<'static> {
    ChannelName::parse(NAMES[channel], &ChannelLimits::default()).expect("a name")
}

pub fn matches(pattern: &str, channel: usize) -> bool {
    let name = NAMES[channel];
    if let Some(parent) = pattern.strip_suffix("/**") {
        name.strip_prefix(parent).is_some_and(|rest| rest.starts_with('/'))
    } else if let Some(parent) = pattern.strip_suffix("/*") {
        let rest = name.strip_prefix(parent).and_then(|rest| rest.strip_prefix('/'));
        rest.is_some_and(|rest| !rest.contains('/'))
    } else {
        pattern == name
    }
}

/// Whether two of the patterns mean one channel.
pub fn overlap(patterns: &[&str]) -> bool {
    (0..NAMES.len())
        .any(|channel| patterns.iter().filter(|pattern| matches(pattern, channel)).count() > 1)
}

fn plain(durability: Durability) -> Rule {
    Rule { keep: Retention::ALL, durability, ..Rule::default() }
}

fn keeping(messages: u64) -> Retention {
    Retention { messages, ..Retention::ALL }
}

pub fn rules() -> Rules {
    let interval = plain(Durability::Interval);
    let list = [
        ("/sync/**", plain(Durability::Sync)),
        ("/memory/**", plain(Durability::Memory)),
        ("/none/**", Rule { keep: keeping(0), ..interval }),
        ("/few/**", Rule { keep: keeping(FEW), ..interval }),
        ("/lazy/**", Rule { lazy: Some(Duration::from_secs(2)), ..interval }),
        ("/off/**", Rule { replay: false, ..interval }),
        ("/own/**", Rule { broadcast_to_publisher: false, ..interval }),
    ];
    Rules::new(list.map(|(pattern, rule)| (pattern.to_owned(), rule)), interval)
}

/// What the books must know of a channel's rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeps {
    /// All, on disk before it is out.
    Safely,
    /// All, on disk a little later.
    Soon,
    /// All, in memory.
    InMemory,
    /// The newest few.
    Few,
    /// All, but subscribers may not read it.
    Hidden,
    Nothing,
}

pub fn keeps(channel: usize) -> Keeps {
    match NAMES[channel] {
        "/sync/a" | "/sync/b" => Keeps::Safely,
        "/memory/a" => Keeps::InMemory,
        "/none/a" => Keeps::Nothing,
        "/few/a" => Keeps::Few,
        "/off/a" => Keeps::Hidden,
        _ => Keeps::Soon,
    }
}

pub fn awaits_disk(channel: usize) -> bool {
    keeps(channel) == Keeps::Safely
}

pub fn is_lazy(channel: usize) -> bool {
    NAMES[channel] == "/lazy/a"
}

pub fn spares_publisher(channel: usize) -> bool {
    NAMES[channel] == "/own/a"
}
