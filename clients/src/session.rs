//! The life of one Bayeux session, without I/O and without a clock: it says what to send and when,
//! and is told what came back.
//!
//! There are two lanes, each with one request at a time, so that a client never has more than two
//! (checklist A1), of which one is a connect (E12): the *link* (a handshake, then one connect after
//! the other), and the *messages* (see `outbox`).

use std::{
    collections::{BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use crate::{
    ClientError, Event, Message, State,
    advice::{Advice, Reconnect, back_off},
    outbox::{Outbox, Settled, Task},
    wire::{AtOnce, Incoming, Outgoing},
};

/// Our only connection type.
const TYPE: &str = "long-polling";

/// What can be set. The defaults suit programs and load tests alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// How much longer than the server's hold an answer may take. Default 10 s.
    pub network_delay: Duration,
    /// The longest wait after a first failure; it doubles with each further one, and the actual
    /// wait is random below it. Default 1 s.
    pub back_off: Duration,
    /// The longest wait after any failure. Default 30 s.
    pub back_off_max: Duration,
    /// At most so many messages in one request. Default 100; weft takes 1,000.
    pub batch: usize,
    /// At most so many bytes in one request, unless a single message is larger. Default 256 KiB;
    /// weft takes 1 MiB.
    pub batch_bytes: usize,
    /// At most so many messages wait to be sent. Default 10,000.
    pub queue: usize,
    /// So many events wait for the application before the client stops to fetch more; from then on
    /// they wait at the server. Default 1,024.
    pub events: usize,
    /// At most so many bytes in one answer. Default 16 MiB.
    pub answer_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            network_delay: Duration::from_secs(10),
            back_off: Duration::from_secs(1),
            back_off_max: Duration::from_secs(30),
            batch: 100,
            batch_bytes: 256 << 10,
            queue: 10_000,
            events: 1_024,
            answer_bytes: 16 << 20,
        }
    }
}

/// Which of the two requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    Link,
    Messages,
}

/// A request to send at once.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) body: String,
    /// After this long without the whole answer it has failed.
    pub(crate) timeout: Duration,
}

/// What a session has to say to its owner.
#[derive(Debug)]
pub(crate) enum Output {
    Event(Event),
    /// The task that got this ticket came to its end.
    Done(u64, Result<(), ClientError>),
}

/// What the link lane does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    /// Nothing, and nothing will come.
    Idle,
    /// It waits to send a handshake or a connect.
    Handshake(Instant),
    Connect(Instant),
    /// It waits for the answer of one.
    Shaking,
    Holding,
}

/// One client's session, and its successors after a new handshake.
#[derive(Debug)]
pub(crate) struct Session {
    options: Options,
    state: State,
    link: Link,
    outbox: Outbox,
    /// What is subscribed, or asked for.
    names: BTreeSet<String>,
    client_id: Option<String>,
    advice: Advice,
    multiple_clients: bool,
    /// Ids only ever grow, whatever the session (checklist R9).
    last_id: u64,
    last_ticket: u64,
    /// Failures of the link in a row.
    failures: u32,
    /// The last connect failed, and its reply may be lost.
    broken: bool,
    closing: bool,
    over: Option<ClientError>,
    outputs: VecDeque<Output>,
}

impl Session {
    /// A session that shakes hands at once.
    pub(crate) fn new(options: Options, now: Instant) -> Self {
        Self {
            options,
            state: State::Unconnected,
            link: Link::Handshake(now),
            outbox: Outbox::new(now),
            names: BTreeSet::new(),
            client_id: None,
            advice: Advice::default(),
            multiple_clients: false,
            last_id: 0,
            last_ticket: 0,
            failures: 0,
            broken: false,
            closing: false,
            over: None,
            outputs: VecDeque::new(),
        }
    }

    /// Why nothing will happen any more, once that is so.
    pub(crate) fn over(&self) -> Option<&ClientError> {
        self.over.as_ref()
    }

    /// The next thing to tell.
    pub(crate) fn output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Asks for a channel or pattern; the ticket comes back with the outcome.
    pub(crate) fn subscribe(&mut self, name: String) -> Result<u64, ClientError> {
        self.accepts()?;
        let fresh = self.names.insert(name.clone());
        self.push(Task::Subscribe { name, fresh })
    }

    /// Takes a channel or pattern back.
    pub(crate) fn unsubscribe(&mut self, name: String) -> Result<u64, ClientError> {
        self.accepts()?;
        self.names.remove(&name);
        self.push(Task::Unsubscribe { name })
    }

    /// Publishes.
    pub(crate) fn publish(
        &mut self,
        channel: String,
        data: Box<serde_json::value::RawValue>,
    ) -> Result<u64, ClientError> {
        self.accepts()?;
        self.push(Task::Publish { channel, data })
    }

    /// Says goodbye, behind what still waits; without a session there is nothing to say. Over when
    /// answered, or when no answer came.
    pub(crate) fn disconnect(&mut self, now: Instant) {
        if self.over.is_some() || self.closing {
            return;
        }
        if self.is_ready() {
            self.closing = true;
            self.outbox.hurry(now);
            self.outbox.push(None, Task::Disconnect);
        } else {
            self.stop(ClientError::Closed);
        }
    }

