//! Starts and stops, clean and not, and files that are damaged.

use std::{
    env, process,
    sync::atomic::{AtomicU32, Ordering},
};

use super::*;

const FALLBACK: i64 = 99_000_000;

/// A data directory, removed at the end.
struct Data(PathBuf);

impl Data {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("weft-ceiling-{}-{number}", process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn open(&self) -> (Ceiling, Boot) {
        Ceiling::open(&self.0, FALLBACK).unwrap()
    }

    fn boot(&self) -> Boot {
        self.open().1
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(self.0.join(NAME)).unwrap()
    }

    fn set(&self, bytes: &[u8]) {
        fs::write(self.0.join(NAME), bytes).unwrap();
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn boot(ceiling: i64, doubt: i64, unclean: bool) -> Boot {
    Boot { ceiling, doubt, unclean, moved_aside: None }
}

#[test]
fn a_clean_stop_leaves_the_last_number_and_no_doubt() {
    let data = Data::new();
    let (ceiling, first) = data.open();
    assert_eq!(first, boot(0, 0, false));
    ceiling.raise(1_000).unwrap();
    ceiling.close(500).unwrap();
    assert_eq!(data.boot(), boot(500, 0, false));
    assert_eq!(data.boot(), boot(500, 0, false), "opening marks nothing");
    assert_eq!(data.names(), [NAME]);
}

#[test]
fn a_run_that_gave_out_nothing_leaves_the_ceiling_it_found() {
    let data = Data::new();
    let (ceiling, _) = data.open();
    ceiling.raise(1_000).unwrap();
    ceiling.close(500).unwrap();
    let (ceiling, _) = data.open();
    ceiling.raise(2_000).unwrap();
    ceiling.close(0).unwrap();
    assert_eq!(data.boot(), boot(500, 0, false));
}

#[test]
fn an_unclean_stop_is_a_doubt_that_clean_ones_do_not_dispel() {
    let data = Data::new();
    data.open().0.raise(1_000).unwrap();
    assert_eq!(data.boot(), boot(1_000, 1_000, true));
    let (ceiling, found) = data.open();
    assert_eq!(found, boot(1_000, 1_000, true), "still, until somebody raises it");
    ceiling.raise(2_000).unwrap();
    ceiling.close(1_500).unwrap();
    let (ceiling, found) = data.open();
    assert_eq!(found, boot(1_500, 1_000, false));
    ceiling.raise(3_000).unwrap();
    drop(ceiling);
    assert_eq!(data.boot(), boot(3_000, 3_000, true), "a later one");
}

#[test]
fn raising_to_what_is_allowed_already_marks_the_run_but_never_lowers() {
    let data = Data::new();
    let (ceiling, _) = data.open();
    ceiling.raise(1_000).unwrap();
    ceiling.close(1_000).unwrap();
    let (ceiling, _) = data.open();
    ceiling.raise(10).unwrap();
    assert_eq!(data.boot(), boot(1_000, 1_000, true));
    let before = data.bytes();
    ceiling.raise(1_000).unwrap();
    assert_eq!(data.bytes(), before, "no news");
}

#[test]
fn slots_are_written_in_turn_and_in_place() {
    let data = Data::new();
    let (ceiling, _) = data.open();
    let mut before = data.bytes();
    let mut turns = Vec::new();
    for to in 1..=4 {
        ceiling.raise(to * 1_000).unwrap();
        let after = data.bytes();
        assert_eq!(after.len(), before.len());
        let changed = (0..2).filter(|turn| {
            let slot = turn * STRIDE..(turn + 1) * STRIDE;
            before[slot.clone()] != after[slot]
        });
        turns.extend(changed);
        before = after;
    }
    assert_eq!(turns, [1, 0, 1, 0]);
}

#[test]
fn a_write_torn_anywhere_leaves_the_state_before_or_after() {
    let data = Data::new();
    let (ceiling, _) = data.open();
    for to in [1_000, 2_000] {
        ceiling.raise(to).unwrap();
    }
    let before = data.bytes();
    ceiling.raise(3_000).unwrap();
    let after = data.bytes();
    let slot = STRIDE..STRIDE + SLOT_BYTES;
    assert_ne!(before[slot.clone()], after[slot]);
    let mut seen = Vec::new();
    for cut in 0..=SLOT_BYTES {
        // The rest is old, or never arrived, or is rubbish.
        for rest in [None, Some(0), Some(0xa5)] {
            let mut torn = before.clone();
            torn[STRIDE..STRIDE + cut].copy_from_slice(&after[STRIDE..STRIDE + cut]);
            if let Some(rest) = rest {
                torn[STRIDE + cut..STRIDE + SLOT_BYTES].fill(rest);
            }
            data.set(&torn);
            seen.push(data.boot().ceiling);
        }
    }
    assert!(seen.iter().all(|ceiling| [2_000, 3_000].contains(ceiling)), "{seen:?}");
    assert_eq!(seen.first(), Some(&2_000));
    assert_eq!(seen.last(), Some(&3_000));
    assert_eq!(data.names(), [NAME]);
}

#[test]
fn what_makes_no_sense_is_moved_aside_and_the_fallback_holds() {
    for damaged in [&b""[..], b"x", &[7; FILE_BYTES], &[0; FILE_BYTES + 1]] {
        let data = Data::new();
        data.set(damaged);
        let found = data.boot();
        let aside = found.moved_aside.clone().unwrap();
        assert!(aside.exists() && data.names().iter().any(|name| aside.ends_with(name)));
        assert_eq!(found, Boot { moved_aside: Some(aside), ..boot(FALLBACK, FALLBACK, true) });
        let aside: Vec<_> = data.names().into_iter().filter(|name| name != NAME).collect();
        assert_eq!(aside.len(), 1);
        assert!(aside[0].starts_with("positions.corrupt-"), "{aside:?}");
        assert_eq!(fs::read(data.0.join(&aside[0])).unwrap(), damaged);
        let (ceiling, found) = Ceiling::open(&data.0, 0).unwrap();
        assert_eq!(found, boot(FALLBACK, FALLBACK, true), "it is whole now");
        ceiling.close(0).unwrap();
        assert_eq!(data.boot(), boot(FALLBACK, FALLBACK, false));
    }
}

#[test]
fn a_creation_that_was_cut_short_is_begun_again() {
    let data = Data::new();
    fs::write(data.0.join(DRAFT), [7; 10_000]).unwrap();
    assert_eq!(data.boot(), boot(0, 0, false));
    assert_eq!(data.bytes().len(), FILE_BYTES);
}

#[test]
fn a_directory_that_is_missing_is_an_error() {
    let missing = Ceiling::open(Path::new("/nonexistent/weft"), 0).map(|(_, boot)| boot);
    assert_eq!(missing.unwrap_err().kind(), io::ErrorKind::NotFound);
}
