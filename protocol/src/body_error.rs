//! Why a whole request was not read (checklist L10).

use std::fmt;

/// A fault of the JSON around the messages: the request is answered with an HTTP status and a
/// short text, and nothing in it is obeyed (checklist L10, decisions 3.14).
///
/// `Display` never quotes the input, so the text can go to a client or a log as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyError {
    /// Not UTF-8, or a parameter that is not after percent-decoding.
    NotUtf8,
    /// Not JSON, or more than one JSON text.
    NotJson {
        /// Counted from 1.
        line: usize,
        /// Counted from 1, in bytes; 0 is the end of the line before.
        column: usize,
    },
    /// JSON, but neither an object nor an array of objects.
    NotMessages,
    /// A field that Bayeux defines stands twice in one message: readers differ on which one
    /// counts, and a check of one must not let the other through.
    RepeatedField,
    /// There is no message in it, or in one of its parts.
    Empty,
    /// Nested deeper than [`DecodeLimits::depth`](crate::DecodeLimits::depth).
    TooDeep,
    /// More messages than [`DecodeLimits::messages`](crate::DecodeLimits::messages).
    TooMany,
}

impl BodyError {
    /// The HTTP status of the answer.
    pub fn status(&self) -> u16 {
        match self {
            Self::TooMany => 413,
            _ => 400,
        }
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUtf8 => f.write_str("not UTF-8"),
            Self::NotJson { line, column } => write!(f, "not JSON at line {line} column {column}"),
            Self::NotMessages => f.write_str("not a message or an array of messages"),
            Self::RepeatedField => f.write_str("a field stands twice in one message"),
            Self::Empty => f.write_str("no message"),
            Self::TooDeep => f.write_str("nested too deep"),
            Self::TooMany => f.write_str("too many messages in one request"),
        }
    }
}

impl std::error::Error for BodyError {}
