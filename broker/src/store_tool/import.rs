//! `weft store import`: lines become a store.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use weft_persistence::Backlog;

use super::about;
use super::draft::Draft;
use super::format::{Counts, Line, Lines};
use super::judge::Judge;
use super::place::Place;
use super::source::what;

/// Imports a file, or standard input, where no store is or an empty one.
pub(super) fn run(place: &Place, input: Option<&Path>) -> Result<(), String> {
    let (floor, locked) = if place.is_taken() {
        let floor = floor_of_empty(place)?;
        (floor, Some(place.lock()?))
    } else {
        (0, None)
    };
    let read = |name: &str, input: &mut dyn BufRead| -> Result<(), String> {
        let (draft, counts) = read(place, floor, name, input)?;
        draft.settle(place, locked.as_ref(), counts)?;
        eprintln!("weft: imported {counts}");
        Ok(())
    };
    match input {
        Some(path) => {
            let file = File::open(path).map_err(about(path))?;
            read(&path.display().to_string(), &mut BufReader::with_capacity(1 << 16, file))
        }
        None => read("standard input", &mut io::stdin().lock()),
    }
}

/// What an empty store says of channels that it had once.
fn floor_of_empty(place: &Place) -> Result<i64, String> {
    let store = place.open()?;
    let usage = store.usage().map_err(what)?;
    if usage.channels > 0 || usage.marks > 0 {
        let place = place.directory.display();
        return Err(format!("{place}: the store is not empty; remove it, or name another --data"));
    }
    store.floor("").map_err(what)
}

/// The store is made beside its place, so that an interrupted import leaves nothing there.
fn read(
    place: &Place,
    floor: i64,
    name: &str,
    input: &mut dyn BufRead,
) -> Result<(Draft, Counts), String> {
    let mut lines = Lines::new(input);
    let mut judge = Judge::default();
    let mut draft: Option<Draft> = None;
    while let Some((number, line)) = lines.next().map_err(|error| format!("{name}: {error}"))? {
        judge.see(&line).map_err(|error| format!("{name}: line {number}: {error}"))?;
        if let Line::Store { floor: told, .. } = line {
            draft = Some(Draft::begin(place, floor.max(told))?);
        }
        if let Some(draft) = &mut draft {
            draft.put(&line)?;
        }
    }
    let draft = judge.is_complete().then_some(draft).flatten();
    let missing =
        || format!("{name}: the end is missing: this is no export, or only a part of one");
    Ok((draft.ok_or_else(missing)?, judge.counts()))
}
