//! What the simulation found, each as a test of its own, made small. (The seeds that showed it were of
//! an earlier form of the simulation.)

use std::sync::Arc;

use weft_broker::core::channels::PastLimits;
use weft_broker::core::clock::Clock;
use weft_broker::core::held::Wakes;
use weft_broker::core::options::{Options, QueueLimits, QueuePolicy};
use weft_broker::core::publishing::Publication;
use weft_broker::exchange::Caller;
use weft_protocol::{Body, ConnectionType};

use super::channels::{self, index};
use super::flight::{Pending, Watched};
use super::life::Life;
use super::plan::Plan;
use super::seams::{Chance, HERE, SeededIds, VirtualClock};
use super::wire::{Connected, Gap, Reply};
use crate::common::disk::Disk;

/// A broker, its store and one client.
struct Rig {
    disk: Arc<Disk>,
    clock: Arc<VirtualClock>,
    life: Life,
    client_id: String,
    connects: u32,
    seen: Vec<u32>,
    gaps: Vec<Gap>,
}

impl Rig {
    fn new(options: &Options) -> Self {
        let plan = Plan {
            options: Options { rules: channels::rules(), ..options.clone() },
            ..Plan::draw(&mut Chance::new(1))
        };
        let (disk, clock) = (Disk::new(), VirtualClock::new());
        let ids = Arc::new(SeededIds(parking_lot::Mutex::new(Chance::new(1))));
        let life = Life::begin(1, &plan, &disk, &clock, &ids, (0, 0));
        let (client_id, seen, gaps) = (String::new(), Vec::new(), Vec::new());
        Self { disk, clock, life, client_id, connects: 0, seen, gaps }
    }

    fn publish(&self, channel: &str, number: u32) -> i64 {
        let data = number.to_string();
        let publication = Publication::new(channels::name(index(channel).expect("known")), &data);
        self.life.broker.publish(&publication, &mut Wakes::default()).expect("room");
        self.life.broker.last_position()
    }

    fn commit(&self) {
        while self.life.hand.commit(|_| {}) {}
    }

    /// A request of this session; `clientId` and brackets are added.
    fn ask(&self, messages: &[&str]) -> Pending {
        self.ask_by(ConnectionType::LongPolling, messages)
    }

