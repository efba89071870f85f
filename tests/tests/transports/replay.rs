//! What was published before.

use weft_tests::api::{publish, publish_lines};
use weft_tests::broker::Broker;
use weft_tests::transports::{ALL, NEW, Transport};

use crate::supply::numbers;

pub(crate) fn x2_t4_t5_a_subscriber_starts_where_it_says(on: Transport) {
    let broker = Broker::start();
    let positions: Vec<i64> = (1..=5).map(|n| publish(&broker, "/a/x", n)).collect();
    let starts = [
        ("/a/x", ALL, 1..=6),
        ("/a/x", positions[2], 4..=6),
        ("/a/x", positions[4], 6..=6),
        ("/a/x", NEW, 6..=6),
        ("/a/*", ALL, 1..=6),
        ("/**", NEW, 6..=6),
    ];
    let mut all: Vec<_> = starts
        .into_iter()
        .map(|(name, since, wanted)| (on.subscriber(&broker, &[name], since), since, wanted))
        .collect();
    let last = publish(&broker, "/a/x", 6);
    for (subscriber, since, wanted) in &mut all {
        let events = subscriber.take(wanted.clone().count());
        assert_eq!(numbers(&events), wanted.clone().collect::<Vec<_>>(), "{since}");
        if *since != NEW {
            assert_eq!(events.last().and_then(|event| event.position), Some(last), "{events:?}");
        }
    }
    for (subscriber, ..) in &mut all[..1] {
        assert!(subscriber.is_silent());
    }
}

pub(crate) fn x2_what_was_and_what_comes_meet_without_a_gap(on: Transport) {
    const BEFORE: i64 = 1_000;
    const COUNT: i64 = 2_000;
    let broker = Broker::with(
        "[store]\nmemory = \"16KiB\"\n[[channels]]\npattern = \"/**\"\n\
         backlog = { messages = 10000 }\n",
    );
    publish_lines(&broker, "/a", 1..=BEFORE);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for start in (BEFORE + 1..=COUNT).step_by(20) {
                publish_lines(&broker, "/a", start..=start + 19);
            }
        });
        // One after another, each at another moment of the publishing.
        for _ in 0..5 {
            let mut subscriber = on.subscriber(&broker, &["/a"], ALL);
            let events = subscriber.take(2_000);
            assert!(events.iter().map(|event| event.number()).eq(1..=COUNT));
            assert!(events.is_sorted_by(|a, b| a.position < b.position));
        }
    });
}

pub(crate) fn p4_what_is_no_longer_kept_is_told(on: Transport) {
    let broker = Broker::with("[[channels]]\npattern = \"/a\"\nbacklog = { messages = 3 }\n");
    let positions: Vec<i64> = (1..=10).map(|n| publish(&broker, "/a", n)).collect();
    let mut subscriber = on.subscriber(&broker, &["/a"], positions[1]);
    let (mut events, mut gaps) = (Vec::new(), Vec::new());
    while events.len() < 3 {
        let piece = subscriber.next();
        gaps.extend(piece.gaps);
        if !piece.events.is_empty() {
            assert!(!gaps.is_empty(), "it is told before what comes after it: {:?}", piece.events);
        }
        events.extend(piece.events);
    }
    assert_eq!(numbers(&events), [8, 9, 10]);
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert_eq!(gaps[0]["channel"], "/a");
    assert_eq!((&gaps[0]["from"], &gaps[0]["to"]), (&positions[1].into(), &positions[6].into()));
    assert!(subscriber.is_silent());
}
