//! A Bayeux client on a socket that does only what it is told to.

use serde_json::{Value, json};
use weft_tests::bayeux::{Client, ok, only};
use weft_tests::broker::Broker;
use weft_tests::wait::A_WHILE;
use weft_tests::websocket::{Came, Frame, Kind, Socket};

/// A session's words, and a socket to say them on.
#[derive(Debug)]
pub(crate) struct Talker<'b> {
    pub(crate) client: Client<'b>,
    pub(crate) socket: Socket,
}

impl<'b> Talker<'b> {
    /// A socket for this client, who may have a session.
    pub(crate) fn over(client: Client<'b>) -> Self {
        let socket = Socket::open(client.broker.listen);
        Self { client, socket }
    }

    /// A socket with a session whose first connect is answered.
    pub(crate) fn connected(broker: &'b Broker) -> Self {
        let mut talker = Self::over(Client::new(broker));
        ok(&talker.handshake(&json!({})));
        ok(&talker.ask("/meta/connect", json!({})));
        talker
    }

    /// The same with a subscription, and a connect that is held.
    pub(crate) fn subscribed(broker: &'b Broker, channel: &str) -> Self {
        let mut talker = Self::connected(broker);
        ok(&talker.ask("/meta/subscribe", json!({"subscription": channel})));
        talker.begin_connect();
        talker
    }

    /// Shakes hands on this socket.
    pub(crate) fn handshake(&mut self, ext: &Value) -> Value {
        self.client.client_id.clear();
        let types = json!(["websocket", "long-polling"]);
        let fields = json!({"version": "1.0", "supportedConnectionTypes": types, "ext": ext});
        let reply = self.ask("/meta/handshake", fields);
        reply["clientId"].as_str().unwrap_or_default().clone_into(&mut self.client.client_id);
        reply
    }

    /// The same client on another socket, which has said nothing yet; the first stays open.
    pub(crate) fn another_socket(&mut self) -> Socket {
        std::mem::replace(&mut self.socket, Socket::open(self.client.broker.listen))
    }

    pub(crate) fn message(&mut self, channel: &str, fields: Value) -> Value {
        let mut message = self.client.message(channel, fields);
        if channel == "/meta/connect" {
            message["connectionType"] = "websocket".into();
        }
        message
    }

    /// Sends messages in one frame.
    pub(crate) fn say(&mut self, messages: &[Value]) {
        self.socket.send_text(&json!(messages).to_string());
    }

    /// The messages of the next frame.
    pub(crate) fn hear(&mut self) -> Vec<Value> {
        let text = self.socket.next_text();
        match serde_json::from_str(&text) {
            Ok(Value::Array(messages)) => messages,
            other => panic!("not an array: {other:?}"),
        }
    }

    /// Sends one message; the reply, which must be all that comes next.
    pub(crate) fn ask(&mut self, channel: &str, fields: Value) -> Value {
        let message = self.message(channel, fields);
        self.say(&[message]);
        only(self.hear())
    }

    /// Sends a connect, and waits for nothing.
    pub(crate) fn begin_connect(&mut self) {
        let connect = self.message("/meta/connect", json!({}));
        self.say(&[connect]);
    }

    /// The data of as many events as asked for, frame by frame; nothing else may come.
    pub(crate) fn events(&mut self, count: usize) -> Vec<Value> {
        let mut all: Vec<Value> = Vec::new();
        while all.len() < count {
            for event in self.hear() {
                assert_eq!(event.get("successful"), None, "{event}");
                all.push(event["data"].clone());
            }
        }
        all
    }

    pub(crate) fn is_silent(&mut self) -> bool {
        self.socket.next_within(A_WHILE) == Came::Nothing
    }

    /// Reads frames as they come, answering no ping, until one: its payload, and what came before.
    pub(crate) fn until_ping(&mut self) -> (Vec<u8>, Vec<Value>) {
        let mut before = Vec::new();
        loop {
            let Frame { kind, payload, .. } = self.socket.read_frame().expect("a frame");
            match kind {
                Kind::Ping => return (payload, before),
                Kind::Text => {
                    let messages: Vec<Value> = serde_json::from_slice(&payload).expect("messages");
                    before.extend(messages.iter().map(|message| message["data"].clone()));
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

/// Numbers as they come in events.
pub(crate) fn values(numbers: impl IntoIterator<Item = i64>) -> Vec<Value> {
    numbers.into_iter().map(Value::from).collect()
}
