//! What a client heard of a channel, held against what was published there (P1, P4).

use serde_json::Value;

/// What one client heard of one channel.
#[derive(Debug, Default)]
pub struct Heard {
    /// The numbers of messages, and their positions where they were told.
    pub messages: Vec<(usize, Option<i64>)>,
    /// The gaps that were told: `from` and `to` of each.
    pub gaps: Vec<(i64, i64)>,
}

impl Heard {
    /// An event, whose data begins with its number among those of its channel.
    pub fn hear(&mut self, event: &Value) {
        let number = event["data"][0].as_u64().and_then(|number| usize::try_from(number).ok());
        let position = event.pointer("/ext/replay/id").and_then(Value::as_i64);
        self.messages.push((number.expect("a number"), position));
    }

    /// Whether the message of this number came last.
    #[must_use]
    pub fn ends_with(&self, number: usize) -> bool {
        self.messages.last().is_some_and(|(last, _)| *last == number)
    }

    /// All that is kept came, in order and once; the gaps are what else was published, and only that.
    /// `published` has the position of each number, and `kept` the positions of those that are kept.
    pub fn check(mut self, channel: &str, published: &[i64], kept: &[i64]) {
        let position = |(number, told): &(usize, Option<i64>)| {
            let position = published[*number];
            assert!(told.is_none_or(|told| told == position), "{channel}: {told:?} is {position}");
            position
        };
        let came: Vec<i64> = self.messages.iter().map(position).collect();
        let gaps = &mut self.gaps;
        assert!(came.is_sorted_by(|a, b| a < b), "{channel}: out of order, or twice");
        assert!(
            came.ends_with(kept),
            "{channel}: {} messages are kept, and {} came, told: {gaps:?}",
            kept.len(),
            came.len()
        );
        gaps.sort_unstable();
        assert!(gaps.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{channel}: {gaps:?}");
        let mut came = came.iter().peekable();
        let mut missing = vec![0; gaps.len()];
        let mut at = 0;
        for position in published {
            while gaps.get(at).is_some_and(|(_, to)| to < position) {
                at += 1;
            }
            let gap = gaps.get(at).filter(|(from, _)| from < position);
            if came.next_if_eq(&position).is_some() {
                assert_eq!(gap, None, "{channel}: {position} came all the same");
            } else {
                assert!(gap.is_some(), "{channel}: {position} is lost, told: {gaps:?}");
                missing[at] += 1;
            }
        }
        assert!(!missing.contains(&0), "{channel}: nothing is missing: {gaps:?}, {missing:?}");
    }
}
