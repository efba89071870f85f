//! Files that do not hold what was written, and stores that fail.

use super::*;

#[test]
fn damage_is_moved_aside_or_harmless_wherever_it_is() {
    let directory = Directory::new();
    let first = directory.open();
    fill(&first, "/a", 1, 400);
    first.close().unwrap();
    drop(first);
    let whole = std::fs::read(directory.store().join("db")).unwrap();
    for seed in 0..40_usize {
        let damaged = Directory::new();
        copy(&directory.store(), &damaged.store());
        let mut bytes = whole.clone();
        let at = seed * 7_919 % bytes.len();
        if seed % 4 == 0 {
            bytes.truncate(at);
        } else {
            let end = (at + 400).min(bytes.len());
            bytes[at..end].iter_mut().for_each(|byte| *byte ^= 0x5a);
        }
        std::fs::write(damaged.store().join("db"), &bytes).unwrap();
        let opened = damaged.open_with(&SledOptions { shared_floor: 1_000, ..OPTIONS });
        if opened.losses.iter().any(|loss| matches!(loss, Loss::Store(_))) {
            assert_eq!(opened.backlog.floor("/a"), Ok(1_000));
        }
        fill(&opened.backlog, "/new", 2_000, 2_010);
        assert_eq!(positions(&opened.backlog, "/new").len(), 11);
    }
}

/// Flips a byte of a text wherever it stands in the log, under the store's hands.
fn spoil(directory: &Directory, text: &str) {
    use std::os::unix::fs::FileExt;
    let path = directory.store().join("db");
    let bytes = std::fs::read(&path).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    let windows = bytes.windows(text.len()).enumerate();
    let found = windows.filter(|(_, window)| *window == text.as_bytes());
    let spoilt = found.map(|(at, _)| file.write_all_at(&[bytes[at] ^ 1], at as u64).unwrap());
    assert!(spoilt.count() > 0, "{text} is in the log");
}

/// Three channels of two thousand records, most of them not in sled's cache, some of them small enough
/// to share rows.
fn three_channels(directory: &Directory) -> Sled {
    let backlog = directory.open_with(&SledOptions { cache_bytes: 1 << 20, ..OPTIONS }).backlog;
    for (number, channel) in ["/b", "/a", "/c"].into_iter().enumerate() {
        let first = 10_000 * i64::try_from(number).unwrap();
        for chunk in (first + 1..=first + 2_000).collect::<Vec<_>>().chunks(100) {
            let size = |at| if at % 100 < 10 { 1_000 } else { 5_000 };
            let text = |at| format!("{channel}-{at}-{}", "x".repeat(size(at)));
            let batch: Vec<_> = chunk.iter().map(|&at| record(channel, at, &text(at))).collect();
            backlog.append(&batch).unwrap();
        }
    }
    backlog
}

/// Damages one channel and finds that by reading or by trimming. False if sled, which moves old pages
/// when it writes, met with the damage itself: then no write can be expected to succeed.
fn damage_stays_where_it_is(read: bool) -> bool {
    let directory = Directory::new();
    let backlog = three_channels(&directory);
    spoil(&directory, "/b-5");
    assert_eq!(backlog.head("/b"), Ok(Some(2_000)));
    if read {
        let found = backlog.read_after("/b", 0, Page::ALL).map(|found| found.len());
        assert_eq!(found, Ok(0));
    } else {
        let keep = Retention { messages: 1, ..Retention::ALL };
        while backlog.trim("/b", &keep, 0).unwrap() > 0 {}
    }
    assert_eq!(backlog.losses(), [Loss::Channel("/b".into())]);
    assert_eq!((backlog.head("/b"), backlog.floor("/b")), (Ok(None), Ok(2_000)));
    // All others go on, and so does it.
    let mut next = 50_000;
    for channel in ["/a", "/b"].repeat(10) {
        next += 1;
        match backlog.append(&[record(channel, next, "0123456789")]) {
            Err(BacklogError::Damaged(_)) => return false,
            appended => appended.unwrap(),
        }
    }
    if matches!(backlog.tidy(), Err(BacklogError::Damaged(_))) {
        return false;
    }
    assert_eq!(positions(&backlog, "/b").len(), 10);
    assert_eq!(positions(&backlog, "/a").len(), 2_010);
    assert_eq!(positions(&backlog, "/c").len(), 2_000);
    assert_eq!(backlog.health(), Ok(()));
    assert_eq!(backlog.losses(), []);
    true
}

#[test]
fn damage_in_one_channel_is_its_own() {
    for read in [true, false] {
        assert!((0..10).any(|_| damage_stays_where_it_is(read)), "no write ever succeeds");
    }
}

/// Makes the store take itself for broken.
fn fail_with(backlog: &Sled, error: BacklogError) {
    *backlog.trouble.lock() = Some(error);
}

#[test]
fn a_store_that_is_moved_aside_while_it_runs_says_so_and_loses_nothing_silently() {
    let directory = Directory::new();
    let backlog = directory.open();
    fill(&backlog, "/a", 1, 300);
    backlog.raise_floor("/a", 305).unwrap();
    std::fs::write(directory.store().join("db"), [0x55; 100_000]).unwrap();
    fail_with(&backlog, BacklogError::Failed("flush".into()));
    assert!(backlog.append(&[record("/a", 301, "x")]).is_err());
    backlog.recover().unwrap();
    let losses = backlog.losses();
    assert!(matches!(&losses[..], [Loss::Store(aside)] if aside.exists()), "{losses:?}");
    assert_eq!(backlog.floor("/a"), Ok(305));
    fill(&backlog, "/a", 401, 410);
    drop(backlog);
    let again = directory.open();
    assert_eq!((again.floor("/a"), again.floor("/never")), (Ok(305), Ok(305)));
    assert_eq!(positions(&again, "/a").len(), 10);
}

