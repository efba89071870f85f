//! Replay: subscriptions that start in the past, and how sessions catch up (decisions section 5).
//!
//! A cursor is set before its session becomes a subscriber, and it ends under the lock of the
//! channel at the very message that is the newest; so nothing falls between the past and the live
//! messages, and nothing comes twice.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use weft_persistence::BacklogError;
use weft_protocol::{ChannelLimits, ChannelName, Error, Gap, Pattern, Replay, Start};

use super::behind::{Behind, CHANNELS_MAX, Cursor, Opening};
use super::broker::Broker;
use super::held::Wakes;
use super::positions::FIRST;
use super::rules::{Durability, Rule};
use super::session::SessionHandle;

/// How much earlier than its number a pattern starts: the messages of several channels do not come
/// in one order, so whoever has seen a number may lack lower ones (decisions 5).
const PATTERN_SLACK: i64 = 2_000_000;
/// No message waits longer for the disk, whatever the clock says.
const WAIT_MOST: i64 = 60_000_000;
/// Most channels of patterns whose gaps are told by name.
const GAPS_MAX: usize = 64;

const ANY: ChannelLimits = ChannelLimits { bytes: usize::MAX, segments: usize::MAX };

/// What a new subscription finds: where to start, and what is missing.
#[derive(Debug, Default)]
pub(crate) struct Beginning {
    cursors: Vec<(Arc<str>, Cursor)>,
    /// The channels of its patterns that are known, or that the client named.
    names: BTreeSet<Arc<str>>,
    gaps: Vec<Gap>,
    /// Names that get live messages only, although the past was asked for: up to the moment at which
    /// those begin, all of it may be missing.
    live_only: Vec<(Arc<str>, i64)>,
    /// Patterns whose channels need not all be known any more, with where they start.
    unknown: Vec<(Arc<str>, i64)>,
    /// It would read too many channels at once.
    is_too_wide: bool,
}

impl Broker {
    /// Where a session's new subscriptions start, before it joins them. For patterns: see
    /// [`Broker::opening`].
    ///
    /// # Errors
    /// 413 if it would read too many channels at once; 503 if the store cannot be read.
    pub(crate) fn begin(
        &self,
        session: &SessionHandle,
        new: &[Arc<str>],
        replay: Option<&Replay<'_>>,
    ) -> Result<Beginning, Error> {
        let mut beginning = Beginning::default();
        let read = session.state.lock().behind.as_ref().map_or(0, |behind| behind.len());
        for text in new {
            let Ok(pattern) = Pattern::parse(text, &ANY) else { continue };
            let start = replay.and_then(|replay| replay.start(text));
            match ChannelName::parse(text, &ANY) {
                Ok(channel) => self.start(channel, start, &mut beginning),
                Err(_) => self.start_pattern(pattern, start, replay, &mut beginning),
            }
            .map_err(|_| Error::StoreUnavailable)?;
            if beginning.is_too_wide || read + beginning.cursors.len() > CHANNELS_MAX {
                return Err(Error::ReplayTooWide);
            }
        }
        Ok(beginning)
    }

    /// One channel's start.
    fn start(
        &self,
        channel: ChannelName<'_>,
        start: Option<Start>,
        beginning: &mut Beginning,
    ) -> Result<(), BacklogError> {
        let rule = self.channels.rules.of(channel);
        let from_the_past = match start {
            Some(Start::All) if rule.replays() => {
                self.stats.replays.inc("complete");
                let told = self.past_floor(channel)?;
                beginning.push(channel, Cursor { after: 0, told });
                true
            }
            Some(Start::All) => {
                self.stats.replays.inc("off");
                false
            }
            Some(Start::After(after)) => self.start_after(channel, rule, after, beginning)?,
            Some(Start::New) | None => false,
        };
        if !from_the_past
            && rule.retain_last
            && let Some(head) = self.channels.head(channel)?
        {
            // Whatever came before that, nobody asked for.
            beginning.push(channel, Cursor { after: head - 1, told: head });
        }
        Ok(())
    }

    /// Whether it starts in the past.
    fn start_after(
        &self,
        channel: ChannelName<'_>,
        rule: &Rule,
        after: i64,
        beginning: &mut Beginning,
    ) -> Result<bool, BacklogError> {
        if after < FIRST {
            // It was never a position of ours, so all there was may be missing.
            self.stats.replays.inc("unknown");
            beginning.live_only.push((Arc::from(channel.as_str()), after));
            return Ok(false);
        }
        let floor = self.past_floor(channel)?;
        if !rule.replays() {
            self.stats.replays.inc("off");
            let head = self.channels.head(channel)?.unwrap_or(0).max(floor);
            if after < head {
                beginning.live_only.push((Arc::from(channel.as_str()), after));
            }
            return Ok(false);
        }
        self.stats.replays.inc(if after < floor { "gap" } else { "complete" });
        if after < floor {
            beginning.gap(channel.as_str(), after, floor);
        }
        let after = self.channels.seen_at_most(channel, after, self.positions.last());
        beginning.push(channel, Cursor { after, told: floor.max(after) });
        Ok(true)
    }

