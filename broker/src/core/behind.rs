//! Where a session is behind the live messages: it reads on from the past, channel by channel.
//!
//! While a channel stands here, its live messages are not queued: they are part of the past when the
//! cursor comes to them, so that a replay and the messages after it are one sequence.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use weft_protocol::{ChannelLimits, ChannelName, Pattern};

use super::frame::{Booked, Frame, FrameBytes};
use super::rules::Rule;

const ANY: ChannelLimits = ChannelLimits { bytes: usize::MAX, segments: usize::MAX };

/// How far a session has read one channel's past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// The position up to which it has everything that was to be had.
    pub(crate) after: i64,
    /// Positions up to here were told to be missing, or nobody asked for them.
    pub(crate) told: i64,
}

/// Patterns whose channels are being looked up right now. Until all are known, a live message of a
/// channel that nobody has heard of starts its cursor.
#[derive(Debug)]
pub(crate) struct Opening {
    /// With where their channels start, if their past is wanted.
    pub(crate) patterns: Vec<(Arc<str>, Option<Cursor>)>,
    /// Where channels start of which only the last message goes to new subscribers.
    pub(crate) retained: Cursor,
    /// Channels that have their start, or want none.
    pub(crate) known: BTreeSet<Arc<str>>,
}

impl Opening {
    /// Where a channel starts, if it is new and has a past to read; from then on it is known.
    fn start(&mut self, name: &str, rule: &Rule) -> Option<(Arc<str>, Cursor)> {
        if self.known.contains(name) {
            return None;
        }
        let channel = ChannelName::parse(name, &ANY).ok()?;
        let means = |pattern: &str| {
            Pattern::parse(pattern, &ANY).is_ok_and(|pattern| pattern.matches(channel))
        };
        let mut meant = self.patterns.iter().filter(|(pattern, _)| means(pattern)).peekable();
        meant.peek()?;
        let wanted = meant.filter_map(|(_, cursor)| *cursor).min_by_key(|cursor| cursor.after);
        let retained = rule.retain_last.then_some(self.retained);
        let cursor = wanted.filter(|_| rule.replays()).or(retained)?;
        let name: Arc<str> = name.into();
        self.known.insert(Arc::clone(&name));
        Some((name, cursor))
    }
}

/// All that a session has yet to read.
#[derive(Debug, Default)]
pub(crate) struct Behind {
    cursors: BTreeMap<Arc<str>, Cursor>,
    /// The channel that was read last: the next one follows it, so that none waits for ever.
    read: Option<Arc<str>>,
    /// Nothing was read the last time, since what waited took all the room.
    starved: bool,
    /// Nor was there any room to make some: live messages are to leave it.
    squeezed: bool,
    opening: Option<Opening>,
    /// Positions of messages that the session published meanwhile and is not to get. No two messages
    /// of one process have the same.
    own: BTreeSet<i64>,
    /// What the cursors cost.
    booked: Booked,
}

/// What a cursor costs besides its channel's name: its place in the tree, and the name's own head.
const CURSOR_COST: usize = 96;
/// Most channels that one session reads from the past at once.
pub(crate) const CHANNELS_MAX: usize = 10_000;
/// Most messages of its own that a session is spared while it reads the past.
const OWN_MAX: usize = 10_000;
/// What remembering one costs.
const OWN_COST: usize = 24;

impl Behind {
    /// Nothing to read yet. What is to come is booked to this account.
    pub(crate) fn new(alive: &Arc<FrameBytes>) -> Self {
        Self { booked: Booked::to(alive), ..Self::default() }
    }

    fn book(&mut self, more: usize, less: usize) {
        self.booked.set((self.booked.bytes() + more).saturating_sub(less));
    }

    /// What it costs, in bytes.
    pub(crate) fn cost(&self) -> usize {
        self.booked.bytes()
    }

    /// Reads a channel from a position on, or from further back if it is being read already.
    pub(crate) fn start(&mut self, channel: &Arc<str>, cursor: Cursor) {
        match self.cursors.get_mut(channel) {
            Some(known) if cursor.after < known.after => *known = cursor,
            Some(_) => {}
            None => {
                self.cursors.insert(Arc::clone(channel), cursor);
                self.book(CURSOR_COST + channel.len(), 0);
            }
        }
    }

