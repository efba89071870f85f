//! What holds for a channel: how much of its past is kept, how safely, and who gets what of it.

use std::sync::Arc;
use std::time::Duration;

use weft_persistence::Retention;
use weft_protocol::{ChannelLimits, ChannelName, Pattern};

/// When a message counts as accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// As soon as it is in memory; it is gone with the process.
    Memory,
    /// As soon as it is in memory; it is on disk within the store's interval.
    Interval,
    /// Once it is on disk; only then is it delivered, in order.
    Sync,
}

/// What holds for one channel.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// How much of its past is kept.
    pub keep: Retention,
    /// How safely.
    pub durability: Durability,
    /// Whether subscribers may ask for what was published before they came.
    pub replay: bool,
    /// Whether each new subscriber gets the last message.
    pub retain_last: bool,
    /// Whether a publisher that subscribes gets its own messages.
    pub broadcast_to_publisher: bool,
    /// Whether object data names its position and time, as Salesforce's clients expect.
    pub salesforce: bool,
    /// How long a message may wait for company; `None` = it leaves at once.
    pub lazy: Option<Duration>,
}

impl Rule {
    /// Whether anything of the channel's past is kept.
    #[must_use]
    pub fn keeps(&self) -> bool {
        self.keep.messages > 0
    }

    /// Whether a subscriber may read its past.
    #[must_use]
    pub fn replays(&self) -> bool {
        self.replay && self.keeps()
    }
}

impl Default for Rule {
    /// The last 1,000 messages or 24 hours, on disk within the interval.
    fn default() -> Self {
        let keep = Retention {
            messages: 1_000,
            bytes: 1 << 30,
            age_us: 24 * 3_600 * 1_000_000,
            keep_last: false,
        };
        Self {
            keep,
            durability: Durability::Interval,
            replay: true,
            retain_last: false,
            broadcast_to_publisher: true,
            salesforce: false,
            lazy: None,
        }
    }
}

/// The rules by pattern; the first that matches a channel holds for it.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    list: Vec<(Box<str>, Arc<Rule>)>,
    fallback: Arc<Rule>,
}

impl Rules {
    /// Rules in their order, and the one for all other channels. Where there is no store, nothing
    /// is more than in memory.
    #[must_use]
    pub fn new(list: impl IntoIterator<Item = (String, Rule)>, fallback: Rule) -> Self {
        let list =
            list.into_iter().map(|(pattern, rule)| (pattern.into(), Arc::new(settled(rule))));
        Self { list: list.collect(), fallback: Arc::new(settled(fallback)) }
    }

    /// The rule of a channel.
    #[must_use]
    pub fn of(&self, channel: ChannelName<'_>) -> &Arc<Rule> {
        const ANY: ChannelLimits = ChannelLimits { bytes: usize::MAX, segments: usize::MAX };
        let matches = |pattern: &str| {
            Pattern::parse(pattern, &ANY).is_ok_and(|pattern| pattern.matches(channel))
        };
        let found = self.list.iter().find(|(pattern, _)| matches(pattern));
        found.map_or(&self.fallback, |(_, rule)| rule)
    }

    /// The rules that may hold for a channel that a pattern means, each with the narrower of the two
    /// patterns: what it holds for there.
    pub fn touched_by<'r>(
        &'r self,
        pattern: Pattern<'r>,
    ) -> impl Iterator<Item = (&'r str, &'r Rule)> {
        let wanted = pattern.as_str().trim_end_matches('*');
        let mut covered = false;
        let mut found = Vec::new();
        for (text, rule) in &self.list {
            let own = text.trim_end_matches('*');
            let as_deep = own.len() > wanted.len() || !text.ends_with("/**");
            if own.starts_with(wanted) && as_deep {
                found.push((&**text, &**rule));
            } else if own.starts_with(wanted) || (text.ends_with('*') && wanted.starts_with(own)) {
                found.push((pattern.as_str(), &**rule));
            }
            if text.ends_with("/**") && wanted.starts_with(own) {
                covered = true;
                break;
            }
        }
        found.extend((!covered).then_some((pattern.as_str(), &*self.fallback)));
        found.into_iter()
    }

    /// Whether the last message of any channel that a pattern means goes to new subscribers.
    #[must_use]
    pub fn retain_last(&self, pattern: Pattern<'_>) -> bool {
        self.touched_by(pattern).any(|(_, rule)| rule.retain_last)
    }
}

/// A rule without contradictions: a last message to hand out must be kept, and what is not kept
/// needs no disk.
fn settled(mut rule: Rule) -> Rule {
    rule.keep.keep_last = rule.retain_last;
    if rule.retain_last {
        rule.keep.messages = rule.keep.messages.max(1);
    }
    if !rule.keeps() {
        rule.durability = Durability::Memory;
    }
    rule
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ChannelName<'_> {
        ChannelName::parse(text, &ChannelLimits::default()).expect("a name")
    }

    #[test]
    fn the_first_rule_that_matches_holds() {
        let sync = Rule { durability: Durability::Sync, ..Rule::default() };
        let memory = Rule { durability: Durability::Memory, ..Rule::default() };
        let rules = Rules::new([("/a/*".into(), sync), ("/a/**".into(), memory)], Rule::default());
        assert_eq!(rules.of(name("/a/b")).durability, Durability::Sync);
        assert_eq!(rules.of(name("/a/b/c")).durability, Durability::Memory);
        assert_eq!(rules.of(name("/b")).durability, Durability::Interval);
    }

    #[test]
    fn a_pattern_is_touched_by_the_rules_that_overlap_it() {
        let rule =
            |messages| Rule { keep: Retention { messages, ..Retention::ALL }, ..Rule::default() };
        let rules = [("/a/**", 1), ("/b/c/*", 2), ("/b/**", 3), ("/x", 4)];
        let rules = Rules::new(rules.map(|(text, n)| (text.to_owned(), rule(n))), rule(9));
        let touched = |text| -> Vec<(String, u64)> {
            let pattern = Pattern::parse(text, &ChannelLimits::default()).expect("a pattern");
            let touched = rules.touched_by(pattern);
            touched.map(|(text, rule)| (text.to_owned(), rule.keep.messages)).collect()
        };
        let list = |list: &[(&str, u64)]| -> Vec<(String, u64)> {
            list.iter().map(|&(text, n)| (text.to_owned(), n)).collect()
        };
        assert_eq!(touched("/a/*"), list(&[("/a/*", 1)]));
        assert_eq!(touched("/b/*"), list(&[("/b/c/*", 2), ("/b/*", 3)]));
        assert_eq!(touched("/b/d/**"), list(&[("/b/d/**", 3)]));
        let all = [("/a/**", 1), ("/b/c/*", 2), ("/b/**", 3), ("/x", 4), ("/**", 9)];
        assert_eq!(touched("/**"), list(&all));
        assert_eq!(touched("/y/*"), list(&[("/y/*", 9)]));
    }

    #[test]
    fn a_last_message_is_kept_and_what_is_not_kept_needs_no_disk() {
        let none = Retention { messages: 0, ..Retention::ALL };
        let last = Rule { keep: none, retain_last: true, ..Rule::default() };
        let rules = Rules::new([("/a".into(), last)], Rule { keep: none, ..Rule::default() });
        assert_eq!(rules.of(name("/a")).keep.messages, 1);
        let pattern = |text| Pattern::parse(text, &ChannelLimits::default()).expect("a pattern");
        assert!(rules.retain_last(pattern("/*")) && !rules.retain_last(pattern("/b/*")));
        assert_eq!(rules.of(name("/b")).durability, Durability::Memory);
    }
}
