//! What goes from the store, and when.

use std::time::Instant;

use super::*;
use crate::writer::upkeep::Upkeep;
use crate::{Mark, conformance::record};

/// Two records of each channel, an hour each.
struct Two;

impl Policy for Two {
    fn retention(&self, _: &str) -> Retention {
        Retention { messages: 2, bytes: u64::MAX, age_us: 3_600_000_000 }
    }

    fn now_us(&self) -> i64 {
        10_000_000_000
    }
}

fn recent(channel: &str, position: i64) -> Record {
    Record { time_us: Two.now_us(), ..record(channel, position, "text") }
}

fn marked(key: u8, time_us: i64) -> Record {
    let mark = Some(Mark { key: [key; 16], print: [0; 16], subscribers: 0 });
    Record { time_us, mark, ..record("/marked", i64::from(key), "text") }
}

#[test]
fn channels_that_grew_are_trimmed_after_their_commit() {
    let backlog = Arc::new(rig::Scripted::new(Mood::Well, rig::memory()));
    let store: Arc<dyn Backlog> = Arc::<rig::Scripted>::clone(&backlog);
    let (writer, _) = rig::start(store, options(), Two);
    let records = (1..=5).flat_map(|at| [recent("/a", at), recent("/b", at)]).collect();
    writer.submit(Job { records, ..job("/a", 1) });
    assert_eq!(writer.stop(), Ok(()));
    assert_eq!(backlog.positions("/a"), [4, 5]);
    assert_eq!(backlog.positions("/b"), [4, 5]);
}

#[test]
fn idle_channels_are_trimmed_once_a_round_and_not_all_at_once() {
    let backlog = rig::memory();
    let channels: i64 = 2_500;
    let batch: Vec<_> = (1..=channels).map(|at| record(&format!("/{at}"), at, "old")).collect();
    backlog.append(&batch).unwrap();
    let start = now();
    let mut upkeep = Upkeep::new(start);
    let records = || backlog.usage().unwrap().records;
    let mut run = |now: Instant| {
        upkeep.run(&backlog, &Two, &options(), now).unwrap();
        upkeep.next()
    };
    let mut now = run(start + Duration::from_secs(59));
    assert_eq!(records(), 2_500, "a round starts after a minute");
    let mut steps = 0;
    while records() > 0 {
        let before = records();
        let next = run(now);
        assert!(before - records() <= 1_000, "within bounds");
        assert!(next > now);
        now = next;
        steps += 1;
        assert!(steps < 1_000);
    }
    assert!(steps >= 3);
}

#[test]
fn marks_are_forgotten_by_age_and_number() {
    let backlog = rig::memory();
    let now_us = Two.now_us();
    let hour_us = 3_600_000_000;
    let batch = [marked(1, now_us - hour_us - 1), marked(2, now_us - hour_us), marked(3, now_us)];
    backlog.append(&batch).unwrap();
    let keys = || backlog.marks(0).unwrap().iter().map(|m| m.mark.key[0]).collect::<Vec<_>>();
    let mut upkeep = Upkeep::new(now());
    let next = upkeep.next();
    upkeep.run(&backlog, &Two, &options(), next).unwrap();
    assert_eq!(keys(), [2, 3]);
    let next = upkeep.next();
    upkeep.run(&backlog, &Two, &WriterOptions { marks_max: 1, ..options() }, next).unwrap();
    assert_eq!(keys(), [3]);
}
