//! A Bayeux client that keeps what one must keep, and shows everything it is told.

use std::net::{IpAddr, SocketAddr};

use serde_json::{Map, Value, json};

use crate::broker::Broker;
use crate::held::Held;
use crate::http::{Connection, Request, Response};
use crate::jsonp;
pub use crate::replies::{data, events_and_reply, ok, only, refused};

/// A client: cookie, clientId, rising ids, and one connection for everything that is not held.
#[derive(Debug)]
pub struct Client<'b> {
    /// The broker it talks to.
    pub broker: &'b Broker,
    /// Where it connects: to the broker, or to a proxy before it.
    pub address: SocketAddr,
    /// Where it connects from, if not from wherever the system likes.
    pub from: Option<IpAddr>,
    /// The path it posts to.
    pub path: String,
    /// The session, once there is one.
    pub client_id: String,
    /// `name=value` of the browser's cookie, once there is one; clear it to be a stranger.
    pub cookie: Option<String>,
    /// Whether cookies are kept.
    pub keeps_cookies: bool,
    /// The id of the last message made.
    pub last_id: u64,
    connection: Option<Connection>,
}

impl<'b> Client<'b> {
    /// A client that has not said anything yet.
    #[must_use]
    pub fn new(broker: &'b Broker) -> Self {
        Self {
            broker,
            address: broker.listen,
            from: None,
            path: "/bayeux".to_owned(),
            client_id: String::new(),
            cookie: None,
            keeps_cookies: true,
            last_id: 0,
            connection: None,
        }
    }

    /// A client with a session.
    #[must_use]
    pub fn handshaken(broker: &'b Broker) -> Self {
        let mut client = Self::new(broker);
        ok(&client.handshake());
        client
    }

    /// A client with a session whose first connect is done, so that the next one is held.
    #[must_use]
    pub fn connected(broker: &'b Broker) -> Self {
        let mut client = Self::handshaken(broker);
        assert_eq!(client.connect().len(), 1);
        client
    }

    /// The same with a subscription.
    #[must_use]
    pub fn subscribed(broker: &'b Broker, channel: impl Into<Value>) -> Self {
        let mut client = Self::connected(broker);
        ok(&client.subscribe(channel));
        client
    }

    /// A client with a session for whoever a token is about, whose first connect is done.
    #[must_use]
    pub fn with_token(broker: &'b Broker, token: &str) -> Self {
        let mut client = Self::new(broker);
        ok(&client.handshake_with(serde_json::json!({"ext": {"token": token}})));
        assert_eq!(client.connect().len(), 1);
        client
    }

    /// A client that keeps no cookies, with a session whose first connect is done.
    #[must_use]
    pub fn without_cookies(broker: &'b Broker) -> Self {
        let mut client = Self::new(broker);
        client.keeps_cookies = false;
        ok(&client.handshake());
        assert_eq!(client.connect().len(), 1);
        client
    }

    /// Another tab of the same browser, with a session of its own whose first connect is done.
    #[must_use]
    pub fn tab(&self) -> Self {
        let mut tab = Self::new(self.broker);
        tab.cookie.clone_from(&self.cookie);
        ok(&tab.handshake());
        assert_eq!(tab.connect().len(), 1);
        tab
    }

    /// A message with a fresh id, the clientId if there is one, and these fields; `null` takes a
    /// field away.
    pub fn message(&mut self, channel: &str, fields: Value) -> Value {
        self.last_id += 1;
        let mut message = Map::new();
        message.insert("channel".to_owned(), channel.into());
        message.insert("id".to_owned(), self.last_id.to_string().into());
        if !self.client_id.is_empty() {
            message.insert("clientId".to_owned(), self.client_id.clone().into());
        }
        if channel == "/meta/connect" {
            message.insert("connectionType".to_owned(), "long-polling".into());
        }
        if let Value::Object(fields) = fields {
            message.extend(fields);
        }
        message.retain(|_, value| !value.is_null());
        Value::Object(message)
    }

    /// A POST of this body with the client's cookie.
    #[must_use]
    pub fn request(&self, body: impl Into<Vec<u8>>) -> Request {
        let request = Request::post(&self.path, body);
        match &self.cookie {
            Some(cookie) => request.header("Cookie", cookie),
            None => request,
        }
    }

    /// Sends any request on the client's connection and keeps the cookie that comes back.
    pub fn exchange(&mut self, request: &Request) -> Response {
        let mut connection = self.connection.take().unwrap_or_else(|| self.dial());
        let response = connection.exchange(request);
        self.connection = Some(connection);
        if response.header("Connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
            self.connection = None;
        }
        self.keep_cookie(&response);
        response
    }

    /// Opens a connection as it would.
    #[must_use]
    pub fn dial(&self) -> Connection {
        match self.from {
            Some(from) => Connection::open_from(from, self.address),
            None => Connection::open(self.address),
        }
    }

    /// The same client, but connecting from another address of this machine.
    #[must_use]
    pub fn at(mut self, from: &str) -> Self {
        self.from = Some(from.parse().expect("an address"));
        self.connection = None;
        self
    }

    /// Forgets the connection; the next request opens another.
    pub fn disconnect_socket(&mut self) {
        self.connection = None;
    }

    /// Takes over the cookie of a response.
    pub fn keep_cookie(&mut self, response: &Response) {
        if let (true, Some(cookie)) = (self.keeps_cookies, response.header("Set-Cookie")) {
            self.cookie = cookie.split(';').next().map(str::to_owned);
        }
    }

