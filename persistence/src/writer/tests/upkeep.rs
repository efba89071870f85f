//! What goes from the store, and when.

use std::time::Instant;

use super::*;
use crate::writer::upkeep::Upkeep;
use crate::{Mark, conformance::record};

/// Two records of each channel, an hour each.
struct Two;

impl Policy for Two {
    fn retention(&self, _: &str) -> Retention {
        Retention { messages: 2, age_us: 3_600_000_000, ..Retention::ALL }
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
    let start = now();
    let mut upkeep = Upkeep::new(start);
    let mut run = |options: &WriterOptions, seconds| {
        upkeep.run(&backlog, &Two, options, start + Duration::from_secs(seconds)).unwrap();
    };
    run(&options(), 9);
    assert_eq!(keys(), [1, 2, 3]);
    run(&options(), 10);
    assert_eq!(keys(), [2, 3]);
    run(&WriterOptions { marks_max: 1, ..options() }, 20);
    assert_eq!(keys(), [3]);
}

#[test]
fn what_is_too_much_for_one_time_goes_on_at_once() {
    let backlog = rig::memory();
    let batch: Vec<_> = (1..=2_000).map(|at| record("/a", at, "old")).collect();
    backlog.append(&batch).unwrap();
    let start = now();
    let mut upkeep = Upkeep::new(start);
    upkeep.touch(&batch);
    let mut times = 0;
    while backlog.usage().unwrap().records > 0 {
        upkeep.run(&backlog, &Two, &options(), start).unwrap();
        times += 1;
        assert!(times == 4 || upkeep.next() <= start, "the writer does not wait");
    }
    assert_eq!(times, 4, "and does not do all of it at once");
}

#[test]
fn a_channel_that_cannot_be_trimmed_keeps_nobody_from_writing() {
    let rig = Rig::new(options());
    rig.backlog.set(Mood::TrimFails);
    rig.writer.submit(job("/a", 1));
    rig.writer.submit(job("/b", 2));
    rig.log.await_settled(2);
    rig.writer.submit(job("/a", 3));
    rig.log.await_settled(3);
    assert_eq!(rig.writer.stop(), Ok(()));
    assert!(rig.log.settled().iter().all(|(_, outcome)| outcome.is_ok()));
    assert_eq!(rig.log.health(), [], "the store is well");
}

#[test]
fn a_store_that_cannot_write_from_the_start_is_found_out_without_writing() {
    let backlog = Arc::new(rig::Scripted::new(Mood::Short, rig::memory()));
    let store: Arc<dyn Backlog> = Arc::<rig::Scripted>::clone(&backlog);
    let (writer, log) = rig::start(store, WriterOptions { retry: HOUR, ..options() }, Two);
    log.await_health(1);
    assert_eq!(writer.trouble(), Some(BacklogError::Full));
    assert_eq!(writer.stop(), Ok(()));
    assert_eq!(log.health(), [Some(BacklogError::Full), None]);
}

#[test]
fn a_store_that_became_unable_to_write_is_found_out_without_writing() {
    let start = now();
    let backlog = rig::Scripted::new(Mood::Well, rig::memory());
    let mut upkeep = Upkeep::new(start);
    upkeep.run(&backlog, &Two, &options(), start).unwrap();
    backlog.set(Mood::Short);
    let next = upkeep.next();
    assert!(next <= start + Duration::from_secs(2));
    assert_eq!(upkeep.run(&backlog, &Two, &options(), next), Err(BacklogError::Full));
}

#[test]
fn what_the_store_gave_up_is_told() {
    let rig = Rig::new(options());
    let losses = [Loss::Channel("/a".into()), Loss::Store("/aside".into())];
    rig.backlog.lose(&losses);
    rig.writer.submit(job("/a", 1));
    rig.log.await_settled(1);
    assert_eq!(rig.writer.stop(), Ok(()));
    assert_eq!(rig.log.losses(), losses, "once");
}
