//! Publishing: a message gets its number, goes to the store, and out to its subscribers.
//!
//! All of that happens under the lock of the channel's stripe, so that numbers, the store's order
//! and what sessions see are one order. A message of a `sync` channel goes out when the store says
//! that it is on disk; all others go out at once.

mod together;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use weft_persistence::{Job, Mark, Record};
use weft_protocol::{ChannelName, Error, event, salesforce_data};

use super::broker::Broker;
use super::channels::{Store, Stripe};
use super::frame::Frame;
use super::granting::publisher;
use super::held::Wakes;
use super::marks::{First, Seen, mark};
use super::options::Bounds;
use super::principal::Principal;
use super::rules::{Durability, Rule};
use super::session::SessionHandle;

/// How long a stream of publications waits for room in the store's queue.
const ROOM_WAIT: Duration = Duration::from_secs(5);

/// What is to be published.
#[derive(Debug, Clone, Copy)]
pub struct Publication<'a> {
    /// A concrete channel, neither meta nor service.
    pub channel: ChannelName<'a>,
    /// A JSON text on one line.
    pub data: &'a str,
    /// The publisher's ext, as far as it goes on.
    pub ext: Option<&'a str>,
    /// The session that publishes, if it is one.
    pub from: Option<&'a SessionHandle>,
    /// Who publishes, where that is asked.
    pub by: Option<&'a Principal>,
    /// What makes a repeat of it known, of the same publisher.
    pub key: Option<&'a str>,
    /// Whether the answer waits until it is on disk.
    pub durable: bool,
}

impl<'a> Publication<'a> {
    /// A publication by nobody in particular.
    #[must_use]
    pub fn new(channel: ChannelName<'a>, data: &'a str) -> Self {
        Self { channel, data, ext: None, from: None, by: None, key: None, durable: false }
    }
}

/// What became of a publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// Its position.
    pub position: i64,
    /// Whether it is on disk.
    pub durable: bool,
    /// How many sessions it was queued for.
    pub subscribers: u32,
    /// Whether it had been published before, and was not again.
    pub repeat: bool,
}

/// A publication that was accepted.
#[derive(Debug)]
pub enum Publishing {
    /// That is all.
    Done(Published),
    /// The store has yet to say that it is on disk.
    Pending(Pending),
}

/// A publication that the store has yet to settle.
#[derive(Debug)]
pub struct Pending(oneshot::Receiver<Result<Published, Error>>);

impl Publishing {
    /// Waits for the outcome.
    ///
    /// # Errors
    /// 503 if it could not be stored.
    pub async fn outcome(self) -> Result<Published, Error> {
        match self {
            Self::Done(published) => Ok(published),
            Self::Pending(Pending(settled)) => {
                settled.await.unwrap_or(Err(Error::StoreUnavailable))
            }
        }
    }

    /// Waits for the outcome, and may be asked again if this is not waited for to its end.
    ///
    /// # Errors
    /// 503 if it could not be stored.
    pub async fn settled(&mut self) -> Result<Published, Error> {
        match self {
            Self::Done(published) => Ok(*published),
            Self::Pending(Pending(settled)) => {
                settled.await.unwrap_or(Err(Error::StoreUnavailable))
            }
        }
    }

    /// The outcome, if it is there: the simulation asks after each step.
    pub fn poll(&mut self) -> Option<Result<Published, Error>> {
        match self {
            Self::Done(published) => Some(Ok(*published)),
            Self::Pending(Pending(settled)) => match settled.try_recv() {
                Ok(outcome) => Some(outcome),
                Err(oneshot::error::TryRecvError::Empty) => None,
                Err(oneshot::error::TryRecvError::Closed) => Some(Err(Error::StoreUnavailable)),
            },
        }
    }
}

type Answer = oneshot::Sender<Result<Published, Error>>;

/// What the broker does when the store has settled a job.
#[derive(Debug)]
pub enum Commit {
    /// Hands out messages that awaited the disk.
    Deliver(Vec<Delivery>),
    /// Tells publishers that wait.
    Confirm(Vec<Waiter>),
}

/// A message that awaits the disk.
#[derive(Debug)]
pub struct Delivery {
    pub(super) channel: Arc<str>,
    pub(super) position: i64,
    pub(super) from: Option<u64>,
    pub(super) mark: Option<Mark>,
    pub(super) answer: Answer,
}

/// A publisher that waits for the disk.
#[derive(Debug)]
pub struct Waiter {
    pub(super) answer: Answer,
    pub(super) outcome: Awaited,
}

#[derive(Debug)]
pub(super) enum Awaited {
    Known(Published),
    /// The first publication with this key was under way.
    First([u8; 16]),
}

