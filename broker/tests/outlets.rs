//! One client that moves between sockets and polls through random steps of a seed, over wires that
//! break at any moment: whatever the steps, it sees every message of a channel in order, none is
//! missing, and what a pong proved never comes again (decisions section 4).
//!
//! `WEFT_OUTLET_SEED=n` runs one seed alone.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use weft_broker::core::broker::{Broker, Origin, Wishes};
use weft_broker::core::clock::Clock;
use weft_broker::core::connect::{Connected, Received};
use weft_broker::core::frame::Frame;
use weft_broker::core::held::Wakes;
use weft_broker::core::id::SessionId;
use weft_broker::core::options::{Options, QueueLimits, ResponseLimits};
use weft_broker::core::outlet::{Mark, Outlet, OutletKind, Push};
use weft_broker::core::proof::{Carrier, ConnectRequest};
use weft_broker::core::publishing::Publication;
use weft_broker::core::rules::{Durability, Rule, Rules};
use weft_broker::core::session::SessionHandle;
use weft_broker::core::stats::Stats;
use weft_broker::limits::Payer;
use weft_protocol::{ChannelLimits, ChannelName};

use self::common::{Chance, VirtualClock};

mod common;

const CHANNELS: [&str; 3] = ["/a", "/b", "/c"];
const LIMITS: ResponseLimits = ResponseLimits { messages: 3, bytes: 1 << 20 };
/// As the transport does, no more is under way unproven than fits the queue.
const WINDOW: usize = 8;

/// What is under way on a socket.
enum Item {
    Event(Frame),
    Ping(Mark),
}

/// A socket: both directions, in order.
struct Wire {
    outlet: Outlet,
    out: VecDeque<Item>,
    /// How many of each channel the client had seen to the end by this wire.
    here: BTreeMap<String, usize>,
    /// With what that was when the client answered.
    pongs: VecDeque<(Mark, BTreeMap<String, usize>)>,
    unproven: usize,
}

