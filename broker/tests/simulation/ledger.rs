//! What one session was promised, and whether it got it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// A message that the session must get: its channel and number; numbers rise over all channels.
type Number = u64;

/// The books of one session.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Patterns in force at the broker.
    pub patterns: BTreeSet<String>,
    /// A connect without `timeout:0` has reached the broker.
    pub polled: bool,
    /// Connect ids that reached the broker.
    pub ids: BTreeSet<String>,
    /// Replies to connects that the broker has given.
    pub connects_answered: usize,
    expected: BTreeMap<Number, (String, i64)>,
    received: BTreeSet<Number>,
    may_miss: BTreeSet<Number>,
    last_reply: BTreeSet<Number>,
    /// The broker has cause to think that the last reply was lost.
    pub repeat_ok: bool,
}

/// What a session got of what it should have got.
#[derive(Debug, Default, Clone, Copy)]
pub struct Books {
    pub received: u64,
    pub excused: u64,
}

fn matches(pattern: &str, channel: &str) -> bool {
    if let Some(parent) = pattern.strip_suffix("/**") {
        channel.strip_prefix(parent).is_some_and(|rest| rest.starts_with('/'))
    } else if let Some(parent) = pattern.strip_suffix("/*") {
        let rest = channel.strip_prefix(parent).and_then(|rest| rest.strip_prefix('/'));
        rest.is_some_and(|rest| !rest.contains('/'))
    } else {
        pattern == channel
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

impl Ledger {
    /// A publication was accepted.
    pub fn published(&mut self, channel: &str, number: Number, position: i64) {
        if self.patterns.iter().any(|pattern| matches(pattern, channel)) {
            self.expected.insert(number, (channel.to_owned(), position));
        }
    }

    /// The client read a reply.
    pub fn receive(&mut self, messages: &[Value]) -> Result<u64, String> {
        let mut this_reply: BTreeMap<String, Number> = BTreeMap::new();
        let mut numbers = BTreeSet::new();
        let mut repeats = 0;
        for event in messages.iter().filter(|message| message.get("data").is_some()) {
            let channel = text(event, "channel").to_owned();
            let number = event["data"].as_u64().ok_or("data is no number")?;
            let expected = self.expected.get(&number);
            if expected.is_none_or(|(name, _)| *name != channel) {
                return Err(format!("{number} on {channel} was never for this session"));
            }
            if this_reply.insert(channel.clone(), number).is_some_and(|last| last >= number) {
                return Err(format!("{number} on {channel} is out of order in its reply"));
            }
            if self.received.contains(&number) {
                repeats += 1;
                if !(self.repeat_ok && self.last_reply.contains(&number)) {
                    return Err(format!("{number} on {channel} came twice without cause"));
                }
            } else if let Some(later) = self.later_received(&channel, number) {
                return Err(format!("{number} on {channel} came after {later}"));
            }
            numbers.insert(number);
        }
        self.excuse_gaps(messages);
        self.received.extend(&numbers);
        if messages.iter().any(|message| text(message, "channel") == "/meta/connect") {
            self.last_reply = numbers;
            self.repeat_ok = false;
        }
        Ok(repeats)
    }

    fn later_received(&self, channel: &str, number: Number) -> Option<Number> {
        let mut later = self.received.range(number..);
        later.find(|n| self.expected.get(n).is_some_and(|(name, _)| name == channel)).copied()
    }

    fn excuse_gaps(&mut self, messages: &[Value]) {
        for message in messages {
            for gap in message["ext"]["weft"]["gap"].as_array().into_iter().flatten() {
                let (from, to) = (gap["from"].as_i64(), gap["to"].as_i64());
                let (from, to) = (from.unwrap_or(i64::MAX), to.unwrap_or(i64::MIN));
                let told = text(gap, "channel");
                for (number, (channel, position)) in &self.expected {
                    let named = told == "/**" || told == channel;
                    if named && *position > from && *position <= to {
                        self.may_miss.insert(*number);
                    }
                }
            }
        }
    }

    /// A reply was lost in a way that the promise does not cover: its events are excused.
    pub fn excuse(&mut self, messages: &[Value]) {
        self.excuse_gaps(messages);
        let events = messages.iter().filter(|message| message.get("data").is_some());
        self.may_miss.extend(events.filter_map(|event| event["data"].as_u64()));
    }

    /// Whether all that was promised has come.
    pub fn missing(&self) -> Vec<Number> {
        let open = self.expected.keys();
        open.filter(|n| !self.received.contains(n) && !self.may_miss.contains(n)).copied().collect()
    }

    pub fn books(&self) -> Books {
        let excused = self.may_miss.difference(&self.received).count();
        Books { received: self.received.len() as u64, excused: excused as u64 }
    }
}
