//! Clients as the wire sees them: what they send next, and what they make of answers.

use std::fmt::Write;
use std::time::Duration;

use weft_broker::core::id::BrowserId;

use super::channels::{self, NAMES, PerChannel};
use super::flight::{Flight, Standing};
use super::ledger::{Ledger, Start};
use super::seams::Chance;
use super::wire::{Connected, Reply};

/// How a client behaves after a failed connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Connects alone with `advice.timeout:0` until one succeeds.
    CometdLike,
    /// Sends the same connect again, same id, now and then along with a publish.
    FayeLike,
    /// Just connects again.
    Plain,
}

/// What a client is like.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    pub manner: Manner,
    /// It acknowledges.
    pub ack: bool,
    /// Its numbers are at times not the last one it has seen.
    pub sloppy: bool,
    /// It comes back with the positions it holds.
    pub replay: bool,
    /// It wants all that is kept of channels of which it holds none.
    pub greedy: bool,
}

impl Kind {
    pub fn draw(chance: &mut Chance) -> Self {
        let manners = [Manner::CometdLike, Manner::FayeLike, Manner::Plain];
        let manner = manners[chance.below(3)];
        let ack = manner != Manner::Plain && chance.percent(40);
        let replay = chance.percent(35);
        let (sloppy, greedy) = (ack && chance.percent(15), chance.percent(60));
        Self { manner, ack, sloppy, replay, greedy }
    }
}

/// A connect, as far as the books care.
#[derive(Debug, Clone, Copy)]
pub struct Connect {
    pub id: u64,
    pub alone: bool,
    pub timeout_ms: Option<u64>,
    pub ack: Option<u64>,
    /// Its number is the last one that the client has seen.
    pub is_honest: bool,
}

impl Connect {
    pub fn wants_answer_now(&self) -> bool {
        self.timeout_ms == Some(0)
    }
}

/// A request.
#[derive(Debug, Clone)]
pub struct Request {
    pub text: String,
    /// The session's number among those of its client; 0 for a handshake.
    pub epoch: u32,
    pub connect: Option<Connect>,
    /// The channel and number of what it publishes.
    pub publish: Option<(usize, u32)>,
    pub leaves: Option<&'static str>,
}

impl Request {
    pub fn is_lone_connect(&self) -> bool {
        self.connect.is_some_and(|connect| connect.alone)
    }
}

/// Away for a while: it does not connect.
#[derive(Debug, Clone, Copy)]
pub struct Sleep {
    pub until: Duration,
    /// It sends other messages meanwhile, so that its session lives.
    pub stirs: bool,
}

/// One client.
#[derive(Debug)]
pub struct Client {
    pub kind: Kind,
    pub browser: Option<BrowserId>,
    pub wants: &'static [&'static str],
    /// How many of these it asks for at first; the rest comes later, perhaps.
    pub asks: usize,
    pub session: Option<String>,
    /// Which of its sessions that is, and in which life of the broker it was made.
    pub epoch: u32,
    pub life: u32,
    pub ledger: Ledger,
    pub flight: Option<Flight>,
    /// Requests at the broker whose client does not wait any more.
    pub ghosts: Vec<Standing>,
    /// The last time the broker can have heard of the session.
    pub contact: Duration,
    pub not_before: Duration,
    /// The last time it read a reply.
    pub read_at: Duration,
    pub sleep: Option<Sleep>,
    /// The broker may have forgotten the session.
    pub gone: bool,
    pub subscribed: bool,
    failed: bool,
    last_connect: Option<u64>,
    last_ack: u64,
    /// The newest position it has seen, by channel; 0 = none.
    positions: PerChannel<i64>,
    counter: u64,
}

