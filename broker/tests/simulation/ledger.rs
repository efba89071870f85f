//! What one session was promised, and whether it got it: a model of decisions section 4 and 5.
//!
//! It hears what reaches the broker, sees each answer when it is given, and again when the client
//! reads it. So it knows what the broker has cause to think, and allows no more than that.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use super::book::{Book, Count};
use super::channels::{self, Keeps, NAMES, PerChannel};
use super::client::Connect;
use super::doubts::{self, Doubts};
use super::flight::Facts;
use super::wire::{Gap, Reply};

/// A message that is out.
#[derive(Debug, Clone, Copy)]
pub struct Out {
    pub number: u32,
    pub position: i64,
    /// The life of the broker in which it was published.
    pub life: u32,
}

/// Where a subscription begins.
#[derive(Debug, Clone, Copy)]
pub enum Start {
    Live,
    After(i64),
    All,
}

/// A reply that carried something, until the broker has heard what became of it.
#[derive(Debug)]
struct Sent {
    serial: u64,
    ack: Option<u64>,
    /// Channels and places in their books.
    entries: Vec<(usize, usize)>,
    gaps: Vec<Gap>,
    read: bool,
}

/// The books of one session.
#[derive(Debug, Default)]
pub struct Ledger {
    patterns: BTreeSet<&'static str>,
    ack: bool,
    with_replay: bool,
    books: PerChannel<Book>,
    sent: VecDeque<Sent>,
    serial: u64,
    acks: u64,
    /// When the newest connect arrived or was answered.
    latest: Duration,
    /// How many connects were the newest when they came, and when the last of them did.
    pub heard: u64,
    recent: VecDeque<Duration>,
    fought: bool,
    /// A connect without `timeout:0` has come.
    polled: bool,
    last_id: Option<u64>,
    ids_differ: bool,
    /// The id of the connect whose reply carried the last events.
    answered_id: Option<u64>,
    write_failed: bool,
    /// Something is for the session that cannot wait, and no reply has gone since.
    pub owed: bool,
    pub resent: u64,
    /// Whether all that waits for it can be read again from a backlog: not what was queued before it
    /// was spared a message or gave a subscription up.
    impure: bool,
    /// The last positions given out when it gave subscriptions up: what it had yet to read up to there
    /// is told unread.
    left: Vec<i64>,
}

/// How often connects may replace each other before they count as a fight, and in what time.
const FIGHT: usize = 5;
const FIGHT_WINDOW: Duration = Duration::from_secs(10);

impl Ledger {
    /// The books of a session that begins.
    pub fn new(ack: bool, with_replay: bool, now: Duration) -> Self {
        Self { ack, with_replay, latest: now, ..Self::default() }
    }

