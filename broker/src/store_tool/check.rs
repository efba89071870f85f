//! `weft store check`: all of it is read, and what is wrong is told.

use weft_persistence::Backlog;

use super::judge::Judge;
use super::place::Place;
use super::source::{channel, head, marks, read};

/// Reads on after a bad channel, and leaves the store as it is.
pub(super) fn run(place: &Place) -> Result<(), String> {
    let store = place.open()?;
    let mut judge = Judge::default();
    let mut faults = Faults(0);
    faults.tell(head(&store, &mut |line| judge.see(line)));
    for name in read(|| store.names(""))? {
        let seen = channel(&store, &name, &mut |line| judge.see(line));
        faults.tell(seen.and_then(|()| judge.end_channel()));
        judge.abandon();
    }
    faults.tell(marks(&store, &mut |line| judge.see(line)));
    let Faults(faults) = faults;
    if faults > 0 {
        return Err(format!("{}: not sound, faults: {faults}", place.directory.display()));
    }
    let (counts, bytes, usage) = (judge.counts(), judge.bytes(), read(|| store.usage())?);
    if (counts.records, bytes, counts.marks) != (usage.records, usage.bytes, usage.marks) {
        let place = place.directory.display();
        return Err(format!("{place}: {counts}, {bytes} bytes; but what was noted is {usage:?}"));
    }
    println!("{counts}, {bytes} bytes, {} bytes of files: sound", usage.disk_bytes);
    Ok(())
}

struct Faults(u64);

impl Faults {
    fn tell(&mut self, outcome: Result<(), String>) {
        if let Err(fault) = outcome {
            eprintln!("weft: {fault}");
            self.0 += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use weft_persistence::Restore;

    use super::super::place::Place;
    use super::run;
    use crate::config::Config;

    #[test]
    fn every_channel_that_makes_no_sense_is_a_fault() {
        let data = std::env::temp_dir().join(format!("weft-check-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&data);
        let place = Place::find(&Config { data: data.clone(), ..Config::default() }).unwrap();
        std::fs::create_dir(&data).unwrap();
        let mut store = Restore::begin(&place.directory, &place.options).unwrap();
        store.channel("/bad/head", 0, 9).unwrap();
        store.record(8, 0, r#"{"channel":"/bad/head","data":1}"#).unwrap();
        store.channel("/bad/value", 0, 8).unwrap();
        store.record(8, 0, r#"{"channel":"/other","data":1}"#).unwrap();
        store.channel("/good", 0, 8).unwrap();
        store.record(8, 0, r#"{"channel":"/good","data":1}"#).unwrap();
        store.channel("no name", 8, 8).unwrap();
        store.finish().unwrap();
        drop(place.lock().unwrap());
        let refused = run(&place).unwrap_err();
        std::fs::remove_dir_all(&data).unwrap();
        assert!(refused.ends_with("not sound, faults: 3"), "{refused}");
    }
}
