//! Long-polling and callback-polling: one exchange at a time, spelled as a POST or as a script.

use serde_json::{Value, json};

use super::message::{Event, Piece, gaps, split, subscription};
use super::{Session, Subscriber, Transport, is_told_to_start_over};
use crate::bayeux::Client;
use crate::broker::Broker;
use crate::held::Held;
use crate::http::{Connection, Cut, Request, Response};
use crate::jsonp;
use crate::replies::{ok, only};
use crate::wait::{PATIENCE, now};

/// A client that polls.
#[derive(Debug)]
pub(super) struct Polling<'b> {
    transport: Transport,
    client: Client<'b>,
    /// The connect that is under way.
    held: Option<Held>,
    /// Whether the last connect came to nothing: the next one asks for an answer at once.
    failed: bool,
    names: Vec<String>,
    /// Gaps that were told by replies to subscribes.
    told: Vec<Value>,
}

impl<'b> Polling<'b> {
    pub(super) fn open(transport: Transport, broker: &'b Broker, ext: &Value) -> Self {
        let client = Client::new(broker);
        let (names, told) = (Vec::new(), Vec::new());
        let mut polling = Self { transport, client, held: None, failed: false, names, told };
        polling.shake_hands(ext);
        polling
    }

    fn shake_hands(&mut self, ext: &Value) {
        self.client.client_id.clear();
        let types = json!([self.transport.connection_type()]);
        let fields = json!({"version": "1.0", "supportedConnectionTypes": types, "ext": ext});
        let reply = self.ask("/meta/handshake", fields);
        ok(&reply);
        self.client.client_id = reply["clientId"].as_str().expect("a clientId").to_owned();
        let (events, reply) = self.connect(json!({}));
        ok(&reply);
        assert!(events.is_empty(), "{events:?}");
    }

    fn request(&self, messages: &[Value]) -> Request {
        match self.transport {
            Transport::CallbackPolling => self.client.script("f", &[json!(messages)]),
            _ => self.client.request(json!(messages).to_string()),
        }
    }

    fn read(&self, response: &Response) -> (Vec<Event>, Vec<Value>) {
        assert_eq!(response.status, 200, "{}", response.text());
        match self.transport {
            Transport::CallbackPolling => split(jsonp::call(response.text()).1),
            _ => split(response.text()),
        }
    }

    /// Sends a connect, unless one is under way.
    fn poll(&mut self) -> &mut Held {
        if self.held.is_none() {
            let fields = if self.failed { json!({"advice": {"timeout": 0}}) } else { json!({}) };
            let connect = self.message("/meta/connect", fields);
            let mut connection = Connection::open(self.client.address);
            connection.start(&self.request(&[connect]));
            self.held = Some(Held(connection));
        }
        self.held.as_mut().expect("a connect under way")
    }

    /// The answer to the connect that is under way.
    fn answer(&mut self) -> (Vec<Event>, Value) {
        let response = self.poll().response();
        self.held = None;
        self.failed = false;
        let (events, replies) = self.read(&response);
        (events, only(replies))
    }
}

impl Subscriber for Polling<'_> {
    fn ready(&mut self) {
        self.poll();
        self.client.broker.wait_metric("weft_held_connects", |held| held > 0.0);
    }

    fn next(&mut self) -> Piece {
        let start = now();
        while start.elapsed() < PATIENCE {
            let (events, reply) = self.answer();
            ok(&reply);
            self.told.extend(gaps(&reply));
            if !events.is_empty() || !self.told.is_empty() {
                return Piece { events, gaps: std::mem::take(&mut self.told) };
            }
        }
        panic!("nothing came");
    }

    fn is_silent(&mut self) -> bool {
        self.ready();
        self.poll().is_waiting()
    }

    fn cut(&mut self, cut: Cut) {
        self.poll();
        self.held.take().expect("a connect under way").0.cut(cut);
        self.failed = true;
    }

    fn resume(&mut self) {
        assert!(self.failed, "its next connect asks for what was lost");
    }

    fn hear_farewell(&mut self) {
        let (events, reply) = self.answer();
        ok(&reply);
        assert!(events.is_empty(), "{events:?}");
        assert_eq!(reply["advice"]["reconnect"], "retry", "{reply}");
        assert!(reply["advice"]["interval"].as_u64() >= Some(1_000), "{reply}");
    }

    fn start_over(&mut self) {
        self.client.disconnect_socket();
        let (_, reply) = self.answer();
        is_told_to_start_over(&reply);
        self.shake_hands(&json!({}));
        for name in std::mem::take(&mut self.names) {
            self.subscribe(&name, super::NEW);
        }
    }

    fn leave(&mut self) {
        self.ready();
        ok(&self.ask("/meta/disconnect", json!({})));
        let (_, reply) = self.answer();
        assert_eq!(reply["advice"]["reconnect"], "none", "{reply}");
    }
}

impl Session for Polling<'_> {
    fn id(&self) -> String {
        self.client.client_id.clone()
    }

    fn message(&mut self, channel: &str, fields: Value) -> Value {
        self.transport.message(&mut self.client, channel, fields)
    }

    fn send(&mut self, messages: &[Value]) -> Vec<Value> {
        let request = self.request(messages);
        let response = self.client.exchange(&request);
        let (events, replies) = self.read(&response);
        assert!(events.is_empty(), "events come with connects only: {events:?}");
        replies
    }

    fn connect(&mut self, fields: Value) -> (Vec<Event>, Value) {
        assert!(self.held.is_none(), "one connect at a time");
        let connect = self.message("/meta/connect", fields);
        let request = self.request(&[connect]);
        let response = self.client.exchange(&request);
        let (events, replies) = self.read(&response);
        (events, only(replies))
    }

    fn subscribe(&mut self, name: &str, since: i64) {
        let reply = self.ask("/meta/subscribe", subscription(name, since));
        ok(&reply);
        self.told.extend(gaps(&reply));
        self.names.push(name.to_owned());
    }
}