    /// Patterns are about to be looked up. A session does so for one subscribe at a time.
    pub(crate) fn open(&mut self, opening: Opening) {
        self.opening = Some(opening);
    }

    /// The patterns that are being looked up.
    pub(crate) fn patterns(&self) -> Vec<Arc<str>> {
        let patterns = self.opening.iter().flat_map(|opening| &opening.patterns);
        patterns.map(|(text, _)| Arc::clone(text)).collect()
    }

    /// A channel that a look-up found.
    pub(crate) fn found(&mut self, name: &str, rule: &Rule) {
        let started = self.opening.as_mut().and_then(|opening| opening.start(name, rule));
        if let Some((name, cursor)) = started {
            self.start(&name, cursor);
        }
    }

    /// All channels of the patterns are known.
    pub(crate) fn opened(&mut self) {
        self.opening = None;
    }

    /// Whether a live message is to wait until the cursor comes to it.
    pub(crate) fn holds_back(&mut self, frame: &Frame, rule: &Rule) -> bool {
        self.found(frame.channel(), rule);
        self.cursors.contains_key(frame.channel())
    }

    /// A live message that this session is not to get, not when its cursor comes to it either. False
    /// if no cursor will.
    pub(crate) fn spare(&mut self, frame: &Frame, rule: &Rule) -> bool {
        let comes = self.holds_back(frame, rule);
        if comes && self.own.len() < OWN_MAX && self.own.insert(frame.position()) {
            self.book(OWN_COST, 0);
        }
        comes
    }

    /// Whether there was any such message.
    pub(crate) fn has_spared(&self) -> bool {
        !self.own.is_empty()
    }

    /// Reads a channel again from a message on that it had queued.
    pub(crate) fn go_back(&mut self, channel: &Arc<str>, first: i64) {
        // What it had of the channel beyond that is told again if it is missing then.
        let after = first - 1;
        self.start(channel, Cursor { after, told: after });
    }

    /// Whether it is a message that the session is not to get.
    pub(crate) fn spares(&self, frame: &Frame) -> bool {
        self.own.contains(&frame.position())
    }

    /// The channel to read next.
    pub(crate) fn next(&self) -> Option<(Arc<str>, Cursor)> {
        let following = match &self.read {
            Some(read) => self.cursors.range::<str, _>((Excluded(&**read), Unbounded)).next(),
            None => None,
        };
        let next = following.or_else(|| self.cursors.first_key_value());
        next.map(|(name, cursor)| (Arc::clone(name), *cursor))
    }

    /// A piece of this channel was read.
    pub(crate) fn has_read(&mut self, channel: &Arc<str>) {
        self.squeezed = false;
        self.read = Some(Arc::clone(channel));
    }

    /// Notes whether there is room to read anything. Where there was none twice in a row, it is to
    /// make some: what is kept must not wait for ever behind what is not.
    pub(crate) fn starves(&mut self, room: bool) -> bool {
        let again = !room && self.starved;
        self.starved = !room && !again;
        self.squeezed |= again;
        again
    }

    /// Whether live messages are to leave room for what is read.
    pub(crate) fn is_squeezed(&self) -> bool {
        self.squeezed
    }

    /// The cursor of a channel, if nobody has moved it since it was read.
    pub(crate) fn unmoved(&mut self, channel: &str, read: Cursor) -> Option<&mut Cursor> {
        self.cursors.get_mut(channel).filter(|cursor| **cursor == read)
    }

    /// A channel is read to its end: its live messages are queued from here on.
    pub(crate) fn finish(&mut self, channel: &str) {
        if self.cursors.remove(channel).is_some() {
            self.book(0, CURSOR_COST + channel.len());
        }
    }