    /// The starts of the channels that a pattern means: those that the client named, and, if the
    /// pattern itself has a number, all that are known. Where last messages go to new subscribers,
    /// those too.
    fn start_pattern(
        &self,
        pattern: Pattern<'_>,
        start: Option<Start>,
        replay: Option<&Replay<'_>>,
        beginning: &mut Beginning,
    ) -> Result<(), BacklogError> {
        let all = matches!(start, Some(Start::All | Start::After(FIRST..)));
        if let Some(Start::After(after @ ..FIRST)) = start {
            self.stats.replays.inc("unknown");
            beginning.live_only.push((Arc::from(pattern.as_str()), after));
        } else if let Some(Start::After(after)) = start {
            beginning.unknown.push((Arc::from(pattern.as_str()), after - PATTERN_SLACK));
        }
        let mut names = BTreeSet::new();
        if all || self.channels.rules.retain_last(pattern) {
            names = self.channels.matching(pattern)?;
            // Whoever asks for too much is refused before each of them is looked at.
            let replayed = |name: &&Arc<str>| {
                let channel = ChannelName::parse(name, &ANY);
                channel.is_ok_and(|channel| self.channels.rules.of(channel).replays())
            };
            if all && names.iter().filter(replayed).count() > CHANNELS_MAX {
                beginning.is_too_wide = true;
                return Ok(());
            }
            beginning.names.extend(names.iter().cloned());
        }
        let prefix = pattern.as_str().trim_end_matches('*');
        for (name, start) in replay.into_iter().flat_map(|replay| replay.below(prefix)) {
            let channel = ChannelName::parse(name, &ANY);
            let Some(channel) = channel.ok().filter(|channel| pattern.matches(*channel)) else {
                continue;
            };
            names.remove(name);
            beginning.names.insert(Arc::from(name));
            self.start(channel, Some(start), beginning)?;
            if beginning.cursors.len() > CHANNELS_MAX {
                return Ok(());
            }
        }
        for name in &names {
            let Ok(channel) = ChannelName::parse(name, &ANY) else { continue };
            let start = start.map(|start| earlier(start, self.slack(channel)));
            self.start(channel, start, beginning)?;
            if beginning.cursors.len() > CHANNELS_MAX {
                break;
            }
        }
        Ok(())
    }

    /// How much earlier than a pattern's number one of its channels starts: what awaits the disk has
    /// its number long before it is out.
    fn slack(&self, channel: ChannelName<'_>) -> i64 {
        let sync = self.channels.rules.of(channel).durability == Durability::Sync;
        let waited = self.longest_wait.load(Ordering::Relaxed).clamp(0, WAIT_MOST);
        if sync { PATTERN_SLACK + waited } else { PATTERN_SLACK }
    }

    /// A position in one channel, as seen from others: what comes late there may be lower.
    pub(crate) fn earlier(&self, position: i64) -> i64 {
        let waited = self.longest_wait.load(Ordering::Relaxed).clamp(0, WAIT_MOST);
        (position - PATTERN_SLACK - waited).max(FIRST)
    }

    /// No message up to here will come any more that did not come yet.
    pub(crate) fn settled_up_to(&self) -> i64 {
        self.earlier(self.positions.last())
    }

    /// Where the channels of the new patterns start that nobody has heard of yet: until all are
    /// known, a live message of one of them starts it there. `last` is the last position given out
    /// before the patterns were looked up.
    pub(crate) fn opening(
        &self,
        new: &[Arc<str>],
        replay: Option<&Replay<'_>>,
        beginning: &Beginning,
        last: i64,
    ) -> Option<Opening> {
        let mut patterns = Vec::new();
        for text in new {
            let pattern = Pattern::parse(text, &ANY).ok().filter(|pattern| pattern.is_wild());
            let Some(pattern) = pattern else { continue };
            let cursor = match replay.and_then(|replay| replay.start(text)) {
                Some(Start::All) => Some(Cursor { after: 0, told: last }),
                Some(Start::After(after @ FIRST..)) => {
                    let after = (after - PATTERN_SLACK).min(last);
                    // It may have been known, and gone, since what is missing was looked up.
                    Some(Cursor { after, told: after })
                }
                _ => None,
            };
            // A last message that is published just now goes to this subscriber, too.
            if cursor.is_some() || self.channels.rules.retain_last(pattern) {
                patterns.push((Arc::clone(text), cursor));
            }
        }
        let retained = Cursor { after: last, told: last };
        let known = || beginning.names.clone();
        (!patterns.is_empty()).then(|| Opening { patterns, retained, known: known() })
    }

