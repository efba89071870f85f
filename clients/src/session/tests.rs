//! The checklist's rules for clients, under a clock that only moves when told.

use serde_json::{Value, json, value::to_raw_value};

use super::*;
use crate::wire::Incoming;

mod link;
mod messages;

/// A session with its clock, its dice, and what it said.
struct World {
    session: Session,
    now: Instant,
    start: Instant,
    dice: f64,
    done: Vec<(u64, Result<(), ClientError>)>,
    events: Vec<Event>,
}

impl World {
    fn new() -> Self {
        Self::with(Options::default())
    }

    #[expect(clippy::disallowed_methods, reason = "an instant can only be made from this one")]
    fn with(options: Options) -> Self {
        let now = Instant::now();
        let session = Session::new(options, now);
        Self { session, now, start: now, dice: 1.0, done: Vec::new(), events: Vec::new() }
    }

    /// With a session that is connected and holds its second connect.
    fn up() -> Self {
        let mut world = Self::new();
        world.shake();
        world.take(Lane::Link);
        world.succeed(Lane::Link);
        world.take(Lane::Link);
        world
    }

    /// The messages that the lane wants to send now.
    fn sends(&mut self, lane: Lane) -> Option<Vec<Value>> {
        let request = self.session.request(lane, self.now)?;
        Some(serde_json::from_str(&request.body).unwrap())
    }

    fn take(&mut self, lane: Lane) -> Vec<Value> {
        self.sends(lane).unwrap_or_else(|| panic!("{lane:?} sends nothing"))
    }

    /// The one message that the lane wants to send now.
    fn message(&mut self, lane: Lane) -> Value {
        let mut messages = self.take(lane);
        assert_eq!(messages.len(), 1, "{messages:?}");
        messages.remove(0)
    }

    fn pass(&mut self, millis: u64) {
        self.now += Duration::from_millis(millis);
    }

    /// Milliseconds since the start until the lane wants to send.
    fn due(&self, lane: Lane) -> Option<u128> {
        self.session.due(lane).map(|due| due.duration_since(self.start).as_millis())
    }

    fn answer(&mut self, lane: Lane, replies: &Value) {
        let replies = Incoming::read(replies.to_string().as_bytes()).unwrap();
        self.session.answer(lane, Ok(replies), self.now, self.dice);
        self.collect();
    }

    fn fail(&mut self, lane: Lane) {
        let lost = ClientError::Lost("cut".to_owned());
        self.session.answer(lane, Err(lost), self.now, self.dice);
        self.collect();
    }

    fn collect(&mut self) {
        while let Some(output) = self.session.output() {
            match output {
                Output::Event(event) => self.events.push(event),
                Output::Done(ticket, outcome) => self.done.push((ticket, outcome)),
            }
        }
    }

    fn shake(&mut self) {
        assert_eq!(self.message(Lane::Link)["channel"], "/meta/handshake");
        self.answer(Lane::Link, &handshake("c1", &normal()));
    }

    fn succeed(&mut self, lane: Lane) {
        self.answer(lane, &json!([connect(&normal())]));
    }

    /// Answers a connect with this advice.
    fn advise(&mut self, advice: &Value) {
        self.answer(Lane::Link, &json!([connect(advice)]));
    }

    fn states(&self) -> Vec<State> {
        let states = self.events.iter().filter_map(|event| match event {
            Event::State { state, .. } => Some(*state),
            _ => None,
        });
        states.collect()
    }

    fn data(&self) -> Vec<&str> {
        let data = self.events.iter().filter_map(|event| match event {
            Event::Message(message) => Some(message.data.get()),
            _ => None,
        });
        data.collect()
    }
}

fn normal() -> Value {
    json!({ "reconnect": "retry", "interval": 0, "timeout": 30_000 })
}

fn handshake(client_id: &str, advice: &Value) -> Value {
    json!([{
        "channel": "/meta/handshake", "successful": true, "version": "1.0", "clientId": client_id,
        "supportedConnectionTypes": ["callback-polling", "long-polling"], "advice": advice,
    }])
}

fn connect(advice: &Value) -> Value {
    json!({ "channel": "/meta/connect", "successful": true, "advice": advice })
}

/// What a server says that does not know the session.
fn gone(channel: &str, id: &Value) -> Value {
    json!({
        "channel": channel, "id": id, "successful": false, "error": "402::session_unknown",
        "advice": { "reconnect": "handshake", "interval": 0 },
    })
}

fn reply(request: &Value) -> Value {
    json!({ "channel": request["channel"], "id": request["id"], "successful": true })
}

fn publish(world: &mut World, data: i32) -> u64 {
    world.session.publish("/a".to_owned(), to_raw_value(&data).unwrap()).unwrap()
}

fn subscribe(world: &mut World, name: &str) -> u64 {
    world.session.subscribe(name.to_owned()).unwrap()
}