    /// When a lane's next request may go: `None` while one is under way, or if nothing is to do.
    pub(crate) fn due(&self, lane: Lane) -> Option<Instant> {
        match (lane, self.link) {
            (Lane::Link, Link::Handshake(at) | Link::Connect(at)) if !self.closing => Some(at),
            (Lane::Messages, _) if self.is_ready() => self.outbox.due(),
            _ => None,
        }
    }

    /// The lane's next request, if it is due. It replaces one that may still be under way there.
    pub(crate) fn request(&mut self, lane: Lane, now: Instant) -> Option<Request> {
        self.due(lane).filter(|due| *due <= now)?;
        match (lane, self.link) {
            (Lane::Link, Link::Handshake(_)) => Some(self.handshake()),
            (Lane::Link, _) => Some(self.connect()),
            (Lane::Messages, _) => {
                let client_id = self.client_id.as_deref()?;
                let body = self.outbox.take(client_id, &mut self.last_id, &self.options);
                if self.closing && self.outbox.len() == 0 {
                    self.enter(State::Unconnected, None);
                }
                Some(Request { body, timeout: self.options.network_delay })
            }
        }
    }

    fn handshake(&mut self) -> Request {
        self.client_id = None;
        self.broken = false;
        self.advice = Advice::default(); // the old session's went with it
        self.link = Link::Shaking;
        self.enter(State::Connecting, None);
        let message = Outgoing {
            channel: "/meta/handshake",
            version: Some("1.0"),
            supported_connection_types: Some([TYPE]),
            ..Outgoing::default()
        };
        self.link_request(message, Duration::ZERO)
    }

    fn connect(&mut self) -> Request {
        self.link = Link::Holding;
        let client_id = self.client_id.clone();
        // After a break we want to know at once where we stand; and the broker takes it as a sign
        // that its last reply may not have arrived.
        let advice = self.broken.then(AtOnce::default);
        let hold = if self.broken { Duration::ZERO } else { self.advice.timeout };
        let message = Outgoing {
            channel: "/meta/connect",
            client_id: client_id.as_deref(),
            connection_type: Some(TYPE),
            advice,
            ..Outgoing::default()
        };
        self.link_request(message, hold)
    }

    /// A request of one message, alone (checklist E3).
    fn link_request(&mut self, message: Outgoing<'_>, hold: Duration) -> Request {
        self.last_id += 1;
        let mut body = String::from("[");
        Outgoing { id: self.last_id.to_string(), ..message }.write(&mut body);
        body.push(']');
        Request { body, timeout: hold + self.options.network_delay }
    }

    /// Takes a lane's answer, or why there is none: [`ClientError::Lost`], or
    /// [`ClientError::Refused`] where the server refused the request as a whole. The dice, in
    /// [0, 1), decides on the wait after a failure.
    pub(crate) fn answer(
        &mut self,
        lane: Lane,
        answer: Result<Vec<Incoming>, ClientError>,
        now: Instant,
        dice: f64,
    ) {
        match lane {
            _ if self.over.is_some() => {}
            Lane::Link => self.link_answered(answer, now, dice),
            Lane::Messages => self.messages_answered(answer, now, dice),
        }
    }

    fn link_answered(
        &mut self,
        answer: Result<Vec<Incoming>, ClientError>,
        now: Instant,
        dice: f64,
    ) {
        let channel = match self.link {
            Link::Shaking => "/meta/handshake",
            Link::Holding => "/meta/connect",
            _ => return, // of a request that was given up
        };
        self.link = Link::Idle;
        let replies = answer.and_then(|mut replies| {
            let at = replies.iter().position(|reply| reply.channel == channel);
            let at = at.ok_or_else(|| ClientError::Lost("there is no reply in it".to_owned()))?;
            self.receive(&mut replies, true);
            Ok(replies.swap_remove(at))
        });
        if self.closing {
            return; // the goodbye goes on
        }
        match replies {
            Ok(reply) if !reply.succeeded() => self.failed(&reply.error_text(), now, dice),
            Ok(reply) if channel == "/meta/handshake" => self.shaken(reply, now, dice),
            Ok(_) => {
                self.failures = 0;
                self.broken = false;
                self.enter(State::Connected, None);
                self.schedule("the server asked us not to come back", now, Duration::ZERO);
            }
            Err(error) => {
                self.broken = true;
                self.failed(&error.to_string(), now, dice);
            }
        }
    }

    fn shaken(&mut self, reply: Incoming, now: Instant, dice: f64) {
        let types = reply.supported_connection_types;
        if types.is_some_and(|types| types.iter().all(|name| name != TYPE)) {
            self.give_up(&format!("the server does not speak {TYPE}"));
            return;
        }
        if reply.client_id.is_none() {
            self.failed("the handshake's reply has no clientId", now, dice);
            return;
        }
        self.client_id = reply.client_id;
        self.outbox.resubscribe(&self.names);
        self.schedule("the server asked us not to come back", now, Duration::ZERO);
    }

