//! The writer over a store that does as it is told.

use std::{sync::Arc, thread, time::Duration};

use super::*;
use rig::{HOUR, Mood, Rig, job, options};

mod chaos;
mod rig;
mod trouble;
mod upkeep;

#[test]
fn tokens_and_records_keep_the_order_of_their_submission() {
    let rig = Rig::new(options());
    for at in 1..=1_000 {
        rig.writer.submit(Job { urgent: at % 3 == 0, ..job("/a", at) });
    }
    assert_eq!(rig.writer.stop(), Ok(()));
    let settled = rig.log.settled();
    assert!(settled.iter().all(|(_, outcome)| outcome.is_ok()));
    assert!(settled.iter().map(|(token, _)| *token).eq(1..=1_000));
    assert_eq!(rig.backlog.positions("/a"), (1..=1_000).collect::<Vec<_>>());
}

#[test]
fn what_comes_during_a_commit_is_the_next_one() {
    let rig = Rig::new(options());
    rig.backlog.hold();
    rig.writer.submit(job("/a", 1));
    rig.backlog.await_held();
    thread::scope(|scope| {
        for at in 2..=65 {
            let writer = &rig.writer;
            scope.spawn(move || writer.submit(job(&format!("/{at}"), at)));
        }
    });
    assert_eq!(rig.writer.queued(), 65);
    rig.backlog.release();
    rig.log.await_settled(65);
    assert_eq!(rig.backlog.appends(), [1, 64], "64 urgent jobs share one append");
    assert_eq!(rig.writer.queued(), 0);
}

#[test]
fn jobs_that_are_not_urgent_wait_for_a_batch() {
    let rig = Rig::new(WriterOptions { batch_records: 10, ..options() });
    for at in 1..=10 {
        rig.writer.submit(Job { urgent: false, ..job("/a", at) });
    }
    rig.log.await_settled(10);
    assert_eq!(rig.backlog.appends(), [10]);
}

#[test]
fn an_urgent_job_takes_along_those_before_it() {
    let rig = Rig::new(options());
    for at in 1..=3 {
        rig.writer.submit(Job { urgent: false, ..job("/a", at) });
    }
    rig.writer.submit(job("/a", 4));
    rig.log.await_settled(4);
    assert_eq!(rig.backlog.appends(), [4]);
}

#[test]
fn the_interval_ends_the_waiting() {
    let rig = Rig::new(WriterOptions { interval: Duration::from_millis(5), ..options() });
    for at in 1..=3 {
        rig.writer.submit(Job { urgent: false, ..job("/a", at) });
    }
    rig.log.await_settled(3);
    assert_eq!(rig.backlog.positions("/a"), [1, 2, 3]);
}

#[test]
fn a_barrier_waits_for_what_was_submitted_before() {
    let rig = Rig::new(options());
    let barrier = |token| Job { records: Vec::new(), ..job("/a", token) };
    rig.writer.submit(barrier(1));
    rig.log.await_settled(1);
    assert!(rig.backlog.appends().is_empty(), "nothing to write");
    rig.backlog.hold();
    rig.writer.submit(job("/a", 2));
    rig.backlog.await_held();
    rig.writer.submit(Job { urgent: false, ..job("/a", 3) });
    rig.writer.submit(barrier(4));
    assert_eq!(rig.log.settled(), [(1, Ok(()))]);
    rig.backlog.release();
    rig.log.await_settled(4);
    assert_eq!(rig.backlog.appends(), [1, 1]);
    assert_eq!(rig.log.settled().last(), Some(&(4, Ok(()))));
}

#[test]
fn a_large_job_stands_alone_and_past_a_thousand_records_takes_several_appends() {
    let rig = Rig::new(WriterOptions { batch_records: 500, ..options() });
    rig.backlog.hold();
    rig.writer.submit(job("/a", 1));
    rig.backlog.await_held();
    let many = |first: i64, n: i64| {
        let records = (first..first + n).flat_map(|at| job("/a", at).records).collect();
        Job { records, ..job("/a", first) }
    };
    rig.writer.submit(job("/a", 2));
    rig.writer.submit(many(1_000, 800));
    rig.writer.submit(many(2_000, 2_500));
    rig.writer.submit(job("/a", 9_000));
    rig.backlog.release();
    rig.log.await_settled(5);
    assert_eq!(rig.backlog.appends(), [1, 1, 800, 1_000, 1_000, 500, 1]);
}

#[test]
fn large_values_do_not_share_an_append() {
    let rig = Rig::new(options());
    rig.backlog.hold();
    rig.writer.submit(job("/a", 1));
    rig.backlog.await_held();
    for at in 2..=4 {
        let mut large = job("/a", at);
        large.records[0].value = "x".repeat(5 << 20).into();
        rig.writer.submit(large);
    }
    rig.backlog.release();
    rig.log.await_settled(4);
    assert_eq!(rig.backlog.appends(), [1, 1, 1, 1]);
}

