//! All that is in a store, line by line, as it would be exported.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};

use weft_persistence::{Backlog, BacklogError, Loss, Marked, Page, Sled};

use super::format::{FORMAT, Line, said};
use super::place::IN_USE;

/// Read at a time.
const PAGE: Page = Page { records: 500, bytes: 8 << 20 };

/// Who takes the lines.
pub(super) type Sink<'a> = dyn FnMut(&Line<'_>) -> Result<(), String> + 'a;

/// Gives all of a store but the end.
pub(super) fn everything(from: &Sled, sink: &mut Sink<'_>) -> Result<(), String> {
    head(from, sink)?;
    for name in from.names("").map_err(what)? {
        channel(from, &name, sink)?;
    }
    marks(from, sink)
}

/// Gives the line of the store itself.
pub(super) fn head(from: &Sled, sink: &mut Sink<'_>) -> Result<(), String> {
    whole(from)?;
    sink(&Line::Store { format: FORMAT, floor: from.floor("").map_err(what)? })
}

/// Whether nothing was found to be gone or damaged since this was last asked.
fn whole(from: &Sled) -> Result<(), String> {
    match from.losses().first() {
        None => Ok(()),
        Some(Loss::Store(aside)) => Err(format!("it was moved aside: {}", aside.display())),
        Some(Loss::End) => Err("what was written last before it was closed is gone".to_owned()),
        Some(Loss::Channel(name)) => {
            Err(format!("{}: records cannot be read", name.escape_debug()))
        }
    }
}

/// Gives a channel with its records.
pub(super) fn channel(from: &Sled, name: &str, sink: &mut Sink<'_>) -> Result<(), String> {
    let named = |error: String| format!("{}: {error}", name.escape_debug());
    let channel = Cow::Borrowed(name);
    let Some(head) = read(|| from.head(name)).map_err(named)? else { return Ok(()) };
    let floor = read(|| from.floor(name)).map_err(named)?;
    sink(&Line::Channel { name: channel.clone(), floor, head })?;
    let mut after = 0;
    loop {
        let page = read(|| from.read_after(name, after, PAGE)).map_err(named)?;
        let Some(last) = page.last() else { return whole(from) };
        after = last.position;
        for record in &page {
            let (position, time_us) = (record.position, record.time_us);
            let value = serde_json::from_str(&record.value)
                .map_err(|error| named(format!("position {position}: {}", said(&error))))?;
            sink(&Line::Record { channel: channel.clone(), position, time_us, value })?;
        }
    }
}

/// Gives the marks.
pub(super) fn marks(from: &Sled, sink: &mut Sink<'_>) -> Result<(), String> {
    let mut after: Option<Marked> = None;
    loop {
        let page = read(|| from.marks_after(after.as_ref(), PAGE.records))
            .map_err(|error| format!("keys: {error}"))?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(*last);
        for Marked { mark, position, time_us } in page {
            let (key, print) = (mark.key, mark.print);
            sink(&Line::Mark { key, print, subscribers: mark.subscribers, position, time_us })?;
        }
    }
}

/// What went wrong, for the operator.
pub(super) fn what(error: BacklogError) -> String {
    match error {
        BacklogError::InUse => IN_USE.to_owned(),
        BacklogError::Newer { found, known } => {
            format!("the store is of a newer weft: its format is {found}, known is {known}")
        }
        BacklogError::Full => "too little space is left on the disk".to_owned(),
        BacklogError::Failed(why) | BacklogError::Damaged(why) => why.as_ref().to_owned(),
        error => error.to_string(),
    }
}

/// Asks a store. sled panics over some kinds of damage: then one line says so, not a trace of calls.
pub(super) fn read<R>(work: impl FnOnce() -> Result<R, BacklogError>) -> Result<R, String> {
    let hook = take_hook();
    set_hook(Box::new(|_| {}));
    let outcome = catch_unwind(AssertUnwindSafe(work));
    set_hook(hook);
    outcome.map_or_else(
        |_| Err("damaged: the database panics over it".to_owned()),
        |result| result.map_err(what),
    )
}
