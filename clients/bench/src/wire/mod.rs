//! Just enough of HTTP/1.1 and WebSocket to be somebody's client, from bytes to bytes.

pub(crate) mod chunks;
pub(crate) mod http1;
pub(crate) mod websocket;

/// What came is not what it should be, or cannot be read.
#[derive(Debug)]
pub(crate) struct Fault(pub(crate) String);

impl Fault {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}
