//! `weft store compact`: the store is written anew and takes its own place.

use weft_persistence::Backlog;

use super::draft::Draft;
use super::judge::Judge;
use super::place::Place;
use super::source::{everything, read};

/// The files never shrink by themselves; a copy has only what is there.
pub(super) fn run(place: &Place) -> Result<(), String> {
    let store = place.open()?;
    let before = read(|| store.usage())?.disk_bytes;
    let mut draft = Draft::begin(place, read(|| store.floor(""))?)?;
    let mut judge = Judge::default();
    everything(&store, &mut |line| {
        judge.see(line)?;
        draft.put(line)
    })?;
    drop(store);
    let (lock, counts) = (place.lock()?, judge.counts());
    let after = draft.settle(place, Some(&lock), counts)?;
    eprintln!("weft: kept {counts} in {after} bytes of files, {before} before");
    Ok(())
}
