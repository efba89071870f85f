//! The ways in which a subscriber is served, behind one face: what the broker promises, it promises
//! on each of them.

mod eventsource;
mod message;
mod polling;
mod reader;
mod socket;
mod sse;

use std::fmt;

use serde_json::{Value, json};

pub use message::{Event, Piece, split};

use self::eventsource::EventSource;
use self::polling::Polling;
use self::reader::Reader;
use self::socket::BayeuxSocket;
use crate::bayeux::Client;
use crate::broker::Broker;
use crate::http::{Cut, Request};
use crate::jsonp;
use crate::replies::refused;
use crate::websocket::upgrade;

/// A way of being served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Bayeux: a POST that is held.
    LongPolling,
    /// Bayeux: a script that is held (JSONP).
    CallbackPolling,
    /// Bayeux over WebSocket.
    WebSocket,
    /// Bayeux by POST, with Faye's stream of events beside it.
    EventSource,
    /// `GET /events`: server-sent events, without a session.
    Events,
    /// `GET /stream`: lines of JSON, without a session.
    Stream,
}

/// Only messages that are published from now on.
pub const NEW: i64 = -1;
/// All that is kept, and then what is new.
pub const ALL: i64 = -2;

/// Somebody who is served.
pub trait Subscriber: fmt::Debug {
    /// Waits until the broker can send at once: a connect is held, or a stream is open.
    fn ready(&mut self);

    /// What comes next, in one piece: a response, a frame, an event or a line of a stream.
    fn next(&mut self) -> Piece;

    /// Gaps that are told beside the events, and not between them: by the next heartbeat.
    fn late_gaps(&mut self) -> Vec<Value> {
        Vec::new()
    }

    /// Whether no event comes for a short while.
    fn is_silent(&mut self) -> bool;

    /// The connection on which events come ends, with whatever is on its way.
    fn cut(&mut self, cut: Cut);

    /// Comes back after a cut, as clients of this transport do.
    fn resume(&mut self);

    /// What a broker that stops has to say here, held against what clients of this transport need.
    fn hear_farewell(&mut self);

    /// Comes back to a broker that knows nothing of it any more: sessions are refused, and begin
    /// anew; streams go on.
    fn start_over(&mut self);

    /// Leaves in good order.
    fn leave(&mut self);

    /// As many pieces as it takes to have so many events.
    fn take(&mut self, count: usize) -> Vec<Event> {
        let mut events = Vec::new();
        while events.len() < count {
            let piece = self.next();
            assert!(piece.gaps.is_empty(), "a gap is told: {piece:?}");
            events.extend(piece.events);
        }
        events
    }
}

/// Somebody with a Bayeux session.
pub trait Session: Subscriber {
    /// What the session is known by.
    fn id(&self) -> String;

    /// A message of this session with a fresh id; for a connect, the type is that of its transport.
    fn message(&mut self, channel: &str, fields: Value) -> Value;

    /// Sends messages that are no connects, and waits for their replies. Events that come meanwhile
    /// are kept.
    fn send(&mut self, messages: &[Value]) -> Vec<Value>;

    /// Sends a connect and waits for its reply: the events that came until then, and the reply.
    fn connect(&mut self, fields: Value) -> (Vec<Event>, Value);

    /// Subscribes; gaps that the reply tells are kept.
    fn subscribe(&mut self, name: &str, since: i64);

    /// Sends one message, and waits for its reply.
    fn ask(&mut self, channel: &str, fields: Value) -> Value {
        let message = self.message(channel, fields);
        crate::replies::only(self.send(&[message]))
    }
}

impl Transport {
    /// Somebody who is subscribed to these names, with messages since a position.
    #[must_use]
    pub fn subscriber<'b>(
        self,
        broker: &'b Broker,
        names: &[&str],
        since: i64,
    ) -> Box<dyn Subscriber + 'b> {
        match self {
            Self::Events | Self::Stream => Box::new(Reader::open(self, broker, names, since)),
            _ => {
                let mut session = self.session(broker, &json!({}));
                for name in names {
                    session.subscribe(name, since);
                }
                session
            }
        }
    }

    /// Somebody with a session whose first connect is done; `ext` is the handshake's.
    #[must_use]
    pub fn session<'b>(self, broker: &'b Broker, ext: &Value) -> Box<dyn Session + 'b> {
        match self {
            Self::LongPolling | Self::CallbackPolling => Box::new(Polling::open(self, broker, ext)),
            Self::WebSocket => Box::new(BayeuxSocket::open(broker, ext)),
            Self::EventSource => Box::new(EventSource::open(broker, ext)),
            Self::Events | Self::Stream => panic!("{self:?} has no sessions"),
        }
    }

    /// Its name in connects, and in handshakes.
    #[must_use]
    pub fn connection_type(self) -> &'static str {
        match self {
            Self::LongPolling => "long-polling",
            Self::CallbackPolling => "callback-polling",
            Self::WebSocket => "websocket",
            Self::EventSource => "eventsource",
            Self::Events | Self::Stream => panic!("{self:?} is no Bayeux transport"),
        }
    }

    /// A message of this client; its connects name the transport.
    fn message(self, client: &mut Client<'_>, channel: &str, fields: Value) -> Value {
        let mut message = client.message(channel, fields);
        if channel == "/meta/connect" {
            message["connectionType"] = self.connection_type().into();
        }
        message
    }

    /// Whether several events come in one piece when there are several.
    #[must_use]
    pub fn has_batches(self) -> bool {
        !matches!(self, Self::Events | Self::Stream)
    }

    /// JSON as this transport spells it: scripts escape what could break out of them.
    #[must_use]
    pub fn spell(self, json: &str) -> String {
        let escapes = [("<", "\\u003c"), ("\u{2028}", "\\u2028"), ("\u{2029}", "\\u2029")];
        let escape = |text: String, (from, to): &(&str, &str)| text.replace(from, to);
        match self {
            Self::CallbackPolling => escapes.iter().fold(json.to_owned(), escape),
            _ => json.to_owned(),
        }
    }

    /// What a page of a foreign origin would have a browser send to be served.
    #[must_use]
    pub fn foreign_request(self, broker: &Broker, origin: &str) -> Request {
        let mut client = Client::new(broker);
        let fields = json!({"supportedConnectionTypes": ["long-polling", "callback-polling"]});
        let handshake = json!([client.message("/meta/handshake", fields)]);
        match self {
            Self::LongPolling => client.request(handshake.to_string()).header("Origin", origin),
            Self::CallbackPolling => Request::get(&format!(
                "/bayeux?jsonp=f&message={}",
                jsonp::encode(&handshake.to_string())
            ))
            .header("Sec-Fetch-Site", "cross-site")
            .header("Referer", &format!("{origin}/page")),
            Self::WebSocket => upgrade("/bayeux").header("Origin", origin),
            Self::EventSource => eventsource::request("nobody").header("Origin", origin),
            Self::Events => Request::get("/events/a").header("Origin", origin),
            Self::Stream => Request::get("/stream/a").header("Origin", origin),
        }
    }
}

/// The reply to a connect of a session that is no more.
#[track_caller]
fn is_told_to_start_over(reply: &Value) {
    refused(reply, "402::session_unknown");
    assert_eq!(reply["advice"]["reconnect"], "handshake", "{reply}");
}
