//! How far the reader of a stream has come: the id of each event of `/events` and `/stream`
//! (decisions section 5).
//!
//! The reader knows nothing of it but that the last one it got says where to go on. So it names the
//! positions of single channels, as many as it has room for, and one position for all others: what
//! those had up to there was sent, or was not wanted. It is text that needs no escaping in a header,
//! a query or JSON:
//!
//! ```text
//! w <others> { , <bytes shared with the name before> : <rest of the name> = <position> } ~ <check>
//! ```
//!
//! Numbers are written to base 36, and each position as what it lies beyond the one before.

use std::collections::BTreeMap;
use std::fmt;

use crate::{ChannelLimits, ChannelName, Start};

/// Most channels of which a cursor names the positions.
const CHANNELS_MAX: usize = 64;
/// The longest cursor, in bytes: half of what proxies give one header line, so that it comes back.
pub const CURSOR_BYTES_MAX: usize = 4096;
/// What stands around the names.
const FRAME_BYTES: usize = 24;
/// What an entry takes besides its name: a comma, the shared bytes, a colon, an equals sign, and a
/// sign with a number to base 36.
const ENTRY_BYTES: usize = 1 + 3 + 1 + 1 + 1 + 13;
/// Sets cursors apart from positions and times, and this form from later ones.
const MARK: char = 'w';
const RADIX: u32 = 36;
const ANY: ChannelLimits = ChannelLimits { bytes: CURSOR_BYTES_MAX, segments: CURSOR_BYTES_MAX };

/// How far a reader has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    others: Start,
    seen: BTreeMap<Box<str>, i64>,
    bytes: usize,
}

/// The text is no cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidCursor {
    /// It is longer than any.
    TooLong,
    /// It begins as none does that this version writes.
    Foreign,
    /// It is not as it was written: cut off, or altered.
    Damaged,
}

impl fmt::Display for InvalidCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the cursor is too long",
            Self::Foreign => "this is no cursor",
            Self::Damaged => "the cursor is damaged",
        })
    }
}

impl std::error::Error for InvalidCursor {}

impl Cursor {
    /// Names no channel: all of them start so.
    pub fn new(start: Start) -> Self {
        Self { others: start, seen: BTreeMap::new(), bytes: FRAME_BYTES }
    }

    /// Where the channels start that are not named.
    pub fn others(&self) -> Start {
        self.others
    }

    /// The position that is named for a channel.
    pub fn seen(&self, channel: &str) -> Option<i64> {
        self.seen.get(channel).copied()
    }

    /// The channels that are named, with their positions.
    pub fn channels(&self) -> impl Iterator<Item = (&str, i64)> {
        self.seen.iter().map(|(channel, position)| (&**channel, *position))
    }

    /// Everything of this channel was seen up to here. Where there are too many channels to be
    /// named, the one that was seen least far counts among the others again: it may repeat.
    pub fn see(&mut self, channel: &str, position: i64) {
        if let Some(known) = self.seen.get_mut(channel) {
            *known = position.max(*known);
            return;
        }
        self.seen.insert(channel.into(), position);
        self.bytes += channel.len() + ENTRY_BYTES;
        while self.seen.len() > CHANNELS_MAX || self.bytes > CURSOR_BYTES_MAX {
            let last = self.channels().min_by_key(|(_, position)| *position);
            let Some(last) = last.map(|(channel, _)| Box::<str>::from(channel)) else { return };
            self.forget(&last);
        }
    }

    /// Everything of all channels was seen up to here. It never goes back.
    pub fn see_all(&mut self, position: i64) {
        let position = match self.others {
            Start::After(known) => known.max(position),
            Start::New | Start::All => position,
        };
        self.others = Start::After(position);
        let before = self.channels().filter(|(_, seen)| *seen <= position);
        let before: Vec<Box<str>> = before.map(|(channel, _)| channel.into()).collect();
        before.iter().for_each(|channel| self.forget(channel));
    }

    fn forget(&mut self, channel: &str) {
        if self.seen.remove(channel).is_some() {
            self.bytes -= channel.len() + ENTRY_BYTES;
        }
    }

