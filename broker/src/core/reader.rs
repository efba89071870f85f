//! Readers: those who speak no Bayeux and only read, as long as their response goes on.
//!
//! A reader has a session like any other, with an outlet, and the session ends with that. What it got
//! is forgotten at once: it knows by its [`Cursor`] how far it has come, and whoever comes again with
//! that goes on from the channels' pasts (decisions section 5).

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use weft_protocol::{ChannelLimits, ChannelName, Cursor, Error, Gap, Replay, Start};

use super::broker::{Broker, Wishes};
use super::frame::{Booked, Frame};
use super::held::{Release, Wakes};
use super::id::SessionId;
use super::options::ResponseLimits;
use super::outlet::{Outlet, OutletKind, Push, Pushed};
use super::positions::FIRST;
use super::principal::Principal;
use super::session::SessionHandle;

/// How much goes out at a time: enough to be cheap, and little to be kept for one who reads slowly.
const PIECE: ResponseLimits = ResponseLimits { messages: 1_000, bytes: 16 << 10 };

const ANY: ChannelLimits = ChannelLimits { bytes: usize::MAX, segments: usize::MAX };

/// Where a reader begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Beginning {
    /// With what is published from now on.
    Now,
    /// With all that is kept.
    All,
    /// After this position, 0 or more.
    Position(i64),
    /// After this wall time, in microseconds since 1970.
    Time(i64),
    /// Where it was.
    Cursor(Cursor),
}

/// What a reader gets.
#[derive(Debug)]
pub enum Read {
    /// A piece of it.
    Piece {
        /// What may be missing before the events.
        gaps: Vec<Gap>,
        /// Events; [`Reader::takes`] says whether they are wanted.
        frames: Vec<Frame>,
    },
    /// Nothing came in time.
    Nothing,
    /// Nothing more will come.
    Over(Release),
}

/// A reader. Its session ends with it.
#[derive(Debug)]
pub struct Reader {
    broker: Arc<Broker>,
    outlet: Outlet,
    cursor: Cursor,
    /// Where the channels began that its cursor does not name.
    began: Start,
    /// Until it has all of the past, it is spared what is not newer than this wall time.
    newer_than: Option<i64>,
    /// Up to here it will have seen everything, once the last piece is through.
    level: Option<i64>,
    /// What is to be told before anything else.
    gaps: Vec<Gap>,
}

