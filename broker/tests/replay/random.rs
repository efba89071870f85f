//! The core and its store through random steps of one seed: publications to channels of every rule,
//! commits at any moment, readers that come, poll and come again from where they were, clocks that
//! step, and stops, clean or not. Whatever the steps, a reader gets each message that came after its
//! number, once and in order, or is told that it may be missing.
//!
//! `WEFT_REPLAY_SEEDS=n` changes how many seeds run, `WEFT_REPLAY_SEED=n` runs one alone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use weft_broker::core::channels::PastLimits;
use weft_broker::core::options::Options;
use weft_broker::core::publishing::Publishing;
use weft_broker::core::rules::{Durability, Rule};
use weft_persistence::{Backlog, Retention};

use super::common::disk::Disk;
use super::common::{Chance, VirtualClock};
use super::life::Life;
use super::rig::{Client, TINY, name, options, rule, rules};

const CHANNELS: [&str; 8] = [
    "/interval/a",
    "/interval/b",
    "/sync/a",
    "/memory/a",
    "/few/a",
    "/none/a",
    "/off/a",
    "/last/a",
];
const PATTERNS: [&str; 5] = ["/interval/*", "/**", "/last/**", "/none/*", "/*/a"];
const READERS: usize = 5;

fn keeping(chance: &mut Chance) -> Options {
    let interval = rule(Durability::Interval);
    let few = Retention { messages: 5, ..Retention::ALL };
    let none = Retention { messages: 0, ..Retention::ALL };
    let rules = rules(&[
        ("/sync/**", rule(Durability::Sync)),
        ("/memory/**", rule(Durability::Memory)),
        ("/few/**", Rule { keep: few, ..interval }),
        ("/none/**", Rule { keep: none, ..interval }),
        ("/off/**", Rule { replay: false, ..interval }),
        ("/last/**", Rule { retain_last: true, ..interval }),
    ]);
    let usual = options(rules);
    let past = [usual.past, TINY, PastLimits { bytes: 4_000, channels: 4 }][chance.below(3)];
    let response_bytes = if chance.percent(50) { 120 } else { usual.response_bytes };
    Options { past, response_bytes, ..usual }
}

/// Someone who reads one name over many sessions.
#[derive(Debug)]
struct Reader {
    name: &'static str,
    client: Client,
    /// Where each channel's obligations begin, in this session.
    since: BTreeMap<&'static str, i64>,
    /// Whether a session's channels never come twice: numbers of patterns start earlier.
    began_at_number: bool,
}

impl Reader {
    fn means(&self, channel: &str) -> bool {
        let limits = weft_protocol::ChannelLimits::default();
        let pattern = weft_protocol::Pattern::parse(self.name, &limits);
        pattern.is_ok_and(|pattern| pattern.matches(name(channel)))
    }

    /// The highest position of all that it has seen.
    fn highest(&self) -> Option<i64> {
        self.client.seen.values().filter_map(|seen| seen.last()).max().copied()
    }
}

struct World {
    chance: Chance,
    clock: Arc<VirtualClock>,
    backlog: Arc<Disk>,
    options: Options,
    life: Life,
    doubt: i64,
    pending: Vec<(&'static str, Publishing)>,
    /// What was handed out, by channel.
    out: BTreeMap<&'static str, Vec<i64>>,
    highest: i64,
    readers: Vec<Reader>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let clock = VirtualClock::new();
        let backlog = Disk::new();
        let options = keeping(&mut chance);
        let life =
            Life::begin(&backlog, options.clone(), Arc::<VirtualClock>::clone(&clock), (0, 0));
        Self {
            chance,
            clock,
            backlog,
            options,
            life,
            doubt: 0,
            pending: Vec::new(),
            out: BTreeMap::new(),
            highest: 0,
            readers: Vec::new(),
        }
    }

    fn step(&mut self) {
        match self.chance.below(100) {
            0..40 => self.publish(),
            40..60 => self.commit(),
            60..70 => self.come(),
            70..94 => self.poll(),
            94..97 => self.clock.advance(Duration::from_millis(self.chance.next() % 5_000)),
            97 => self.clock.step_wall(
                i64::try_from(self.chance.next() % 7_200_000_000).expect("small") - 3_600_000_000,
            ),
            98 => self.stop(false),
            _ => self.stop(true),
        }
        self.life.broker.audit().expect("the books are right");
    }

    fn publish(&mut self) {
        for _ in 0..=self.chance.below(4) {
            let channel = CHANNELS[self.chance.below(CHANNELS.len())];
            let publishing = self.life.publish(channel, None);
            self.pending.push((channel, publishing));
        }
        self.note();
    }

    /// Notes what was handed out.
    fn note(&mut self) {
        let (out, highest) = (&mut self.out, &mut self.highest);
        self.pending.retain_mut(|(channel, publishing)| match publishing.poll() {
            None => true,
            Some(outcome) => {
                let position = outcome.expect("stored").position;
                let positions = out.entry(*channel).or_default();
                assert!(
                    positions.last().is_none_or(|last| *last < position),
                    "{channel}: {position}"
                );
                positions.push(position);
                *highest = position.max(*highest);
                false
            }
        });
    }

