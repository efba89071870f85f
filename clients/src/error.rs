//! Why something did not work, by what its caller can do about it.

use std::{error::Error, fmt};

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientError {
    /// The URL cannot be used; the text says why.
    Url(String),
    /// The data cannot be written as JSON; the text says why.
    Data(String),
    /// The server said no, in these words: a Bayeux error (`403:/a:subscribe_denied`) or an HTTP
    /// status. It did nothing.
    Refused(String),
    /// No answer came; the text says why. Nobody knows whether the server acted.
    Lost(String),
    /// [`Options::queue`](crate::Options::queue) messages are waiting to be sent already.
    QueueFull,
    /// The server does not want the client back, or cannot be talked to; the text says why.
    GaveUp(String),
    /// The client was disconnected.
    Closed,
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(why) => write!(f, "the URL cannot be used: {why}"),
            Self::Data(why) => write!(f, "the data is not JSON: {why}"),
            Self::Refused(error) => write!(f, "the server refused: {error}"),
            Self::Lost(why) => write!(f, "no answer came: {why}"),
            Self::QueueFull => f.write_str("too many messages are waiting to be sent"),
            Self::GaveUp(why) => write!(f, "the client gave up: {why}"),
            Self::Closed => f.write_str("the client was disconnected"),
        }
    }
}

impl Error for ClientError {}
