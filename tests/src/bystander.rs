//! Honest clients beside an attack: some that are held, one that publishes, one after the other that
//! comes new. How long everything takes them is what an attack must not change.
//!
//! They come from addresses of their own, so that a broker can tell them from whoever attacks.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::broker::Broker;
use crate::http::{Connection, Request};
use crate::wait::{PATIENCE, now, until};

/// How many wait for messages.
pub const READERS: usize = 20;
/// How many messages a second each of them gets.
pub const PER_SECOND: u32 = 20;
/// How long after the last one the next newcomer comes.
const NEWCOMERS: Duration = Duration::from_millis(200);

const READER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const PUBLISHER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));
const NEWCOMER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 4));
const CHANNEL: &str = "/bystanders";
/// What is published last.
const END: &str = "\"end\"";

/// How long something took, over many times.
#[derive(Debug, Clone, Copy)]
pub struct Spread {
    /// How many times.
    pub count: usize,
    /// Half of them took no longer.
    pub p50: Duration,
    /// 99 of 100 took no longer.
    pub p99: Duration,
}

impl Spread {
    fn of(mut all: Vec<Duration>) -> Self {
        all.sort_unstable();
        let at = |percent: usize| all.get(all.len().saturating_sub(1) * percent / 100).copied();
        let [p50, p99] = [50, 99].map(|percent| at(percent).unwrap_or_default());
        Self { count: all.len(), p50, p99 }
    }
}

/// What bystanders saw of a while.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// From the moment at which a message was due to be published to its arrival with one reader.
    pub deliveries: Spread,
    /// From a newcomer's opening of a connection to its session.
    pub arrivals: Spread,
}

/// When something began, and how long it took.
type Times = Mutex<Vec<(Duration, Duration)>>;

#[derive(Debug)]
struct Shared {
    broker: SocketAddr,
    start: Instant,
    stop: AtomicBool,
    waiting: AtomicUsize,
    published: Mutex<Vec<Duration>>,
    deliveries: Times,
    arrivals: Times,
    /// What an honest client must never meet.
    trouble: Mutex<Vec<String>>,
}

/// The bystanders of one broker.
#[derive(Debug)]
pub struct Bystanders {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// An honest client: a connection, a session.
struct Client {
    connection: Connection,
    id: String,
}

impl Client {
    fn ask(&mut self, channel: &str, fields: Value) -> Result<Vec<Value>, String> {
        let mut message = json!({"channel": channel, "clientId": self.id, "id": "1"});
        if let (Some(message), Value::Object(fields)) = (message.as_object_mut(), fields) {
            message.extend(fields);
        }
        let request = Request::post("/bayeux", json!([message]).to_string());
        self.connection.start(&request);
        let response = self.connection.read().map_err(|error| format!("{channel}: {error}"))?;
        if response.status != 200 {
            return Err(format!("{channel}: {} {}", response.status, response.text()));
        }
        let messages = response.messages();
        let reply = messages.last().cloned().unwrap_or_default();
        if reply["successful"] == true { Ok(messages) } else { Err(format!("{channel}: {reply}")) }
    }

    fn shaken(source: IpAddr, broker: SocketAddr) -> Result<Self, String> {
        let connection = Connection::open_from(source, broker);
        let mut client = Self { connection, id: String::new() };
        let fields = json!({"version": "1.0", "supportedConnectionTypes": ["long-polling"]});
        let reply = client.ask("/meta/handshake", fields)?;
        reply[0]["clientId"].as_str().unwrap_or_default().clone_into(&mut client.id);
        Ok(client)
    }
}

impl Shared {
    fn read(&self) -> Result<(), String> {
        let mut client = Client::shaken(READER, self.broker)?;
        client.ask("/meta/subscribe", json!({"subscription": CHANNEL}))?;
        self.waiting.fetch_add(1, Ordering::Relaxed);
        loop {
            let messages =
                client.ask("/meta/connect", json!({"connectionType": "long-polling"}))?;
            let now = self.start.elapsed();
            let mut deliveries = self.deliveries.lock();
            for message in messages.iter().filter(|message| message["channel"] == CHANNEL) {
                let Some(departed) = message["data"].as_u64() else { return Ok(()) };
                let departed = Duration::from_micros(departed);
                deliveries.push((departed, now.saturating_sub(departed)));
            }
        }
    }

