//! What a channel's rule says about its past.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use weft_broker::core::broker::Origin;
use weft_broker::core::channels::PastLimits;
use weft_broker::core::clock::{Clock, SystemClock};
use weft_broker::core::held::Wakes;
use weft_broker::core::history::Since;
use weft_broker::core::options::Options;
use weft_broker::core::past::Page;
use weft_broker::core::proof::{Carrier, ConnectRequest};
use weft_broker::core::publishing::Publication;
use weft_broker::core::rules::{Durability, Rule};
use weft_broker::limits::Payer;
use weft_persistence::Retention;

use super::rig::{Client, Rig, TINY, broker, name, options, publish, rule, rules};

const SOON: Duration = Duration::from_millis(1);

#[test]
fn a_count_keeps_the_newest_and_what_went_before_them_is_told() {
    let keep = Retention { messages: 50, ..Retention::ALL };
    for durability in [Durability::Interval, Durability::Memory] {
        let rules = rules(&[("/a", Rule { keep, ..rule(durability) })]);
        let rig = Rig::new(options(rules), SOON);
        let all: Vec<i64> = (0..500).map(|_| publish(&rig.broker, "/a")).collect();
        rig.publish_durably("/barrier");
        let mut client = Client::subscribed(&rig.broker, "/a", Some(all[0]));
        let mut whole = Client::subscribed(&rig.broker, "/a", Some(-2));
        let mut recent = Client::subscribed(&rig.broker, "/a", Some(all[460]));
        for client in [&mut client, &mut whole, &mut recent] {
            client.drain(&rig.broker);
        }
        assert_eq!(client.seen("/a"), &all[450..], "{durability:?}");
        assert!(client.was_told("/a", all[1]) && client.was_told("/a", all[449]));
        assert!(!client.was_told("/a", all[450]), "{:?}", client.gaps);
        assert_eq!((whole.seen("/a"), whole.gaps.len()), (&all[450..], 0));
        assert_eq!((recent.seen("/a"), recent.gaps.len()), (&all[461..], 0));
        let page = Page { messages: 1_000, bytes: 1 << 20 };
        let history = rig.broker.history(name("/a"), Since::All, page).expect("readable");
        assert_eq!(history.frames.len(), 50);
        assert!(history.gap.is_none());
    }
}

#[test]
fn channels_that_left_memory_are_read_from_the_store() {
    let past = PastLimits { channels: 5, ..TINY };
    let rig = Rig::new(Options { past, ..options(rules(&[])) }, SOON);
    let names: Vec<String> = (0..50).map(|n| format!("/many/{n}")).collect();
    let mut positions = vec![Vec::new(); names.len()];
    for _ in 0..3 {
        for (name, positions) in names.iter().zip(&mut positions) {
            positions.push(rig.publish_durably(name));
        }
    }
    publish(&rig.broker, "/barrier");
    assert!(rig.broker.past_kept().0 <= 6, "{:?} are kept", rig.broker.past_kept());
    let mut wild = Client::subscribed(&rig.broker, "/many/*", Some(-2));
    wild.drain(&rig.broker);
    assert!(wild.gaps.is_empty(), "{:?}", wild.gaps);
    for (name, positions) in names.iter().zip(&positions) {
        let mut client = Client::subscribed(&rig.broker, name, Some(positions[0]));
        client.drain(&rig.broker);
        assert_eq!((client.seen(name), client.gaps.len()), (&positions[1..], 0), "{name}");
        assert_eq!(wild.seen(name), positions, "{name}");
    }
}

#[test]
fn what_is_read_from_the_store_in_small_pages_is_whole() {
    let small = Options { past: TINY, response_bytes: 1_000, ..options(rules(&[])) };
    let rig = Rig::new(small, SOON);
    let all: Vec<i64> = (0..400).map(|_| rig.publish_durably("/a")).collect();
    let mut client = Client::subscribed(&rig.broker, "/a", Some(all[0]));
    client.drain(&rig.broker);
    assert_eq!((client.seen("/a"), client.gaps.len()), (&all[1..], 0));
    let (mut read, mut since) = (Vec::new(), Since::All);
    loop {
        let page = Page { messages: 1_000, bytes: 1_000 };
        let history = rig.broker.history(name("/a"), since, page).expect("readable");
        if history.frames.is_empty() {
            break;
        }
        read.extend(history.frames.iter().map(|frame| frame.position()));
        since = Since::Position(history.next);
    }
    assert_eq!(read, all);
}