    fn ask_by(&self, transport: ConnectionType, messages: &[&str]) -> Pending {
        let id = &self.client_id;
        let messages: Vec<String> =
            messages.iter().map(|text| format!(r#"{{{text},"clientId":"{id}"}}"#)).collect();
        let text = format!("[{}]", messages.join(","));
        let caller = Caller::from(HERE, transport, self.clock.now());
        let exchange = Arc::clone(&self.life.exchange);
        Pending::Settling(Watched::new(async move {
            let body = Body::post(text.as_bytes())?;
            exchange.handle(caller, &body).await
        }))
    }

    fn answer(pending: &mut Pending) -> Reply {
        Reply::read(&pending.poll().expect("an answer").text).expect("a good one")
    }

    fn handshake(&mut self) {
        let shake = r#""channel":"/meta/handshake","version":"1.0","supportedConnectionTypes":["long-polling"]"#;
        self.client_id = Self::answer(&mut self.ask(&[shake])).client_id.expect("a session");
    }

    fn subscribe(&mut self, channel: &str, from: Option<i64>) {
        let ext = from.map(|from| format!(r#","ext":{{"replay":{{"{channel}":{from}}}}}"#));
        let ext = ext.unwrap_or_default();
        let ask = format!(r#""channel":"/meta/subscribe","subscription":"{channel}"{ext}"#);
        let reply = Self::answer(&mut self.ask(&[&ask]));
        assert!(reply.subscribed);
        self.gaps.extend(reply.subscribe_gaps);
    }

    fn connect_text(&mut self) -> String {
        self.connects += 1;
        let id = self.connects;
        format!(r#""channel":"/meta/connect","connectionType":"long-polling","id":"{id}""#)
    }

    fn connect(&mut self) -> Pending {
        let text = self.connect_text();
        self.ask(&[&text])
    }

    fn read(&mut self, pending: &mut Pending) -> usize {
        let reply = Self::answer(pending);
        self.seen.extend(reply.events.iter().map(|event| event.number));
        self.gaps.extend(reply.gaps);
        reply.events.len()
    }

    /// Connects until nothing comes any more.
    fn drain(&mut self) {
        let mut first = self.connect();
        self.read(&mut first);
        loop {
            let mut pending = self.connect();
            match pending.poll() {
                None => return,
                Some(answer) => {
                    let reply = Reply::read(&answer.text).expect("a good one");
                    self.seen.extend(reply.events.iter().map(|event| event.number));
                    self.gaps.extend(reply.gaps);
                }
            }
        }
    }

    fn was_told(&self, position: i64) -> bool {
        self.gaps.iter().any(|gap| gap.from < position && position <= gap.to)
    }
}

#[test]
fn p4_what_could_not_be_stored_is_told_where_it_is_missing() {
    use std::sync::atomic::Ordering::Relaxed;

    let past = PastLimits { bytes: 20_000, channels: 100 };
    let mut rig = Rig::new(&Options { past, ..Options::default() });
    let mut positions: Vec<i64> = (1..=3).map(|n| rig.publish("/interval/a", n)).collect();
    rig.commit();
    rig.handshake();
    rig.subscribe("/interval/a", Some(positions[0]));
    rig.disk.unwritable.store(true, Relaxed);
    positions.extend((4..=63).map(|n| rig.publish("/interval/a", n)));
    rig.commit();
    rig.disk.unwritable.store(false, Relaxed);
    assert!(rig.life.hand.recover());
    // The newest thirty of them are stored; then memory forgets the channel.
    for number in 64..200 {
        rig.publish("/interval/b/c", number);
        rig.commit();
    }
    rig.drain();
    assert!(rig.seen.ends_with(&[62, 63]), "{:?}", rig.seen);
    let numbers = positions.iter().zip(1_u32..).skip(1);
    for (position, number) in numbers.filter(|(_, number)| !rig.seen.contains(number)) {
        assert!(rig.was_told(*position), "{number} is missing untold: {:?}", rig.gaps);
    }
}

/// The store holds the first three of thirty messages of a channel that keeps five.
fn lagging() -> (Rig, Vec<i64>) {
    let mut rig = Rig::new(&Options::default());
    let mut positions: Vec<i64> = (1..=3).map(|n| rig.publish("/few/a", n)).collect();
    rig.commit();
    positions.extend((4..=30).map(|n| rig.publish("/few/a", n)));
    rig.handshake();
    (rig, positions)
}

#[test]
fn p4_what_was_told_to_be_gone_does_not_come_from_a_store_that_lags_behind() {
    let (mut rig, positions) = lagging();
    rig.subscribe("/few/a", Some(positions[0]));
    rig.drain();
    assert!(rig.was_told(positions[24]) && !rig.was_told(positions[25]), "{:?}", rig.gaps);
    assert_eq!(rig.seen, [26, 27, 28, 29, 30]);
}

#[test]
fn p4_all_that_is_kept_has_no_hole_where_the_store_lags_behind() {
    let (mut rig, _) = lagging();
    rig.subscribe("/few/a", Some(-2));
    rig.drain();
    assert_eq!(rig.seen, [26, 27, 28, 29, 30]);
}

#[test]
fn l5_a_connect_that_waited_for_the_disk_gives_way_to_a_newer_one() {
    let mut rig = Rig::new(&Options::default());
    rig.handshake();
    rig.subscribe("/interval/a", None);
    let mut first = rig.connect();
    rig.read(&mut first);
    let connect = rig.connect_text();
    let mut batch = rig.ask(&[r#""channel":"/sync/a","data":1"#, &connect]);
    assert!(batch.poll().is_none(), "it awaits the disk");
    // Its client has given up, and comes again.
    let mut newer = rig.connect();
    assert!(newer.poll().is_none(), "it is held");
    rig.publish("/interval/a", 2);
    rig.commit();
    let older = Rig::answer(&mut batch);
    assert_eq!(older.connected, Some(Connected::Well));
    assert!(older.events.is_empty(), "{older:?}");
    rig.read(&mut newer);
    assert_eq!(rig.seen, [2]);
}

/// A session whose queue passes its bounds while `pending` is under way.
fn overrun(pending: impl FnOnce(&mut Rig) -> Pending) -> (Rig, Pending, i64) {
    let mut rig = Rig::new(&Options {
        queue: QueueLimits { messages: 3, bytes: 1 << 20 },
        queue_policy: QueuePolicy::Disconnect,
        ..Options::default()
    });
    rig.handshake();
    rig.subscribe("/interval/a", None);
    rig.subscribe("/sync/b", None);
    let mut first = rig.connect();
    rig.read(&mut first);
    let pending = pending(&mut rig);
    let awaited = rig.publish("/sync/b", 1);
    for number in 2..=9 {
        rig.publish("/interval/a", number);
    }
    rig.commit();
    (rig, pending, awaited)
}

#[test]
fn p4_who_is_thrown_out_is_told_of_what_came_out_after_that() {
    let (mut rig, _, awaited) = overrun(Rig::connect);
    let mut last = rig.connect();
    let reply = Rig::answer(&mut last);
    assert_eq!(reply.connected, Some(Connected::Unknown));
    rig.gaps.extend(reply.gaps);
    assert!(rig.was_told(awaited), "{:?} without {awaited}", rig.gaps);
}

#[test]
fn p4_who_is_thrown_out_is_told_so_by_a_connect_that_waited_for_the_disk() {
    let (_, mut batch, _) = overrun(|rig| {
        let connect = rig.connect_text();
        let mut batch = rig.ask(&[r#""channel":"/sync/a","data":1"#, &connect]);
        assert!(batch.poll().is_none(), "it awaits the disk");
        batch
    });
    let reply = Rig::answer(&mut batch);
    assert_eq!(reply.connected, Some(Connected::Unknown), "{reply:?}");
    assert!(!reply.gaps.is_empty());
}

#[test]
fn l5_a_connect_that_was_let_go_gives_way_to_a_newer_one_before_it_is_answered() {
    let mut rig = Rig::new(&Options::default());
    rig.handshake();
    rig.subscribe("/interval/a", None);
    let mut first = rig.connect();
    rig.read(&mut first);
    let mut older = rig.connect();
    assert!(older.poll().is_none(), "it is held");
    // A browser runs injected scripts in order, so the older one is let go; nobody has come to answer
    // it yet when a newer one is there.
    let other = r#""channel":"/meta/unsubscribe","subscription":"/none""#;
    rig.ask_by(ConnectionType::CallbackPolling, &[other]).poll().expect("an answer");
    let mut newer = rig.connect();
    assert!(newer.poll().is_none(), "it is held");
    rig.publish("/interval/a", 1);
    let older = Rig::answer(&mut older);
    assert_eq!(older.connected, Some(Connected::Well));
    assert!(older.events.is_empty(), "{older:?}");
    rig.read(&mut newer);
    assert_eq!(rig.seen, [1]);
}
