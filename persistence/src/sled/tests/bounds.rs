//! Whatever comes, memory and disk have an end, and what had to go is told.

use super::*;

#[test]
fn dead_rows_are_removed_from_the_disk() {
    let directory = Directory::new();
    let backlog = directory.open();
    let keep = Retention { messages: 10, ..Retention::ALL };
    for at in 1..=2_000 {
        backlog.append(&[record("/a", at, "x")]).unwrap();
        backlog.trim("/a", &keep, 0).unwrap();
        backlog.tidy().unwrap();
    }
    assert!(rows(&backlog) < 200, "{} rows for 10 records", rows(&backlog));
}

#[test]
fn the_least_recently_used_channels_go_first_and_raise_the_shared_floor() {
    let directory = Directory::new();
    let options = SledOptions { budget_bytes: 4_500, ..OPTIONS };
    let backlog = directory.open_with(&options).backlog;
    fill(&backlog, "/old", 1, 100);
    fill(&backlog, "/read", 101, 200);
    fill(&backlog, "/new", 201, 300);
    positions(&backlog, "/read");
    fill(&backlog, "/newer", 301, 500);
    assert_eq!(backlog.head("/old"), Ok(None));
    assert!(backlog.head("/read").unwrap().is_some() || backlog.head("/new").unwrap().is_none());
    assert_eq!(positions(&backlog, "/newer").len(), 200);
    assert!(backlog.floor("/old").unwrap() >= 100);
    assert!(backlog.usage().unwrap().bytes <= 4_500);
    tidy(&backlog);
    drop(backlog);
    let again = directory.open_with(&options).backlog;
    assert!(again.floor("/old").unwrap() >= 100);
}

#[test]
fn a_lone_channel_loses_its_oldest_records() {
    let directory = Directory::new();
    let backlog = directory.open_with(&SledOptions { budget_bytes: 1_000, ..OPTIONS }).backlog;
    fill(&backlog, "/a", 1, 1_000);
    let kept = positions(&backlog, "/a");
    assert_eq!(kept.last(), Some(&1_000));
    assert!(kept.len() <= 100 && kept.len() > 50, "{}", kept.len());
    assert_eq!(backlog.floor("/a"), Ok(kept[0] - 1));
}

/// The meta of a channel is written now and then; after a crash it is behind.
#[test]
fn after_a_crash_what_is_dropped_first_is_what_was_not_used_for_longest_and_none_of_it_is_silent() {
    let directory = Directory::new();
    let first = directory.open();
    fill(&first, "/old", 1, 100);
    fill(&first, "/new", 500, 510);
    drop(first);
    let second = directory.open_with(&SledOptions { channels: 2, ..OPTIONS }).backlog;
    let usage = second.usage().unwrap();
    assert_eq!((usage.channels, usage.records, usage.bytes), (2, 111, 1_110));
    fill(&second, "/newer", 600, 600);
    assert_eq!(second.names("").unwrap(), ["/new".into(), "/newer".into()]);
    assert_eq!((second.head("/old"), second.floor("/old")), (Ok(None), Ok(100)));
    assert_eq!(positions(&second, "/new").len(), 11);
    assert_eq!(second.floor("/new"), Ok(0));
}

#[test]
fn a_lone_channel_does_not_grow_on_disk_and_its_floor_lasts() {
    let directory = Directory::new();
    let options = SledOptions { budget_bytes: 1_000, ..OPTIONS };
    let backlog = directory.open_with(&options).backlog;
    for at in 1..=5_000 {
        backlog.append(&[record("/a", at, "0123456789")]).unwrap();
        backlog.trim("/a", &Retention::ALL, 0).unwrap();
        backlog.tidy().unwrap();
    }
    assert!(rows(&backlog) < 200, "{} rows", rows(&backlog));
    drop(backlog);
    let backlog = directory.open_with(&options).backlog;
    assert!(backlog.floor("/a").unwrap() > 4_800);
    assert_eq!(backlog.floor("/a").unwrap(), positions(&backlog, "/a")[0] - 1);
}

#[test]
fn many_channels_that_live_briefly_leave_nothing_on_disk() {
    let directory = Directory::new();
    let backlog = directory.open_with(&SledOptions { channels: 100, ..OPTIONS }).backlog;
    let mut most = 0;
    for at in (1..20_000).step_by(400) {
        let batch: Vec<_> =
            (at..at + 400).map(|at| record(&format!("/{}", at / 2), at, "x")).collect();
        backlog.append(&batch).unwrap();
        for _ in 0..3 {
            backlog.tidy().unwrap();
        }
        most = most.max(rows(&backlog));
        let channels = backlog.usage().unwrap().channels;
        assert!((95..=100).contains(&channels), "{channels}");
    }
    assert!(most < 1_000, "{most} rows for 100 channels");
    assert!(rows(&backlog) <= 2 + 3 * 100, "{} rows", rows(&backlog));
}

#[test]
fn large_dead_rows_go_although_they_are_few() {
    let directory = Directory::new();
    let backlog = directory.open();
    let text = "x".repeat(300 << 10);
    let keep = Retention { messages: 1, ..Retention::ALL };
    for at in 1..=20 {
        backlog.append(&[record("/a", at, &text)]).unwrap();
        backlog.trim("/a", &keep, 0).unwrap();
        tidy(&backlog);
    }
    assert!(rows(&backlog) < 10, "{} rows", rows(&backlog));
}

#[test]
fn small_leftovers_of_many_channels_are_not_left_for_ever() {
    let directory = Directory::new();
    let backlog = directory.open_with(&SledOptions { budget_bytes: 100_000, ..OPTIONS }).backlog;
    let keep = Retention { messages: 1, ..Retention::ALL };
    let text = "x".repeat(1_000);
    for channel in 0..40_i64 {
        let name = format!("/{channel}");
        let batch: Vec<_> = (1..=5).map(|at| record(&name, 10 * channel + at, &text)).collect();
        backlog.append(&batch).unwrap();
        backlog.trim(&name, &keep, 0).unwrap();
        tidy(&backlog);
    }
    for channel in 0..40 {
        backlog.trim(&format!("/{channel}"), &keep, 0).unwrap();
    }
    tidy(&backlog);
    assert!(rows(&backlog) < 2 + 40 + 40 + 20, "{} rows", rows(&backlog));
}

#[test]
fn marks_are_counted_over_a_restart() {
    let directory = Directory::new();
    let first = directory.open();
    let marked = |at: i64| {
        let mark = crate::Mark { key: [at as u8; 16], print: [0; 16], subscribers: 0 };
        Record { mark: Some(mark), ..record("/a", at, "x") }
    };
    first.append(&(1..=9).map(marked).collect::<Vec<_>>()).unwrap();
    drop(first);
    let second = directory.open();
    assert_eq!(second.usage().unwrap().marks, 9);
    assert_eq!(second.forget_marks(i64::MIN, 5), Ok(4));
    assert_eq!(second.usage().unwrap().marks, 5);
}
