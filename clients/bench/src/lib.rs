//! `weft bench`: a load generator for Bayeux servers, for weft's streams, and for nchan to compare.
//!
//! One thread drives all clients over sockets that never block, so that it takes as little of the
//! machine as it can from the server that is measured. The loop is `engine`; who speaks on a
//! connection is a `speaker`; what came, and what should have, is in the `ledger`; the works
//! (`work`) set up, publish and make a report.

mod args;
mod chance;
mod clock;
mod engine;
mod ledger;
mod marker;
mod net;
mod process;
mod progress;
mod report;
mod rig;
mod speaker;
mod table;
mod tally;
mod target;
mod wire;
mod work;

pub use args::{
    Common, Crowd, Idle, Load, Pattern, Protocol, Publish, PublishBy, Publishers, Rooms, Sweep,
    Work,
};

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::Path;

/// Does the work, and prints what came of it.
///
/// # Errors
/// A text for whoever asked: the server is not there, or does not speak as it should.
pub fn run(work: &Work) -> Result<(), String> {
    net::raise_file_limit();
    let path = work.common().json.as_deref();
    let file = path.filter(|path| *path != Path::new("-"));
    // Before the work: it may take long.
    let file = file.map(|path| File::create(path).map(|file| (path, file)).map_err(of(path)));
    let file = file.transpose()?;
    let report = work::run(work).map_err(|error| readable(&error))?;
    let json = serde_json::to_string_pretty(&report).map_err(|error| error.to_string())? + "\n";
    let output = match (path, &file) {
        (Some(_), None) => &json,
        _ => &readable(&table::of(&report)),
    };
    match std::io::stdout().write_all(output.as_bytes()) {
        // Whoever asked may be gone.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            return Err(format!("standard output: {error}"));
        }
        _ => {}
    }
    file.map_or(Ok(()), |(path, mut file)| file.write_all(json.as_bytes()).map_err(of(path)))
}

fn of(path: &Path) -> impl Fn(std::io::Error) -> String {
    move |error| format!("{}: {error}", path.display())
}

/// What a server says is in the texts, and is not to steer a terminal.
fn readable(text: &str) -> String {
    text.replace(|char: char| char.is_control() && char != '\n', "\u{fffd}")
}