/// What one call hands to the store: under the locks of all its channels, so that the store gets
/// each channel's messages in their order.
#[derive(Default)]
struct Batch {
    delivered: Vec<Record>,
    confirm: Vec<Waiter>,
    awaited: Vec<Record>,
    deliver: Vec<Delivery>,
}

impl Batch {
    fn submit(self, store: Option<&Store>) {
        let Some(Store { writer, .. }) = store else { return };
        if !self.awaited.is_empty() {
            let token = Some(Commit::Deliver(self.deliver));
            writer.submit(Job { records: self.awaited, urgent: true, refusable: true, token });
        }
        if !self.delivered.is_empty() || !self.confirm.is_empty() {
            let urgent = !self.confirm.is_empty();
            let token = urgent.then_some(Commit::Confirm(self.confirm));
            writer.submit(Job { records: self.delivered, urgent, refusable: false, token });
        }
    }
}

impl Broker {
    /// Publishes a message. The polls that it wakes are woken when `wakes` is dropped.
    ///
    /// # Errors
    /// 503 when undelivered messages take all the memory they may, or the store cannot take it; 400
    /// when its key came with other data before.
    pub fn publish(
        &self,
        publication: &Publication<'_>,
        wakes: &mut Wakes,
    ) -> Result<Publishing, Error> {
        let mark = self.mark_of(publication);
        let bounds = self.admit(publication, mark.as_ref())?;
        let mut batch = Batch::default();
        let outcome = {
            let mut stripe =
                self.channels.lock(self.channels.stripe_of(publication.channel.as_str()));
            let outcome = match self.seen(mark.as_ref(), publication.durable) {
                Seen::New => self.place(&mut stripe, publication, mark, bounds, wakes, &mut batch),
                seen => self.repeat(publication, mark.as_ref(), seen, &mut batch),
            };
            batch.submit(self.channels.store.as_ref());
            outcome
        };
        self.channels.relieve();
        self.make_room();
        outcome
    }

    /// What is known of a key. Under the lock of its channel's stripe that stays so, since whoever
    /// publishes with it holds that lock until the message is out, or submitted if it awaits the disk.
    fn seen(&self, mark: Option<&Mark>, durable: bool) -> Seen {
        match mark.map_or(Seen::New, |mark| self.marks.look(mark, self.clock.now())) {
            // It cannot be had on disk otherwise.
            Seen::Before(First { lost: true, .. }) if durable => Seen::New,
            seen => seen,
        }
    }

    /// Whether there is room for a publication, and which bounds hold for queues now. A repeat whose
    /// answer is known needs none.
    fn admit(&self, publication: &Publication<'_>, mark: Option<&Mark>) -> Result<Bounds, Error> {
        if let Seen::Before(first) = self.seen(mark, publication.durable)
            && (first.durable || !publication.durable)
        {
            return Ok(self.bounds_now());
        }
        let rule = self.channels.rules.of(publication.channel);
        if let Some(Store { writer, .. }) = self.channels.stored(rule) {
            let awaits = publication.durable || rule.durability == Durability::Sync;
            if awaits && writer.trouble().is_some() {
                return Err(Error::StoreUnavailable);
            }
            if !writer.has_room() {
                return Err(Error::Overloaded);
            }
        }
        self.bounds()
    }

    fn mark_of(&self, publication: &Publication<'_>) -> Option<Mark> {
        let Publication { channel, data, ext, key, by, .. } = *publication;
        key.map(|key| mark(&publisher(by), channel.as_str(), key, data, ext))
    }

    /// The answer to a publication whose key is known.
    fn repeat(
        &self,
        publication: &Publication<'_>,
        mark: Option<&Mark>,
        seen: Seen,
        batch: &mut Batch,
    ) -> Result<Publishing, Error> {
        let Some(mark) = mark.filter(|_| seen != Seen::Reused) else {
            return Err(Error::KeyReused);
        };
        self.stats.repeats.inc();
        let stored = self.channels.stored(self.channels.rules.of(publication.channel));
        let outcome = match seen {
            Seen::Before(First { position, subscribers, durable, .. }) => {
                let published = Published { position, subscribers, durable, repeat: true };
                if durable || !publication.durable || stored.is_none() {
                    return Ok(Publishing::Done(published));
                }
                Awaited::Known(Published { durable: true, ..published })
            }
            // The first awaits the disk.
            _ => Awaited::First(mark.key),
        };
        // The store settles it after everything before it, the first publication included.
        let (answer, settled) = oneshot::channel();
        batch.confirm.push(Waiter { answer, outcome });
        Ok(Publishing::Pending(Pending(settled)))
    }

