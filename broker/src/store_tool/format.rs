//! The exchange format: lines of JSON, one object each (docs/store-tool.md).

use std::borrow::Cow;
use std::fmt;
use std::io::{BufRead, Read};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The version of the format.
pub(super) const FORMAT: u32 = 1;
/// No line is longer.
const LINE_MAX: usize = 64 << 20;

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Line<'a> {
    /// The store: the version of the format, and the floor of channels without a record.
    Store { format: u32, floor: i64 },
    /// A channel with its floor and the highest position it ever had; its records follow.
    Channel {
        #[serde(borrow)]
        name: Cow<'a, str>,
        floor: i64,
        head: i64,
    },
    /// A record; the value is the message as it is sent.
    Record {
        #[serde(borrow)]
        channel: Cow<'a, str>,
        position: i64,
        time_us: i64,
        #[serde(borrow)]
        value: &'a RawValue,
    },
    /// An idempotency key, hashed.
    Mark {
        #[serde(with = "hash")]
        key: [u8; 16],
        #[serde(with = "hash")]
        print: [u8; 16],
        subscribers: u32,
        position: i64,
        time_us: i64,
    },
    /// How much came before; without it something is missing.
    End(Counts),
}

/// How many there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Counts {
    pub(super) channels: u64,
    pub(super) records: u64,
    pub(super) marks: u64,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { channels, records, marks } = self;
        write!(f, "{channels} channels, {records} messages, {marks} keys")
    }
}

/// Reads lines and numbers them.
#[derive(Debug)]
pub(super) struct Lines<R> {
    input: R,
    line: Vec<u8>,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, line: Vec::new(), number: 0 }
    }

    /// The next line that is not empty, with its number.
    ///
    /// # Errors
    /// When it cannot be read, is too long, or is no such line.
    pub(super) fn next(&mut self) -> Result<Option<(u64, Line<'_>)>, String> {
        while self.fill().map_err(|error| format!("line {}: {error}", self.number))? {
            if !self.line.trim_ascii().is_empty() {
                let number = self.number;
                let line = parse(&self.line).map_err(|error| format!("line {number}: {error}"))?;
                return Ok(Some((number, line)));
            }
        }
        Ok(None)
    }

    /// Reads a line; false at the end.
    fn fill(&mut self) -> Result<bool, String> {
        self.number += 1;
        self.line.clear();
        let mut limited = (&mut self.input).take(LINE_MAX as u64 + 1);
        let read = limited.read_until(b'\n', &mut self.line).map_err(|error| error.to_string())?;
        if read > LINE_MAX {
            return Err(format!("longer than {} MiB", LINE_MAX >> 20));
        }
        Ok(read > 0)
    }
}

fn parse(line: &[u8]) -> Result<Line<'_>, String> {
    // Another format may look different, so this comes before all else.
    if let Ok(Head { store: Version { format } }) = serde_json::from_slice(line)
        && format != FORMAT
    {
        return Err(format!("the export has format {format}, known is {FORMAT}"));
    }
    serde_json::from_slice(line).map_err(|error| said(&error))
}

#[derive(Debug, Deserialize)]
struct Head {
    store: Version,
}

#[derive(Debug, Deserialize)]
struct Version {
    format: u32,
}

/// What is wrong with a piece of JSON, and at which column; that it is its only line is no news.
pub(super) fn said(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
    format!("{what} at column {}", error.column())
}

/// A hash is spelled as 32 hexadecimal digits.
mod hash {
    use serde::de::{Deserializer, Error, Visitor};
    use serde::ser::Serializer;

    pub(super) fn serialize<S: Serializer>(hash: &[u8; 16], to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{:032x}", u128::from_be_bytes(*hash)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<[u8; 16], D::Error> {
        from.deserialize_str(Digits)
    }

    struct Digits;

    impl Visitor<'_> for Digits {
        type Value = [u8; 16];

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("32 hexadecimal digits")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<[u8; 16], E> {
            let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            let number = digits.then(|| u128::from_str_radix(text, 16).ok()).flatten();
            number.map(u128::to_be_bytes).ok_or_else(|| E::custom("not 32 hexadecimal digits"))
        }
    }
}
