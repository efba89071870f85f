//! A store that cannot write: who is told what, what is kept, and what happens when it can again.

use super::*;
use crate::conformance::record;
use kept::Kept;
use queue::Batch;

fn full() -> BacklogError {
    BacklogError::Full
}

fn delivered(channel: &str, position: i64) -> Job<i64> {
    Job { refusable: false, ..job(channel, position) }
}

#[test]
fn what_was_delivered_is_kept_and_written_later_and_what_was_not_is_refused() {
    let rig = Rig::new(options());
    rig.backlog.set(Mood::Broken(full()));
    rig.backlog.hold();
    rig.writer.submit(delivered("/a", 1));
    rig.backlog.await_held();
    rig.writer.submit(job("/a", 2));
    rig.backlog.release();
    rig.log.await_settled(2);
    assert_eq!(rig.writer.trouble(), Some(full()));
    // In trouble nobody waits: not for an interval, and barriers not at all.
    rig.writer.submit(Job { urgent: false, ..delivered("/a", 3) });
    rig.writer.submit(Job { urgent: false, ..job("/a", 4) });
    rig.writer.submit(Job { urgent: false, records: Vec::new(), ..job("/a", 5) });
    rig.writer.submit(Job { token: None, ..delivered("/b", 6) });
    rig.log.await_settled(5);
    let settled = rig.log.settled();
    assert!(settled.iter().map(|(token, _)| *token).eq(1..=5));
    assert!(settled.iter().all(|(_, outcome)| *outcome == Err(full())), "{settled:?}");
    assert!(rig.log.flushes().iter().all(|flush| !flush.ok && flush.records == 1));

    rig.backlog.set(Mood::Curable(full()));
    rig.log.await_health(2);
    assert_eq!(rig.log.health(), [Some(full()), None], "once a change");
    assert_eq!(rig.writer.trouble(), None);
    rig.writer.submit(job("/a", 7));
    rig.log.await_settled(6);
    assert_eq!(rig.log.settled().last(), Some(&(7, Ok(()))));
    assert_eq!(rig.backlog.positions("/a"), [1, 3, 7]);
    assert_eq!(rig.writer.stop(), Ok(()));
    assert_eq!(rig.backlog.positions("/b"), [6]);
    assert_eq!(rig.backlog.floors(), [], "nothing was lost");
}

#[test]
fn the_oldest_go_when_there_is_no_more_room_and_floors_say_so() {
    let rig = Rig::new(WriterOptions { kept_records: 5, batch_records: 2, ..options() });
    rig.writer.submit(delivered("/a", 1));
    rig.log.await_settled(1);
    rig.backlog.set(Mood::Broken(full()));
    for at in 2..=4 {
        rig.writer.submit(delivered("/a", at));
        rig.writer.submit(delivered("/b", at));
    }
    rig.writer.submit(delivered("/b", 5));
    rig.writer.submit(delivered("/b", 6));
    rig.log.await_settled(9);
    rig.backlog.set(Mood::Curable(full()));
    rig.log.await_health(2);
    assert_eq!(rig.backlog.positions("/a"), [1, 4]);
    assert_eq!(rig.backlog.positions("/b"), [3, 4, 5, 6]);
    assert_eq!(rig.backlog.floors(), [("/a".to_owned(), 3), ("/b".to_owned(), 2)]);
    assert_eq!(rig.backlog.appends(), [1, 2, 2, 1], "in batches");
}

#[test]
fn what_is_kept_is_bounded_in_bytes_as_well() {
    let mut kept = Kept::new(&WriterOptions { kept_bytes: 10, ..options() });
    for at in 1..=4 {
        kept.push(record("/a", at, "12345"));
    }
    kept.put_back([record("/a", 0, "12345")].into_iter());
    let mut batch: Batch<i64> = Batch::new(&options());
    assert!(kept.take(&mut batch));
    assert_eq!(batch.records.iter().map(|record| record.position).collect::<Vec<_>>(), [3, 4]);
    batch.clear();
    assert!(!kept.take(&mut batch));
}