    fn messages_answered(
        &mut self,
        answer: Result<Vec<Incoming>, ClientError>,
        now: Instant,
        dice: f64,
    ) {
        let mut replies = match answer {
            Ok(replies) => replies,
            Err(error) => {
                let settled = self.outbox.failed(&error);
                let wait = self.wait(self.outbox.failures(), dice);
                self.outbox.wait_until(now + wait);
                self.settle(settled);
                return;
            }
        };
        let current = self.client_id.as_deref() == Some(self.outbox.flight_of());
        self.receive(&mut replies, current);
        let gone = replies.iter().find(|reply| reply.wants_handshake());
        let gone = gone.filter(|_| current).map(Incoming::error_text);
        let settled = self.outbox.answered(&replies);
        self.settle(settled);
        if self.over.is_some() {
            return;
        }
        match gone {
            Some(_) if self.closing => self.stop(ClientError::Closed),
            // What the link waits for belongs to a session that is no more.
            Some(error) => self.failed(&error, now, dice),
            None => {}
        }
    }

    /// Tells the outcome of tasks.
    fn settle(&mut self, settled: Vec<Settled>) {
        for (queued, outcome) in settled {
            match (&queued.task, &outcome) {
                (Task::Disconnect, _) => self.stop(ClientError::Closed),
                (Task::Subscribe { name, fresh }, Err(error)) => {
                    if *fresh || queued.ticket.is_none() {
                        self.names.remove(name);
                    }
                    if queued.ticket.is_none() {
                        let (name, error) = (name.clone(), error.to_string());
                        self.event(Event::Unsubscribed { name, error });
                    }
                }
                _ => {}
            }
            if let Some(ticket) = queued.ticket {
                self.outputs.push_back(Output::Done(ticket, outcome));
            }
        }
    }

    /// Takes advice, gaps and events out of an answer.
    fn receive(&mut self, replies: &mut [Incoming], current: bool) {
        for message in replies {
            if let Some(advice) = message.advice.as_ref().filter(|_| current) {
                self.advice = Advice::read(advice);
            }
            if message.channel.starts_with("/meta/") {
                for gap in message.gaps() {
                    self.event(Event::Gap { channel: gap.channel, from: gap.from, to: gap.to });
                }
            } else if let Some(data) = message.data.take() {
                let (channel, ext) = (message.channel.clone(), message.ext.take());
                self.event(Event::Message(Message { channel, data, ext }));
            }
        }
    }

    /// The session, or the way to it, is broken.
    fn failed(&mut self, reason: &str, now: Instant, dice: f64) {
        self.failures += 1;
        self.enter(State::Unconnected, Some(reason));
        let wait = self.wait(self.failures, dice);
        self.schedule(reason, now, wait);
    }

    fn wait(&self, failures: u32, dice: f64) -> Duration {
        back_off(failures, self.options.back_off, self.options.back_off_max, dice)
    }

    /// The newest advice says what comes next, and no sooner than when.
    fn schedule(&mut self, reason: &str, now: Instant, delay: Duration) {
        let Some(interval) = self.advice.comes_back_after() else {
            self.give_up(reason);
            return;
        };
        let at = now + interval + delay;
        let anew = self.client_id.is_none() || self.advice.reconnect == Reconnect::Handshake;
        self.link = if anew { Link::Handshake(at) } else { Link::Connect(at) };
    }

    fn give_up(&mut self, reason: &str) {
        self.stop(ClientError::GaveUp(reason.to_owned()));
    }

    fn stop(&mut self, why: ClientError) {
        self.link = Link::Idle;
        self.client_id = None;
        for queued in self.outbox.close() {
            if let Some(ticket) = queued.ticket {
                self.outputs.push_back(Output::Done(ticket, Err(why.clone())));
            }
        }
        self.enter(State::Unconnected, Some(&why.to_string()));
        self.over = Some(why);
    }

    /// Whether messages can be sent now.
    fn is_ready(&self) -> bool {
        self.client_id.is_some() && self.state != State::Unconnected
    }

    fn accepts(&self) -> Result<(), ClientError> {
        match &self.over {
            Some(why) => Err(why.clone()),
            None if self.closing => Err(ClientError::Closed),
            None if self.outbox.len() >= self.options.queue => Err(ClientError::QueueFull),
            None => Ok(()),
        }
    }

    fn push(&mut self, task: Task) -> Result<u64, ClientError> {
        self.last_ticket += 1;
        self.outbox.push(Some(self.last_ticket), task);
        Ok(self.last_ticket)
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn enter(&mut self, state: State, reason: Option<&str>) {
        let multiple_clients = self.advice.multiple_clients;
        if (state, multiple_clients) != (self.state, self.multiple_clients) {
            (self.state, self.multiple_clients) = (state, multiple_clients);
            let reason = reason.map(str::to_owned);
            self.event(Event::State { state, multiple_clients, reason });
        }
    }
}

#[cfg(test)]
mod tests;