    /// Writes the cursor, in at most [`CURSOR_BYTES_MAX`] bytes.
    pub fn write(&self, out: &mut String) {
        let start = out.len();
        out.push(MARK);
        let mut before = 0;
        match self.others {
            Start::New => out.push('N'),
            Start::All => out.push('A'),
            Start::After(position) => {
                write_number(position, out);
                before = position;
            }
        }
        let mut name_before = "";
        for (name, position) in self.channels() {
            let shared = shared(name_before, name);
            out.push(',');
            write_number(i64::try_from(shared).unwrap_or(i64::MAX), out);
            out.push(':');
            out.push_str(name.get(shared..).unwrap_or_default());
            out.push('=');
            write_number(position.wrapping_sub(before), out);
            (name_before, before) = (name, position);
        }
        let check = check(out.get(start..).unwrap_or_default());
        out.push('~');
        write_number(check, out);
    }

    /// Reads a cursor that [`Cursor::write`] wrote; space around it does not matter.
    ///
    /// # Errors
    /// When the text is none, or not all of one.
    pub fn parse(text: &str) -> Result<Self, InvalidCursor> {
        let text = text.trim();
        if text.len() > CURSOR_BYTES_MAX {
            return Err(InvalidCursor::TooLong);
        }
        let rest = text.strip_prefix(MARK).ok_or(InvalidCursor::Foreign)?;
        let (checked, sum) = text.rsplit_once('~').ok_or(InvalidCursor::Damaged)?;
        if read_number(sum) != Some(check(checked)) {
            return Err(InvalidCursor::Damaged);
        }
        // The mark is no tilde, so it is before the check.
        let rest = rest.get(..checked.len().saturating_sub(MARK.len_utf8())).unwrap_or_default();
        Self::read(rest).ok_or(InvalidCursor::Damaged)
    }

    fn read(text: &str) -> Option<Self> {
        let mut parts = text.split(',');
        let (others, mut before) = match parts.next()? {
            "N" => (Start::New, 0),
            "A" => (Start::All, 0),
            number => {
                let position = read_number(number).filter(|position| *position >= 0)?;
                (Start::After(position), position)
            }
        };
        let mut cursor = Self::new(others);
        let mut name = String::new();
        for part in parts {
            let (shared, rest) = part.split_once(':')?;
            let (rest, beyond) = rest.rsplit_once('=')?;
            let shared = usize::try_from(read_number(shared)?).ok()?;
            let kept = name.get(..shared)?.len();
            name.truncate(kept);
            name.push_str(rest);
            ChannelName::parse(&name, &ANY).ok()?;
            before = before.checked_add(read_number(beyond)?).filter(|position| *position >= 0)?;
            cursor.see(&name, before);
        }
        Some(cursor)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.write(&mut text);
        f.write_str(&text)
    }
}

/// How many bytes two names begin with alike; names are ASCII.
fn shared(one: &str, other: &str) -> usize {
    one.bytes().zip(other.bytes()).take_while(|(one, other)| one == other).count()
}

/// Whoever cuts a cursor off, or takes it for something to be edited, shall not lose messages by it.
fn check(text: &str) -> i64 {
    let hash = text
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    i64::from(hash ^ (hash >> 16)) & 0xf_ffff
}

fn write_number(number: i64, out: &mut String) {
    if number < 0 {
        out.push('-');
    }
    let mut digits = [0; 13];
    let mut rest = number.unsigned_abs();
    let mut from = digits.len();
    while rest > 0 || from == digits.len() {
        from -= 1;
        let digit = u32::try_from(rest % u64::from(RADIX)).unwrap_or_default();
        let digit = char::from_digit(digit, RADIX).unwrap_or_default();
        if let Some(place) = digits.get_mut(from) {
            *place = u8::try_from(digit).unwrap_or_default();
        }
        rest /= u64::from(RADIX);
    }
    out.extend(digits.iter().skip(from).map(|digit| char::from(*digit)));
}

fn read_number(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase());
    if !plain {
        return None;
    }
    i64::from_str_radix(text, RADIX).ok()
}

#[cfg(test)]
mod tests;
