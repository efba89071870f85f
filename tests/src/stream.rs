//! A response that goes on, read as it comes: server-sent events, or lines of JSON.

use std::io;

use serde_json::Value;

use crate::broker::Broker;
use crate::http::{Connection, Request, Response, is_timeout};
use crate::wait::{A_WHILE, PATIENCE, now};

/// What a stream carries between two signs of life.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// `message`, or what `event:` says; a line with a gap is a `gap`.
    pub kind: String,
    /// The cursor that came with it.
    pub id: String,
    /// What it says.
    pub data: Value,
}

impl Event {
    /// The data that was published.
    #[must_use]
    pub fn published(&self) -> Value {
        assert_eq!(self.kind, "message", "{self:?}");
        self.data["data"].clone()
    }
}

/// A stream.
#[derive(Debug)]
pub struct Stream {
    /// Its response's head.
    pub head: Response,
    /// The last cursor that came.
    pub last_id: Option<String>,
    connection: Connection,
    text: String,
}

impl Stream {
    /// Asks for one, and goes on from this cursor, if there is any.
    #[must_use]
    pub fn open(broker: &Broker, target: &str, last_id: Option<&str>) -> Self {
        Self::ask(
            broker,
            &Request::get(target).header("Last-Event-ID", last_id.unwrap_or_default()),
        )
    }

    /// Asks for one with a request of one's own.
    #[must_use]
    pub fn ask(broker: &Broker, request: &Request) -> Self {
        Self::try_ask(broker, request).unwrap_or_else(|head| panic!("refused: {head:?}"))
    }

    /// The same; the head of the answer if that is no stream.
    ///
    /// # Errors
    /// When it is refused.
    pub fn try_ask(broker: &Broker, request: &Request) -> Result<Self, Response> {
        let mut connection = broker.connect();
        connection.start(request);
        let head = connection.read_head().expect("a head");
        if head.status != 200 {
            return Err(head);
        }
        let last_id = head.header("Last-Event-ID").map(str::to_owned);
        Ok(Self { head, last_id, connection, text: String::new() })
    }

    /// The connection it comes by.
    #[must_use]
    pub fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    fn is_lines(&self) -> bool {
        self.head.header("Content-Type") == Some("application/x-ndjson")
    }

    /// What comes up to the next end of an event or line; `None` at the end of the response.
    pub fn block(&mut self) -> Option<String> {
        self.try_block().expect("the stream goes on")
    }

    /// The same.
    ///
    /// # Errors
    /// When the connection ends first, or nothing comes in time.
    pub fn try_block(&mut self) -> io::Result<Option<String>> {
        let end = if self.is_lines() { "\n" } else { "\n\n" };
        loop {
            if let Some(at) = self.text.find(end) {
                return Ok(Some(self.text.drain(..at + end.len()).collect()));
            }
            let Some(chunk) = self.connection.read_chunk()? else { return Ok(None) };
            self.text.push_str(std::str::from_utf8(&chunk).map_err(io::Error::other)?);
        }
    }

    /// The event in a block, if it is one.
    fn read(&mut self, block: &str) -> Option<Event> {
        let (id, event) = if self.is_lines() { line(block) } else { event(block) };
        self.last_id = id.or_else(|| self.last_id.take());
        event
    }

    /// The next event; `None` at the end of the response.
    pub fn next_event(&mut self) -> Option<Event> {
        let begun = now();
        loop {
            assert!(begun.elapsed() < PATIENCE, "signs of life, and no event");
            let block = self.block()?;
            if let Some(event) = self.read(&block) {
                return Some(event);
            }
        }
    }

    /// The next event.
    pub fn event(&mut self) -> Event {
        self.next_event().expect("an event before the end")
    }

    /// The data of the next messages.
    pub fn data(&mut self, count: usize) -> Vec<Value> {
        (0..count).map(|_| self.event().published()).collect()
    }

    /// All that is left of the response.
    pub fn rest(&mut self) -> String {
        let mut rest = std::mem::take(&mut self.text);
        while let Some(chunk) = self.connection.read_chunk().expect("a chunk") {
            rest.push_str(std::str::from_utf8(&chunk).expect("whole characters in a piece"));
        }
        rest
    }

    /// Whether nothing but signs of life comes for a short while.
    pub fn is_silent(&mut self) -> bool {
        self.connection.set_patience(A_WHILE);
        let begun = now();
        let silent = loop {
            if begun.elapsed() > A_WHILE {
                break true;
            }
            match self.try_block() {
                Ok(Some(block)) if self.read(&block).is_none() => {}
                Ok(_) => break false,
                Err(error) => break is_timeout(&error),
            }
        };
        self.connection.set_patience(PATIENCE);
        silent
    }
}

fn line(text: &str) -> (Option<String>, Option<Event>) {
    if text.trim().is_empty() {
        return (None, None);
    }
    let mut data: Value = serde_json::from_str(text).unwrap_or_else(|_| panic!("JSON: {text}"));
    let id = data.as_object_mut().and_then(|object| object.remove("id"));
    let id = id.and_then(|id| Some(id.as_str()?.to_owned())).expect("an id");
    let kind = if data.get("gap").is_some() { "gap" } else { "message" }.to_owned();
    (Some(id.clone()), Some(Event { kind, id, data }))
}

/// As the HTML standard reads it.
fn event(text: &str) -> (Option<String>, Option<Event>) {
    let (mut id, mut kind, mut data) = (None, "message".to_owned(), String::new());
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with(':')) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "id" => id = Some(value.to_owned()),
            "event" => value.clone_into(&mut kind),
            "data" => data.push_str(value),
            "retry" => assert!(value.parse::<u64>().is_ok(), "{text}"),
            _ => panic!("a field that nobody knows: {text}"),
        }
    }
    let event = (!data.is_empty()).then(|| Event {
        kind,
        id: id.clone().unwrap_or_default(),
        data: serde_json::from_str(&data).unwrap_or_else(|_| panic!("JSON: {text}")),
    });
    (id, event)
}
