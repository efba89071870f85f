//! A response that goes on: pieces of what a reader gets, spelled, until it is time for a new one.

use std::time::{Duration, Instant};

use super::spelling::Spelling;
use crate::core::frame::Booked;
use crate::core::held::Release;
use crate::core::reader::{Read, Reader};

/// How streams live.
#[derive(Debug, Clone, Copy)]
pub struct StreamOptions {
    /// How long a stream is silent before it shows that it lives.
    pub heartbeat: Duration,
    /// How long it lives at most: what clients keep of a response is freed at its end (R27).
    pub max_age: Duration,
    /// How many bytes it carries at most, but for its last event.
    pub max_bytes: u64,
    /// How long `EventSource` waits before it comes again.
    pub retry: Duration,
    /// How many bytes that mean nothing go first.
    pub padding: usize,
}

/// A stream.
#[derive(Debug)]
pub struct Streaming {
    reader: Reader,
    spelling: Spelling,
    options: StreamOptions,
    began: bool,
    ends: Instant,
    bytes: u64,
    /// The cursor that the client has.
    told: String,
    /// Room for the next one.
    cursor: String,
}

/// A piece of a stream.
#[derive(Debug)]
pub struct Piece {
    /// Its text.
    pub text: String,
    /// What it costs until it is written.
    pub booked: Booked,
}

/// When to come again after a drain: in a second or three, each client at another time.
#[must_use]
pub fn a_little_later(spread: u64) -> Duration {
    Duration::from_millis(1_000 + spread % 2_000)
}

impl Streaming {
    /// Begins to spell what a reader gets.
    #[must_use]
    pub fn new(reader: Reader, spelling: Spelling, options: StreamOptions) -> Self {
        // Those that began together shall not all end together.
        let part = u32::try_from(reader.spread() % 100).unwrap_or_default();
        let ends = reader.now() + options.max_age - options.max_age / 1_000 * part;
        let told = reader.cursor().to_string();
        let cursor = String::with_capacity(told.len());
        Self { reader, spelling, options, began: false, ends, bytes: 0, told, cursor }
    }

    /// The place where it begins.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.told
    }

    /// Waits for the next piece; `None` ends the stream, and its reader goes on with another. The
    /// piece before it is as good as written.
    pub async fn next(&mut self) -> Option<Piece> {
        let mut text = String::new();
        if !std::mem::replace(&mut self.began, true) {
            let StreamOptions { padding, retry, .. } = self.options;
            self.spelling.begin(padding, retry, &self.told, &mut text);
        }
        // Also what comes and is not wanted leaves it silent.
        let silent = self.reader.now() + self.options.heartbeat;
        while text.is_empty() {
            let now = self.reader.now();
            if self.bytes >= self.options.max_bytes || now >= self.ends {
                return None;
            }
            match self.reader.next(silent.min(self.ends)).await {
                Read::Piece { gaps, frames } => {
                    if !gaps.is_empty() {
                        self.look();
                        self.spelling.gap(&gaps, &self.told, &mut text);
                    }
                    for frame in frames {
                        if self.reader.takes(&frame) {
                            self.look();
                            self.spelling.event(&frame, &self.told, &mut text);
                        }
                    }
                }
                Read::Nothing if self.reader.now() < self.ends => {
                    let moved = self.look();
                    self.spelling.heartbeat(moved.then_some(&self.told), &mut text);
                }
                Read::Nothing => return None,
                Read::Over(why) => {
                    self.bytes = u64::MAX;
                    if why == Release::Drained {
                        self.spelling.retry(a_little_later(self.reader.spread()), &mut text);
                    }
                    if text.is_empty() {
                        return None;
                    }
                }
            }
        }
        self.bytes = self.bytes.saturating_add(text.len() as u64);
        let booked = self.reader.book(text.len());
        Some(Piece { text, booked })
    }

    /// Takes the reader's cursor to be told; whether it has moved.
    fn look(&mut self) -> bool {
        self.cursor.clear();
        self.reader.cursor().write(&mut self.cursor);
        let moved = self.cursor != self.told;
        std::mem::swap(&mut self.cursor, &mut self.told);
        moved
    }
}
