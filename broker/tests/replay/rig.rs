//! A broker over a store in memory, with sessions that poll, and what they have seen.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use weft_broker::core::broker::{Broker, Origin, Wishes};
use weft_broker::core::channels::{PastLimits, Store};
use weft_broker::core::clock::{Clock, SystemClock};
use weft_broker::core::held::Wakes;
use weft_broker::core::id::SessionId;
use weft_broker::core::options::{Options, QueueLimits};
use weft_broker::core::proof::{Carrier, ConnectRequest};
use weft_broker::core::publishing::{Commit, Publication, Published, Publishing};
use weft_broker::core::rules::{Durability, Rule, Rules};
use weft_broker::core::session::SessionHandle;
use weft_broker::core::settling::Settler;
use weft_broker::core::stats::Stats;
use weft_broker::limits::Payer;
use weft_persistence::{
    Backlog, Memory, MemoryLimits, Policy, Retention, Submit, Writer, WriterOptions,
};
use weft_protocol::{ChannelLimits, ChannelName, Error, Gap, Replay};

use super::common::Chance;

/// A rule that keeps all, so safely.
pub(crate) fn rule(durability: Durability) -> Rule {
    Rule { keep: Retention::ALL, durability, ..Rule::default() }
}

pub(crate) fn rules(list: &[(&str, Rule)]) -> Rules {
    let fallback = rule(Durability::Interval);
    Rules::new(list.iter().map(|(pattern, rule)| ((*pattern).to_owned(), *rule)), fallback)
}

/// Queues without bounds: what is tested is the join, not overflow.
pub(crate) fn options(rules: Rules) -> Options {
    Options {
        held_per_browser: None,
        queue: QueueLimits { messages: 1_000_000, bytes: 1 << 30 },
        max_interval: Duration::from_secs(3_600),
        rules,
        ..Options::default()
    }
}

/// Memory so short that most of the past is the store's alone.
pub(crate) const TINY: PastLimits = PastLimits { bytes: 20_000, channels: 100 };

#[derive(Debug)]
struct Keeping(Rules);

impl Policy for Keeping {
    fn retention(&self, channel: &str) -> Retention {
        self.0.of(name(channel)).keep
    }

    fn now_us(&self) -> i64 {
        SystemClock.wall_us()
    }
}

/// A broker whose store is written by the real writer.
#[derive(Debug)]
pub(crate) struct Rig {
    pub(crate) broker: Arc<Broker>,
    pub(crate) writer: Arc<Writer<Commit>>,
}

impl Rig {
    pub(crate) fn new(options: Options, interval: Duration) -> Self {
        let backlog: Arc<dyn Backlog> = Arc::new(Memory::new(MemoryLimits::default()));
        let settler = Settler::default();
        let pace = WriterOptions { interval, ..pace() };
        let policy = Arc::new(Keeping(options.rules.clone()));
        let writer = Writer::start(Arc::clone(&backlog), pace, policy, settler.clone());
        let writer = Arc::new(writer.expect("a thread"));
        let submit: Arc<dyn Submit<Commit>> = Arc::<Writer<Commit>>::clone(&writer);
        let store = Some(Store { backlog, writer: submit });
        let broker = broker(options, Arc::new(SystemClock), Origin { store, ..Origin::default() });
        settler.attach(&broker);
        Self { broker, writer }
    }

    /// Publishes, and waits until it is on disk.
    pub(crate) fn publish_durably(&self, channel: &str) -> i64 {
        let publication = Publication { durable: true, ..Publication::new(name(channel), "1") };
        let publishing = self.broker.publish(&publication, &mut Wakes::default());
        wait(publishing.expect("room")).expect("stored").position
    }
}

fn pace() -> WriterOptions {
    WriterOptions {
        interval: Duration::from_millis(5),
        batch_records: 500,
        queue_records: 100_000,
        queue_bytes: 64 << 20,
        kept_records: 100_000,
        kept_bytes: 64 << 20,
        retry: Duration::from_millis(10),
        marks_window: Duration::from_secs(600),
        marks_max: 1_000_000,
    }
}

pub(crate) fn broker(options: Options, clock: Arc<dyn Clock>, origin: Origin) -> Arc<Broker> {
    let stats = Stats::register(&prometheus::Registry::new()).expect("fresh registry");
    Broker::new(options, stats, clock, origin)
}

/// Waits for an outcome on this thread.
pub(crate) fn wait(publishing: Publishing) -> Result<Published, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(publishing.outcome())
}