    fn commit(&mut self) {
        let jobs = if self.chance.percent(20) { usize::MAX } else { self.chance.below(8) };
        self.life.commit(jobs);
        for channel in CHANNELS {
            let keep = self.options.rules.of(name(channel)).keep;
            self.backlog.trim(channel, &keep, 0).expect("open");
        }
        self.note();
    }

    /// A reader comes for the first time, or one comes again from where it was.
    fn come(&mut self) {
        if self.readers.len() < READERS {
            let wild = self.chance.percent(40);
            let name = if wild {
                PATTERNS[self.chance.below(PATTERNS.len())]
            } else {
                CHANNELS[self.chance.below(CHANNELS.len())]
            };
            let last = self.life.broker.last_position();
            let known =
                self.out.get(name).and_then(|out| out.get(self.chance.below(out.len().max(1))));
            let number = match (self.chance.below(5), known) {
                (0, _) => None,
                (1, _) => Some(-1),
                (2, Some(position)) => Some(*position),
                (3, _) => Some(last + 1_000_000),
                _ => Some(7),
            };
            self.enter(name, number);
        } else {
            let who = self.chance.below(self.readers.len());
            let reader = self.readers.swap_remove(who);
            self.check(&reader, false);
            let number = reader.highest();
            self.enter(reader.name, number);
        }
    }

    fn enter(&mut self, name: &'static str, number: Option<i64>) {
        let last = self.life.broker.last_position();
        let since = number.filter(|number| *number >= 0).map_or(last, |number| number.min(last));
        let client = Client::subscribed(&self.life.broker, name, number);
        let began_at_number = number.is_some_and(|number| number >= 0);
        let mut reader = Reader { name, client, since: BTreeMap::new(), began_at_number };
        for channel in CHANNELS {
            if reader.means(channel) {
                reader.since.insert(channel, since);
            }
        }
        self.readers.push(reader);
    }

    fn poll(&mut self) {
        if self.readers.is_empty() {
            return;
        }
        let who = self.chance.below(self.readers.len());
        self.readers[who].client.poll(&self.life.broker);
    }

    /// What a reader has seen is right so far; if it has read to the end, it is all there is.
    fn check(&self, reader: &Reader, to_the_end: bool) {
        for (&channel, &since) in &reader.since {
            let seen = reader.client.seen(channel);
            assert!(seen.is_sorted_by(|a, b| a < b), "{channel} to {reader:?}");
            let out = self.out.get(channel).map_or(&[][..], Vec::as_slice);
            let newest = if to_the_end { i64::MAX } else { seen.last().copied().unwrap_or(0) };
            for &position in out.iter().filter(|position| (since + 1..=newest).contains(*position))
            {
                assert!(
                    seen.contains(&position) || reader.client.was_told(channel, position),
                    "{channel} {position} since {since} is missing: {reader:?}"
                );
            }
            // A pattern's number starts earlier, a last value stands before the rest, and what awaited
            // the disk has an older number than when it came out.
            let before = seen.iter().filter(|position| **position <= since).count();
            let last = self.options.rules.of(name(channel)).retain_last;
            let wild = reader.name.contains('*') && reader.began_at_number;
            let awaited = channel.starts_with("/sync");
            assert!(
                wild || awaited || before <= usize::from(last),
                "{channel} comes again: {reader:?}"
            );
        }
    }

    /// Ends this life, and begins the next: what was not committed is gone if the stop is not clean.
    fn stop(&mut self, clean: bool) {
        if clean {
            self.life.commit(usize::MAX);
            self.note();
        }
        for reader in &self.readers {
            self.check(reader, false);
        }
        let last = self.life.broker.last_position();
        self.pending.clear();
        self.doubt = if clean { self.doubt } else { last + 10_000_000 };
        let floor = last.max(self.doubt);
        let clock = Arc::<VirtualClock>::clone(&self.clock);
        self.life = Life::begin(&self.backlog, self.options.clone(), clock, (floor, self.doubt));
        for reader in std::mem::take(&mut self.readers) {
            let number = reader.highest();
            self.enter(reader.name, number);
        }
    }

    /// All that is under way arrives.
    fn settle(&mut self) {
        self.life.commit(usize::MAX);
        self.note();
        for mut reader in std::mem::take(&mut self.readers) {
            reader.client.drain(&self.life.broker);
            self.check(&reader, true);
        }
        self.life.broker.audit().expect("the books are right");
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn x2_p4_whatever_happens_a_reader_gets_all_after_its_number_once_or_is_told() {
    let alone = number("WEFT_REPLAY_SEED", 0);
    let seeds = number("WEFT_REPLAY_SEEDS", 200);
    for seed in if alone > 0 { alone..=alone } else { 1..=seeds } {
        // A failure names its seed.
        let run = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            for _ in 0..300 {
                world.step();
            }
            world.settle();
        });
        assert!(run.is_ok(), "seed {seed} failed");
    }
}