#[test]
fn a_job_out_of_order_fails_alone() {
    let rig = Rig::new(options());
    rig.backlog.hold();
    rig.writer.submit(job("/a", 10));
    rig.backlog.await_held();
    let positions = [11, 12, 5, 13, 14, 6, 15];
    for at in positions {
        rig.writer.submit(Job { refusable: at == 5, ..job("/a", at) });
    }
    rig.backlog.release();
    rig.log.await_settled(8);
    let settled = rig.log.settled();
    assert!(settled.iter().map(|(token, _)| *token).eq([10].into_iter().chain(positions)));
    for (token, outcome) in settled {
        let refused =
            matches!(outcome, Err(BacklogError::OutOfOrder { position, .. }) if position == token);
        assert_eq!(refused, [5, 6].contains(&token), "{token}: {outcome:?}");
    }
    assert_eq!(rig.writer.trouble(), None, "the store is well");
    assert_eq!(rig.writer.stop(), Ok(()));
    assert_eq!(rig.backlog.positions("/a"), [10, 11, 12, 13, 14, 15]);
    assert_eq!(rig.backlog.floors(), [("/a".to_owned(), 6)], "only 6 was delivered");
}

#[test]
fn room_is_what_is_submitted_and_not_settled() {
    let rig = Rig::new(WriterOptions { queue_records: 2, queue_bytes: 100, ..options() });
    rig.backlog.hold();
    rig.writer.submit(job("/a", 1));
    rig.backlog.await_held();
    assert!(rig.writer.has_room());
    rig.writer.submit(job("/a", 2));
    assert!(!rig.writer.has_room(), "two records");
    rig.backlog.release();
    rig.log.await_settled(2);
    assert!(rig.writer.has_room());
    rig.backlog.hold();
    let mut large = job("/a", 3);
    large.records[0].value = "x".repeat(100).into();
    rig.writer.submit(large);
    assert!(!rig.writer.has_room(), "a hundred bytes");
    rig.backlog.release();
}

#[test]
fn stopping_writes_everything_and_what_comes_later_is_told_so() {
    let rig = Rig::new(WriterOptions { interval: HOUR, batch_records: 7, ..options() });
    rig.backlog.hold();
    rig.writer.submit(job("/a", 1));
    rig.backlog.await_held();
    for at in 2..=100 {
        rig.writer.submit(Job { urgent: false, ..job("/a", at) });
    }
    thread::scope(|scope| {
        let stops: Vec<_> = (0..3).map(|_| scope.spawn(|| rig.writer.stop())).collect();
        rig.backlog.release();
        for stop in stops {
            assert_eq!(stop.join().unwrap(), Ok(()));
        }
    });
    assert_eq!(rig.log.settled().len(), 100, "whoever stops waits for the end");
    assert_eq!(rig.backlog.positions("/a"), (1..=100).collect::<Vec<_>>());
    assert!(rig.backlog.is_closed());
    rig.writer.submit(job("/a", 101));
    assert_eq!(rig.log.settled().last(), Some(&(101, Err(BacklogError::Closed))));
    assert_eq!(rig.writer.trouble(), Some(BacklogError::Closed));
    assert_eq!(rig.writer.stop(), Ok(()), "again");
}

#[test]
fn dropping_stops() {
    let Rig { backlog, writer, log } = Rig::new(WriterOptions { interval: HOUR, ..options() });
    writer.submit(Job { urgent: false, ..job("/a", 1) });
    drop(writer);
    assert_eq!(log.settled(), [(1, Ok(()))]);
    assert!(backlog.is_closed());
}

/// Submits and stops from its own event.
struct Reentrant {
    writer: Arc<Mutex<Option<Arc<Writer<i64>>>>>,
    log: Arc<rig::Log>,
}

impl Events<i64> for Reentrant {
    fn settled(&mut self, tokens: Vec<i64>, outcome: &Result<(), BacklogError>) {
        let writer = self.writer.lock().clone();
        if let Some(writer) = writer
            && tokens != [3]
        {
            assert_eq!(writer.stop(), Ok(()));
            // Late already. On the way out this is told in an event that submits once more.
            let next = if outcome.is_ok() { 2 } else { 3 };
            writer.submit(job("/a", next));
        }
        self.log.settled_with(tokens, outcome);
    }

    fn flushed(&mut self, _: &Flush) {}

    fn health(&mut self, _: Option<&BacklogError>) {}

    fn lost(&mut self, _: &Loss) {}

    fn unmarked(&mut self, _: &[[u8; 16]]) {}
}

#[test]
fn an_event_may_submit_and_stop() {
    let backlog = Arc::new(rig::Scripted::new(Mood::Well, rig::memory()));
    let log = Arc::<rig::Log>::default();
    let place = Arc::new(Mutex::new(None));
    let events = Reentrant { writer: Arc::clone(&place), log: Arc::clone(&log) };
    let store: Arc<dyn Backlog> = Arc::<rig::Scripted>::clone(&backlog);
    let writer = Arc::new(Writer::start(store, options(), Arc::new(rig::Keep), events).unwrap());
    *place.lock() = Some(Arc::clone(&writer));
    writer.submit(job("/a", 1));
    log.await_settled(3);
    assert_eq!(writer.stop(), Ok(()));
    place.lock().take();
    let late = Err(BacklogError::Closed);
    assert_eq!(log.settled(), [(1, Ok(())), (2, late.clone()), (3, late)]);
    assert_eq!(backlog.positions("/a"), [1]);
}