impl Client {
    pub fn new(kind: Kind, browser: Option<BrowserId>, wants: &'static [&'static str]) -> Self {
        Self {
            kind,
            browser,
            wants,
            asks: wants.len(),
            session: None,
            epoch: 0,
            life: 0,
            ledger: Ledger::default(),
            flight: None,
            ghosts: Vec::new(),
            read_at: Duration::ZERO,
            contact: Duration::ZERO,
            not_before: Duration::ZERO,
            sleep: None,
            gone: false,
            subscribed: false,
            failed: false,
            last_connect: None,
            last_ack: 0,
            positions: [0; NAMES.len()],
            counter: 0,
        }
    }

    fn id(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    fn request(&self, text: String) -> Request {
        Request { text, epoch: self.epoch, connect: None, publish: None, leaves: None }
    }

    /// A message of the session, with these members besides.
    fn message(&mut self, channel: &str, more: &str) -> String {
        let (id, session) = (self.id(), self.session.as_deref().unwrap_or_default());
        format!(r#"{{"channel":"{channel}","id":"{id}","clientId":"{session}"{more}}}"#)
    }

    pub fn handshake(&mut self) -> Request {
        let id = self.id();
        let ext = match (self.kind.ack, self.kind.replay) {
            (true, true) => r#","ext":{"ack":true,"replay":true}"#,
            (true, false) => r#","ext":{"ack":true}"#,
            (false, true) => r#","ext":{"replay":true}"#,
            (false, false) => "",
        };
        let text = format!(
            r#"[{{"channel":"/meta/handshake","id":"{id}","version":"1.0","supportedConnectionTypes":["long-polling"]{ext}}}]"#
        );
        Request { epoch: 0, ..self.request(text) }
    }

    /// What its next subscribe names.
    pub fn asked(&self) -> &'static [&'static str] {
        &self.wants[..self.asks]
    }

    pub fn subscribe(&mut self) -> Request {
        let mut more = String::from(r#","subscription":["#);
        for (at, pattern) in self.asked().iter().enumerate() {
            let _ = write!(more, r#"{}"{pattern}""#, if at > 0 { "," } else { "" });
        }
        more.push(']');
        if self.kind.replay {
            more.push_str(r#","ext":{"replay":{"#);
            let kept = if self.kind.greedy { -2 } else { -1 };
            let wild = self.asked().iter().filter(|pattern| pattern.ends_with('*'));
            let known = NAMES
                .iter()
                .zip(self.positions)
                .map(|(name, position)| (name, if position > 0 { position } else { kept }));
            let all = wild.map(|pattern| (pattern, kept)).chain(known);
            for (at, (name, number)) in all.enumerate() {
                let _ = write!(more, r#"{}"{name}":{number}"#, if at > 0 { "," } else { "" });
            }
            more.push_str("}}");
        }
        let message = self.message("/meta/subscribe", &more);
        self.request(format!("[{message}]"))
    }

    /// Where a subscription that is sent now begins, by channel.
    pub fn starts(&self) -> PerChannel<Start> {
        self.positions.map(|position| match position {
            _ if !self.kind.replay => Start::Live,
            0 if self.kind.greedy => Start::All,
            0 => Start::Live,
            position => Start::After(position),
        })
    }

    /// The next connect; `along` is a publication to send along, where the client batches.
    pub fn connect(&mut self, chance: &mut Chance, along: Option<(usize, u32)>) -> Request {
        let along = along.filter(|_| self.kind.manner == Manner::FayeLike);
        let again =
            self.last_connect.filter(|_| self.failed && self.kind.manner == Manner::FayeLike);
        let first = self.last_connect.is_none();
        let id = again.unwrap_or_else(|| self.id());
        self.last_connect = Some(id);
        let hurried = self.kind.manner == Manner::CometdLike && (first || self.failed);
        let own = !hurried && chance.percent(8);
        let timeout_ms = if hurried { Some(0) } else { own.then(|| chance.below(20_000) as u64) };
        let interval_ms = if own && chance.percent(50) { chance.below(6_000) } else { 0 };
        let (ack, is_honest) = self.acknowledgement(chance);
        let session = self.session.as_deref().unwrap_or_default();
        let mut text = format!(
            r#"{{"channel":"/meta/connect","connectionType":"long-polling","id":"{id}","clientId":"{session}""#
        );
        if let Some(timeout) = timeout_ms {
            let _ = write!(text, r#","advice":{{"timeout":{timeout},"interval":{interval_ms}}}"#);
        }
        if let Some(ack) = ack {
            let _ = write!(text, r#","ext":{{"ack":{ack}}}"#);
        }
        text.push('}');
        let text = match along {
            Some((channel, number)) => {
                format!("[{},{text}]", self.publication(channel, number))
            }
            None => format!("[{text}]"),
        };
        let connect = Connect { id, alone: along.is_none(), timeout_ms, ack, is_honest };
        Request { connect: Some(connect), publish: along, ..self.request(text) }
    }

    /// The number that a connect carries, and whether it is what it should be.
    fn acknowledgement(&self, chance: &mut Chance) -> (Option<u64>, bool) {
        if !self.kind.ack {
            return (None, true);
        }
        let last = self.last_ack;
        if !self.kind.sloppy || !chance.percent(20) {
            return (Some(last), true);
        }
        let odd = [None, Some(last + 1), Some(99_999), Some(last / 2)][chance.below(4)];
        (odd, odd == Some(last))
    }

    fn publication(&mut self, channel: usize, number: u32) -> String {
        self.message(NAMES[channel], &format!(r#","data":{number}"#))
    }

    pub fn publish(&mut self, channel: usize, number: u32) -> Request {
        let text = format!("[{}]", self.publication(channel, number));
        Request { publish: Some((channel, number)), ..self.request(text) }
    }

    /// Unsubscribes from one of its patterns, or from what it never was subscribed to.
    pub fn unsubscribe(&mut self, pattern: Option<&'static str>) -> Request {
        let name = pattern.unwrap_or("/unused");
        let text = format!(
            "[{}]",
            self.message("/meta/unsubscribe", &format!(r#","subscription":"{name}""#))
        );
        Request { leaves: pattern, ..self.request(text) }
    }

    pub fn goodbye(&mut self) -> Request {
        let text = format!("[{}]", self.message("/meta/disconnect", ""));
        self.request(text)
    }

    /// The request failed as far as the client can tell.
    pub fn fail(&mut self) {
        if let Some(flight) = self.flight.take() {
            // faye tries no connect again but the one that failed.
            self.failed |=
                flight.request.connect.is_some() || self.kind.manner == Manner::CometdLike;
        }
    }

    /// Forgets the session and starts over.
    pub fn start_over(&mut self) {
        self.session = None;
        self.epoch += 1;
        self.gone = false;
        self.subscribed = false;
        let all = channels::overlap(self.wants);
        let some = 1 + self.epoch as usize % self.wants.len();
        self.asks = if all { self.wants.len() } else { some };
        self.failed = false;
        self.last_connect = None;
        self.last_ack = 0;
        self.flight = None;
        self.ghosts.clear();
        self.ledger = Ledger::default();
    }

    /// Reads an answer; the books have checked it.
    pub fn read(&mut self, reply: &Reply, now: Duration, given: Duration, life: u32) {
        if let Some(ms) = reply.interval_ms {
            self.not_before = now + Duration::from_millis(ms);
        }
        for event in &reply.events {
            let position = &mut self.positions[event.channel];
            *position = event.position.unwrap_or(0).max(*position);
        }
        self.last_ack = reply.ack.unwrap_or(self.last_ack);
        if let Some(id) = &reply.client_id {
            self.start_over();
            self.ledger = Ledger::new(self.kind.ack, self.kind.replay, given);
            self.session = Some(id.clone());
            self.life = life;
        }
        self.subscribed |= reply.subscribed;
        if reply.connected == Some(Connected::Well) {
            self.failed = false;
        }
        if reply.advises_handshake || reply.disconnected {
            self.start_over();
        }
    }
}