pub(crate) fn name(text: &str) -> ChannelName<'_> {
    ChannelName::parse(text, &ChannelLimits::default()).expect("a name")
}

/// Publishes to a channel that waits for nothing.
pub(crate) fn publish(broker: &Broker, channel: &str) -> i64 {
    let publication = Publication::new(name(channel), "1");
    match broker.publish(&publication, &mut Wakes::default()).expect("room") {
        Publishing::Done(published) => published.position,
        Publishing::Pending(_) => panic!("{channel} waits for the disk"),
    }
}

/// A session, and all that it was told.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) session: Arc<SessionHandle>,
    connects: u64,
    pub(crate) seen: BTreeMap<String, Vec<i64>>,
    pub(crate) gaps: Vec<Gap>,
}

impl Client {
    pub(crate) fn new(broker: &Broker) -> Self {
        let id = SessionId::random().expect("entropy");
        broker.handshake(id, Wishes::default()).expect("room");
        let session = broker.find(Some(id.as_str()), None, None).expect("it lives");
        Self { session, connects: 0, seen: BTreeMap::new(), gaps: Vec::new() }
    }

    /// A session that subscribes, from a replay number on if one is given.
    pub(crate) fn subscribed(broker: &Broker, pattern: &str, from: Option<i64>) -> Self {
        let mut client = Self::new(broker);
        client.subscribe(broker, pattern, from);
        client
    }

    pub(crate) fn subscribe(&mut self, broker: &Broker, pattern: &str, from: Option<i64>) {
        let ext = from.map(|from| {
            let ext = serde_json::json!({ "replay": { pattern: from } });
            serde_json::value::to_raw_value(&ext).expect("JSON")
        });
        let replay = ext.as_deref().map(|ext| Replay::read(ext).expect("a replay"));
        let patterns = [Cow::Borrowed(pattern)];
        let told =
            broker.subscribe(&self.session, &patterns, replay.as_ref(), &mut Wakes::default());
        self.gaps.extend(told.expect("room"));
    }

    /// One connect and its answer; says how many messages came.
    pub(crate) fn poll(&mut self, broker: &Broker) -> usize {
        self.connects += 1;
        let id = self.connects.to_string();
        let connect = ConnectRequest {
            arrived: broker.clock().now(),
            id: Some(&id),
            alone: true,
            advice: None,
            ack: None,
            carrier: Carrier::Poll,
            holds_up: true,
            payer: Payer::default(),
        };
        let received = broker.receive_connect(&self.session, &connect).expect("it lives");
        let batch = broker.answer_connect(&self.session, received, Some(&id), false).batch;
        for frame in &batch.frames {
            self.seen.entry(frame.channel().to_owned()).or_default().push(frame.position());
        }
        self.gaps.extend(batch.gaps);
        batch.frames.len()
    }

    /// Polls until nothing comes any more.
    pub(crate) fn drain(&mut self, broker: &Broker) {
        while self.poll(broker) > 0 {}
    }

    pub(crate) fn seen(&self, channel: &str) -> &[i64] {
        self.seen.get(channel).map_or(&[], Vec::as_slice)
    }

    /// Whether it was told that this message may be missing.
    pub(crate) fn was_told(&self, channel: &str, position: i64) -> bool {
        self.gaps.iter().any(|gap| {
            let pattern = weft_protocol::Pattern::parse(&gap.channel, &ChannelLimits::default());
            gap.from < position
                && position <= gap.to
                && pattern.expect("a pattern").matches(name(channel))
        })
    }
}

/// All that was published, by channel, in the order of positions.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<BTreeMap<&'static str, Vec<i64>>>);

impl Ledger {
    pub(crate) fn note(&self, channel: &'static str, position: i64) {
        let mut all = self.0.lock();
        let list = all.entry(channel).or_default();
        let at = list.partition_point(|&other| other < position);
        list.insert(at, position);
    }

    /// All of a channel after a position.
    pub(crate) fn after(&self, channel: &str, after: i64) -> Vec<i64> {
        let all = self.0.lock();
        let list = all.get(channel).map_or(&[][..], Vec::as_slice);
        list[list.partition_point(|&position| position <= after)..].to_vec()
    }

    /// Some position that was published to the channel, if any was.
    pub(crate) fn pick(&self, channel: &str, chance: &mut Chance) -> Option<i64> {
        let all = self.0.lock();
        let list = all.get(channel)?;
        Some(list[chance.below(list.len())])
    }
}
