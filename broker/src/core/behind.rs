//! Where a session is behind the live messages: it reads on from the past, channel by channel.
//!
//! While a channel stands here, its live messages are not queued: they are part of the past when the
//! cursor comes to them, so that a replay and the messages after it are one sequence.

use std::collections::BTreeMap;
use std::sync::Arc;

use weft_protocol::{ChannelLimits, ChannelName, Pattern};

use super::frame::Frame;

/// How far a session has read one channel's past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// The position up to which it has everything that was to be had.
    pub(crate) after: i64,
    /// Positions up to here were told to be missing, or nobody asked for them.
    pub(crate) told: i64,
}

/// All that a session has yet to read.
#[derive(Debug, Default)]
pub(crate) struct Behind {
    cursors: BTreeMap<Arc<str>, Cursor>,
    /// Patterns whose channels are being looked up right now, with where to start.
    opening: Vec<(Arc<str>, Cursor)>,
}

impl Behind {
    /// Reads a channel from a position on, or from further back if it is being read already.
    pub(crate) fn start(&mut self, channel: &Arc<str>, cursor: Cursor) {
        let entry = self.cursors.entry(Arc::clone(channel)).or_insert(cursor);
        if cursor.after < entry.after {
            *entry = cursor;
        }
    }

    /// From now on, a live message of a channel that this pattern means starts a cursor.
    pub(crate) fn open(&mut self, pattern: &Arc<str>, cursor: Cursor) {
        self.opening.push((Arc::clone(pattern), cursor));
    }

    /// All channels of the pattern are known.
    pub(crate) fn opened(&mut self, pattern: &str) {
        self.opening.retain(|(open, _)| &**open != pattern);
    }

    /// Whether a live message is to wait until the cursor comes to it.
    pub(crate) fn holds_back(&mut self, frame: &Frame) -> bool {
        if self.cursors.contains_key(frame.channel()) {
            return true;
        }
        const ANY: ChannelLimits = ChannelLimits { bytes: usize::MAX, segments: usize::MAX };
        let Ok(channel) = ChannelName::parse(frame.channel(), &ANY) else { return false };
        let opening = self.opening.iter().find(|(pattern, _)| {
            Pattern::parse(pattern, &ANY).is_ok_and(|pattern| pattern.matches(channel))
        });
        let Some(&(_, cursor)) = opening else { return false };
        self.cursors.insert(Arc::from(frame.channel()), cursor);
        true
    }

    /// The channel to read next.
    pub(crate) fn next(&self) -> Option<(Arc<str>, Cursor)> {
        self.cursors.first_key_value().map(|(name, cursor)| (Arc::clone(name), *cursor))
    }

    /// The cursor of a channel, if nobody has moved it since it was read.
    pub(crate) fn unmoved(&mut self, channel: &str, read: Cursor) -> Option<&mut Cursor> {
        self.cursors.get_mut(channel).filter(|cursor| **cursor == read)
    }

    /// A channel is read to its end: its live messages are queued from here on.
    pub(crate) fn finish(&mut self, channel: &str) {
        self.cursors.remove(channel);
    }

    /// Forgets the channels that nobody wants any more.
    pub(crate) fn retain(&mut self, wanted: impl Fn(&str) -> bool) {
        self.cursors.retain(|channel, _| wanted(channel));
    }

    /// Whether anything is left to be read.
    pub(crate) fn has_more(&self) -> bool {
        !self.cursors.is_empty()
    }

    /// Whether nothing is left at all.
    pub(crate) fn is_done(&self) -> bool {
        self.cursors.is_empty() && self.opening.is_empty()
    }

    /// How many channels are being read.
    pub(crate) fn len(&self) -> usize {
        self.cursors.len()
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::frame;
    use super::*;

    const START: Cursor = Cursor { after: 5, told: 5 };

    #[test]
    fn live_messages_wait_where_a_cursor_stands_or_a_pattern_opens() {
        let mut behind = Behind::default();
        behind.start(&"/a".into(), START);
        assert!(behind.holds_back(&frame("/a", 7)) && !behind.holds_back(&frame("/b/c", 8)));
        behind.open(&"/b/*".into(), START);
        assert!(behind.holds_back(&frame("/b/c", 9)) && !behind.holds_back(&frame("/c", 10)));
        behind.opened("/b/*");
        assert!(behind.holds_back(&frame("/b/c", 11)), "its cursor stands");
        assert!(!behind.holds_back(&frame("/b/d", 12)));
        behind.finish("/a");
        behind.finish("/b/c");
        assert!(behind.is_done());
    }

    #[test]
    fn a_second_start_goes_back_but_never_forwards() {
        let mut behind = Behind::default();
        behind.start(&"/a".into(), START);
        behind.start(&"/a".into(), Cursor { after: 9, told: 9 });
        assert_eq!(behind.next(), Some(("/a".into(), START)));
        behind.start(&"/a".into(), Cursor { after: 2, told: 2 });
        assert!(behind.unmoved("/a", START).is_none());
        assert!(behind.unmoved("/a", Cursor { after: 2, told: 2 }).is_some());
    }
}
