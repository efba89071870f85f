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

use std::io::Write;
use std::path::Path;

/// Does the work, and prints what came of it.
///
/// # Errors
/// A text for whoever asked: the server is not there, or does not speak as it should.
pub fn run(work: &Work) -> Result<(), String> {
    net::raise_file_limit();
    let report = work::run(work)?;
    let text = serde_json::to_string_pretty(&report).map_err(|error| error.to_string())? + "\n";
    let output = match work.common().json.as_deref() {
        Some(path) if path == Path::new("-") => text,
        Some(path) => {
            std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))?;
            table::of(&report)
        }
        None => table::of(&report),
    };
    // Whoever asked may be gone.
    let _ = std::io::stdout().write_all(output.as_bytes());
    Ok(())
}
