//! Sessions that come while thousands of messages are published, on threads of their own.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use weft_broker::core::held::Wakes;
use weft_broker::core::options::Options;
use weft_broker::core::publishing::{Publication, Publishing};
use weft_broker::core::rules::Durability;
use weft_persistence::Submit;

use super::common::Chance;
use super::rig::{Client, Ledger, Rig, TINY, name, options, rule, rules, wait};

const CHANNELS: [&str; 4] = ["/interval/a", "/interval/b", "/sync/a", "/memory/a"];
const PATTERNS: [&str; 7] =
    ["/interval/a", "/interval/b", "/sync/a", "/memory/a", "/interval/*", "/sync/**", "/**"];
const PUBLISHERS: usize = 3;
const EACH: usize = 1_000;
const READERS: usize = 3;
const SESSIONS: usize = 6;

/// One run's circumstances.
#[derive(Debug, Clone, Copy)]
struct Case {
    seed: u64,
    tiny: bool,
    /// Whether publishers outrun the store, so that memory must let go of what is not stored yet.
    outrun: bool,
    response_bytes: usize,
    interval_ms: u64,
}

impl Case {
    fn draw(seed: u64, tiny: bool, outrun: bool) -> Self {
        let mut chance = Chance::new(seed);
        Self {
            seed,
            tiny,
            outrun,
            response_bytes: [1_000, 10_000, 1 << 20][chance.below(3)],
            interval_ms: [1, 5, 20][chance.below(3)],
        }
    }
}

/// Where a session began.
#[derive(Debug)]
struct Reader {
    pattern: &'static str,
    from: i64,
    client: Client,
}

#[derive(Debug, Default)]
struct Run {
    ledger: Ledger,
    /// Readers that have subscribed with all their sessions.
    ready: AtomicUsize,
    complete: AtomicBool,
}

#[test]
fn whoever_comes_while_thousands_are_published_misses_nothing_and_sees_nothing_twice() {
    for seed in 0..4 {
        run(Case::draw(seed, false, false));
    }
}

#[test]
fn so_it_is_when_memory_is_short() {
    for seed in 0..4 {
        run(Case::draw(seed, true, false));
    }
}

#[test]
fn whoever_reads_while_memory_lets_go_of_what_is_not_stored_yet_is_told() {
    for seed in 0..4 {
        run(Case::draw(seed, true, true));
    }
}

fn run(case: Case) {
    let rules =
        rules(&[("/sync/**", rule(Durability::Sync)), ("/memory/**", rule(Durability::Memory))]);
    let mut options = Options { response_bytes: case.response_bytes, ..options(rules) };
    if case.tiny {
        options.past = TINY;
    }
    let rig = Rig::new(options, Duration::from_millis(case.interval_ms));
    let run = Run::default();
    let readers: Vec<Reader> = thread::scope(|scope| {
        let (rig, run) = (&rig, &run);
        let publishers: Vec<_> = (0..PUBLISHERS)
            .map(|n| scope.spawn(move || publish_many(rig, run, case, n as u64)))
            .collect();
        let readers: Vec<_> = (0..READERS)
            .map(|n| scope.spawn(move || read_many(rig, run, case, n as u64)))
            .collect();
        publishers.into_iter().for_each(|publisher| publisher.join().expect("published"));
        while run.ready.load(Ordering::Acquire) < READERS {
            thread::yield_now();
        }
        for channel in CHANNELS {
            run.ledger.note(channel, rig.publish_durably(channel));
        }
        run.complete.store(true, Ordering::Release);
        readers.into_iter().flat_map(|reader| reader.join().expect("read")).collect()
    });
    for reader in &readers {
        for channel in CHANNELS {
            check(case, &run.ledger, reader, channel);
        }
    }
    rig.broker.audit().unwrap_or_else(|error| panic!("{case:?}: {error:?}"));
}

