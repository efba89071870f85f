//! `GET /events` and `GET /stream`: readers without a session, who come back with a cursor.

use std::time::Duration;

use serde_json::Value;

use super::message::{Event, Piece, members, value};
use super::sse::{self, Line, Lines};
use super::{Subscriber, Transport};
use crate::broker::Broker;
use crate::http::{Connection, Cut, Request};
use crate::jsonp;
use crate::wait::{A_WHILE, PATIENCE};

/// A reader of a stream.
#[derive(Debug)]
pub(super) struct Reader<'b> {
    transport: Transport,
    broker: &'b Broker,
    names: Vec<String>,
    since: i64,
    /// The id of the last event that was read.
    cursor: Option<String>,
    lines: Option<Lines>,
}

impl<'b> Reader<'b> {
    pub(super) fn open(
        transport: Transport,
        broker: &'b Broker,
        names: &[&str],
        since: i64,
    ) -> Self {
        let names = names.iter().map(|&name| name.to_owned()).collect();
        let mut reader = Self { transport, broker, names, since, cursor: None, lines: None };
        reader.resume();
        reader
    }

    fn request(&self) -> Request {
        let place = if self.transport == Transport::Events { "/events" } else { "/stream" };
        let mut target = format!("{place}{}?", self.names[0]);
        for name in &self.names[1..] {
            target.push_str(&format!("channel={}&", jsonp::encode(name)));
        }
        match (&self.cursor, self.transport) {
            (Some(cursor), Transport::Events) => {
                Request::get(&target).header("Last-Event-ID", cursor)
            }
            (Some(cursor), _) => Request::get(&format!("{target}since={}", jsonp::encode(cursor))),
            (None, _) => Request::get(&format!("{target}since={}", self.since)),
        }
    }

    /// What the next message says, within this time; heartbeats are passed over.
    fn next_within(&mut self, time: Duration) -> Option<Piece> {
        let lines = self.lines.as_mut().expect("an open stream");
        if self.transport == Transport::Events {
            let sent = sse::next_within(lines, time)?;
            let message = members(&sent.data);
            self.cursor.clone_from(&lines.last_id);
            if sent.event == "gap" {
                return Some(gap(&value(&message, "gap")));
            }
            assert_eq!(sent.event, "");
            assert!(self.cursor.is_some(), "no id: {}", sent.data);
            return Some(Piece { events: vec![Event::read(&message)], gaps: Vec::new() });
        }
        loop {
            match lines.next_within(time) {
                Line::Text(line) if line.trim().is_empty() => {}
                Line::Text(line) => {
                    let message = members(&line);
                    if let Some(id) = value(&message, "id").as_str() {
                        self.cursor = Some(id.to_owned());
                    }
                    if message.contains_key("gap") {
                        return Some(gap(&value(&message, "gap")));
                    }
                    assert!(message.contains_key("id"), "no id: {line}");
                    return Some(Piece { events: vec![Event::read(&message)], gaps: Vec::new() });
                }
                Line::End | Line::Nothing => return None,
            }
        }
    }
}

fn gap(told: &Value) -> Piece {
    let gaps = told.as_array().expect("an array of gaps").clone();
    assert!(!gaps.is_empty());
    Piece { events: Vec::new(), gaps }
}

impl Subscriber for Reader<'_> {
    fn ready(&mut self) {
        assert!(self.lines.is_some(), "a stream is open");
    }

    fn next(&mut self) -> Piece {
        self.next_within(PATIENCE).expect("an event")
    }

    fn is_silent(&mut self) -> bool {
        self.next_within(A_WHILE).is_none()
    }

    fn cut(&mut self, cut: Cut) {
        self.lines.take().expect("an open stream").cut(cut);
    }

    fn resume(&mut self) {
        let lines = Lines::open(Connection::open(self.broker.listen), &self.request());
        let kind = lines.head.header("Content-Type").unwrap_or_default().to_owned();
        let wanted = match self.transport {
            Transport::Events => "text/event-stream",
            _ => "application/x-ndjson",
        };
        assert!(kind.starts_with(wanted), "{kind}");
        assert_eq!(lines.head.header("X-Accel-Buffering"), Some("no"));
        assert_eq!(lines.head.header("Cache-Control"), Some("no-cache, no-store"));
        self.lines = Some(lines);
    }

    fn hear_farewell(&mut self) {
        let lines = self.lines.as_mut().expect("an open stream");
        loop {
            match lines.next_within(PATIENCE) {
                Line::Text(_) => {}
                Line::End => break,
                Line::Nothing => panic!("the stream stays open"),
            }
        }
        self.lines = None;
    }

    fn start_over(&mut self) {
        self.resume();
    }

    fn leave(&mut self) {
        self.cut(Cut::Close);
    }
}