    /// Sets the cursors of a subscription that is about to be joined.
    pub(crate) fn set_cursors(
        &self,
        session: &SessionHandle,
        beginning: &Beginning,
        opening: Option<Opening>,
        with_replay: bool,
    ) {
        let mut state = session.state.lock();
        state.with_replay |= with_replay;
        if state.ended.is_some() || (beginning.cursors.is_empty() && opening.is_none()) {
            return;
        }
        let behind = state.behind.get_or_insert_with(|| Box::new(Behind::new(&self.alive)));
        for (channel, cursor) in &beginning.cursors {
            behind.start(channel, *cursor);
        }
        if let Some(opening) = opening {
            behind.open(opening);
        }
    }

    /// The session has joined: channels that came up since its cursors were set start now, too.
    pub(crate) fn opened(&self, session: &SessionHandle) {
        let patterns = {
            let state = session.state.lock();
            let patterns = state.behind.as_ref().map(|behind| behind.patterns());
            patterns.unwrap_or_default()
        };
        let mut names = BTreeSet::new();
        for text in &patterns {
            let Ok(pattern) = Pattern::parse(text, &ANY) else { continue };
            // What cannot be looked up now was looked up a moment ago, but for the newest.
            names.append(&mut self.channels.matching(pattern).unwrap_or_default());
        }
        let mut state = session.state.lock();
        let Some(behind) = &mut state.behind else { return };
        for name in &names {
            let Ok(channel) = ChannelName::parse(name, &ANY) else { continue };
            behind.found(name, self.channels.rules.of(channel));
        }
        behind.opened();
        if behind.is_done() {
            state.caught_up();
        }
    }

    /// The highest position of a channel that cannot be replayed any more.
    pub(crate) fn past_floor(&self, channel: ChannelName<'_>) -> Result<i64, BacklogError> {
        if self.channels.rules.of(channel).keeps() {
            return self.channels.floor(channel, self.clock.wall_us());
        }
        // Nobody knows what there was.
        Ok(self.positions.last())
    }

    /// What a new subscription is told to be missing, once live messages come and all channels of its
    /// patterns that are known have their cursors: whatever left before that is below a floor by
    /// now. More gaps than the client asked for by name are told as one.
    pub(crate) fn tell(&self, mut beginning: Beginning, asked: usize) -> Vec<Gap> {
        let last = self.positions.last();
        for (text, after) in std::mem::take(&mut beginning.unknown) {
            let Ok(pattern) = Pattern::parse(&text, &ANY) else { continue };
            // By rule, since rules keep more or less.
            for (text, rule) in self.channels.rules.touched_by(pattern) {
                let floor =
                    if rule.keeps() { self.channels.floor_of_unknown(rule) } else { Ok(last) };
                let floor = floor.unwrap_or(last);
                if after < floor {
                    beginning.gap(text, after, floor);
                }
            }
        }
        for (channel, from) in std::mem::take(&mut beginning.live_only) {
            beginning.gap(&channel, from, last.max(from));
        }
        let gaps = beginning.gaps;
        if gaps.len() <= GAPS_MAX.max(asked) {
            return gaps;
        }
        let from = gaps.iter().map(|gap| gap.from).min().unwrap_or(0);
        let to = gaps.iter().map(|gap| gap.to).max().unwrap_or(0);
        vec![Gap { channel: Arc::from("/**"), from, to }]
    }

    /// Wakes a session's held connect, or its outlet, if that has something to carry.
    pub(crate) fn wake_if_news(&self, session: &SessionHandle, wakes: &mut Wakes) {
        let state = session.state.lock();
        let now = self.clock.now();
        if (state.has_news(now) || state.has_events(now))
            && let Some(hold) = state.wake()
        {
            wakes.push(hold);
        }
    }
}

/// A pattern's start, for one of its channels.
fn earlier(start: Start, slack: i64) -> Start {
    match start {
        Start::After(after @ FIRST..) => Start::After((after - slack).max(FIRST)),
        // The pattern as a whole was told already.
        Start::After(_) => Start::New,
        Start::All | Start::New => start,
    }
}

impl Beginning {
    fn push(&mut self, channel: ChannelName<'_>, cursor: Cursor) {
        self.cursors.push((Arc::from(channel.as_str()), cursor));
    }

    fn gap(&mut self, channel: &str, from: i64, to: i64) {
        self.gaps.push(Gap { channel: Arc::from(channel), from, to });
    }
}