fn publish_many(rig: &Rig, run: &Run, case: Case, n: u64) {
    let mut chance = Chance::new(case.seed << 8 | n);
    let mut pending: VecDeque<(&'static str, Publishing)> = VecDeque::new();
    for at in 0..EACH {
        while !case.outrun && rig.writer.queued() > 15 {
            thread::yield_now();
        }
        let channel = CHANNELS[chance.below(CHANNELS.len())];
        let durable = chance.below(50) == 0;
        let publication = Publication { durable, ..Publication::new(name(channel), "1") };
        match rig.broker.publish(&publication, &mut Wakes::default()).expect("room") {
            Publishing::Done(published) => run.ledger.note(channel, published.position),
            awaited @ Publishing::Pending(_) => pending.push_back((channel, awaited)),
        }
        let left = if at + 1 == EACH { 0 } else { 5 };
        while pending.len() > left {
            let (channel, awaited) = pending.pop_front().expect("one");
            run.ledger.note(channel, wait(awaited).expect("stored").position);
        }
    }
}

fn read_many(rig: &Rig, run: &Run, case: Case, n: u64) -> Vec<Reader> {
    let mut chance = Chance::new(case.seed << 8 | 0x80 | n);
    let mut readers: Vec<Reader> = Vec::new();
    while readers.len() < SESSIONS {
        for _ in 0..chance.below(100) {
            for reader in &mut readers {
                reader.client.poll(&rig.broker);
            }
            thread::yield_now();
        }
        let pattern = PATTERNS[chance.below(PATTERNS.len())];
        // A channel's number is one of its own; a pattern's may be any channel's.
        let own = CHANNELS.iter().find(|channel| **channel == pattern);
        let channel = own.unwrap_or_else(|| &CHANNELS[chance.below(CHANNELS.len())]);
        let picked = run.ledger.pick(channel, &mut chance);
        let number = if chance.below(4) == 0 { Some(-2) } else { picked };
        let Some(number) = number else { continue };
        let client = Client::subscribed(&rig.broker, pattern, Some(number));
        readers.push(Reader { pattern, from: number.max(0), client });
    }
    run.ready.fetch_add(1, Ordering::Release);
    while !run.complete.load(Ordering::Acquire) {
        for reader in &mut readers {
            reader.client.poll(&rig.broker);
        }
    }
    for reader in &mut readers {
        reader.client.drain(&rig.broker);
    }
    readers
}

fn check(case: Case, ledger: &Ledger, reader: &Reader, channel: &str) {
    let Reader { pattern, from, client } = reader;
    let means = weft_protocol::Pattern::parse(pattern, &weft_protocol::ChannelLimits::default())
        .expect("a pattern")
        .matches(name(channel));
    let seen = client.seen(channel);
    let about = format!("{case:?}, {pattern} from {from}, {channel}; gaps {:?}", client.gaps);
    assert!(means || seen.is_empty(), "not asked for: {about}");
    if !means {
        return;
    }
    assert!(seen.is_sorted_by(|a, b| a < b), "twice or out of order: {about}");
    let all = ledger.after(channel, *from);
    assert_eq!(seen.last(), all.last(), "the end is missing: {about}");
    if channel == *pattern {
        assert!(seen.first() > Some(from), "older than asked for: {about}");
    }
    let missing: Vec<i64> =
        all.into_iter().filter(|position| seen.binary_search(position).is_err()).collect();
    // Whoever asks for all there is gets what is kept, and is told of what goes while it reads.
    let begun = if *from == 0 { seen[0] } else { 0 };
    for position in &missing {
        let untold = *position > begun && !client.was_told(channel, *position);
        assert!(!untold, "{position} of {} is missing, untold: {about}", missing.len());
    }
    let may_go = case.tiny && (case.outrun || channel.starts_with("/memory"));
    assert!(missing.is_empty() || may_go, "{} are missing: {about}", missing.len());
    // A pattern starts a little earlier than asked, maybe before the start of the broker.
    let told = client.gaps.iter().any(|gap| &*gap.channel == channel && gap.to > *from);
    assert!(!told || may_go, "told a gap where nothing is missing: {about}");
}
