//! The task of one client: it gives the session its clock, its dice and its two connections.

use std::{
    collections::{HashMap, VecDeque},
    future::{Future, pending},
    hash::{BuildHasher, RandomState},
    mem,
    pin::Pin,
    sync::Arc,
};

use serde_json::value::RawValue;
use tokio::{
    sync::{
        mpsc::{self, error::TrySendError},
        oneshot,
    },
    time::{Instant, sleep_until},
};

use crate::{
    ClientError, Event, Options, State,
    http::{Connection, Server},
    session::{Lane, Output, Request, Session},
    wire::Incoming,
};

/// Where the outcome of a command goes.
pub(crate) type Outcome = oneshot::Sender<Result<(), ClientError>>;

/// What a handle asks for.
#[derive(Debug)]
pub(crate) enum Command {
    Subscribe(String, Outcome),
    Unsubscribe(String, Outcome),
    Publish(String, Box<RawValue>, Outcome),
    Disconnect(Outcome),
}

type Answer = Result<Vec<Incoming>, ClientError>;

/// One lane: a connection, alone or with a request under way.
enum Wire {
    Free(Connection),
    Busy(Pin<Box<dyn Future<Output = (Connection, Answer)> + Send>>),
}

impl Wire {
    /// Starts a request; one that is under way is given up, with its connection.
    fn start(&mut self, server: &Arc<Server>, Request { body, timeout }: Request) {
        let given_up = Self::Free(Connection::new(Arc::clone(server)));
        let mut connection = match mem::replace(self, given_up) {
            Self::Free(connection) => connection,
            Self::Busy(_) => Connection::new(Arc::clone(server)),
        };
        *self = Self::Busy(Box::pin(async move {
            let answer = connection.post(body, timeout).await;
            (connection, answer)
        }));
    }

    /// The answer to the request under way.
    async fn answer(&mut self) -> Answer {
        match self {
            Self::Free(_) => pending().await,
            Self::Busy(request) => {
                let (connection, answer) = request.await;
                *self = Self::Free(connection);
                answer
            }
        }
    }
}

/// Everything that a client's task holds.
pub(crate) struct Driver {
    session: Session,
    server: Arc<Server>,
    link: Wire,
    messages: Wire,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<Event>,
    /// Events for which the application has no room yet. While there are any, the link rests, and
    /// more wait at the server.
    unread: VecDeque<Event>,
    outcomes: HashMap<u64, Outcome>,
    /// Who waits for the end.
    ends: Vec<Outcome>,
    /// Who waits for the first connect, before which a failure is the end.
    first: Option<Outcome>,
    /// Whether nobody can command any more.
    orphaned: bool,
    /// Whether nobody listens any more.
    abandoned: bool,
    dice: RandomState,
    throws: u64,
}

impl Driver {
    pub(crate) fn new(
        server: Server,
        options: Options,
        commands: mpsc::Receiver<Command>,
        events: mpsc::Sender<Event>,
        first: Outcome,
    ) -> Self {
        let server = Arc::new(server);
        Self {
            session: Session::new(options, now()),
            link: Wire::Free(Connection::new(Arc::clone(&server))),
            messages: Wire::Free(Connection::new(Arc::clone(&server))),
            server,
            commands,
            events,
            unread: VecDeque::new(),
            outcomes: HashMap::new(),
            ends: Vec::new(),
            first: Some(first),
            orphaned: false,
            abandoned: false,
            dice: RandomState::new(),
            throws: 0,
        }
    }

    /// Runs until the session is over and its last event is read, or nobody could read it.
    pub(crate) async fn run(mut self) {
        loop {
            self.tell();
            if self.session.over().is_some() && self.unread.is_empty() {
                return;
            }
            let wake = self.send();
            tokio::select! {
                command = self.commands.recv(), if !self.orphaned => match command {
                    Some(command) => self.obey(command),
                    None => self.orphaned = true,
                },
                () = self.events.closed(), if !self.abandoned => self.abandoned = true,
                () = room(&self.events), if !self.unread.is_empty() => {} // for `tell`
                answer = self.link.answer() => self.answered(Lane::Link, answer),
                answer = self.messages.answer() => self.answered(Lane::Messages, answer),
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
            }
            if self.abandoned {
                self.unread.clear();
            }
            if self.abandoned && self.orphaned {
                self.session.disconnect(now());
            }
        }
    }

    /// Passes on what the session has to say.
    fn tell(&mut self) {
        while let Some(output) = self.session.output() {
            match output {
                Output::Done(ticket, outcome) => {
                    if let Some(waiting) = self.outcomes.remove(&ticket) {
                        let _ = waiting.send(outcome);
                    }
                }
                Output::Event(event) => {
                    if matches!(event, Event::State { state: State::Connected, .. })
                        && let Some(first) = self.first.take()
                    {
                        let _ = first.send(Ok(()));
                    }
                    self.unread.push_back(event);
                }
            }
        }
        while let Some(event) = self.unread.pop_front() {
            if let Err(TrySendError::Full(event)) = self.events.try_send(event) {
                self.unread.push_front(event);
                break;
            }
        }
        if let Some(why) = self.session.over() {
            if let Some(first) = self.first.take() {
                let _ = first.send(Err(why.clone()));
            }
            for end in self.ends.drain(..) {
                let _ = end.send(Ok(()));
            }
        }
    }

    /// Sends what is due, and says when to look again.
    fn send(&mut self) -> Option<Instant> {
        let now = now();
        if let Some(request) = self.session.request(Lane::Messages, now) {
            self.messages.start(&self.server, request);
        }
        let mut wake = self.session.due(Lane::Messages);
        if self.unread.is_empty() {
            if let Some(request) = self.session.request(Lane::Link, now) {
                self.link.start(&self.server, request);
            }
            wake = [wake, self.session.due(Lane::Link)].into_iter().flatten().min();
        }
        wake.map(Instant::from_std)
    }

    fn obey(&mut self, command: Command) {
        let (ticket, outcome) = match command {
            Command::Subscribe(name, outcome) => (self.session.subscribe(name), outcome),
            Command::Unsubscribe(name, outcome) => (self.session.unsubscribe(name), outcome),
            Command::Publish(channel, data, outcome) => {
                (self.session.publish(channel, data), outcome)
            }
            Command::Disconnect(outcome) => {
                self.ends.push(outcome);
                return self.session.disconnect(now());
            }
        };
        match ticket {
            Ok(ticket) => {
                self.outcomes.insert(ticket, outcome);
            }
            Err(error) => {
                let _ = outcome.send(Err(error));
            }
        }
    }

    fn answered(&mut self, lane: Lane, answer: Answer) {
        // Whoever makes a client wants to know that the server is not there, and not to wait for it.
        if let Err(error) = &answer
            && let Some(first) = self.first.take()
        {
            let _ = first.send(Err(error.clone()));
            return self.session.disconnect(now());
        }
        self.throws += 1;
        let dice = (self.dice.hash_one(self.throws) >> 11) as f64 / (1_u64 << 53) as f64;
        self.session.answer(lane, answer, now(), dice);
    }
}

/// Waits until the application has read something, or never will.
async fn room(events: &mpsc::Sender<Event>) {
    let _ = events.reserve().await;
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}