    /// Publishes at the moments that are due, whatever became of the one before: a message that has
    /// to wait for another is late as well.
    fn publish(&self) -> Result<(), String> {
        let mut connection = Connection::open_from(PUBLISHER, self.broker);
        let mut say = |body: &str| {
            connection.start(&Request::post(&format!("/publish{CHANNEL}"), body));
            match connection.read() {
                Ok(response) if response.status == 200 => Ok(()),
                other => Err(format!("/publish: {other:?}")),
            }
        };
        let mut due = self.start.elapsed();
        while !self.stop.load(Ordering::Relaxed) {
            due += Duration::from_secs(1) / PER_SECOND;
            std::thread::sleep(due.saturating_sub(self.start.elapsed()));
            say(&due.as_micros().to_string())?;
            self.published.lock().push(Duration::from_micros(due.as_micros() as u64));
        }
        say(END)
    }

    fn arrive(&self) -> Result<(), String> {
        while !self.stop.load(Ordering::Relaxed) {
            let began = self.start.elapsed();
            let mut client = Client::shaken(NEWCOMER, self.broker)?;
            self.arrivals.lock().push((began, self.start.elapsed().saturating_sub(began)));
            client.ask("/meta/disconnect", json!({}))?;
            std::thread::sleep(NEWCOMERS);
        }
        Ok(())
    }
}

impl Bystanders {
    /// Lets them come, and waits until the readers are at rest.
    #[must_use]
    pub fn of(broker: &Broker) -> Self {
        let shared = Arc::new(Shared {
            broker: broker.listen,
            start: now(),
            stop: AtomicBool::new(false),
            waiting: AtomicUsize::new(0),
            published: Mutex::default(),
            deliveries: Mutex::default(),
            arrivals: Mutex::default(),
            trouble: Mutex::default(),
        });
        let spawn = |work: fn(&Shared) -> Result<(), String>| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || {
                if let Err(trouble) = work(&shared) {
                    shared.trouble.lock().push(trouble);
                }
            })
        };
        let mut threads: Vec<_> = (0..READERS).map(|_| spawn(Shared::read)).collect();
        until("readers at rest", PATIENCE, || {
            let waiting = shared.waiting.load(Ordering::Relaxed);
            assert!(shared.trouble.lock().is_empty(), "{:?}", shared.trouble.lock());
            (waiting == READERS).then_some(())
        });
        threads.extend([spawn(Shared::publish), spawn(Shared::arrive)]);
        Self { shared, threads }
    }

    /// What they see while something goes on. Whatever was published meanwhile reaches everybody.
    #[must_use]
    pub fn during<R>(&self, act: impl FnOnce() -> R) -> (Seen, R) {
        let Shared { start, published, deliveries, arrivals, .. } = &*self.shared;
        let from = start.elapsed();
        let result = act();
        let time = from..start.elapsed();
        let within = |times: &[(Duration, Duration)]| -> Vec<Duration> {
            let within = times.iter().filter(|(began, _)| time.contains(began));
            within.map(|(_, took)| *took).collect()
        };
        until("all deliveries", PATIENCE, || {
            assert!(self.shared.trouble.lock().is_empty(), "{:?}", self.shared.trouble.lock());
            let published = published.lock();
            // What was due within the time has left once something later has.
            let later = published.last().is_some_and(|last| *last >= time.end);
            let wanted = published.iter().filter(|due| time.contains(*due)).count() * READERS;
            (later && within(&deliveries.lock()).len() >= wanted).then_some(())
        });
        let seen = Seen {
            deliveries: Spread::of(within(&deliveries.lock())),
            arrivals: Spread::of(within(&arrivals.lock())),
        };
        (seen, result)
    }

    /// Sends them home. None of them met anything but success, ever.
    pub fn leave(mut self) {
        self.stop();
        let trouble = self.shared.trouble.lock();
        assert!(trouble.is_empty(), "{trouble:?}");
    }

    fn stop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
