//! What is found after a stop, clean or not.

use super::*;

fn db(directory: &Directory) -> PathBuf {
    directory.store().join("db")
}

/// Cuts off the end of the log.
fn cut(directory: &Directory, bytes: u64) {
    let file = std::fs::OpenOptions::new().write(true).open(db(directory)).unwrap();
    let length = file.metadata().unwrap().len();
    file.set_len(length.saturating_sub(bytes)).unwrap();
}

#[test]
fn an_end_that_is_missing_after_a_clean_stop_is_told() {
    let directory = Directory::new();
    let first = directory.open();
    fill(&first, "/kept", 1, 10);
    first.close().unwrap();
    drop(first);
    // Some time in between, so that the number of the first stop stands in the log as well.
    let second = directory.open();
    fill(&second, "/a", 11, 20_000);
    second.close().unwrap();
    drop(second);
    for bytes in [1 << 20, 512 << 10] {
        let damaged = Directory::new();
        copy(&directory.store(), &damaged.store());
        cut(&damaged, bytes);
        let options = SledOptions { shared_floor: 30_000, ..OPTIONS };
        let Opened { backlog, losses } = damaged.open_with(&options);
        assert!(positions(&backlog, "/a").last() != Some(&20_000), "something is missing");
        assert!(matches!(losses[..], [Loss::End | Loss::Store(_)]), "{losses:?}");
        for channel in ["/a", "/kept", "/never"] {
            assert_eq!(backlog.floor(channel), Ok(30_000), "{channel}");
        }
        drop(backlog);
        // It lasts, and is not said again.
        let Opened { backlog, losses } = damaged.open_with(&OPTIONS);
        assert_eq!((losses, backlog.floor("/a")), (vec![], Ok(30_000)));
        fill(&backlog, "/a", 40_000, 40_010);
        backlog.close().unwrap();
        drop(backlog);
        assert_eq!(damaged.open_with(&OPTIONS).losses, []);
    }
}

#[test]
fn stops_of_whatever_kind_are_no_loss() {
    let directory = Directory::new();
    for (round, clean) in [true, false, false, true, true, false].into_iter().enumerate() {
        let Opened { backlog, losses } = directory.open_with(&OPTIONS);
        assert_eq!(losses, [], "round {round}");
        assert_eq!(backlog.floor("/a"), Ok(0), "round {round}");
        if round != 4 {
            let first = 1_000 * round as i64 + 1;
            fill(&backlog, "/a", first, first + 299);
        }
        if clean {
            backlog.close().unwrap();
        }
    }
    assert_eq!(positions(&directory.open(), "/a").len(), 5 * 300);
}

#[test]
fn files_that_vanished_are_told() {
    for zero in [true, false] {
        for clean in [true, false] {
            let directory = Directory::new();
            let first = directory.open();
            fill(&first, "/a", 1, 100);
            if clean {
                first.close().unwrap();
            }
            drop(first);
            if zero {
                std::fs::write(db(&directory), "").unwrap();
            } else {
                std::fs::remove_file(db(&directory)).unwrap();
            }
            let options = SledOptions { shared_floor: 500, ..OPTIONS };
            let Opened { backlog, losses } = directory.open_with(&options);
            assert!(matches!(losses[..], [Loss::Store(_)]), "{losses:?}");
            assert_eq!(backlog.floor("/a"), Ok(500));
        }
    }
}

#[test]
fn a_channel_that_was_dropped_and_came_back_is_there_once_after_a_crash() {
    let directory = Directory::new();
    let first = directory.open_with(&SledOptions { channels: 1, ..OPTIONS }).backlog;
    fill(&first, "/a", 1, 10);
    fill(&first, "/b", 11, 20);
    fill(&first, "/a", 21, 30);
    assert_eq!((positions(&first, "/a").len(), first.floor("/a")), (10, Ok(10)));
    drop(first);
    let second = directory.open();
    assert_eq!(positions(&second, "/a"), (21..=30).collect::<Vec<_>>());
    assert_eq!(second.floor("/a"), Ok(10));
    assert_eq!(positions(&second, "/b").len(), 10, "not removed yet, so it may be back");
    assert_eq!(second.usage().unwrap().records, 20);
    tidy(&second);
    assert_eq!(rows(&second), 2 + 2 + 2, "the first one's row goes");
}

#[test]
fn the_highest_position_is_known() {
    let directory = Directory::new();
    let first = directory.open();
    assert_eq!(first.highest(), 0);
    fill(&first, "/a", 1, 70);
    fill(&first, "/b", 71, 75);
    drop(first);
    let second = directory.open();
    assert_eq!(second.highest(), 75);
    second.raise_floor("/a", 99).unwrap();
    assert_eq!(second.highest(), 99);
    second.raise_floor("/unknown", 100).unwrap();
    assert_eq!(second.highest(), 100);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "it is about time")]
fn a_hundred_thousand_channels_open_fast_after_a_crash() {
    let directory = Directory::new();
    let options = SledOptions { channels: 200_000, ..OPTIONS };
    let first = directory.open_with(&options).backlog;
    let channels: i64 = if cfg!(debug_assertions) { 10_000 } else { 100_000 };
    for from in (0..channels).step_by(1_000) {
        let records = (from..from + 1_000).flat_map(|n| {
            [1, 2].map(|m| record(&format!("/channel/number/{n}"), 2 * n + m, "0123456789"))
        });
        first.append(&records.collect::<Vec<_>>()).unwrap();
    }
    drop(first);
    let started = Instant::now();
    let second = directory.open_with(&options).backlog;
    let took = started.elapsed();
    assert_eq!(second.usage().unwrap().records, 2 * channels.cast_unsigned());
    println!("{channels} channels after a crash: {took:?}");
    assert!(took < Duration::from_secs(20), "{took:?}");
}
