//! `weft store`: looking at, saving, filling and shrinking the store of a broker that is stopped.
//!
//! The exchange format is lines of JSON, one object each: first the store itself, then each channel
//! with its records, then the marks. All of it is streamed, so a store may be larger than memory.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use weft_persistence::{
    Backlog, BacklogError, Mark, Marked, Opened, Page, Record, Sled, SledOptions,
};

use crate::config::{Config, StoreAction};
use crate::storage::{self, STORE};

/// Records that are read or written at a time.
const BATCH: usize = 500;
const PAGE: Page = Page { records: BATCH, bytes: 8 << 20 };

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Line<'a> {
    /// The store: the version of this format, and the floor of channels without a record.
    Store { format: u32, floor: i64 },
    /// A channel with its floor; its records follow.
    Channel { name: String, floor: i64 },
    /// A record; the value is the message as it was sent.
    Record {
        channel: String,
        position: i64,
        time_us: i64,
        #[serde(borrow)]
        value: &'a RawValue,
    },
    /// An idempotency key, hashed.
    Mark { key: String, print: String, subscribers: u32, position: i64, time_us: i64 },
}

const FORMAT: u32 = 1;

/// Does what was asked with the store in the data directory.
///
/// # Errors
/// A text for the operator.
pub fn run(config: &Config, action: &StoreAction) -> Result<(), String> {
    let directory = config.data.join(STORE);
    let options = SledOptions { budget_bytes: u64::MAX, ..storage::sled_options(config) };
    match action {
        StoreAction::Check => check(&directory, &options),
        StoreAction::Export { output } => {
            let store = open(&directory, &options)?;
            match output {
                Some(path) => {
                    let file = File::create(path).map_err(about(path))?;
                    export(&store, &mut BufWriter::new(file))?;
                }
                None => export(&store, &mut BufWriter::new(io::stdout().lock()))?,
            }
            store.close().map_err(text)
        }
        StoreAction::Import { input } => {
            let store = fresh(&directory, &options)?;
            match input {
                Some(path) => {
                    let file = File::open(path).map_err(about(path))?;
                    import(&store, BufReader::new(file))?;
                }
                None => import(&store, io::stdin().lock())?,
            }
            store.close().map_err(text)
        }
        StoreAction::Compact => compact(&directory, &options),
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn about<E: std::fmt::Display>(path: &Path) -> impl FnOnce(E) -> String {
    let path = path.display().to_string();
    move |error| format!("{path}: {error}")
}

/// Opens what is there. A damaged store is not moved aside here: that is for whoever looks.
fn open(directory: &Path, options: &SledOptions) -> Result<Sled, String> {
    if !directory.join("db").exists() {
        return Err(format!("{}: there is no store", directory.display()));
    }
    Sled::open_as_it_is(directory, options.clone()).map_err(|error| match error {
        BacklogError::InUse => "the store is in use: stop the broker first".to_owned(),
        error => about(directory)(error),
    })
}

fn fresh(directory: &Path, options: &SledOptions) -> Result<Sled, String> {
    let Opened { backlog, .. } =
        Sled::open(directory, options.clone()).map_err(about(directory))?;
    if backlog.usage().map_err(text)?.channels > 0 {
        return Err(format!("{}: the store is not empty", directory.display()));
    }
    Ok(backlog)
}

fn check(directory: &Path, options: &SledOptions) -> Result<(), String> {
    let store = open(directory, options)?;
    let (mut records, mut bytes) = (0_u64, 0_u64);
    let names = store.names("").map_err(text)?;
    for name in &names {
        let floor = store.floor(name).map_err(about(directory))?;
        let mut last = 0;
        each_record(&store, name, |record| {
            if record.position <= last {
                return Err(format!("{name}: position {} is out of order", record.position));
            }
            serde_json::from_str::<&RawValue>(&record.value)
                .map_err(|error| format!("{name}: position {}: {error}", record.position))?;
            last = record.position;
            records += 1;
            bytes += record.value.len() as u64;
            Ok(())
        })?;
        let head = store.head(name).map_err(text)?.unwrap_or(0);
        if last > head || floor > head.max(floor) {
            return Err(format!("{name}: newest position {last}, but the head is {head}"));
        }
    }
    let usage = store.usage().map_err(text)?;
    store.close().map_err(text)?;
    println!(
        "{} channels, {records} messages, {bytes} bytes, {} keys, {} bytes of files: sound",
        names.len(),
        usage.marks,
        usage.disk_bytes
    );
    Ok(())
}

fn each_record(
    store: &dyn Backlog,
    name: &str,
    mut visit: impl FnMut(&Record) -> Result<(), String>,
) -> Result<(), String> {
    let mut after = 0;
    loop {
        let page =
            store.read_after(name, after, PAGE).map_err(|error| format!("{name}: {error}"))?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.position;
        page.iter().try_for_each(&mut visit)?;
    }
}

fn export(store: &dyn Backlog, out: &mut dyn Write) -> Result<(), String> {
    let mut line = |line: &Line<'_>| -> Result<(), String> {
        serde_json::to_writer(&mut *out, line).map_err(text)?;
        out.write_all(b"\n").map_err(text)
    };
    line(&Line::Store { format: FORMAT, floor: store.floor("").map_err(text)? })?;
    for name in store.names("").map_err(text)? {
        let floor = store.floor(&name).map_err(text)?;
        line(&Line::Channel { name: name.as_ref().to_owned(), floor })?;
        each_record(store, &name, |record| {
            let value = serde_json::from_str(&record.value).map_err(text)?;
            let channel = name.as_ref().to_owned();
            line(&Line::Record {
                channel,
                position: record.position,
                time_us: record.time_us,
                value,
            })
        })?;
    }
    for Marked { mark, position, time_us } in store.marks(i64::MIN).map_err(text)? {
        let (key, print) = (hex(&mark.key), hex(&mark.print));
        line(&Line::Mark { key, print, subscribers: mark.subscribers, position, time_us })?;
    }
    out.flush().map_err(text)
}

fn import(store: &Sled, input: impl BufRead) -> Result<(), String> {
    let mut batch: Vec<Record> = Vec::new();
    let mut floors: Vec<(String, i64)> = Vec::new();
    let mut began = false;
    for (number, line) in input.lines().enumerate() {
        let number = number + 1;
        let bad = |error: String| format!("line {number}: {error}");
        let line = line.map_err(|error| bad(text(error)))?;
        if line.trim().is_empty() {
            continue;
        }
        match serde_json::from_str(&line).map_err(|error| bad(text(error)))? {
            Line::Store { format, floor } if format == FORMAT && !began => {
                floors.push((String::new(), floor));
            }
            Line::Store { format, .. } => return Err(bad(format!("format {format} is not known"))),
            _ if !began => return Err(bad("this is no export of a store".to_owned())),
            Line::Channel { name, floor } => floors.push((name, floor)),
            Line::Record { channel, position, time_us, value } => batch.push(Record {
                channel: channel.into(),
                position,
                time_us,
                value: value.get().into(),
                mark: None,
            }),
            Line::Mark { key, print, subscribers, position, time_us } => {
                let mark = unhex(&key).zip(unhex(&print));
                let (key, print) = mark.ok_or_else(|| bad("no hash".to_owned()))?;
                let mark = Mark { key, print, subscribers };
                store.restore_mark(&Marked { mark, position, time_us }).map_err(text)?;
            }
        }
        began = true;
        if batch.len() >= BATCH {
            store.append(&std::mem::take(&mut batch)).map_err(|error| bad(text(error)))?;
        }
    }
    store.append(&batch).map_err(text)?;
    for (name, floor) in floors {
        store.raise_floor(&name, floor).map_err(text)?;
    }
    // Floors are written down with the next append.
    store.append(&[]).map_err(text)
}

fn compact(directory: &Path, options: &SledOptions) -> Result<(), String> {
    let beside = |what: &str| directory.with_file_name(format!("{STORE}.{what}"));
    let (lines, new, old) = (beside("export"), beside("new"), beside("old"));
    let store = open(directory, options)?;
    let before = store.usage().map_err(text)?;
    for stale in [&new, &old] {
        if stale.exists() {
            std::fs::remove_dir_all(stale).map_err(about(stale))?;
        }
    }
    let file = File::create(&lines).map_err(about(&lines))?;
    export(&store, &mut BufWriter::new(file))?;
    let fresh = fresh(&new, &SledOptions { ballast_bytes: 0, ..options.clone() })?;
    import(&fresh, BufReader::new(File::open(&lines).map_err(about(&lines))?))?;
    let after = fresh.usage().map_err(text)?;
    fresh.close().map_err(text)?;
    store.close().map_err(text)?;
    drop((fresh, store));
    if (before.records, before.channels) != (after.records, after.channels) {
        return Err(format!("{} is not what was there; nothing was changed", new.display()));
    }
    std::fs::rename(directory, &old).map_err(about(directory))?;
    std::fs::rename(&new, directory).map_err(about(&new))?;
    std::fs::remove_dir_all(&old).map_err(about(&old))?;
    std::fs::remove_file(&lines).map_err(about(&lines))?;
    let _ = std::fs::remove_file(beside("new.ballast"));
    println!("{} bytes of files, {} before", after.disk_bytes, before.disk_bytes);
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 16]> {
    let mut bytes = [0; 16];
    if text.len() != 32 || !text.is_ascii() {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(bytes)
}
