//! Random rules, random people, random ways in: nobody receives what the rules deny (promise P7).
//!
//! What the rules come to is judged here by somebody who reads them one by one, channel by channel, and
//! knows nothing of patterns.

use std::fmt::Write;

use serde_json::{Value, json};
use weft_tests::bayeux::Client;
use weft_tests::broker::Broker;
use weft_tests::chance::Chance;
use weft_tests::http::Request;
use weft_tests::stream::Stream;
use weft_tests::token::{auth, token};
use weft_tests::transports::{ALL, Event, NEW, Transport};

const CHANNELS: [&str; 9] =
    ["/a", "/b", "/a/a", "/a/b", "/b/ann", "/b/bob", "/a/b/c", "/c/ann/x", "/c/bob/x"];
const PATTERNS: [&str; 6] = ["/**", "/*", "/a/*", "/a/**", "/b/*", "/c/ann/**"];
const PEOPLE: [(&str, &[&str]); 3] = [("ann", &["red"]), ("bob", &["red", "blue"]), ("eve", &[])];
const TRANSPORTS: [Transport; 6] = [
    Transport::LongPolling,
    Transport::CallbackPolling,
    Transport::WebSocket,
    Transport::EventSource,
    Transport::Events,
    Transport::Stream,
];

/// A rule, as one who reads rules one by one needs it.
struct Rule {
    channel: String,
    actions: Vec<&'static str>,
    role: Option<&'static str>,
    allows: bool,
}

impl Rule {
    fn random(chance: &mut Chance) -> Self {
        let mut channel = String::new();
        for _ in 0..=chance.below(3) {
            let segment = ["a", "b", "c", "x", "*", "{sub}"][chance.below(6)];
            let _ = write!(channel, "/{segment}");
        }
        if chance.below(3) == 0 {
            channel.push_str("/**");
        }
        let mut actions = vec!["subscribe", "publish", "history"];
        actions.retain(|_| chance.below(4) > 0);
        if actions.is_empty() {
            actions.push("subscribe");
        }
        let role = [None, None, Some("red"), Some("blue")][chance.below(4)];
        Self { channel, actions, role, allows: chance.below(2) > 0 }
    }

    fn toml(&self) -> String {
        let Self { channel, actions, role, allows } = self;
        let effect = if *allows { "allow" } else { "deny" };
        let role = role.map(|role| format!("roles = {role:?}\n")).unwrap_or_default();
        format!(
            "[[auth.rules]]\nchannels = {channel:?}\nactions = {actions:?}\n{role}effect = {effect:?}\n"
        )
    }

    fn fits(&self, (subject, roles): (&str, &[&str]), action: &str, channel: &str) -> bool {
        let text = self.channel.replace("{sub}", subject);
        let (mut ours, mut theirs) = (text.split('/').skip(1), channel.split('/').skip(1));
        let is_there = loop {
            match (ours.next(), theirs.next()) {
                (None, None) | (Some("**"), Some(_)) => break true,
                (Some(a), Some(b)) if a == "*" || a == b => {}
                _ => break false,
            }
        };
        is_there
            && self.actions.contains(&action)
            && self.role.is_none_or(|role| roles.contains(&role))
    }
}

struct Policy(Vec<Rule>);

impl Policy {
    fn allows(&self, who: usize, action: &str, channel: &str) -> bool {
        let fits = |rule: &&Rule| rule.fits(PEOPLE[who], action, channel);
        self.0.iter().find(fits).is_some_and(|rule| rule.allows)
    }
}

/// Whoever reads, and how.
#[derive(Debug, Clone)]
struct Reading {
    who: usize,
    transport: Transport,
    name: &'static str,
    since: i64,
}

#[derive(Debug, Default)]
struct Tally {
    received: usize,
    refused: usize,
}

#[test]
fn p7_c9_nobody_receives_what_random_rules_deny() {
    let seeds = if std::env::var_os("WEFT_LONG").is_some() { 300 } else { 12 };
    let mut tally = Tally::default();
    for seed in 0..seeds {
        world(seed, &mut tally);
    }
    println!("{seeds} policies: {tally:?}");
    assert!(tally.received > seeds as usize && tally.refused > seeds as usize, "{tally:?}");
}