    /// Forgets the channels that nobody wants any more. Returns where each of them had come to.
    pub(crate) fn retain(&mut self, wanted: impl Fn(&str) -> bool) -> Vec<(Arc<str>, i64)> {
        let mut unread = Vec::new();
        self.cursors.retain(|channel, cursor| {
            let wanted = wanted(channel);
            if !wanted {
                unread.push((Arc::clone(channel), cursor.after.max(cursor.told)));
            }
            wanted
        });
        let cursors: usize = self.cursors.keys().map(|channel| CURSOR_COST + channel.len()).sum();
        self.booked.set(cursors + self.own.len() * OWN_COST);
        unread
    }

    /// Whether anything is left to be read.
    pub(crate) fn has_more(&self) -> bool {
        !self.cursors.is_empty()
    }

    /// Whether patterns are being looked up.
    pub(crate) fn is_opening(&self) -> bool {
        self.opening.is_some()
    }

    /// Whether nothing is left at all.
    pub(crate) fn is_done(&self) -> bool {
        self.cursors.is_empty() && self.opening.is_none()
    }

    /// Whether a channel is being read.
    pub(crate) fn is_reading(&self, channel: &str) -> bool {
        self.cursors.contains_key(channel)
    }

    /// The lowest position from which anything is yet to be read.
    pub(crate) fn first(&self) -> Option<i64> {
        self.cursors.values().map(|cursor| cursor.after).min()
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

    fn opening(patterns: &[(&str, Option<Cursor>)], known: &[&str]) -> Opening {
        Opening {
            patterns: patterns.iter().map(|&(text, cursor)| (text.into(), cursor)).collect(),
            retained: Cursor { after: 6, told: 6 },
            known: known.iter().map(|&name| name.into()).collect(),
        }
    }

    #[test]
    fn live_messages_wait_where_a_cursor_stands_or_a_pattern_opens() {
        let rule = Rule::default();
        let mut behind = Behind::default();
        let waits =
            |behind: &mut Behind, name, position| behind.holds_back(&frame(name, position), &rule);
        behind.start(&"/a".into(), START);
        assert!(waits(&mut behind, "/a", 7) && !waits(&mut behind, "/b/c", 8));
        behind.open(opening(&[("/b/*", Some(START))], &["/b/k"]));
        assert!(waits(&mut behind, "/b/c", 9) && !waits(&mut behind, "/c", 10));
        assert!(!waits(&mut behind, "/b/k", 10), "it has its start, and needs no other");
        behind.finish("/b/c");
        assert!(!waits(&mut behind, "/b/c", 10), "it is read once");
        assert!(waits(&mut behind, "/b/e", 10));
        behind.opened();
        assert!(waits(&mut behind, "/b/e", 11), "its cursor stands");
        assert!(!waits(&mut behind, "/b/d", 12));
        behind.finish("/a");
        behind.finish("/b/e");
        assert!(behind.is_done());
    }

    #[test]
    fn while_a_pattern_opens_nothing_waits_for_a_past_that_is_not_there_to_be_read() {
        let none = Rule {
            keep: weft_persistence::Retention { messages: 0, ..Rule::default().keep },
            ..Rule::default()
        };
        let off = Rule { replay: false, ..Rule::default() };
        let last = Rule { retain_last: true, ..off };
        let mut behind = Behind::default();
        behind.open(opening(&[("/b/*", Some(START)), ("/**", None)], &[]));
        assert!(!behind.holds_back(&frame("/b/none", 7), &none));
        assert!(!behind.holds_back(&frame("/b/off", 7), &off));
        assert!(behind.holds_back(&frame("/b/last", 7), &last));
        assert_eq!(behind.next().map(|(_, cursor)| cursor.after), Some(6), "the last one alone");
    }

    #[test]
    fn channels_take_turns() {
        let mut behind = Behind::default();
        for name in ["/a", "/b", "/c"] {
            behind.start(&name.into(), START);
        }
        let mut order = Vec::new();
        for _ in 0..4 {
            let Some((name, _)) = behind.next() else { break };
            behind.has_read(&name);
            order.push(name);
        }
        assert_eq!(order.iter().map(|name| &**name).collect::<Vec<_>>(), ["/a", "/b", "/c", "/a"]);
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
