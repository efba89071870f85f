//! The highest number that may have been given out, in a file of its own, so that it survives the
//! loss of the store: no number is given out twice, whatever happened.
//!
//! The file `positions` holds two slots, written in turn and in place. A write that is torn damages
//! one, and the other still holds the state before it. The slots are as far apart as devices and
//! file systems write at once. Writing in place needs no new block, so it works on a full disk
//! (where the file system does not copy on write); that is the one thing no test here shows.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;

use slot::{SLOT_BYTES, Slot};

mod slot;
#[cfg(test)]
mod tests;

/// The file's name in the data directory.
const NAME: &str = "positions";
/// Where it is written for the first time, before it has its name.
const DRAFT: &str = "positions.new";
/// From the start of one slot to that of the next: what is written at once by most devices.
const STRIDE: usize = 4_096;
const FILE_BYTES: usize = 2 * STRIDE;

/// What [`Ceiling::open`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boot {
    /// No number above it was ever given out. 0 on a first start.
    pub ceiling: i64,
    /// Numbers up to here may belong to what was never stored: the ceiling of the latest unclean
    /// stop there ever was; 0 if there was none.
    pub doubt: i64,
    /// Whether this start follows an unclean stop.
    pub unclean: bool,
    /// Where a damaged file was moved to, if there was one.
    pub moved_aside: Option<PathBuf>,
}

/// See the module.
#[derive(Debug)]
pub struct Ceiling {
    file: File,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// As last written, or found.
    slot: Slot,
    /// Whether it was written as dirty since the file was opened.
    marked: bool,
    /// What was given out before has this bound, whatever a clean stop says was given out since.
    least: i64,
}

impl Ceiling {
    /// Opens the file in `directory`, which must exist, or creates it there. Marks nothing yet. A
    /// damaged file is moved aside to `positions.corrupt-<seconds since 1970>`, and `fallback` (a
    /// number that is surely above all that were given out) stands for what it said.
    ///
    /// # Errors
    /// The file cannot be read, created or moved.
    pub fn open(directory: &Path, fallback: i64) -> io::Result<(Self, Boot)> {
        let path = directory.join(NAME);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let slot = Slot { sequence: 0, ceiling: 0, doubt: 0, dirty: false };
                return Self::create(directory, slot);
            }
            Err(error) => return Err(error),
        };
        let Some(slot) = newest(&bytes) else {
            let aside = directory.join(format!("{NAME}.corrupt-{}", seconds()));
            fs::rename(&path, &aside)?;
            let slot = Slot { sequence: 0, ceiling: fallback, doubt: fallback, dirty: true };
            let (ceiling, boot) = Self::create(directory, slot)?;
            return Ok((ceiling, Boot { moved_aside: Some(aside), ..boot }));
        };
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        Ok(Self::start(file, slot))
    }

    /// Writes a new file as a whole, then gives it its name, so that it is never found half done.
    fn create(directory: &Path, slot: Slot) -> io::Result<(Self, Boot)> {
        let draft = directory.join(DRAFT);
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&draft)?;
        let mut bytes = [0; FILE_BYTES];
        bytes[..SLOT_BYTES].copy_from_slice(&slot.encode());
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&draft, directory.join(NAME))?;
        File::open(directory)?.sync_all()?;
        Ok(Self::start(file, slot))
    }

    fn start(file: File, mut slot: Slot) -> (Self, Boot) {
        if slot.dirty {
            slot.doubt = slot.ceiling;
        }
        let Slot { ceiling, doubt, dirty: unclean, .. } = slot;
        let state = Mutex::new(State { slot, marked: false, least: ceiling });
        (Self { file, state }, Boot { ceiling, doubt, unclean, moved_aside: None })
    }

    /// Numbers up to `to` may be given out once this returns: it is durable then. Until
    /// [`close`](Self::close), a stop is unclean. Never lowers the ceiling.
    ///
    /// # Errors
    /// The file cannot be written; numbers above the earlier ceiling must not be given out.
    pub fn raise(&self, to: i64) -> io::Result<()> {
        let mut state = self.state.lock();
        if state.marked && to <= state.slot.ceiling {
            return Ok(());
        }
        let ceiling = to.max(state.slot.ceiling);
        let slot = Slot { ceiling, dirty: true, ..state.slot };
        self.write(&mut state, slot)?;
        state.marked = true;
        Ok(())
    }

    /// A clean stop: everything given out is stored, and `last` was the highest number, if any was
    /// given out since the file was opened.
    ///
    /// # Errors
    /// The file cannot be written; the stop counts as unclean.
    pub fn close(&self, last: i64) -> io::Result<()> {
        let mut state = self.state.lock();
        let ceiling = last.max(state.least);
        let slot = Slot { ceiling, dirty: false, ..state.slot };
        self.write(&mut state, slot)?;
        state.marked = false;
        state.least = ceiling;
        Ok(())
    }

    /// Writes the slot whose turn it is. After an error the turn is still its own, since the other
    /// slot is what can be relied on.
    fn write(&self, state: &mut State, slot: Slot) -> io::Result<()> {
        let slot = Slot { sequence: slot.sequence + 1, ..slot };
        self.file.write_all_at(&slot.encode(), slot.offset())?;
        self.file.sync_data()?;
        state.slot = slot;
        Ok(())
    }
}

#[expect(clippy::disallowed_methods, reason = "a name for what is moved aside")]
fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The state that the file holds, unless it is damaged.
fn newest(bytes: &[u8]) -> Option<Slot> {
    if bytes.len() != FILE_BYTES {
        return None;
    }
    bytes.chunks_exact(STRIDE).filter_map(Slot::decode).max_by_key(|slot| slot.sequence)
}