#[test]
fn a_publisher_is_spared_its_own_messages_where_the_rule_says_so() {
    for spared in [false, true] {
        let plain = rule(Durability::Interval);
        let rules = rules(&[("/a", Rule { broadcast_to_publisher: !spared, ..plain })]);
        let rig = Rig::new(options(rules), SOON);
        let [mut own, mut other] = [(); 2].map(|()| Client::subscribed(&rig.broker, "/a", None));
        let from = Some(&*own.session);
        let publication = Publication { from, ..Publication::new(name("/a"), "1") };
        rig.broker.publish(&publication, &mut Wakes::default()).expect("room");
        let last = publish(&rig.broker, "/a");
        own.drain(&rig.broker);
        other.drain(&rig.broker);
        assert_eq!(own.seen("/a").len(), if spared { 1 } else { 2 });
        assert_eq!((own.seen("/a").last(), other.seen("/a").len()), (Some(&last), 2));
    }
}

#[test]
fn the_last_message_goes_to_each_new_subscriber_once() {
    for past in [TINY, PastLimits { bytes: 1, channels: 1 }] {
        let plain = rule(Durability::Interval);
        let rules = rules(&[("/last/**", Rule { retain_last: true, ..plain })]);
        let rig = Rig::new(Options { past, ..options(rules) }, SOON);
        publish(&rig.broker, "/last/a");
        let last = rig.publish_durably("/last/a");
        rig.publish_durably("/other");
        rig.publish_durably("/other");
        for pattern in ["/last/a", "/last/*", "/**"] {
            let mut client = Client::subscribed(&rig.broker, pattern, None);
            client.drain(&rig.broker);
            assert_eq!(client.seen("/last/a"), [last], "{pattern}");
            assert_eq!(client.seen("/other"), [0; 0], "{pattern}");
            assert!(client.gaps.is_empty(), "{:?}", client.gaps);
        }
        let mut client = Client::subscribed(&rig.broker, "/last/a", None);
        let next = publish(&rig.broker, "/last/a");
        client.drain(&rig.broker);
        assert!(client.seen("/last/a").ends_with(&[next]));
        assert!(client.seen("/last/a").len() <= 2);
    }
}

/// Time that moves when told to.
#[derive(Debug)]
struct Still {
    start: Instant,
    passed: Mutex<Duration>,
}

impl Clock for Still {
    fn now(&self) -> Instant {
        self.start + *self.passed.lock()
    }

    fn wall_us(&self) -> i64 {
        1_800_000_000_000_000 + i64::try_from(self.passed.lock().as_micros()).expect("short")
    }
}

#[test]
fn lazy_messages_wait_for_their_time() {
    let lazy = Some(Duration::from_secs(2));
    let rules = rules(&[("/lazy", Rule { lazy, ..rule(Durability::Memory) })]);
    let clock = Arc::new(Still { start: SystemClock.now(), passed: Mutex::default() });
    let seam: Arc<dyn Clock> = Arc::<Still>::clone(&clock);
    let broker = broker(options(rules), seam, Origin::default());
    let client = Client::subscribed(&broker, "/lazy", None);
    let connect = |id| ConnectRequest {
        arrived: clock.now(),
        id: Some(id),
        alone: true,
        advice: None,
        ack: None,
        carrier: Carrier::Poll,
        holds_up: true,
        payer: Payer::default(),
    };
    let received = broker.receive_connect(&client.session, &connect("1")).expect("it lives");
    broker.answer_connect(&client.session, received, Some("1"), false);
    let received = broker.receive_connect(&client.session, &connect("2")).expect("it lives");
    let mut held = broker.hold_connect(&client.session, &connect("2"), received);
    assert!(held.poll(clock.now()).is_none());
    let positions = [publish(&broker, "/lazy"), publish(&broker, "/lazy")];
    assert!(held.poll(clock.now()).is_none(), "it waits for company");
    *clock.passed.lock() = Duration::from_millis(1_999);
    assert!(held.poll(clock.now()).is_none(), "it is not due");
    *clock.passed.lock() = Duration::from_millis(2_000);
    let frames = held.poll(clock.now()).expect("due").batch.frames;
    assert!(frames.iter().map(|frame| frame.position()).eq(positions));
}
