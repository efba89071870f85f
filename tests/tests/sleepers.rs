//! Sessions that subscribe and then stay away while much is published: they cost disk, not memory.
//! Once they are back they read what the backlog keeps, and are told exactly what it does not (P4, P5).
//!
//! `WEFT_LONG=1 cargo test --release -p weft-tests --test sleepers -- --ignored --nocapture`

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::{Value, json};
use weft_tests::api::kept_positions;
use weft_tests::bayeux::{Client, events_and_reply, ok};
use weft_tests::broker::Broker;
use weft_tests::heard::Heard;
use weft_tests::lines;
use weft_tests::process::{memory, peak_memory};

const SLEEPERS: usize = 200;
/// What waits for one at most, in messages.
const QUEUE: usize = 1_000;
/// What each may cost the broker: its session, and `QUEUE` entries without the messages.
const BYTES_PER_SLEEPER: u64 = 32 << 10;
/// A message that waits, and an entry of a queue, as `weft_frame_bytes` counts them.
const BYTES_PER_MESSAGE: usize = 400;
const BYTES_PER_ENTRY: usize = 16;
/// What two runs may differ by in any case, by where the allocator happens to put things.
const NOISE: u64 = 24 << 20;
/// They sleep without a sign of life, and see soon that nothing more comes.
const CONFIG: &str = "[sessions]\nmax_interval = \"1h\"\ntimeout = \"2s\"\n\
                      [limits]\nqueue_messages = 1000\n";

/// Messages that are published before the store is waited for.
const PART: usize = 20_000;

/// What is published, and where.
#[derive(Debug, Clone, Copy)]
struct Load {
    /// Rules for channels.
    rules: &'static str,
    channels: &'static [&'static str],
    /// How many messages pass while all sleep.
    asleep: usize,
    /// How many more pass while they wake.
    waking: usize,
}

const KEPT: Load = Load {
    rules: "[[channels]]\npattern = \"/kept/long\"\nbacklog = { messages = 2000 }\n",
    channels: &["/kept/a", "/kept/b", "/kept/c", "/kept/long"],
    asleep: 100_000,
    waking: 0,
};

const NONE: Load = Load {
    rules: "[[channels]]\npattern = \"/none/*\"\nbacklog = { messages = 0 }\n",
    channels: &["/none/a", "/none/b"],
    ..KEPT
};

/// By channel, what each message's position is; a message's data begins with its place in this list.
type Published = BTreeMap<&'static str, Vec<i64>>;

impl Load {
    fn start(&self) -> Broker {
        Broker::with(&format!("{CONFIG}{}", self.rules))
    }

    /// Publishes what passes while all sleep. The store keeps up, so that what waits to be written
    /// takes no memory of another size in each run.
    fn publish_slowly(&self, broker: &Broker) -> Published {
        let mut published = Published::new();
        for start in (0..self.asleep).step_by(PART) {
            broker.wait_metric("weft_store_queued_records", |queued| queued == 0.0);
            self.publish(broker, start..self.asleep.min(start + PART), &mut published);
        }
        published
    }

    /// Publishes to all channels in turn.
    fn publish(&self, broker: &Broker, messages: Range<usize>, published: &mut Published) {
        let (channels, padding) = (self.channels, "x".repeat(100));
        let line = |n: usize| {
            let (channel, number) = (channels[n % channels.len()], n / channels.len());
            format!("{{\"channel\":\"{channel}\",\"data\":[{number},\"{padding}\"]}}")
        };
        let mut n = messages.start;
        lines::publish(broker, messages.clone().map(line), |answer| {
            let (_, rest) = answer.split_once("\"position\":").expect("a position");
            let position = rest.split(',').next().and_then(|text| text.parse().ok());
            let list = published.entry(channels[n % channels.len()]).or_default();
            list.push(position.expect("a number"));
            n += 1;
        });
        assert_eq!(n, messages.end, "each is answered");
    }

    /// Every other one wants positions, which only those need who ask for a past themselves.
    fn sleepers<'b>(&self, broker: &'b Broker) -> Vec<Client<'b>> {
        let asleep = |n: usize| {
            let mut client = Client::new(broker);
            ok(&client.handshake_with(json!({"ext": {"replay": n.is_multiple_of(2)}})));
            assert_eq!(client.connect().len(), 1);
            ok(&client.subscribe(self.channels));
            client.disconnect_socket();
            client
        };
        (0..SLEEPERS).map(asleep).collect()
    }

    /// Connects until the newest message of each channel is there, or none has come for a while.
    fn wake(&self, client: &mut Client<'_>) -> BTreeMap<String, Heard> {
        let last = (self.asleep + self.waking) / self.channels.len() - 1;
        let mut heard = BTreeMap::<String, Heard>::new();
        let mut silent = 0;
        while silent < 3
            && heard.values().filter(|heard| heard.ends_with(last)).count() < self.channels.len()
        {
            let (events, reply) = events_and_reply(client.connect());
            ok(&reply);
            for gap in reply["ext"]["weft"]["gap"].as_array().into_iter().flatten() {
                let end = |which: &str| gap[which].as_i64().expect("a position");
                heard.entry(name(gap)).or_default().gaps.push((end("from"), end("to")));
            }
            for event in &events {
                heard.entry(name(event)).or_default().hear(event);
            }
            silent = if events.is_empty() { silent + 1 } else { 0 };
        }
        let (events, reply) = events_and_reply(client.peek());
        assert_eq!((events.len(), reply.pointer("/ext/weft/gap")), (0, None), "{reply}");
        client.disconnect_socket();
        heard
    }
}

