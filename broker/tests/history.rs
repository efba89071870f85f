//! Reading history by time, while positions cannot keep up with it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use weft_broker::core::broker::{Broker, Origin};
use weft_broker::core::clock::{Clock, SystemClock};
use weft_broker::core::held::Wakes;
use weft_broker::core::history::{History, Since};
use weft_broker::core::options::Options;
use weft_broker::core::past::Page;
use weft_broker::core::publishing::{Publication, Publishing};
use weft_broker::core::rules::{Rule, Rules};
use weft_broker::core::stats::Stats;
use weft_persistence::Retention;
use weft_protocol::{ChannelLimits, ChannelName};

const WALL: i64 = 1_800_000_000_000_000;
const MINUTE: i64 = 60_000_000;

/// A clock that is moved by hand.
#[derive(Debug)]
struct Hands {
    start: Instant,
    passed_us: AtomicI64,
}

impl Clock for Hands {
    fn now(&self) -> Instant {
        let passed = u64::try_from(self.passed_us.load(Ordering::Relaxed)).unwrap();
        self.start + Duration::from_micros(passed)
    }

    fn wall_us(&self) -> i64 {
        WALL + self.passed_us.load(Ordering::Relaxed)
    }
}

struct Lagging {
    broker: Arc<Broker>,
    hands: Arc<Hands>,
}

impl Lagging {
    /// A broker whose ceiling stays where it is at the start.
    fn start(keep: Retention) -> Self {
        let hands = Arc::new(Hands { start: SystemClock.now(), passed_us: AtomicI64::new(0) });
        let clock: Arc<dyn Clock> = Arc::<Hands>::clone(&hands);
        let stats = Stats::register(&prometheus::Registry::new()).unwrap();
        let rules = Rules::new([], Rule { keep, ..Rule::default() });
        let options = Options { rules, ..Options::default() };
        let origin = Origin { ceiling: Some(WALL + 10_000_000), ..Origin::default() };
        Self { broker: Broker::new(options, stats, clock, origin), hands }
    }

    /// Publishes after so many minutes, and returns the position and the time.
    fn publish(&self, minutes: i64) -> (i64, i64) {
        self.hands.passed_us.fetch_add(minutes * MINUTE, Ordering::Relaxed);
        let publication = Publication::new(name(), "1");
        match self.broker.publish(&publication, &mut Wakes::default()).unwrap() {
            Publishing::Done(published) => (published.position, self.hands.wall_us()),
            Publishing::Pending(_) => panic!("it waits for nothing"),
        }
    }

    fn since(&self, time_us: i64) -> (Vec<i64>, History) {
        let page = Page { messages: 100, bytes: 1 << 20 };
        let history = self.broker.history(name(), Since::Time(time_us), page).unwrap();
        (history.frames.iter().map(|frame| frame.position()).collect(), history)
    }
}

fn name() -> ChannelName<'static> {
    ChannelName::parse("/a", &ChannelLimits::default()).unwrap()
}

#[test]
fn what_is_newer_than_a_time_comes_though_its_position_is_far_below() {
    let lagging = Lagging::start(Retention::ALL);
    let published: Vec<(i64, i64)> = (0..50).map(|_| lagging.publish(7)).collect();
    assert!(published.iter().all(|(position, time_us)| *position < time_us - MINUTE));
    for after in 0..published.len() {
        let (positions, history) = lagging.since(published[after].1);
        let newer: Vec<i64> =
            published[after + 1..].iter().map(|(position, _)| *position).collect();
        assert_eq!(positions, newer, "after {after}");
        assert!(history.gap.is_none());
        assert_eq!(history.next, published[49].0);
    }
    // Caught up again: what lies behind is found all the same.
    lagging.broker.raise_ceiling(i64::MAX);
    let (newest, time_us) = lagging.publish(1);
    assert!(newest >= time_us);
    assert_eq!(lagging.since(published[48].1).0, [published[49].0, newest]);
    assert_eq!(lagging.since(time_us - 1).0, [newest]);
    assert!(lagging.since(time_us + MINUTE).0.is_empty());
}

#[test]
fn what_is_lost_of_it_is_told() {
    let lagging = Lagging::start(Retention { messages: 3, ..Retention::ALL });
    let published: Vec<(i64, i64)> = (0..9).map(|_| lagging.publish(7)).collect();
    let (positions, history) = lagging.since(published[1].1);
    assert_eq!(positions.len(), 3);
    let gap = history.gap.expect("a gap");
    assert!(gap.from < published[2].0 && gap.to == published[5].0, "{gap:?}");
    let (positions, history) = lagging.since(published[6].1);
    assert_eq!((positions.len(), history.gap), (2, None));
}