impl Reader {
    /// Begins to read these channels and patterns. May wait for the disk.
    ///
    /// # Errors
    /// 403 and 413 as for any subscription; 503 if there is no room, the broker is going away, or the
    /// past cannot be read.
    pub fn open(
        broker: &Arc<Broker>,
        id: SessionId,
        (patterns, from): (&[Cow<'_, str>], Beginning),
        who: Option<Arc<Principal>>,
    ) -> Result<Self, Error> {
        // Whatever has a higher position comes by the subscription.
        let last = broker.last_position();
        broker
            .handshake(id, Wishes { who, ..Wishes::default() })
            .map_err(|refused| refused.error)?;
        let session = broker.registry.get(&id).ok_or(Error::Overloaded)?;
        // From here on the session ends with its outlet.
        let outlet = broker.attach(&session, OutletKind::Reader, PIECE);
        let Plan { cursor, others, newer_than } = Plan::of(broker, patterns, from)?;
        let replay = replay(patterns, &cursor, others);
        let gaps = broker.subscribe(&session, patterns, Some(&replay), &mut Wakes::default())?;
        let mut reader = Self {
            broker: Arc::clone(broker),
            outlet,
            began: if newer_than.is_some() { Start::All } else { cursor.others() },
            cursor,
            newer_than,
            level: None,
            gaps: Vec::new(),
        };
        reader.gaps = gaps.into_iter().filter_map(|gap| reader.clip(gap)).collect();
        // A last message that new subscribers get may be under way.
        if reader.cursor.others() == Start::New && is_level(&session) {
            reader.cursor.see_all(last);
        }
        Ok(reader)
    }

    /// How far it has come.
    #[must_use]
    pub fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// The time by the broker's clock.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.broker.clock().now()
    }

    /// Something that differs from reader to reader.
    #[must_use]
    pub fn spread(&self) -> u64 {
        self.outlet.session().id.spread()
    }

    /// Books the bytes of a piece while it is being written.
    #[must_use]
    pub fn book(&self, bytes: usize) -> Booked {
        self.broker.book_reply(bytes)
    }

    /// Waits for the next piece, until then at most. The piece before it is through.
    pub async fn next(&mut self, until: Instant) -> Read {
        if let Some(position) = self.level.take() {
            self.cursor.see_all(position);
            self.newer_than = None;
        }
        if !self.gaps.is_empty() {
            return Read::Piece { gaps: std::mem::take(&mut self.gaps), frames: Vec::new() };
        }
        let clock = Arc::clone(self.broker.clock());
        let push = tokio::time::timeout_at(until.into(), self.outlet.wait(&*clock)).await;
        match push {
            Ok(Push::Events(Pushed { batch, mark, .. })) => {
                // Whoever comes again says by its cursor what it got.
                self.outlet.confirm(mark);
                self.look();
                Read::Piece { gaps: batch.gaps, frames: batch.frames }
            }
            Ok(Push::Over(Release::Overrun)) => {
                let gaps = self.outlet.last_words();
                if gaps.is_empty() {
                    return Read::Over(Release::Overrun);
                }
                Read::Piece { gaps, frames: Vec::new() }
            }
            Ok(Push::Over(why)) => Read::Over(why),
            Err(_) => {
                self.look();
                if let Some(position) = self.level.take() {
                    self.cursor.see_all(position);
                }
                Read::Nothing
            }
        }
    }

    /// Looks whether anything is left behind what was just given out.
    fn look(&mut self) {
        // Before the look: what is numbered later is none of it.
        let position = self.broker.settled_up_to();
        self.level = is_level(self.outlet.session()).then_some(position);
    }

    /// Whether it is to get this event; from then on its cursor stands behind it.
    pub fn takes(&mut self, frame: &Frame) -> bool {
        let (channel, position) = (frame.channel(), frame.position());
        if self.seen(channel).is_some_and(|seen| position <= seen) {
            return false;
        }
        self.cursor.see(channel, position);
        self.newer_than.is_none_or(|time_us| frame.time_us() > time_us)
    }

    /// Up to where a channel is not wanted.
    fn seen(&self, channel: &str) -> Option<i64> {
        self.cursor.seen(channel).or(match self.began {
            Start::After(began) => Some(began),
            Start::New | Start::All => None,
        })
    }

    /// A pattern's channels are read from a little further back than asked for, which nobody is to be
    /// told.
    fn clip(&self, gap: Gap) -> Option<Gap> {
        let wanted = self.seen(&gap.channel).max(self.newer_than);
        let from = wanted.map_or(gap.from, |wanted| wanted.max(gap.from));
        (from < gap.to).then_some(Gap { from, ..gap })
    }
}

/// Whether nothing waits to go out, nor to be read.
fn is_level(session: &SessionHandle) -> bool {
    let state = session.state.lock();
    !state.is_behind() && !state.queue.has_news()
}

/// Where all begins.
struct Plan {
    cursor: Cursor,
    /// Where the channels and patterns start that the cursor does not name.
    others: Start,
    newer_than: Option<i64>,
}

impl Plan {
    fn of(broker: &Broker, patterns: &[Cow<'_, str>], from: Beginning) -> Result<Self, Error> {
        let begin = |start, others| Self { cursor: Cursor::new(start), others, newer_than: None };
        Ok(match from {
            Beginning::Now => begin(Start::New, Start::New),
            Beginning::All => begin(Start::All, Start::All),
            // No position of ours: told, and live only.
            Beginning::Position(position @ ..FIRST) => begin(Start::New, Start::After(position)),
            Beginning::Position(position) => {
                let others = Start::After(broker.earlier(position));
                let mut plan = begin(others, Start::After(position));
                plan.name(patterns, |_| Ok(position))?;
                plan
            }
            Beginning::Time(time_us) => {
                // Whose clock is ahead shall not miss what comes now.
                let time_us = time_us.clamp(FIRST, broker.clock().wall_us().max(FIRST));
                let mut plan = begin(Start::After(time_us), Start::After(time_us));
                plan.newer_than = Some(time_us);
                plan.name(patterns, |channel| Ok(broker.start_of(channel, time_us)?.max(FIRST)))?;
                plan
            }
            Beginning::Cursor(cursor) => {
                let others = cursor.others();
                Self { cursor, others, newer_than: None }
            }
        })
    }

    /// Names the channels that are asked for by name.
    fn name(
        &mut self,
        patterns: &[Cow<'_, str>],
        position: impl Fn(ChannelName<'_>) -> Result<i64, Error>,
    ) -> Result<(), Error> {
        for channel in patterns.iter().filter_map(|text| ChannelName::parse(text, &ANY).ok()) {
            self.cursor.see(channel.as_str(), position(channel)?);
        }
        Ok(())
    }
}

/// What to ask for.
fn replay<'a>(patterns: &'a [Cow<'_, str>], cursor: &'a Cursor, others: Start) -> Replay<'a> {
    let asked = patterns.iter().map(|pattern| (&**pattern, others));
    let named = cursor.channels().map(|(channel, position)| (channel, Start::After(position)));
    asked.chain(named).collect()
}
