//! `weft store`: looking at, saving, filling and shrinking the store of a broker that is stopped.
//!
//! Everything is lines: a store is read as lines, an export is lines, and a new store is filled
//! with lines. All of it is streamed, so a store may be larger than memory; and whatever is
//! written is made beside its place and put there when it is complete.

use std::fmt::Display;
use std::path::Path;

use self::place::Place;
use crate::config::{Config, StoreAction};

mod check;
mod compact;
mod draft;
mod export;
mod format;
mod import;
mod judge;
mod place;
mod source;

/// Does what was asked with the store in the data directory.
///
/// # Errors
/// A text for the operator.
pub fn run(config: &Config, action: &StoreAction) -> Result<(), String> {
    let place = Place::find(config)?;
    match action {
        StoreAction::Check => check::run(&place),
        StoreAction::Export { output } => export::run(&place, output.as_deref()),
        StoreAction::Import { input } => import::run(&place, input.as_deref()),
        StoreAction::Compact => compact::run(&place),
    }
}

fn text(error: impl Display) -> String {
    error.to_string()
}

fn about<E: Display>(path: &Path) -> impl FnOnce(E) -> String {
    let path = path.display().to_string();
    move |error| format!("{path}: {error}")
}