    /// Numbers a message and hands it to the store and to its subscribers, or keeps it until it is
    /// on disk. The stripe is the channel's, and it is locked.
    fn place(
        &self,
        stripe: &mut Stripe,
        publication: &Publication<'_>,
        mark: Option<Mark>,
        bounds: Bounds,
        wakes: &mut Wakes,
        batch: &mut Batch,
    ) -> Result<Publishing, Error> {
        let channel = publication.channel;
        let now = self.clock.now();
        let wall_us = self.clock.wall_us();
        let Some(position) = self.positions.next(now, wall_us) else {
            return Err(Error::StoreUnavailable);
        };
        if let Some(mark) = &mark {
            self.marks.reserve(mark, now);
        }
        let known = stripe.pasts.get(channel.as_str()).map(|past| Arc::clone(&past.rule));
        let is_new = known.is_none();
        let rule = known.unwrap_or_else(|| Arc::clone(self.channels.rules.of(channel)));
        if is_new && rule.keeps() {
            self.channels.begin(stripe, channel, &rule, position);
        }
        let past = if rule.keeps() { stripe.pasts.get_mut(channel.as_str()) } else { None };
        let time_us = match &past {
            Some(past) if rule.salesforce => wall_us.max(past.latest_us),
            _ => wall_us,
        };
        let frame = self.frame(publication, &rule, position, time_us);
        let from = publication.from.map(|session| session.key);
        let stored = self.channels.stored(&rule).is_some();
        let record = |mark| Record {
            channel: Arc::from(channel.as_str()),
            position,
            time_us,
            value: frame.shared_text(),
            mark,
        };
        if let Some(past) = past {
            past.latest_us = time_us;
            if stored && rule.durability == Durability::Sync {
                self.channels.change(past, |past| past.await_disk(frame.clone()));
                let record = record(mark);
                let (answer, settled) = oneshot::channel();
                let channel = Arc::clone(&record.channel);
                batch.deliver.push(Delivery { channel, position, from, mark, answer });
                batch.awaited.push(record);
                return Ok(Publishing::Pending(Pending(settled)));
            }
            self.channels.change(past, |past| past.push(frame.clone(), wall_us));
        }
        let subscribers = self.hand_out(channel, &frame, &rule, from, bounds, wakes);
        let published = Published { position, durable: false, subscribers, repeat: false };
        if let Some(mark) = mark {
            self.marks
                .settle(&mark.key, First { position, subscribers, durable: false, lost: false });
        }
        if !stored {
            return Ok(Publishing::Done(published));
        }
        batch.delivered.push(record(mark.map(|mark| Mark { subscribers, ..mark })));
        if !publication.durable {
            return Ok(Publishing::Done(published));
        }
        let (answer, settled) = oneshot::channel();
        let outcome = Awaited::Known(Published { durable: true, ..published });
        batch.confirm.push(Waiter { answer, outcome });
        Ok(Publishing::Pending(Pending(settled)))
    }

    fn frame(
        &self,
        publication: &Publication<'_>,
        rule: &Rule,
        position: i64,
        time_us: i64,
    ) -> Frame {
        let Publication { channel, data, ext, .. } = *publication;
        let told = rule
            .salesforce
            .then(|| salesforce_data(data, position, &super::time::to_millis(time_us)))
            .flatten();
        let text = event(channel, told.as_deref().unwrap_or(data), ext);
        Frame::new(text.into(), channel.as_str().len(), position, time_us, &self.alive)
    }

    /// Queues a message for every subscriber; says for how many.
    pub(super) fn hand_out(
        &self,
        channel: ChannelName<'_>,
        frame: &Frame,
        rule: &Rule,
        from: Option<u64>,
        bounds: Bounds,
        wakes: &mut Wakes,
    ) -> u32 {
        let lazy_until = rule.lazy.map(|lazy| self.clock.now() + lazy);
        let mut subscribers = 0;
        self.subscriptions.for_each_member(channel, |session| {
            if !rule.broadcast_to_publisher && from == Some(session.key) {
                return session.state.lock().pass_by(frame, rule);
            }
            let queued = session.state.lock().enqueue(frame.clone(), rule, bounds, lazy_until);
            subscribers += u32::from(queued.taken);
            if let Some(hold) = queued.wake {
                wakes.push(hold);
            }
            if queued.overfull {
                self.overfull.lock().push(Arc::clone(session));
            }
            if queued.dropped > 0 {
                self.stats.dropped.inc_by(queued.dropped as u64);
            }
        });
        self.stats.messages_in.inc();
        subscribers
    }

    /// Whether a stream of publications may go on: others must not wait long behind it.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.channels.store.as_ref().is_none_or(|store| store.writer.is_short())
    }

    /// Waits until a stream of publications may go on, at most a few seconds.
    pub async fn room(&self) {
        let Some(Store { writer, .. }) = &self.channels.store else { return };
        let waiting = async {
            loop {
                let settled = self.settled.notified();
                if writer.is_short() {
                    return;
                }
                settled.await;
            }
        };
        let _ = tokio::time::timeout(ROOM_WAIT, waiting).await;
    }
}