fn world(seed: u64, tally: &mut Tally) {
    let chance = &mut Chance::new(seed);
    let mut policy = Policy((0..2 + chance.below(8)).map(|_| Rule::random(chance)).collect());
    if chance.below(3) > 0 {
        // Most is allowed, and what stands before this takes away from it.
        let actions = vec!["subscribe", "publish", "history"];
        policy.0.push(Rule { channel: "/**".to_owned(), actions, role: None, allows: true });
    }
    let rules: String = policy.0.iter().map(Rule::toml).collect();
    // The one who publishes may do everything; everybody may hear that it is over.
    let first = "[[auth.rules]]\nchannels = \"/**\"\nroles = \"root\"\n[[auth.rules]]\n\
                 channels = \"/end\"\nactions = [\"subscribe\", \"history\"]\n";
    let broker = Broker::with(&format!("{}{first}{rules}", auth("")));
    let root = token("root", &["root"]);
    let publish = |token: &str, channel: &str, data: &str| {
        let bearer = format!("Bearer {token}");
        let target = format!("/publish{channel}");
        let request = Request::post(&target, format!("{data:?}")).header("Authorization", &bearer);
        broker.exchange(&request).status
    };
    for channel in CHANNELS {
        assert_eq!(publish(&root, channel, "old"), 200);
    }
    let readings: Vec<Reading> = (0..8)
        .map(|_| Reading {
            who: chance.below(PEOPLE.len()),
            transport: TRANSPORTS[chance.below(TRANSPORTS.len())],
            name: if chance.below(2) == 0 {
                CHANNELS[chance.below(CHANNELS.len())]
            } else {
                PATTERNS[chance.below(PATTERNS.len())]
            },
            since: [NEW, ALL][chance.below(2)],
        })
        .collect();
    let mut open: Vec<_> = readings.iter().map(|reading| begin(&broker, reading)).collect();
    for channel in CHANNELS {
        assert_eq!(publish(&root, channel, "new"), 200);
        let who = chance.below(PEOPLE.len());
        let (subject, roles) = PEOPLE[who];
        let data = format!("by {subject}");
        let went = if chance.below(2) == 0 {
            publish(&token(subject, roles), channel, &data) == 200
        } else {
            let mut client = Client::with_token(&broker, &token(subject, roles));
            client.publish(channel, data)["successful"] == true
        };
        assert_eq!(
            went,
            policy.allows(who, "publish", channel),
            "seed {seed}: {subject} {channel}"
        );
        looks_back(&broker, &policy, who, channel);
    }
    assert_eq!(publish(&root, "/end", "end"), 200);
    for (reading, reader) in readings.iter().zip(&mut open) {
        tally.refused += usize::from(reader.is_refused());
        for Event { channel, data, .. } in reader.rest() {
            tally.received += 1;
            let may = |action| policy.allows(reading.who, action, &channel);
            assert!(may("subscribe"), "seed {seed}: {reading:?} got {channel} {data}\n{rules}");
            if data == "\"old\"" {
                assert!(may("history"), "seed {seed}: {reading:?} got {channel} {data}\n{rules}");
            }
        }
    }
}

/// `/history` shows what may be seen, and nothing else.
fn looks_back(broker: &Broker, policy: &Policy, who: usize, channel: &str) {
    let (subject, roles) = PEOPLE[who];
    let bearer = format!("Bearer {}", token(subject, roles));
    let request = Request::get(&format!("/history{channel}")).header("Authorization", &bearer);
    let expected = if policy.allows(who, "history", channel) { 200 } else { 403 };
    assert_eq!(broker.exchange(&request).status, expected, "{subject} {channel}");
}

/// Somebody who reads, or was not let.
enum Reader<'b> {
    Refused,
    Session(Box<dyn weft_tests::transports::Session + 'b>),
    Stream(Stream, Transport),
}

fn begin<'b>(broker: &'b Broker, reading: &Reading) -> Reader<'b> {
    let Reading { who, transport, name, since } = *reading;
    let (subject, roles) = PEOPLE[who];
    let token = token(subject, roles);
    if let Some(path) = match transport {
        Transport::Events => Some("/events"),
        Transport::Stream => Some("/stream"),
        _ => None,
    } {
        let target = format!("{path}?channel={name}&channel=/end&since={since}");
        let bearer = format!("Bearer {token}");
        let request = Request::get(&target).header("Authorization", &bearer);
        return match Stream::try_ask(broker, &request) {
            Ok(stream) => Reader::Stream(stream, transport),
            Err(_) => Reader::Refused,
        };
    }
    let mut session = transport.session(broker, &json!({"token": token}));
    let end = session.ask("/meta/subscribe", json!({"subscription": "/end"}));
    assert_eq!(end["successful"], true, "{end}");
    let fields = json!({"subscription": name, "ext": {"replay": {name: since}}});
    let reply = session.ask("/meta/subscribe", fields);
    if reply["successful"] == true { Reader::Session(session) } else { Reader::Refused }
}

impl Reader<'_> {
    fn is_refused(&self) -> bool {
        matches!(self, Self::Refused)
    }

    /// All that comes until it is over.
    fn rest(&mut self) -> Vec<Event> {
        let mut all: Vec<Event> = Vec::new();
        let is_over = |all: &[Event]| all.iter().any(|event| event.channel == "/end");
        match self {
            Self::Refused => {}
            Self::Session(session) => {
                while !is_over(&all) {
                    all.extend(session.next().events);
                }
            }
            Self::Stream(stream, transport) => {
                while !is_over(&all) {
                    all.extend(published(stream, *transport));
                }
            }
        }
        all.retain(|event| event.channel != "/end");
        all
    }
}

fn published(stream: &mut Stream, transport: Transport) -> Option<Event> {
    let block = stream.block().expect("a stream goes on");
    let text = match transport {
        Transport::Events => block.lines().find_map(|line| line.strip_prefix("data: "))?.to_owned(),
        _ => block,
    };
    let value: Value = serde_json::from_str(text.trim()).ok()?;
    let channel = value.get("channel")?.as_str()?.to_owned();
    Some(Event { channel, data: value["data"].to_string(), position: None, ext: Value::Null })
}
