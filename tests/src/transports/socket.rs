//! Bayeux over WebSocket: events come when they please, and a connect is always under way.

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::message::{Event, Piece, gaps, split, subscription};
use super::{Session, Subscriber, Transport, is_told_to_start_over};
use crate::bayeux::Client;
use crate::broker::Broker;
use crate::http::Cut;
use crate::replies::ok;
use crate::wait::{A_WHILE, PATIENCE, now};
use crate::websocket::{Came, Socket};

/// A client on a socket.
#[derive(Debug)]
pub(super) struct BayeuxSocket<'b> {
    client: Client<'b>,
    /// The socket; there is none after a cut.
    socket: Option<Socket>,
    /// Whether a connect is under way.
    connecting: bool,
    names: Vec<String>,
    /// What came while something else was waited for.
    early: VecDeque<Piece>,
}

impl<'b> BayeuxSocket<'b> {
    pub(super) fn open(broker: &'b Broker, ext: &Value) -> Self {
        let (client, socket) = (Client::new(broker), Some(Socket::open(broker.listen)));
        let (names, early) = (Vec::new(), VecDeque::new());
        let mut opened = Self { client, socket, connecting: false, names, early };
        opened.shake_hands(ext);
        opened
    }

    fn shake_hands(&mut self, ext: &Value) {
        self.client.client_id.clear();
        let types = json!([Transport::WebSocket.connection_type()]);
        let fields = json!({"version": "1.0", "supportedConnectionTypes": types, "ext": ext});
        let reply = self.ask("/meta/handshake", fields);
        ok(&reply);
        self.client.client_id = reply["clientId"].as_str().expect("a clientId").to_owned();
        let (events, reply) = self.connect(json!({}));
        ok(&reply);
        assert!(events.is_empty(), "{events:?}");
    }

    fn socket(&mut self) -> &mut Socket {
        self.socket.as_mut().expect("a socket")
    }

    /// Sends a connect, unless one is under way.
    fn poll(&mut self, fields: Value) {
        if !self.connecting {
            let connect = self.message("/meta/connect", fields);
            self.socket().send_text(&json!([connect]).to_string());
            self.connecting = true;
        }
    }

    /// Reads a frame: what a subscriber gets of it, and all replies that are in it.
    fn read(&mut self) -> (Piece, Vec<Value>) {
        let text = self.socket().next_text();
        self.take_apart(&text)
    }

    fn take_apart(&mut self, text: &str) -> (Piece, Vec<Value>) {
        let (events, replies) = split(text);
        let mut piece = Piece { events, gaps: Vec::new() };
        for reply in replies.iter().filter(|reply| reply["channel"] == "/meta/connect") {
            self.connecting = false;
            piece.gaps.extend(gaps(reply));
        }
        (piece, replies)
    }

    fn keep(&mut self, piece: Piece) {
        if !piece.events.is_empty() || !piece.gaps.is_empty() {
            self.early.push_back(piece);
        }
    }
}

impl Subscriber for BayeuxSocket<'_> {
    fn ready(&mut self) {
        self.poll(json!({}));
        self.client.broker.wait_metric("weft_held_connects", |held| held > 0.0);
    }

    fn next(&mut self) -> Piece {
        let start = now();
        while start.elapsed() < PATIENCE {
            if let Some(piece) = self.early.pop_front() {
                return piece;
            }
            self.poll(json!({}));
            let (piece, replies) = self.read();
            replies.iter().for_each(ok);
            self.keep(piece);
        }
        panic!("nothing came");
    }

    fn is_silent(&mut self) -> bool {
        self.poll(json!({}));
        self.early.is_empty() && self.socket().next_within(A_WHILE) == Came::Nothing
    }

    fn cut(&mut self, cut: Cut) {
        self.socket.take().expect("a socket").cut(cut);
        self.connecting = false;
    }

    fn resume(&mut self) {
        self.socket = Some(Socket::open(self.client.broker.listen));
        self.connecting = false;
        let (events, reply) = self.connect(json!({"advice": {"timeout": 0}}));
        ok(&reply);
        self.keep(Piece { events, gaps: gaps(&reply) });
    }

    fn hear_farewell(&mut self) {
        let (code, _) = self.socket().closed();
        assert_eq!(code, 1001);
        self.cut(Cut::Close);
    }

    fn start_over(&mut self) {
        self.socket = Some(Socket::open(self.client.broker.listen));
        self.connecting = false;
        let (_, reply) = self.connect(json!({}));
        is_told_to_start_over(&reply);
        self.shake_hands(&json!({}));
        for name in std::mem::take(&mut self.names) {
            self.subscribe(&name, super::NEW);
        }
    }

    fn leave(&mut self) {
        self.poll(json!({}));
        let message = self.message("/meta/disconnect", json!({}));
        self.socket().send_text(&json!([message]).to_string());
        let mut replies = Vec::new();
        while replies.len() < 2 {
            replies.extend(self.read().1);
        }
        assert_eq!(replies[0]["channel"], "/meta/connect", "{replies:?}");
        assert_eq!(replies[0]["advice"]["reconnect"], "none", "{replies:?}");
        assert_eq!(replies[1]["channel"], "/meta/disconnect", "{replies:?}");
        ok(&replies[1]);
    }
}

impl Session for BayeuxSocket<'_> {
    fn id(&self) -> String {
        self.client.client_id.clone()
    }

    fn message(&mut self, channel: &str, fields: Value) -> Value {
        Transport::WebSocket.message(&mut self.client, channel, fields)
    }

    fn send(&mut self, messages: &[Value]) -> Vec<Value> {
        self.socket().send_text(&json!(messages).to_string());
        let mut all = Vec::new();
        while all.len() < messages.len() {
            let (piece, replies) = self.read();
            self.keep(piece);
            all.extend(replies.into_iter().filter(|reply| reply["channel"] != "/meta/connect"));
        }
        all
    }

    fn connect(&mut self, fields: Value) -> (Vec<Event>, Value) {
        assert!(!self.connecting, "one connect at a time");
        self.poll(fields);
        let mut events: Vec<Event> = Vec::new();
        loop {
            let (piece, mut replies) = self.read();
            events.extend(piece.events);
            if !self.connecting {
                return (events, replies.pop().expect("a connect's reply"));
            }
        }
    }

    fn subscribe(&mut self, name: &str, since: i64) {
        let reply = self.ask("/meta/subscribe", subscription(name, since));
        ok(&reply);
        self.keep(Piece { events: Vec::new(), gaps: gaps(&reply) });
        self.names.push(name.to_owned());
    }
}