struct World {
    chance: Chance,
    clock: Arc<VirtualClock>,
    broker: Arc<Broker>,
    session: Arc<SessionHandle>,
    wire: Option<Wire>,
    connects: u64,
    /// The numbers published, by channel.
    published: BTreeMap<&'static str, Vec<i64>>,
    /// How many of them the client has seen, by channel.
    seen: BTreeMap<String, usize>,
    /// How many of them a pong has proven.
    proven: BTreeMap<String, usize>,
    /// How often it saw a message again.
    repeats: usize,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let clock = VirtualClock::new();
        let spills = chance.percent(50);
        let queue = QueueLimits { messages: if spills { 20 } else { 10_000 }, bytes: 1 << 20 };
        let options = Options {
            queue,
            response_messages: 5,
            rules: Rules::new([], Rule { durability: Durability::Memory, ..Rule::default() }),
            ..Options::default()
        };
        let stats = Stats::register(&prometheus::Registry::new()).expect("fresh registry");
        let broker =
            Broker::new(options, stats, Arc::clone(&clock) as Arc<dyn Clock>, Origin::default());
        let id = SessionId::random().expect("entropy");
        broker.handshake(id, Wishes::default()).expect("room");
        let session = broker.find(Some(id.as_str()), None, None).expect("it lives");
        let patterns = CHANNELS.map(Cow::Borrowed);
        broker.subscribe(&session, &patterns, None, &mut Wakes::default()).expect("room");
        Self {
            chance,
            clock,
            broker,
            session,
            wire: None,
            connects: 0,
            published: BTreeMap::new(),
            seen: BTreeMap::new(),
            proven: BTreeMap::new(),
            repeats: 0,
        }
    }

    fn step(&mut self) {
        self.clock.advance(Duration::from_millis(1));
        match self.chance.below(100) {
            0..35 => self.publish(),
            35..60 => self.push(),
            60..70 => self.ping(),
            70..85 => self.deliver(),
            85..90 => self.hear_pong(),
            90..93 => self.wire = None,
            93..96 => self.open(),
            96..98 => self.heartbeat(),
            _ => self.poll(),
        }
    }

    fn publish(&mut self) {
        let channel = CHANNELS[self.chance.below(CHANNELS.len())];
        let name = ChannelName::parse(channel, &ChannelLimits::default()).expect("a name");
        let mut wakes = Wakes::default();
        self.broker.publish(&Publication::new(name, "1"), &mut wakes).expect("room");
        let position = self.broker.last_position();
        self.published.entry(channel).or_default().push(position);
    }

    fn push(&mut self) {
        let now = self.clock.now();
        let Some(wire) = self.wire.as_mut().filter(|wire| wire.unproven < WINDOW) else { return };
        match wire.outlet.poll(now) {
            Some(Push::Events(pushed)) => {
                assert!(pushed.batch.gaps.is_empty(), "a socket is told of gaps by its connect");
                assert!(pushed.batch.frames.len() <= LIMITS.messages);
                wire.unproven += pushed.batch.frames.len();
                wire.out.extend(pushed.batch.frames.into_iter().map(Item::Event));
            }
            Some(Push::Over(why)) => panic!("{why:?}"),
            None => {}
        }
    }

    fn ping(&mut self) {
        let Some(wire) = &mut self.wire else { return };
        wire.out.push_back(Item::Ping(wire.outlet.mark()));
    }

    /// The client reads.
    fn deliver(&mut self) {
        for _ in 0..self.chance.below(6) {
            let Some(item) = self.wire.as_mut().and_then(|wire| wire.out.pop_front()) else {
                return;
            };
            match item {
                Item::Event(frame) => self.see(&frame),
                Item::Ping(mark) => {
                    let wire = self.wire.as_mut().expect("a wire");
                    wire.pongs.push_back((mark, wire.here.clone()));
                }
            }
        }
    }

    fn see(&mut self, frame: &Frame) {
        let channel = frame.channel().to_owned();
        let all = &self.published[channel.as_str()];
        let at = all.iter().position(|&position| position == frame.position()).expect("published");
        let seen = self.seen.entry(channel.clone()).or_default();
        assert!(at <= *seen, "{channel}: {at} after {seen}: something is missing");
        let proven = self.proven.get(&channel).copied().unwrap_or(0);
        assert!(at >= proven, "{channel}: {at} again, though {proven} are proven");
        self.repeats += usize::from(at < *seen);
        *seen = (*seen).max(at + 1);
        if let Some(wire) = &mut self.wire {
            wire.here.insert(channel, at + 1);
        }
    }

    fn hear_pong(&mut self) {
        let Some(wire) = &mut self.wire else { return };
        let Some((mark, seen)) = wire.pongs.pop_front() else { return };
        wire.outlet.confirm(mark);
        wire.unproven = wire.out.iter().filter(|item| matches!(item, Item::Event(_))).count();
        for (channel, seen) in seen {
            let proven = self.proven.entry(channel).or_default();
            *proven = seen.max(*proven);
        }
    }

    /// A connect, and its id.
    fn receive(&mut self, carrier: Carrier) -> (Received, String) {
        self.connects += 1;
        let id = self.connects.to_string();
        let connect = ConnectRequest {
            arrived: self.clock.now(),
            id: Some(&id),
            alone: true,
            advice: None,
            ack: None,
            carrier,
            holds_up: true,
            payer: Payer::default(),
        };
        (self.broker.receive_connect(&self.session, &connect).expect("it lives"), id)
    }

    fn request(&mut self, carrier: Carrier) -> Connected {
        let (received, id) = self.receive(carrier);
        self.broker.answer_connect(&self.session, received, Some(&id), false)
    }

    /// The client comes by a new socket; the older is gone, or hangs and is given up.
    fn open(&mut self) {
        self.receive(Carrier::Poll);
        let outlet = self.broker.attach(&self.session, OutletKind::Socket, LIMITS);
        // Only now does the older one notice.
        let (out, pongs) = (VecDeque::new(), VecDeque::new());
        self.wire = Some(Wire { outlet, out, here: BTreeMap::new(), pongs, unproven: 0 });
    }

    fn heartbeat(&mut self) {
        if self.wire.is_some() {
            let connected = self.request(Carrier::Outlet);
            assert!(connected.batch.frames.is_empty(), "events go out by the socket");
            assert!(connected.batch.gaps.is_empty(), "{:?}", connected.batch.gaps);
        }
    }

    /// The client polls instead, once; the reply arrives, or the broker sees that it does not.
    fn poll(&mut self) {
        let connected = self.request(Carrier::Poll);
        if let Some(wire) = &mut self.wire {
            let over = wire.outlet.poll(self.clock.now());
            assert!(matches!(over, Some(Push::Over(_))), "a poll takes over: {over:?}");
        }
        self.wire = None;
        assert!(connected.batch.gaps.is_empty(), "{:?}", connected.batch.gaps);
        if self.chance.percent(30) {
            self.session.write_failed(connected.reply_no);
            return;
        }
        connected.batch.frames.iter().for_each(|frame| self.see(frame));
    }

    /// A last socket over which everything comes.
    fn finish(&mut self) {
        self.open();
        for _ in 0..10_000 {
            self.push();
            self.ping();
            let under_way = self.wire.as_ref().map_or(0, |wire| wire.out.len());
            for _ in 0..under_way {
                self.deliver();
            }
            self.hear_pong();
            let all =
                |(channel, all): (&&str, &Vec<i64>)| self.seen.get(*channel) == Some(&all.len());
            if self.published.iter().all(all) {
                return;
            }
        }
        panic!("not all came: {:?} of {:?}", self.seen, self.published);
    }
}

#[test]
fn x5_p2_whatever_breaks_a_client_that_moves_misses_nothing_and_keeps_the_order() {
    let one = std::env::var("WEFT_OUTLET_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = one.map_or(0..1_000, |seed: u64| seed..seed + 1);
    let mut repeats = 0;
    for seed in seeds {
        let result = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            for _ in 0..400 {
                world.step();
            }
            world.finish();
            world.repeats
        });
        match result {
            Ok(some) => repeats += some,
            Err(_) => panic!("seed {seed}: WEFT_OUTLET_SEED={seed}"),
        }
    }
    assert!(one.is_some() || repeats > 0, "nothing ever broke");
}
