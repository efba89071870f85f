//! What the application wants said, in order. One request at a time carries as much of the queue as
//! fits; the rest gathers meanwhile. That keeps publishes in order and takes one connection only.

use std::{
    collections::{BTreeSet, VecDeque},
    mem,
    time::Instant,
};

use serde_json::value::RawValue;

use crate::{
    ClientError, Options,
    wire::{Incoming, Outgoing},
};

/// Something to say.
#[derive(Debug)]
pub(crate) enum Task {
    Subscribe {
        name: String,
        /// Whether the name was not subscribed before.
        fresh: bool,
    },
    Unsubscribe {
        name: String,
    },
    Publish {
        channel: String,
        data: Box<RawValue>,
    },
    Disconnect,
}

impl Task {
    fn message<'a>(&'a self, client_id: &'a str, id: String) -> Outgoing<'a> {
        let message = Outgoing { client_id: Some(client_id), id, ..Outgoing::default() };
        match self {
            Self::Subscribe { name, .. } => {
                Outgoing { channel: "/meta/subscribe", subscription: Some(name), ..message }
            }
            Self::Unsubscribe { name } => {
                Outgoing { channel: "/meta/unsubscribe", subscription: Some(name), ..message }
            }
            Self::Publish { channel, data } => Outgoing { channel, data: Some(data), ..message },
            Self::Disconnect => Outgoing { channel: "/meta/disconnect", ..message },
        }
    }

    /// Whether doing it twice is like doing it once.
    fn is_harmless(&self) -> bool {
        matches!(self, Self::Subscribe { .. } | Self::Unsubscribe { .. })
    }
}

/// A task that waits or is under way.
#[derive(Debug)]
pub(crate) struct Queued {
    /// Who wants to know how it went; nobody for what the session does by itself.
    pub(crate) ticket: Option<u64>,
    pub(crate) task: Task,
    /// Whether it was sent to a session that did not exist any more.
    again: bool,
}

/// A task that came to its end.
pub(crate) type Settled = (Queued, Result<(), ClientError>);

/// The queue, and the batch under way.
#[derive(Debug)]
pub(crate) struct Outbox {
    queue: VecDeque<Queued>,
    /// The tasks of the request under way, by message id.
    flight: Vec<(String, Queued)>,
    /// The session that the request under way belongs to.
    flight_of: String,
    /// No request before this.
    not_before: Instant,
    failures: u32,
}

impl Outbox {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            queue: VecDeque::new(),
            flight: Vec::new(),
            flight_of: String::new(),
            not_before: now,
            failures: 0,
        }
    }

    /// Puts a task at the end of the queue.
    pub(crate) fn push(&mut self, ticket: Option<u64>, task: Task) {
        self.queue.push_back(Queued { ticket, task, again: false });
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Puts a new session's subscriptions before whatever waits, unless they wait already.
    pub(crate) fn resubscribe(&mut self, names: &BTreeSet<String>) {
        let waiting: BTreeSet<_> = self
            .queue
            .iter()
            .filter_map(|queued| match &queued.task {
                Task::Subscribe { name, .. } => Some(name.clone()),
                _ => None,
            })
            .collect();
        for name in names.difference(&waiting) {
            let task = Task::Subscribe { name: name.clone(), fresh: false };
            self.queue.push_front(Queued { ticket: None, task, again: false });
        }
    }

    /// When the next request may go, if there is one.
    pub(crate) fn due(&self) -> Option<Instant> {
        (self.flight.is_empty() && !self.queue.is_empty()).then_some(self.not_before)
    }

    /// Forgets a wait after a failure.
    pub(crate) fn hurry(&mut self, now: Instant) {
        self.not_before = now;
    }

    /// The next request's body; its tasks are under way from here on.
    pub(crate) fn take(&mut self, client_id: &str, last_id: &mut u64, options: &Options) -> String {
        let mut body = String::from("[");
        while self.flight.len() < options.batch
            && let Some(queued) = self.queue.pop_front()
        {
            let id = (*last_id + 1).to_string();
            let before = body.len();
            body.push_str(if self.flight.is_empty() { "" } else { "," });
            queued.task.message(client_id, id.clone()).write(&mut body);
            if body.len() > options.batch_bytes && !self.flight.is_empty() {
                body.truncate(before);
                self.queue.push_front(queued);
                break;
            }
            *last_id += 1;
            self.flight.push((id, queued));
        }
        client_id.clone_into(&mut self.flight_of);
        body.push(']');
        body
    }

    /// The session that the request under way belongs to.
    pub(crate) fn flight_of(&self) -> &str {
        &self.flight_of
    }

    /// Settles what was answered. What met no session goes again under the next one, once: nothing
    /// of it was done.
    pub(crate) fn answered(&mut self, replies: &[Incoming]) -> Vec<Settled> {
        self.failures = 0;
        let mut settled = Vec::new();
        let mut again = Vec::new();
        for (id, queued) in mem::take(&mut self.flight) {
            match replies.iter().find(|reply| reply.answers(&id)) {
                Some(reply) if reply.succeeded() => settled.push((queued, Ok(()))),
                Some(reply) if reply.wants_handshake() && !queued.again => {
                    again.push(Queued { again: true, ..queued });
                }
                Some(reply) => {
                    settled.push((queued, Err(ClientError::Refused(reply.error_text()))));
                }
                None => {
                    let why = "the answer holds no reply to it".to_owned();
                    settled.push((queued, Err(ClientError::Lost(why))));
                }
            }
        }
        self.return_to_queue(again);
        settled
    }

    /// Settles what got no answer, or a refusal of the whole request. Nobody knows whether the
    /// server acted on a lost one: what is harmless to repeat is repeated; publishing again might
    /// not be, so that is left to whoever published.
    pub(crate) fn failed(&mut self, error: &ClientError) -> Vec<Settled> {
        self.failures += 1;
        let lost = matches!(error, ClientError::Lost(_));
        let flight = mem::take(&mut self.flight).into_iter().map(|(_, queued)| queued);
        let (again, over): (Vec<_>, Vec<_>) =
            flight.partition(|queued| lost && queued.task.is_harmless());
        self.return_to_queue(again);
        over.into_iter().map(|queued| (queued, Err(error.clone()))).collect()
    }

    /// Requests that failed in a row.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    /// Sends nothing before `at`.
    pub(crate) fn wait_until(&mut self, at: Instant) {
        self.not_before = at;
    }

    /// Everything that waits or is under way, now that it will not be answered.
    pub(crate) fn close(&mut self) -> Vec<Queued> {
        let flight = mem::take(&mut self.flight).into_iter().map(|(_, queued)| queued);
        flight.chain(mem::take(&mut self.queue)).collect()
    }

    fn return_to_queue(&mut self, tasks: Vec<Queued>) {
        for queued in tasks.into_iter().rev() {
            self.queue.push_front(queued);
        }
    }
}
