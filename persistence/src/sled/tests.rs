//! What sled adds to the contract: a directory that outlives the process, and its accidents.

use std::sync::atomic::AtomicU32;

use super::*;
use crate::conformance::record;

mod bounds;
mod damage;
mod stops;

const OPTIONS: SledOptions = SledOptions {
    cache_bytes: 8 << 20,
    budget_bytes: 1 << 30,
    channels: 1_000,
    reserve_bytes: 0,
    ballast_bytes: 4_096,
    shared_floor: 0,
};

crate::conformance!({
    let directory = Directory::new();
    (directory.open(), directory)
});

/// A place of its own, removed at the end.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("weft-sled-{}-{number}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn store(&self) -> PathBuf {
        self.0.join("store")
    }

    fn open(&self) -> Sled {
        self.open_with(&OPTIONS).backlog
    }

    fn open_with(&self, options: &SledOptions) -> Opened {
        // Threads of sled's own may hold on to the files for a moment.
        for _ in 0..200 {
            match Sled::open(&self.store(), options.clone()) {
                Err(BacklogError::InUse) => thread::park_timeout(REOPEN_AFTER),
                opened => return opened.unwrap(),
            }
        }
        panic!("it stays in use");
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn positions(backlog: &Sled, channel: &str) -> Vec<i64> {
    let records = backlog.read_after(channel, 0, Page::ALL).unwrap();
    records.iter().map(|record| record.position).collect()
}

/// All rows on disk, of whatever kind.
fn rows(backlog: &Sled) -> usize {
    backlog.with(|files| Ok(files.tree.len())).unwrap()
}

fn tidy(backlog: &Sled) {
    while backlog.tidy().unwrap() {}
}

fn fill(backlog: &Sled, channel: &str, from: i64, to: i64) {
    for chunk in (from..=to).collect::<Vec<_>>().chunks(200) {
        let batch: Vec<_> = chunk.iter().map(|&at| record(channel, at, "0123456789")).collect();
        backlog.append(&batch).unwrap();
    }
}

#[test]
fn everything_is_there_again_after_closing_and_after_a_crash() {
    for clean in [true, false] {
        let directory = Directory::new();
        let first = directory.open();
        fill(&first, "/a", 1, 500);
        fill(&first, "/b", 501, 520);
        first.trim("/a", &Retention { messages: 100, ..Retention::ALL }, 0).unwrap();
        first.raise_floor("/b", 510).unwrap();
        first.raise_floor("/unknown", 77).unwrap();
        fill(&first, "/b", 521, 521);
        if clean {
            first.close().unwrap();
        }
        drop(first);
        let second = directory.open();
        second.trim("/a", &Retention { messages: 100, ..Retention::ALL }, 0).unwrap();
        assert_eq!(positions(&second, "/a"), (401..=500).collect::<Vec<_>>());
        assert_eq!(second.floor("/a"), Ok(400));
        assert_eq!(positions(&second, "/b"), (501..=521).collect::<Vec<_>>());
        assert_eq!((second.floor("/b"), second.head("/b")), (Ok(510), Ok(Some(521))));
        assert_eq!(second.floor("/never"), Ok(77));
        assert_eq!(second.usage().unwrap().records, 121);
    }
}

#[test]
fn a_store_in_use_is_refused_and_left_alone() {
    let directory = Directory::new();
    let first = directory.open();
    let refused = Sled::open(&directory.store(), OPTIONS).unwrap_err();
    assert_eq!(refused, BacklogError::InUse);
    fill(&first, "/a", 1, 1);
}

#[test]
fn a_newer_format_is_refused_and_left_alone() {
    let directory = Directory::new();
    let first = directory.open();
    fill(&first, "/a", 1, 3);
    first
        .with(|files| {
            files
                .tree
                .insert(rows::store_key("format"), &7_u32.to_be_bytes()[..])
                .map_err(failed)?;
            files.flush()
        })
        .unwrap();
    drop(first);
    let refused = Sled::open(&directory.store(), OPTIONS).unwrap_err();
    assert_eq!(refused, BacklogError::Newer { found: 7, known: 2 });
    assert!(refused.to_string().contains('7'), "{refused}");
    let refused = Sled::open_as_it_is(&directory.store(), OPTIONS).unwrap_err();
    assert_eq!(refused, BacklogError::Newer { found: 7, known: 2 });
    assert_eq!(std::fs::read_dir(&directory.0).unwrap().count(), 2, "the store and its ballast");
}

#[test]
fn a_store_of_the_first_format_goes_on() {
    let directory = Directory::new();
    let first = directory.open();
    // A record for each append is a row for each record, as all were.
    for at in 1..=100 {
        fill(&first, "/a", at, at);
    }
    first
        .with(|files| {
            let format = rows::store_key("format");
            files.tree.insert(format, &1_u32.to_be_bytes()[..]).map_err(failed)?;
            files.flush()
        })
        .unwrap();
    first.close().unwrap();
    drop(first);
    // Whoever only looks leaves it as it is.
    let format = |backlog: &Sled| {
        let row = |files: &Files| files.tree.get(rows::store_key("format")).map_err(failed);
        backlog.with(row).unwrap().unwrap()
    };
    for _ in 0..2 {
        let looked = directory.open();
        assert_eq!(positions(&looked, "/a").len(), 100);
        assert_eq!(format(&looked), 1_u32.to_be_bytes());
        looked.close().unwrap();
    }
    for at in [101, 201] {
        let backlog = directory.open();
        fill(&backlog, "/a", at, at + 99);
        assert_eq!(format(&backlog), 2_u32.to_be_bytes());
        assert_eq!(positions(&backlog, "/a"), (1..at + 100).collect::<Vec<_>>());
        let last = backlog.last("/a", 3).unwrap();
        assert!(last.iter().map(|record| record.position).eq(at + 97..at + 100));
    }
    let backlog = directory.open();
    let keep = Retention { messages: 10, ..Retention::ALL };
    while backlog.trim("/a", &keep, 0).unwrap() > 0 {}
    tidy(&backlog);
    assert_eq!(positions(&backlog, "/a"), (291..=300).collect::<Vec<_>>());
    assert!(rows(&backlog) < 2 + 1 + 3, "{} rows", rows(&backlog));
}

#[test]
fn what_is_dead_of_a_row_is_counted_and_goes_with_the_row() {
    let directory = Directory::new();
    let keep = |messages| Retention { messages, ..Retention::ALL };
    let backlog = directory.open();
    fill(&backlog, "/a", 1, 200);
    for left in (1..=200).rev() {
        backlog.trim("/a", &keep(left), 0).unwrap();
        tidy(&backlog);
        assert_eq!(positions(&backlog, "/a").len() as u64, left);
        assert_eq!(backlog.usage().unwrap().records, left);
    }
    assert!(rows(&backlog) < 2 + 1 + 5, "{} rows", rows(&backlog));
    // None of it comes back after a restart, and it is not counted either.
    let usage = |backlog: &Sled| backlog.usage().map(|usage| (usage.records, usage.bytes));
    backlog.close().unwrap();
    drop(backlog);
    let again = directory.open();
    assert_eq!((positions(&again, "/a"), usage(&again)), (vec![200], Ok((1, 10))));
    assert_eq!(again.floor("/a"), Ok(199));
    fill(&again, "/a", 201, 300);
    // Nor does it where a process ends in the middle, but for what was trimmed since it was last told.
    drop(again);
    let again = directory.open();
    let found = positions(&again, "/a");
    assert_eq!(usage(&again), Ok((found.len() as u64, 10 * found.len() as u64)));
    assert!(found.len() <= 101, "{found:?}");
    again.trim("/a", &keep(1), 0).unwrap();
    tidy(&again);
    assert_eq!(again.usage().unwrap().records, 1);
    assert_eq!(positions(&again, "/a"), [300]);
}

/// Of many channels each keeps one message of a burst, so something dead stays in each one's row. That
/// presses nobody: it cannot be removed.
#[test]
fn what_is_dead_of_rows_that_live_does_not_press() {
    let directory = Directory::new();
    let backlog = directory.open_with(&SledOptions { budget_bytes: 10_000, ..OPTIONS }).backlog;
    let keep = Retention { messages: 1, ..Retention::ALL };
    for channel in 0..20_i64 {
        let name = format!("/{channel}");
        fill(&backlog, &name, 100 * channel + 1, 100 * channel + 30);
        backlog.trim(&name, &keep, 0).unwrap();
        tidy(&backlog);
    }
    // Those that were looked at under pressure are known; what they hold has ended it.
    let before = rows(&backlog);
    for channel in 0..20 {
        backlog.trim(&format!("/{channel}"), &keep, 0).unwrap();
    }
    let catalogue = backlog.catalogue.lock();
    assert!(catalogue.dead_bytes <= catalogue.dead_bytes_most && catalogue.graves.is_empty());
    let stuck: u64 = catalogue.channels.values().map(|channel| channel.stuck_bytes).sum();
    assert_eq!(stuck + catalogue.dead_bytes, 20 * 29 * 10);
    drop(catalogue);
    // They go with what lived beside them.
    for channel in 0..20_i64 {
        let name = format!("/{channel}");
        fill(&backlog, &name, 100 * channel + 50, 100 * channel + 50);
        backlog.trim(&name, &keep, 0).unwrap();
    }
    tidy(&backlog);
    assert!(rows(&backlog) < before + 10, "{} rows, {before} before", rows(&backlog));
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}