#[test]
fn an_end_that_went_missing_while_it_runs_is_told() {
    let directory = Directory::new();
    let backlog = directory.open();
    fill(&backlog, "/a", 1, 300);
    let before = Directory::new();
    copy(&directory.store(), &before.store());
    fill(&backlog, "/a", 301, 20_000);
    fill(&backlog, "/b", 20_001, 20_010);
    std::fs::copy(before.store().join("db"), directory.store().join("db")).unwrap();
    fail_with(&backlog, BacklogError::Failed("flush".into()));
    backlog.recover().unwrap();
    assert_eq!(backlog.losses(), [Loss::End]);
    assert_eq!(positions(&backlog, "/a").len(), 300);
    assert_eq!((backlog.floor("/a"), backlog.floor("/b")), (Ok(20_000), Ok(20_010)));
}

#[test]
fn opening_anew_keeps_floors_that_were_not_written_yet_and_cries_no_wolf() {
    let directory = Directory::new();
    let backlog = directory.open();
    fill(&backlog, "/a", 1, 100);
    backlog.raise_floor("/a", 150).unwrap();
    backlog.raise_floor("/unknown", 160).unwrap();
    fail_with(&backlog, BacklogError::Failed("flush".into()));
    backlog.recover().unwrap();
    assert_eq!(backlog.losses(), []);
    assert_eq!((backlog.floor("/a"), backlog.floor("/b")), (Ok(150), Ok(160)));
    assert_eq!(positions(&backlog, "/a").len(), 100);
    drop(backlog);
    let again = directory.open();
    assert_eq!((again.floor("/a"), again.floor("/b")), (Ok(150), Ok(160)));
}

#[test]
fn a_store_that_could_not_be_opened_anew_is_not_closed_for_good() {
    let directory = Directory::new();
    let backlog = directory.open();
    fill(&backlog, "/a", 1, 300);
    let (db, elsewhere) = (directory.store().join("db"), directory.0.join("elsewhere"));
    std::fs::rename(&db, &elsewhere).unwrap();
    std::fs::create_dir(&db).unwrap();
    fail_with(&backlog, BacklogError::Failed("flush".into()));
    for _ in 0..3 {
        assert!(!matches!(backlog.recover(), Ok(()) | Err(BacklogError::Closed)));
        assert!(!matches!(backlog.last("/a", 1), Ok(_) | Err(BacklogError::Closed)));
    }
    std::fs::remove_dir(&db).unwrap();
    std::fs::rename(&elsewhere, &db).unwrap();
    backlog.recover().unwrap();
    assert_eq!(positions(&backlog, "/a").len(), 300);
    fill(&backlog, "/a", 301, 310);
    assert_eq!(backlog.losses(), []);
}

#[test]
fn damage_that_opening_anew_does_not_cure_moves_the_store_aside() {
    let directory = Directory::new();
    let backlog = directory.open();
    fill(&backlog, "/a", 1, 10);
    for round in 0..2 {
        fail_with(&backlog, BacklogError::Damaged("a page".into()));
        backlog.recover().unwrap();
        assert_eq!(positions(&backlog, "/a").len(), if round == 0 { 10 } else { 0 });
    }
    assert!(matches!(backlog.losses()[..], [Loss::Store(_)]));
    assert_eq!(backlog.floor("/a"), Ok(10));
}

#[test]
fn the_ballast_is_whole_or_not_there_and_made_anew() {
    let directory = Directory::new();
    let ballast = directory.0.join("store.ballast");
    let size = || std::fs::metadata(&ballast).map(|found| found.len()).ok();
    std::fs::create_dir_all(&directory.0).unwrap();
    std::fs::write(&ballast, "").unwrap();
    let backlog = directory.open();
    assert_eq!(size(), Some(4_096), "an empty one is none");
    std::fs::remove_file(&ballast).unwrap();
    fail_with(&backlog, BacklogError::Full);
    backlog.recover().unwrap();
    assert_eq!(size(), Some(4_096), "space has returned");
}

#[test]
fn what_is_written_to_a_channel_while_a_reader_gives_it_up_is_told() {
    let directory = Directory::new();
    let backlog = directory.open();
    fill(&backlog, "/a", 1, 10);
    let batch = [record("/a", 11, "x"), record("/b", 12, "x")];
    let mut catalogue = backlog.catalogue.lock();
    let mut rows = rows::Rows::default();
    let number = |record: &Record| catalogue.number(&record.channel, 1, &mut rows).unwrap();
    let numbers: Vec<u32> = batch.iter().map(number).collect();
    assert_eq!(catalogue.give_up(&"/a".into(), numbers[0]), 10);
    catalogue.appended(&batch, &numbers);
    assert_eq!(catalogue.give_up(&"/b".into(), numbers[0]), 0, "that is another one");
    drop(catalogue);
    assert_eq!((backlog.head("/a"), backlog.floor("/a")), (Ok(None), Ok(11)));
    assert_eq!(backlog.head("/b"), Ok(Some(12)));
}