fn name(value: &Value) -> String {
    value["channel"].as_str().expect("a channel").to_owned()
}

/// The most memory that was in use, and what the messages in it are long, both in bytes.
fn costs(broker: &Broker) -> (u64, f64) {
    (peak_memory(broker.pid()), broker.metric("weft_frame_bytes"))
}

fn run(load: Load) {
    let without = {
        let broker = load.start();
        load.publish_slowly(&broker);
        costs(&broker)
    };
    let broker = load.start();
    let mut sleepers = load.sleepers(&broker);
    let mut published = load.publish_slowly(&broker);
    let with = costs(&broker);
    let waiting = broker.metric("weft_queue_messages");
    println!(
        "{load:?}: {} kB at most with sleepers, {} kB without; {} kB of messages, {} kB without; \
         {waiting} wait",
        with.0 >> 10,
        without.0 >> 10,
        with.1 / 1e3,
        without.1 / 1e3
    );
    assert!(waiting <= (SLEEPERS * QUEUE) as f64, "{waiting}");
    let bound = SLEEPERS as u64 * BYTES_PER_SLEEPER + NOISE;
    assert!(with.0 <= without.0 + bound, "{} bytes with sleepers, {} without", with.0, without.0);
    // They all wait for the same messages, which are there once, and have an entry of each queue.
    let bound = QUEUE * BYTES_PER_MESSAGE + SLEEPERS * QUEUE * BYTES_PER_ENTRY;
    assert!(with.1 <= without.1 + bound as f64, "{with:?} {without:?}");

    let begun = weft_tests::wait::now();
    let heard: Vec<_> = std::thread::scope(|scope| {
        let wake = |some: &mut [Client<'_>]| {
            some.iter_mut().map(|client| load.wake(client)).collect::<Vec<_>>()
        };
        let some = sleepers.chunks_mut(SLEEPERS / 4);
        let threads: Vec<_> = some.map(|some| scope.spawn(move || wake(some))).collect();
        load.publish(&broker, load.asleep..load.asleep + load.waking, &mut published);
        threads.into_iter().flat_map(|thread| thread.join().expect("all awake")).collect()
    });
    let events: usize =
        heard.iter().flat_map(BTreeMap::values).map(|heard| heard.messages.len()).sum();
    let gaps: usize = heard.iter().flat_map(BTreeMap::values).map(|heard| heard.gaps.len()).sum();
    println!(
        "all are awake after {:?}: {events} events, {gaps} gaps, {} kB",
        begun.elapsed(),
        memory(broker.pid()) >> 10
    );
    let kept: BTreeMap<&str, Vec<i64>> =
        load.channels.iter().map(|channel| (*channel, kept_positions(&broker, channel))).collect();
    for (n, mut heard) in heard.into_iter().enumerate() {
        for channel in load.channels {
            let heard = heard.remove(*channel).unwrap_or_default();
            let mut positions = heard.messages.iter().map(|(_, position)| position.is_some());
            assert!(positions.all(|told| told == n.is_multiple_of(2)), "{channel}");
            heard.check(channel, &published[channel], &kept[channel]);
        }
        assert!(heard.is_empty(), "other channels: {heard:?}");
    }
    assert_eq!(broker.metric("weft_queue_messages"), 0.0);
}

#[test]
fn p4_p5_sleepers_cost_no_memory_and_wake_to_all_that_is_kept() {
    run(KEPT);
}

#[test]
fn p4_p5_sleepers_wake_to_all_that_is_kept_while_more_is_published() {
    run(Load { waking: 40_000, ..KEPT });
}

#[test]
fn p2_p5_sleepers_miss_nothing_where_all_is_kept_though_their_queues_were_full() {
    run(Load { asleep: 3_600, ..KEPT });
}

#[test]
fn p4_p5_sleepers_on_channels_that_keep_nothing_wake_to_the_newest() {
    run(NONE);
}

#[test]
fn p4_p5_sleepers_on_channels_that_keep_nothing_wake_while_more_is_published() {
    run(Load { waking: 40_000, ..NONE });
}

#[test]
#[ignore = "the long form: WEFT_LONG"]
fn p4_p5_sleepers_cost_no_memory_while_five_million_messages_pass() {
    run(Load {
        rules: "[[channels]]\npattern = \"/kept/long\"\nbacklog = { messages = 20000 }\n",
        channels: &["/kept/a", "/kept/b", "/kept/c", "/kept/d", "/kept/long"],
        asleep: 5_000_000,
        waking: 500_000,
    });
}
