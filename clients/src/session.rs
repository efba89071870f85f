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

use serde_json::value::RawValue;

use crate::{
    ClientError, Event, Options, State,
    advice::{Advice, Reconnect, back_off},
    outbox::{Outbox, Task},
    wire::{AtOnce, Outgoing},
};

mod answers;
#[cfg(test)]
mod tests;

/// Our only connection type.
const TYPE: &str = "long-polling";

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
        data: Box<RawValue>,
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