    /// The broker has subscribed the session; the ones it had stay as they are.
    pub fn join(
        &mut self,
        patterns: &'static [&'static str],
        start: impl Fn(usize) -> Start,
        log: &PerChannel<Vec<Out>>,
        doubts: &Doubts,
    ) {
        self.patterns.extend(patterns);
        for (channel, book) in self.books.iter_mut().enumerate() {
            let meant = patterns.iter().any(|pattern| channels::matches(pattern, channel));
            if !meant || book.wanted {
                continue;
            }
            book.wanted = true;
            let keeps = channels::keeps(channel);
            match start(channel) {
                Start::After(after) => {
                    let newer = log[channel].partition_point(|out| out.position <= after);
                    for out in &log[channel][newer..] {
                        book.push(out.number, out.position, false);
                        // It is surely kept, so there is something to answer with.
                        let kept = match keeps {
                            Keeps::Safely | Keeps::Soon => !doubts.gave_up,
                            Keeps::InMemory => !doubts.forgets,
                            Keeps::Few | Keeps::Hidden | Keeps::Nothing => false,
                        };
                        self.owed |= kept && out.life == doubts.life && !doubts.unreadable;
                    }
                }
                Start::All if !matches!(keeps, Keeps::Hidden | Keeps::Nothing) => {
                    for out in &log[channel] {
                        if out.life == doubts.life || keeps != Keeps::InMemory {
                            book.push(out.number, out.position, true);
                        }
                    }
                    let sure = !doubts.gave_up && (keeps != Keeps::InMemory || !doubts.forgets);
                    book.unsure = match keeps {
                        _ if !sure => i64::MAX,
                        Keeps::Safely => 0,
                        _ => doubts.doubt.max(doubts.unstored[channel]),
                    };
                    let kept = |out: &&Out| out.life == doubts.life && out.position > book.unsure;
                    let last = log[channel].last().filter(kept);
                    book.kept = last.map(|_| book.len() - 1);
                }
                Start::All | Start::Live => {}
            }
        }
    }

    /// A message is out that the session published and is not to get.
    pub fn passed_by(&mut self, channel: usize) {
        self.impure |= self.books[channel].wanted;
    }

    /// The broker has unsubscribed the session.
    pub fn leave(&mut self, pattern: &str, last: i64) {
        self.left.push(last);
        self.impure = true;
        self.owed = false;
        self.patterns.remove(pattern);
        for (channel, book) in self.books.iter_mut().enumerate() {
            let wanted = self.patterns.iter().any(|pattern| channels::matches(pattern, channel));
            if book.wanted && !wanted {
                book.leave();
            }
        }
    }

    /// A message is out.
    pub fn published(&mut self, channel: usize, out: Out) {
        if self.books[channel].wanted {
            self.books[channel].push(out.number, out.position, false);
            // Of what may be gone by now only a gap is left, which waits for company as messages do.
            let kept = matches!(channels::keeps(channel), Keeps::Safely | Keeps::Soon);
            let patient = (0..NAMES.len()).any(|n| channels::is_lazy(n) && self.books[n].wanted);
            self.owed |= !channels::is_lazy(channel) && (kept || !patient);
        }
    }

    /// A connect has reached the broker. Says whether it is the newest.
    pub fn heard(&mut self, connect: &Connect, arrived: Duration) -> bool {
        // A number is true at any time, whatever overtook the connect on its way.
        self.acknowledge(connect);
        if arrived < self.latest {
            return false;
        }
        self.latest = arrived;
        self.heard += 1;
        self.recent.push_back(arrived);
        if self.recent.len() > FIGHT + 1 {
            self.recent.pop_front();
        }
        self.fought |= self.recent.len() > FIGHT && self.recent[0] + FIGHT_WINDOW >= arrived;
        if self.ack {
            self.send_again(connect);
        } else {
            let signals = connect.alone && connect.wants_answer_now() && self.polled;
            let repeats = self.answered_id == Some(connect.id) && self.ids_differ;
            let lost = self.write_failed || signals || repeats;
            for sent in std::mem::take(&mut self.sent) {
                if lost {
                    self.resent += 1;
                    self.doubt(&sent, true);
                } else if !sent.read {
                    // The broker takes this for a proof of receipt, as it should.
                    self.excuse(&sent);
                }
            }
        }
        self.write_failed = false;
        self.polled |= !connect.wants_answer_now();
        self.ids_differ |= self.last_id.is_some_and(|last| last != connect.id);
        self.last_id = Some(connect.id);
        true
    }

    fn acknowledge(&mut self, connect: &Connect) {
        let sent = |number: &u64| self.ack && (1..=self.acks).contains(number);
        if let Some(number) = connect.ack.filter(sent) {
            while self.sent.front().is_some_and(|sent| sent.ack <= Some(number)) {
                let Some(sent) = self.sent.pop_front() else { return };
                // A client that acknowledges what it has not read has itself to blame.
                if sent.ack == Some(number) && !sent.read {
                    self.excuse(&sent);
                }
            }
        }
    }

    /// What is not acknowledged goes again.
    fn send_again(&mut self, connect: &Connect) {
        self.resent += u64::from(self.sent.iter().any(|sent| !sent.entries.is_empty()));
        // What the client had not read when it sent this goes again, as far as the broker knows. A
        // client that says what it has seen gets nothing twice all the same.
        for sent in std::mem::take(&mut self.sent) {
            self.doubt(&sent, !connect.is_honest);
            self.sent.push_back(sent);
        }
    }

    fn doubt(&mut self, sent: &Sent, twice: bool) {
        for &(channel, index) in &sent.entries {
            let entry = self.books[channel].at(index);
            entry.again |= entry.got && twice;
            entry.doubted = true;
        }
    }

    /// What a reply carried is not promised any more.
    fn excuse(&mut self, sent: &Sent) {
        for &(channel, index) in &sent.entries {
            self.books[channel].at(index).excused = true;
        }
        for gap in &sent.gaps {
            self.miss(gap);
        }
    }

    /// What a gap names need not come. Says whether any of it was for the session and has not come,
    /// as far as the broker can know.
    fn miss(&mut self, gap: &Gap) -> bool {
        let mut any = false;
        for (channel, book) in self.books.iter_mut().enumerate() {
            if !channels::matches(&gap.channel, channel) {
                continue;
            }
            for entry in book.between(gap.from, gap.to) {
                any |= !entry.got || entry.doubted;
                (entry.excused, entry.told) = (true, true);
            }
        }
        any
    }

    /// A reply that nobody will read told of these.
    pub fn excuse_gaps(&mut self, gaps: &[Gap]) {
        for gap in gaps {
            self.miss(gap);
        }
    }

    /// Whether a connect may have been refused since too many came.
    pub fn fought(&self) -> bool {
        self.fought
    }

    /// The broker has answered the connect that was heard as this one. Returns what names the reply.
    ///
    /// # Errors
    /// When it carries what it must not.
    pub fn give(
        &mut self,
        reply: &Reply,
        facts: Facts,
        id: u64,
        now: Duration,
    ) -> Result<u64, String> {
        let empty = reply.events.is_empty() && reply.gaps.is_empty() && reply.ack.is_none();
        if facts.heard != Some(self.heard) {
            let too_much = || format!("a connect that is not the newest gets {reply:?}");
            return if empty { Ok(0) } else { Err(too_much()) };
        }
        self.latest = self.latest.max(now);
        self.owed = false;
        let wanted = self.ack.then_some(self.acks + 1);
        if reply.ack != wanted {
            return Err(format!("reply {:?} instead of {wanted:?}", reply.ack));
        }
        self.acks += u64::from(self.ack);
        let mut entries = Vec::with_capacity(reply.events.len());
        for event in &reply.events {
            let name = NAMES[event.channel];
            let book = &mut self.books[event.channel];
            let Some(index) = book.find(event.number) else {
                return Err(format!("{} on {name} was never for this session", event.number));
            };
            let position = self.with_replay.then(|| book.at(index).position);
            if event.position != position {
                return Err(format!("{event:?} on {name} should be at {position:?}"));
            }
            entries.push((event.channel, index));
        }
        let ordered = |channel| {
            let of_channel = entries.iter().filter(move |(own, _)| *own == channel);
            of_channel.is_sorted_by(|(_, a), (_, b)| a < b)
        };
        if !(0..NAMES.len()).all(ordered) {
            return Err(format!("out of order in one reply: {:?}", reply.events));
        }
        self.serial += 1;
        let carries = !entries.is_empty() || !reply.gaps.is_empty();
        if carries {
            self.answered_id = Some(id);
        }
        if carries || self.ack {
            let (serial, ack, gaps) = (self.serial, reply.ack, reply.gaps.clone());
            self.sent.push_back(Sent { serial, ack, entries, gaps, read: false });
        }
        if facts.heard != Some(self.heard) && !self.ack {
            // Known: it takes events, and what takes the place of a reply that is not proven.
            for sent in std::mem::take(&mut self.sent) {
                if !sent.read {
                    self.excuse(&sent);
                }
                self.sent.push_back(sent);
            }
        }
        Ok(self.serial)
    }

    /// The broker sees that a reply could not be written.
    pub fn write_failed(&mut self, serial: u64) {
        let last = self.sent.back().is_some_and(|sent| sent.serial == serial);
        self.write_failed |= last && !self.ack;
    }

    /// The client reads a connect's reply. Says how many messages came again.
    ///
    /// # Errors
    /// When something is missing, comes twice, or was told to be missing and is not.
    pub fn read(&mut self, reply: &Reply, serial: u64, doubts: &Doubts) -> Result<u64, String> {
        let mut again = 0;
        for event in &reply.events {
            let book = &mut self.books[event.channel];
            let index = book.find(event.number).unwrap_or_default();
            let first = book.get(index);
            again += u64::from(!first.map_err(|what| told(event.channel, &what))?);
        }
        for gap in &reply.gaps {
            self.read_gap(gap, doubts, false)?;
        }
        for event in &reply.events {
            let checked = self.books[event.channel].check_order();
            checked.map_err(|what| told(event.channel, &what))?;
        }
        if let Some(sent) = self.sent.iter_mut().find(|sent| sent.serial == serial) {
            sent.read = true;
        }
        Ok(again)
    }

    /// The client reads of a gap.
    ///
    /// # Errors
    /// When nothing is missing, and nothing explains it.
    pub fn read_gap(
        &mut self,
        gap: &Gap,
        doubts: &Doubts,
        on_subscribe: bool,
    ) -> Result<(), String> {
        let missing = self.miss(gap);
        if self.left.contains(&gap.to) || doubts::explains(gap, doubts, on_subscribe) {
            return Ok(());
        }
        if missing {
            return if self.must_be_kept(gap, doubts) {
                Err(format!("{gap:?} is told, and the backlog keeps it"))
            } else {
                Ok(())
            };
        }
        let books = self.books.iter().enumerate();
        let near: Vec<_> =
            books.filter(|(channel, _)| channels::matches(&gap.channel, *channel)).collect();
        Err(format!("nothing is missing in {gap:?}, {doubts:?}: {near:?}"))
    }

    /// Whether a gap can only be a mistake, since all of the channel is kept and read from there.
    fn must_be_kept(&self, gap: &Gap, doubts: &Doubts) -> bool {
        let keeps = channels::index(&gap.channel).map(channels::keeps);
        let all = matches!(keeps, Some(Keeps::Safely | Keeps::Soon | Keeps::InMemory));
        // Messages that are not kept, or not any more, push out what was sent.
        let pushed = self.books.iter().enumerate().any(|(channel, book)| {
            book.wanted && matches!(channels::keeps(channel), Keeps::Nothing | Keeps::Few)
        });
        all && doubts.spills && !doubts.unreadable && !self.impure && !pushed
    }

    /// The first message of each channel that is owed.
    pub fn missing(&self) -> Vec<(&'static str, u32, i64)> {
        let books = self.books.iter().zip(NAMES).filter(|(book, _)| book.wanted);
        let missing = |(book, name): (&Book, _)| {
            let (number, position) = book.missing()?;
            Some((name, number, position))
        };
        books.filter_map(missing).collect()
    }

    /// What came of all of it.
    pub fn count(&self) -> Count {
        self.books.iter().map(Book::count).fold(Count::default(), |sum, one| Count {
            received: sum.received + one.received,
            told: sum.told + one.told,
            lost: sum.lost + one.lost,
        })
    }
}

fn told(channel: usize, what: &str) -> String {
    format!("{}: {what}", NAMES[channel])
}
