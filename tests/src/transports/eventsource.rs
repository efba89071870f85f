//! Faye's eventsource transport: messages go by POST, events come on a stream of the session's own.

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::message::{Event, Piece, gaps, split, subscription};
use super::sse::{self, Line, Lines};
use super::{Session, Subscriber, Transport, is_told_to_start_over};
use crate::bayeux::Client;
use crate::broker::Broker;
use crate::http::{Connection, Cut, Request};
use crate::replies::{ok, only};
use crate::wait::{A_WHILE, PATIENCE, now};

/// A client with a stream.
#[derive(Debug)]
pub(super) struct EventSource<'b> {
    client: Client<'b>,
    lines: Option<Lines>,
    /// The id of the last event that was read.
    last_id: Option<String>,
    names: Vec<String>,
    early: VecDeque<Piece>,
}

/// The request for a session's stream.
pub(super) fn request(id: &str) -> Request {
    Request::get(&format!("/bayeux/{id}")).header("Accept", "text/event-stream")
}

impl<'b> EventSource<'b> {
    pub(super) fn open(broker: &'b Broker, ext: &Value) -> Self {
        let (client, names) = (Client::new(broker), Vec::new());
        let early = VecDeque::new();
        let mut opened = Self { client, lines: None, last_id: None, names, early };
        opened.shake_hands(ext);
        opened
    }

    fn shake_hands(&mut self, ext: &Value) {
        self.client.client_id.clear();
        let types = json!([Transport::EventSource.connection_type()]);
        let fields = json!({"version": "1.0", "supportedConnectionTypes": types, "ext": ext});
        let reply = self.ask("/meta/handshake", fields);
        ok(&reply);
        self.client.client_id = reply["clientId"].as_str().expect("a clientId").to_owned();
        self.last_id = None;
        self.resume();
    }

    fn lines(&mut self) -> &mut Lines {
        self.lines.as_mut().expect("an open stream")
    }
}

impl Subscriber for EventSource<'_> {
    fn ready(&mut self) {
        assert!(self.lines.is_some(), "a stream is open");
    }

    fn next(&mut self) -> Piece {
        let start = now();
        while start.elapsed() < PATIENCE {
            if let Some(piece) = self.early.pop_front() {
                return piece;
            }
            let sent = sse::next_within(self.lines(), PATIENCE).expect("an event");
            self.last_id = self.lines().last_id.clone().or_else(|| self.last_id.take());
            let (events, replies) = split(&sent.data);
            let gaps: Vec<Value> = replies.iter().flat_map(gaps).collect();
            if !events.is_empty() || !gaps.is_empty() {
                return Piece { events, gaps };
            }
        }
        panic!("nothing came");
    }

    fn is_silent(&mut self) -> bool {
        self.early.is_empty() && sse::next_within(self.lines(), A_WHILE).is_none()
    }

    fn cut(&mut self, cut: Cut) {
        self.lines.take().expect("an open stream").cut(cut);
    }

    fn resume(&mut self) {
        let request = request(&self.client.client_id);
        let request = match &self.client.cookie {
            Some(cookie) => request.header("Cookie", cookie),
            None => request,
        };
        let request = match &self.last_id {
            Some(id) => request.header("Last-Event-ID", id),
            None => request,
        };
        let lines = Lines::open(Connection::open(self.client.broker.listen), &request);
        let kind = lines.head.header("Content-Type").unwrap_or_default();
        assert!(kind.starts_with("text/event-stream"), "{kind}");
        self.lines = Some(lines);
        let (events, reply) = self.connect(json!({}));
        ok(&reply);
        assert!(events.is_empty(), "{events:?}");
    }

    fn late_gaps(&mut self) -> Vec<Value> {
        let (_, reply) = self.connect(json!({}));
        ok(&reply);
        self.early.drain(..).flat_map(|piece| piece.gaps).collect()
    }

    fn hear_farewell(&mut self) {
        loop {
            match self.lines().next_within(PATIENCE) {
                Line::Text(_) => {}
                Line::End => break,
                Line::Nothing => panic!("the stream stays open"),
            }
        }
        self.lines = None;
    }

    fn start_over(&mut self) {
        self.client.disconnect_socket();
        let (_, reply) = self.connect(json!({}));
        is_told_to_start_over(&reply);
        self.shake_hands(&json!({}));
        for name in std::mem::take(&mut self.names) {
            self.subscribe(&name, super::NEW);
        }
    }

    fn leave(&mut self) {
        ok(&self.ask("/meta/disconnect", json!({})));
        self.hear_farewell();
    }
}

impl Session for EventSource<'_> {
    fn id(&self) -> String {
        self.client.client_id.clone()
    }

    fn message(&mut self, channel: &str, fields: Value) -> Value {
        Transport::EventSource.message(&mut self.client, channel, fields)
    }

    fn send(&mut self, messages: &[Value]) -> Vec<Value> {
        let response = self.client.post(json!(messages).to_string());
        let (events, replies) = split(response.text());
        assert!(events.is_empty(), "events come on the stream only: {events:?}");
        replies
    }

    fn connect(&mut self, fields: Value) -> (Vec<Event>, Value) {
        let connect = self.message("/meta/connect", fields);
        let response = self.client.post(json!([connect]).to_string());
        let (events, replies) = split(response.text());
        let reply = only(replies);
        let gaps = gaps(&reply);
        if !gaps.is_empty() {
            self.early.push_back(Piece { events: Vec::new(), gaps });
        }
        (events, reply)
    }

    fn subscribe(&mut self, name: &str, since: i64) {
        let reply = self.ask("/meta/subscribe", subscription(name, since));
        ok(&reply);
        let gaps = gaps(&reply);
        if !gaps.is_empty() {
            self.early.push_back(Piece { events: Vec::new(), gaps });
        }
        self.names.push(name.to_owned());
    }
}
