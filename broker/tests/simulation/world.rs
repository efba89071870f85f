//! Everything there is: the broker, the network, the clients, and chance.

use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use weft_broker::core::broker::{Broker, Origin};
use weft_broker::core::channels::Store;
use weft_broker::core::clock::Clock;
use weft_broker::core::held::Wakes;
use weft_broker::core::id::BrowserId;
use weft_broker::core::options::{Options, QueueLimits, QueuePolicy};
use weft_broker::core::publishing::Publication;
use weft_broker::core::stats::Stats;
use weft_broker::exchange::{Answer, Caller, Exchange, Exchanged};
use weft_protocol::{Body, ChannelLimits, ChannelName, ConnectionType, DecodeLimits};

use super::client::{Client, Flight, Kind, Stage};
use super::seams::{Chance, Recorder, SeededIds, VirtualClock, at_once};
use super::tally::Tally;

const CHANNELS: [&str; 4] = ["/a", "/a/b", "/a/b/c", "/x/y"];
const PATTERNS: [&[&str]; 5] =
    [&["/a/b"], &["/a/*", "/a/b"], &["/**"], &["/a", "/a/b/c", "/x/*"], &["/a/**", "/x/y"]];
const ALIVE: Duration = Duration::from_secs(30);

pub struct World {
    clock: Arc<VirtualClock>,
    store: Arc<Recorder>,
    broker: Arc<Broker>,
    exchange: Exchange,
    chance: Chance,
    clients: Vec<Client>,
    number: u64,
    faults: bool,
    /// Connects on their way whose clients are gone, with the moment their heads arrived.
    late: Vec<(usize, Value, Instant)>,
    trace: VecDeque<String>,
    tally: Tally,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let clock = VirtualClock::new();
        let store = Arc::new(Recorder::default());
        let small = chance.percent(20);
        let options = Options {
            queue: if small {
                QueueLimits { messages: 5, bytes: 4096 }
            } else {
                Options::default().queue
            },
            queue_policy: QueuePolicy::DropOldest,
            held_per_browser: if chance.percent(20) { None } else { Some(1) },
            response_bytes: if chance.percent(30) { 120 } else { 1 << 20 },
            ..Options::default()
        };
        let stats = Stats::register(&prometheus::Registry::new()).expect("fresh registry");
        let past = Store { backlog: store.clone(), writer: store.clone() };
        let origin = Origin { store: Some(past), ..Origin::default() };
        let broker = Broker::new(options, stats, clock.clone(), origin);
        let ids = Arc::new(SeededIds(parking_lot::Mutex::new(Chance::new(seed ^ 0xabcdef))));
        let offered = vec![ConnectionType::LongPolling, ConnectionType::CallbackPolling];
        let exchange = Exchange::new(broker.clone(), ids, DecodeLimits::default(), offered);
        let kinds = [Kind::CometdLike, Kind::FayeLike, Kind::Plain];
        let clients = (0..6).map(|name| {
            // Two tabs of one browser, one of another, and three without cookies.
            let browser = [Some(1), Some(1), Some(2), None, None, None][name];
            Client::new(name, kinds[chance.below(3)], browser.map(|b| BrowserId([b; 16])))
        });
        Self {
            clients: clients.collect(),
            clock,
            store,
            broker,
            exchange,
            chance,
            number: 0,
            faults: true,
            late: Vec::new(),
            trace: VecDeque::new(),
            tally: Tally::default(),
        }
    }

    pub fn trace(&self) -> String {
        self.trace.iter().fold(String::new(), |mut all, line| {
            let _ = writeln!(all, "  {line}");
            all
        })
    }

    fn note(&mut self, line: impl FnOnce() -> String) {
        if self.trace.len() == 60 {
            self.trace.pop_front();
        }
        self.trace.push_back(format!("{:9.3?} {}", self.clock.elapsed(), line()));
    }

    /// Runs with faults, then without until all is delivered, then everybody leaves.
    pub fn run(&mut self, steps: u64) -> Result<Tally, String> {
        for _ in 0..steps {
            self.step()?;
        }
        self.settle()?;
        self.leave()?;
        Ok(self.tally)
    }

    fn step(&mut self) -> Result<(), String> {
        match self.chance.below(100) {
            0..10 => self.publish(),
            10..48 => {
                let who = self.chance.below(self.clients.len());
                self.act(who)?;
            }
            48..86 => {
                let who = self.chance.below(self.clients.len());
                self.move_flight(who)?;
            }
            86..96 => {
                let long = self.chance.percent(3);
                let ms = self.chance.below(if long { 45_000 } else { 1_500 }) as u64;
                self.pass(Duration::from_millis(ms));
            }
            96 => {
                let hours = self.chance.below(7) as i64 - 3;
                self.clock.step_wall(hours * 3_600_000_000);
            }
            97 if self.chance.percent(60) => self.come_late()?,
            97 => {
                let failing = self.chance.percent(30);
                self.store.failing.store(failing, Ordering::Relaxed);
            }
            _ => {
                let who = self.chance.below(self.clients.len());
                self.say_goodbye(who)?;
            }
        }
        self.tend()
    }

    /// After each step: held connects that are due are answered, and the books are checked.
    fn tend(&mut self) -> Result<(), String> {
        self.broker.expire();
        for who in 0..self.clients.len() {
            self.tend_flight(who);
            self.tend_zombies(who);
        }
        self.broker.audit()?;
        let held = |stage: &Stage| matches!(stage, Stage::Held(held) if held.is_waiting());
        let waiting: usize = self
            .clients
            .iter()
            .map(|client| {
                let flight = client.flight.as_ref().is_some_and(|flight| held(&flight.stage));
                usize::from(flight) + client.zombies.iter().filter(|z| z.is_waiting()).count()
            })
            .sum();
        let counted = self.broker.census().held;
        if counted == waiting { Ok(()) } else { Err(format!("{counted} held, {waiting} waiting")) }
    }

    fn tend_flight(&mut self, who: usize) {
        let now = self.clock.elapsed();
        let client = &mut self.clients[who];
        let Some(flight) = &mut client.flight else { return };
        let Stage::Held(held) = &mut flight.stage else { return };
        client.contact = now;
        if let Some(answer) = held.poll() {
            client.ledger.connects_answered += 1;
            let messages = parse(&answer);
            let demoted = |message: &Value| message["advice"]["multiple-clients"] == json!(true);
            self.tally.demotions += u64::from(messages.iter().any(demoted));
            flight.stage = Stage::Answered(answer, messages);
        }
    }

    fn tend_zombies(&mut self, who: usize) {
        let now = self.clock.elapsed();
        let client = &mut self.clients[who];
        let mut lost = Vec::new();
        client.zombies.retain_mut(|held| {
            client.contact = now;
            held.poll().map(|answer| lost.push(parse(&answer))).is_none()
        });
        for messages in lost {
            self.clients[who].ledger.connects_answered += 1;
            self.lose(who, &messages);
        }
    }

    /// A reply went nowhere and the broker does not know.
    fn lose(&mut self, who: usize, messages: &[Value]) {
        self.note(|| format!("client {who} never sees {messages:?}"));
        self.tally.lost_replies += 1;
        let client = &mut self.clients[who];
        if client.ledger.connects_answered < 2 || !client.signals_loss() {
            client.ledger.excuse(messages);
        }
        client.ledger.repeat_ok = true;
    }

    fn publish(&mut self) {
        let channel = CHANNELS[self.chance.below(CHANNELS.len())];
        let name = ChannelName::parse(channel, &ChannelLimits::default()).expect("a name");
        let mut wakes = Wakes::default();
        for _ in 0..=self.chance.below(3) {
            self.number += 1;
            let number = self.number;
            let data = number.to_string();
            let published = self.broker.publish(&Publication::new(name, &data), &mut wakes);
            self.note(|| format!("publish {number} on {channel}: {published:?}"));
        }
        self.book();
    }

    /// Enters what was published since into the books of all whom it must reach.
    fn book(&mut self) {
        for record in self.store.take() {
            let event: Value = serde_json::from_str(&record.value).expect("JSON");
            let number = event["data"].as_u64().expect("a number");
            for client in &mut self.clients {
                client.ledger.published(&record.channel, number, record.position);
            }
        }
    }

    /// A client sends what it has to send.
    fn act(&mut self, who: usize) -> Result<(), String> {
        let now = self.clock.elapsed();
        let extra = if self.faults && self.chance.percent(15) {
            self.number += 1;
            let channel = CHANNELS[self.chance.below(CHANNELS.len())];
            Some(self.clients[who].publication(channel, self.number))
        } else {
            None
        };
        let client = &mut self.clients[who];
        match &client.flight {
            Some(Flight { stage: Stage::Failed }) => client.fail(),
            Some(_) => return Ok(()),
            None => {}
        }
        if now < client.not_before {
            return Ok(());
        }
        let request = client.next_request(PATTERNS[who % PATTERNS.len()], extra);
        if self.faults && self.chance.percent(4) {
            self.note(|| format!("client {who} sends into the void {request}"));
            self.clients[who].flight = Some(Flight { stage: Stage::Failed });
            // Its head may have come all the same, and the rest comes when the client is long gone.
            if self.chance.percent(60) && is_lone_connect(&request) {
                // Before whatever else happens at this very moment of virtual time.
                let arrived = self.clock.now() - Duration::from_nanos(1);
                self.late.push((who, request, arrived));
            }
            return Ok(());
        }
        self.send(who, &request)
    }

    fn send(&mut self, who: usize, request: &Value) -> Result<(), String> {
        let arrived = self.clock.now();
        self.note(|| format!("client {who} sends {request}"));
        let client = &mut self.clients[who];
        let silent = self.clock.elapsed().saturating_sub(client.contact);
        let caller =
            Caller { browser: client.browser, transport: ConnectionType::LongPolling, arrived };
        let text = request.to_string();
        let body = Body::post(text.as_bytes()).map_err(|error| error.to_string())?;
        let exchanged =
            at_once(self.exchange.handle(caller, &body)).map_err(|error| error.to_string())?;
        self.arrived(who, request);
        self.book();
        let stage = match exchanged {
            Exchanged::Hold(held) => Stage::Held(held),
            Exchanged::Answer(answer) => {
                let messages = parse(&answer);
                self.answered(who, &messages, silent)?;
                Stage::Answered(answer, messages)
            }
        };
        self.clients[who].flight = Some(Flight { stage });
        Ok(())
    }

    /// A connect whose client is gone comes to the broker at last. If nothing newer has come since,
    /// it counts as any other; its answer goes nowhere.
    fn come_late(&mut self) -> Result<(), String> {
        if self.late.is_empty() {
            return Ok(());
        }
        let (who, request, arrived) = self.late.swap_remove(self.chance.below(self.late.len()));
        let client = &mut self.clients[who];
        if client.session.as_deref() != request[0]["clientId"].as_str() || client.gone {
            return Ok(());
        }
        client.ledger.repeat_ok = true;
        let now = self.clock.elapsed();
        let caller =
            Caller { browser: client.browser, transport: ConnectionType::LongPolling, arrived };
        self.note(|| format!("client {who}'s lost {request} comes late"));
        let text = request.to_string();
        let body = Body::post(text.as_bytes()).map_err(|error| error.to_string())?;
        match at_once(self.exchange.handle(caller, &body)).map_err(|error| error.to_string())? {
            Exchanged::Hold(held) => {
                self.clients[who].contact = now;
                self.clients[who].zombies.push(*held);
            }
            Exchanged::Answer(answer) => self.lose(who, &parse(&answer)),
        }
        Ok(())
    }

    /// Keeps the books of what the broker has heard from the client.
    fn arrived(&mut self, who: usize, request: &Value) {
        let client = &mut self.clients[who];
        client.contact = self.clock.elapsed();
        let connects = request.as_array().into_iter().flatten();
        for connect in connects.filter(|message| message["channel"] == json!("/meta/connect")) {
            client.ledger.polled |= connect["advice"]["timeout"] != json!(0);
            client.ledger.ids.insert(connect["id"].to_string());
            let alone = request.as_array().is_some_and(|all| all.len() == 1);
            let signal = alone && connect["advice"]["timeout"] == json!(0);
            client.ledger.repeat_ok |= signal || client.kind == Kind::FayeLike;
        }
    }

    /// The broker answered at once: what does that say of the session?
    fn answered(&mut self, who: usize, messages: &[Value], silent: Duration) -> Result<(), String> {
        let client = &mut self.clients[who];
        for message in messages {
            let ok = message["successful"] == json!(true);
            match message["channel"].as_str() {
                Some("/meta/handshake") if ok => self.tally.sessions += 1,
                Some("/meta/subscribe") if ok => {
                    let names = message["subscription"].as_array().into_iter().flatten();
                    let names = names.filter_map(|name| name.as_str().map(str::to_owned));
                    client.ledger.patterns = names.collect();
                }
                Some("/meta/connect") if ok => client.ledger.connects_answered += 1,
                Some("/meta/disconnect") if ok => client.gone = true,
                _ => {}
            }
            if message["error"].as_str().is_some_and(|error| error.starts_with("402")) {
                self.tally.strangers += 1;
                let told_before = std::mem::replace(&mut client.gone, true);
                if silent < ALIVE && !told_before {
                    return Err(format!("client {who} is a stranger after {silent:?}"));
                }
            }
        }
        Ok(())
    }

    /// What the network does with a client's request or its answer.
    fn move_flight(&mut self, who: usize) -> Result<(), String> {
        let luck = self.chance.below(100);
        let Some(flight) = self.clients[who].flight.take() else { return Ok(()) };
        match flight.stage {
            Stage::Answered(answer, messages) => match luck {
                0..8 if self.faults => {
                    self.lose(who, &messages);
                    self.clients[who].flight = Some(Flight { stage: Stage::Failed });
                }
                8..12 if self.faults => {
                    self.note(|| format!("client {who}'s answer cannot be written"));
                    if let Some((session, reply_no)) = answer.carries {
                        session.write_failed(reply_no);
                    }
                    self.clients[who].ledger.repeat_ok = true;
                    self.clients[who].flight = Some(Flight { stage: Stage::Failed });
                }
                _ => return self.read(who, &messages),
            },
            Stage::Held(held) if self.faults && luck < 6 => {
                self.note(|| format!("client {who}'s socket closes"));
                self.tally.cut_seen += 1;
                drop(held);
                self.clients[who].flight = Some(Flight { stage: Stage::Failed });
            }
            Stage::Held(held) if self.faults && luck < 14 => {
                self.note(|| format!("client {who}'s socket dies unseen"));
                self.tally.cut_unseen += 1;
                self.clients[who].zombies.push(*held);
                self.clients[who].flight = Some(Flight { stage: Stage::Failed });
            }
            stage => self.clients[who].flight = Some(Flight { stage }),
        }
        Ok(())
    }

    fn read(&mut self, who: usize, messages: &[Value]) -> Result<(), String> {
        self.note(|| format!("client {who} reads {}", json!(messages)));
        let now = self.clock.elapsed();
        let gaps = messages.iter().filter(|m| m["ext"]["weft"]["gap"].is_array()).count();
        self.tally.gaps += gaps as u64;
        let client = &mut self.clients[who];
        let repeats =
            client.ledger.receive(messages).map_err(|what| format!("client {who}: {what}"))?;
        self.tally.repeated += repeats;
        let before = client.session.clone();
        let books = client.ledger.books();
        client.read(messages, now);
        if client.session != before {
            self.tally.received += books.received;
            self.tally.excused += books.excused;
            client.zombies.clear();
        }
        Ok(())
    }

    fn say_goodbye(&mut self, who: usize) -> Result<(), String> {
        let client = &mut self.clients[who];
        if client.session.is_none() || client.flight.is_some() || !client.zombies.is_empty() {
            return Ok(());
        }
        let request = client.meta("/meta/disconnect");
        self.send(who, &request)
    }

    fn pass(&mut self, by: Duration) {
        // In pieces, so that deadlines are met when they are due and not all at the end.
        for _ in 0..10 {
            self.clock.advance(by / 10);
            self.broker.expire();
            for who in 0..self.clients.len() {
                self.tend_flight(who);
                self.tend_zombies(who);
            }
        }
    }

    /// No more faults: everything promised must come.
    fn settle(&mut self) -> Result<(), String> {
        self.faults = false;
        self.store.failing.store(false, Ordering::Relaxed);
        for _ in 0..100 {
            for who in 0..self.clients.len() {
                self.act(who)?;
                self.tend()?;
                self.move_flight(who)?;
                self.tend()?;
            }
            self.pass(Duration::from_millis(700));
        }
        for client in &self.clients {
            let missing = client.ledger.missing();
            if !missing.is_empty() {
                return Err(format!(
                    "client {} ({:?}) still misses {missing:?}",
                    client.name, client.kind
                ));
            }
            let books = client.ledger.books();
            self.tally.received += books.received;
            self.tally.excused += books.excused;
        }
        Ok(())
    }

    /// Everybody leaves, one way or another; nothing may be left of them.
    fn leave(&mut self) -> Result<(), String> {
        for who in 0..self.clients.len() {
            self.clients[who].flight = None;
            self.clients[who].zombies.clear();
            if who % 2 == 0 {
                self.say_goodbye(who)?;
            }
        }
        self.pass(ALIVE * 3);
        self.tend()?;
        let census = self.broker.census();
        if census != weft_broker::core::broker::Census::default() {
            return Err(format!("left behind: {census:?}"));
        }
        if self.broker.browsers_known() > 0 {
            return Err("browsers left behind".to_owned());
        }
        Ok(())
    }
}

fn is_lone_connect(request: &Value) -> bool {
    request.as_array().is_some_and(|all| all.len() == 1)
        && request[0]["channel"] == json!("/meta/connect")
}

fn parse(answer: &Answer) -> Vec<Value> {
    serde_json::from_str(&answer.text).expect("replies are JSON arrays")
}
