//! Clients as the wire sees them: what they send next, and what they make of answers.

use std::time::Duration;

use serde_json::{Value, json};
use weft_broker::core::id::BrowserId;
use weft_broker::exchange::{Answer, HeldConnect};

use super::ledger::Ledger;

/// How a client behaves after a failed connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Connects alone with `advice.timeout:0` until one succeeds.
    CometdLike,
    /// Sends the same connect again, same id, now and then along with a publish.
    FayeLike,
    /// Just connects again.
    Plain,
}

/// A request on its way.
#[derive(Debug)]
pub struct Flight {
    pub stage: Stage,
}

/// How far a request has come.
#[derive(Debug)]
pub enum Stage {
    /// It never reached the broker, or its socket died; the client finds out when it next acts.
    Failed,
    /// The broker holds it.
    Held(Box<HeldConnect>),
    /// The answer is on its way.
    Answered(Answer, Vec<Value>),
}

/// One client.
#[derive(Debug)]
pub struct Client {
    pub name: usize,
    pub kind: Kind,
    pub browser: Option<BrowserId>,
    pub session: Option<String>,
    pub ledger: Ledger,
    pub flight: Option<Flight>,
    /// Held connects whose client is gone without the broker knowing.
    pub zombies: Vec<HeldConnect>,
    /// The last time the broker can have heard of the session.
    pub contact: Duration,
    pub not_before: Duration,
    /// The broker has said that the session is no more.
    pub gone: bool,
    failed: bool,
    subscribed: bool,
    retry: Option<Value>,
    counter: u64,
}

impl Client {
    pub fn new(name: usize, kind: Kind, browser: Option<BrowserId>) -> Self {
        Self {
            name,
            kind,
            browser,
            session: None,
            ledger: Ledger::default(),
            flight: None,
            zombies: Vec::new(),
            contact: Duration::ZERO,
            not_before: Duration::ZERO,
            gone: false,
            failed: false,
            subscribed: false,
            retry: None,
            counter: 0,
        }
    }

    fn message(&mut self, channel: &str) -> Value {
        self.counter += 1;
        json!({ "channel": channel, "id": self.counter.to_string(), "clientId": self.session })
    }

    /// What the client sends when nothing else is to be sent: it opens a session, subscribes, and
    /// then connects for ever. `extra` is a publication to send along, where the client batches.
    pub fn next_request(&mut self, patterns: &[&str], extra: Option<Value>) -> Value {
        if self.session.is_none() {
            self.counter += 1;
            return json!([{
                "channel": "/meta/handshake", "id": self.counter.to_string(), "version": "1.0",
                "supportedConnectionTypes": ["long-polling"],
            }]);
        }
        if !self.subscribed {
            let mut subscribe = self.message("/meta/subscribe");
            subscribe["subscription"] = json!(patterns);
            return json!([subscribe]);
        }
        let connect = self.connect();
        match extra {
            Some(publish) if self.kind == Kind::FayeLike => json!([publish, connect]),
            _ => json!([connect]),
        }
    }

    fn connect(&mut self) -> Value {
        if let (Kind::FayeLike, true, Some(retry)) = (self.kind, self.failed, &self.retry) {
            return retry.clone();
        }
        let first = self.retry.is_none();
        let mut connect = self.message("/meta/connect");
        connect["connectionType"] = json!("long-polling");
        if self.kind == Kind::CometdLike && (first || self.failed) {
            connect["advice"] = json!({ "timeout": 0 });
        }
        self.retry = Some(connect.clone());
        connect
    }

    pub fn publication(&mut self, channel: &str, number: u64) -> Value {
        let mut publish = self.message(channel);
        publish["data"] = json!(number);
        publish
    }

    pub fn meta(&mut self, channel: &str) -> Value {
        json!([self.message(channel)])
    }

    /// The request failed as far as the client can tell.
    pub fn fail(&mut self) {
        self.flight = None;
        self.failed = true;
    }

    /// Whether the broker will learn from this client's next connect that a reply was lost.
    pub fn signals_loss(&self) -> bool {
        match self.kind {
            Kind::CometdLike => self.ledger.polled,
            Kind::FayeLike => self.ledger.ids.len() > 1,
            Kind::Plain => false,
        }
    }

    /// Forgets the session and starts over.
    pub fn start_over(&mut self) {
        self.session = None;
        self.gone = false;
        self.subscribed = false;
        self.retry = None;
        self.failed = false;
        self.ledger = Ledger::default();
    }

    /// Reads an answer; the ledger has checked it.
    pub fn read(&mut self, messages: &[Value], now: Duration) {
        for message in messages {
            let advice = &message["advice"];
            if let Some(ms) = advice["interval"].as_u64() {
                self.not_before = now + Duration::from_millis(ms);
            }
            let ok = message["successful"] == json!(true);
            match message["channel"].as_str() {
                Some("/meta/handshake") if ok => {
                    self.start_over();
                    self.session = message["clientId"].as_str().map(str::to_owned);
                }
                Some("/meta/subscribe") if ok => self.subscribed = true,
                Some("/meta/disconnect") if ok => self.start_over(),
                Some("/meta/connect") if ok => self.failed = false,
                _ => {}
            }
            if advice["reconnect"] == json!("handshake") {
                self.start_over();
            }
        }
    }
}