    /// Posts a body as it is.
    pub fn post(&mut self, body: impl Into<Vec<u8>>) -> Response {
        let request = self.request(body);
        self.exchange(&request)
    }

    /// Posts messages; the messages of the answer.
    pub fn send(&mut self, messages: &Value) -> Vec<Value> {
        self.post(messages.to_string()).messages()
    }

    /// Posts one message in an array; its reply, which must be all that comes.
    pub fn ask(&mut self, channel: &str, fields: Value) -> Value {
        let message = self.message(channel, fields);
        only(self.send(&json!([message])))
    }

    /// Shakes hands, keeping cookie and clientId if it succeeds.
    pub fn handshake(&mut self) -> Value {
        self.handshake_with(json!({}))
    }

    /// The same with other fields besides the usual ones.
    pub fn handshake_with(&mut self, fields: Value) -> Value {
        self.client_id.clear();
        let mut message = self.message(
            "/meta/handshake",
            json!({"version": "1.0", "supportedConnectionTypes": ["long-polling"]}),
        );
        if let (Some(message), Value::Object(fields)) = (message.as_object_mut(), fields) {
            message.extend(fields);
            message.retain(|_, value| !value.is_null());
        }
        let reply = only(self.send(&json!([message])));
        self.client_id = reply["clientId"].as_str().unwrap_or_default().to_owned();
        reply
    }

    /// Connects, alone in its request, and waits for the answer however long it is held.
    pub fn connect(&mut self) -> Vec<Value> {
        self.connect_with(json!({}))
    }

    /// The same with other fields besides the usual ones.
    pub fn connect_with(&mut self, fields: Value) -> Vec<Value> {
        let message = self.message("/meta/connect", fields);
        self.send(&json!([message]))
    }

    /// Connects and asks for an answer at once, with a batch, which says nothing about loss: for
    /// looking at what is queued.
    pub fn peek(&mut self) -> Vec<Value> {
        let connect = self.message("/meta/connect", json!({}));
        let other = self.message("/meta/unsubscribe", json!({"subscription": "/peek"}));
        let mut messages = self.send(&json!([other, connect]));
        let at = messages.iter().position(|message| message["channel"] == "/meta/unsubscribe");
        messages.remove(at.expect("a reply to the unsubscribe"));
        messages
    }

    /// Sends a connect on a socket of its own, without waiting for anything.
    pub fn start_connect(&mut self) -> Held {
        self.start_connect_with(json!({}))
    }

    /// The same with other fields besides the usual ones.
    pub fn start_connect_with(&mut self, fields: Value) -> Held {
        let message = self.message("/meta/connect", fields);
        let mut connection = self.dial();
        connection.start(&self.request(json!([message]).to_string()));
        Held(connection)
    }

    /// Sends a connect on a socket of its own and waits until the broker holds one more.
    pub fn held_connect(&mut self) -> Held {
        self.held_connect_with(json!({}))
    }

    /// The same with other fields besides the usual ones.
    pub fn held_connect_with(&mut self, fields: Value) -> Held {
        let before = self.broker.metric("weft_held_connects");
        let held = self.start_connect_with(fields);
        self.broker.wait_metric("weft_held_connects", |held| held > before);
        held
    }

    /// Subscribes to a name or an array of names.
    pub fn subscribe(&mut self, subscription: impl Into<Value>) -> Value {
        self.ask("/meta/subscribe", json!({"subscription": subscription.into()}))
    }

    /// Unsubscribes from a name or an array of names.
    pub fn unsubscribe(&mut self, subscription: impl Into<Value>) -> Value {
        self.ask("/meta/unsubscribe", json!({"subscription": subscription.into()}))
    }

    /// Publishes.
    pub fn publish(&mut self, channel: &str, data: impl Into<Value>) -> Value {
        self.ask(channel, json!({"data": data.into()}))
    }

    /// Disconnects.
    pub fn disconnect(&mut self) -> Value {
        self.ask("/meta/disconnect", json!({}))
    }

    /// A GET that calls `name`, with one `message` parameter for each value.
    #[must_use]
    pub fn script(&self, name: &str, messages: &[Value]) -> Request {
        let mut target = format!("{}?jsonp={}", self.path, jsonp::encode(name));
        for message in messages {
            target.push_str("&message=");
            target.push_str(&jsonp::encode(&message.to_string()));
        }
        let request = Request::get(&target);
        match &self.cookie {
            Some(cookie) => request.header("Cookie", cookie),
            None => request,
        }
    }

    /// Sends messages by callback-polling; the messages of the answer.
    pub fn call(&mut self, messages: &[Value]) -> Vec<Value> {
        let request = self.script("callback", messages);
        let (name, messages) = jsonp::answer(&self.exchange(&request));
        assert_eq!(name, "callback");
        messages
    }

    /// Sends a connect by callback-polling and waits until the broker holds one more.
    pub fn held_script(&mut self) -> Held {
        let before = self.broker.metric("weft_held_connects");
        let message = self.message("/meta/connect", json!({"connectionType": "callback-polling"}));
        let mut connection = self.dial();
        connection.start(&self.script("callback", &[json!([message])]));
        self.broker.wait_metric("weft_held_connects", |held| held > before);
        Held(connection)
    }
}
