//! `weft store export`: a store as lines.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use weft_persistence::Sled;

use super::format::{Counts, Line};
use super::judge::Judge;
use super::place::Place;
use super::source::everything;
use super::{about, text};
use crate::swap;

/// Exports to a file, or to standard output.
pub(super) fn run(place: &Place, output: Option<&Path>) -> Result<(), String> {
    let store = place.open()?;
    let counts = match output {
        Some(path) if fs::metadata(path).is_ok_and(|found| !found.is_file()) => {
            let device = File::options().write(true).open(path).map_err(about(path))?;
            write(&store, device)?
        }
        Some(path) => {
            let partial = Partial::create(path)?;
            let counts = write(&store, &partial.file)?;
            partial.complete(path).map_err(about(path))?;
            counts
        }
        None => write(&store, io::stdout().lock())?,
    };
    eprintln!("weft: exported {counts}");
    Ok(())
}

fn write(store: &Sled, out: impl Write) -> Result<Counts, String> {
    let mut out = BufWriter::with_capacity(1 << 16, out);
    let mut judge = Judge::default();
    let mut put = |line: &Line<'_>| {
        // What no import would take is no export.
        judge.see(line)?;
        serde_json::to_writer(&mut out, line).map_err(text)?;
        out.write_all(b"\n").map_err(text)
    };
    everything(store, &mut put)?;
    let counts = judge.counts();
    judge.see(&Line::End(counts))?;
    serde_json::to_writer(&mut out, &Line::End(counts)).map_err(text)?;
    out.write_all(b"\n").and_then(|()| out.flush()).map_err(text)?;
    Ok(counts)
}

/// A file that gets its name once it is complete, and is removed otherwise.
struct Partial {
    path: PathBuf,
    file: File,
}

impl Partial {
    fn create(path: &Path) -> Result<Self, String> {
        let path = swap::beside(path, "partial");
        let file = File::create(&path).map_err(about(&path))?;
        Ok(Self { path, file })
    }

    fn complete(&self, path: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.path, path)?;
        swap::sync_above(path)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // Once it has its name, nothing is here.
        let _ = fs::remove_file(&self.path);
    }
}