#[test]
fn past_ten_thousand_channels_one_number_stands_for_all_others() {
    let mut kept = Kept::new(&options());
    for at in 1..=10_002 {
        kept.lose(&record(&format!("/{at}"), at, ""));
    }
    let backlog = rig::memory();
    backlog.append(&[record("/known", 1, "")]).unwrap();
    kept.raise_floors(&backlog).unwrap();
    assert_eq!(backlog.floor("/known"), Ok(10_002), "it might have been one of them");
    assert_eq!(backlog.floor("/never/seen"), Ok(10_002));
    let backlog = rig::memory();
    kept.raise_floors(&backlog).unwrap();
    assert_eq!(backlog.floor("/never/seen"), Ok(0), "said once");
}

#[test]
fn a_commit_that_failed_and_is_there_all_the_same_is_not_written_twice() {
    let rig = Rig::new(options());
    rig.backlog.hold();
    rig.writer.submit(job("/a", 1));
    rig.backlog.await_held();
    (2..=4).for_each(|at| rig.writer.submit(delivered("/a", at)));
    rig.writer.submit(delivered("/b", 5));
    let why = BacklogError::Failed("flush".into());
    rig.backlog.set(Mood::Lying(why.clone()));
    rig.backlog.release();
    rig.log.await_health(2);
    assert_eq!(rig.log.health(), [Some(why), None]);
    rig.writer.submit(job("/a", 6));
    assert_eq!(rig.writer.stop(), Ok(()));
    assert_eq!(rig.backlog.positions("/a"), [1, 2, 3, 4, 6]);
    assert_eq!(rig.backlog.positions("/b"), [5]);
    assert_eq!(rig.backlog.floors(), []);
}

#[test]
fn a_panic_of_the_store_is_a_failure() {
    let rig = Rig::new(options());
    rig.backlog.set(Mood::Panicking);
    rig.writer.submit(delivered("/a", 1));
    rig.log.await_settled(1);
    let why = BacklogError::Failed("panic: on purpose".into());
    assert_eq!(rig.log.settled(), [(1, Err(why.clone()))]);
    rig.backlog.set(Mood::Well);
    rig.log.await_health(2);
    assert_eq!(rig.log.health(), [Some(why), None]);
    assert_eq!(rig.backlog.positions("/a"), [1]);

    // Only what comes next is trimmed.
    rig.writer.submit(Job { records: Vec::new(), ..job("/a", 0) });
    rig.log.await_settled(2);
    rig.backlog.set(Mood::TrimPanics);
    rig.writer.submit(job("/a", 2));
    rig.log.await_health(4);
    assert_eq!(rig.log.settled().last(), Some(&(2, Ok(()))), "it was stored before the trim");
    let why = BacklogError::Failed("panic: on purpose, in trim".into());
    assert_eq!(rig.log.health()[2..], [Some(why), None]);
}

#[test]
fn a_panic_of_an_event_loses_nothing_else() {
    let rig = Rig::new(options());
    rig.writer.submit(Job { token: Some(i64::MAX), ..job("/a", 1) });
    rig.log.await_settled(1);
    rig.writer.submit(job("/a", 2));
    rig.log.await_settled(2);
    assert_eq!(rig.writer.stop(), Ok(()));
    assert_eq!(rig.log.health(), [], "the store is well");
}

#[test]
fn stopping_in_trouble_settles_everything_and_tries_once_more() {
    for (mood, outcome, stored) in [
        (Mood::Broken(full()), Err(full()), &[][..]),
        (Mood::Curable(full()), Ok(()), &[1, 2]),
        (Mood::Panicking, Err(BacklogError::Failed("panic: on purpose".into())), &[]),
    ] {
        let rig = Rig::new(WriterOptions { retry: HOUR, ..options() });
        rig.backlog.set(mood);
        rig.backlog.hold();
        rig.writer.submit(delivered("/a", 1));
        rig.backlog.await_held();
        rig.writer.submit(delivered("/a", 2));
        rig.writer.submit(job("/a", 3));
        rig.backlog.release();
        assert_eq!(rig.writer.stop(), outcome);
        let settled = rig.log.settled();
        assert!(settled.iter().map(|(token, _)| *token).eq(1..=3));
        assert!(settled.iter().all(|(_, outcome)| outcome.is_err()));
        assert_eq!(rig.backlog.positions("/a"), stored);
        assert!(rig.backlog.is_closed());
    }
}
