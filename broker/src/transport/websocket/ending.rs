//! Why sockets end, and the close codes that say so (RFC 6455 §7.4).

use std::borrow::Cow;

use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use weft_protocol::BodyError;

use super::reader::Fault;

/// Why a socket ends.
#[derive(Debug)]
pub(super) enum Ending {
    /// The other side closed it, or it broke.
    Gone,
    /// We close it.
    Close(CloseCode, Cow<'static, str>),
}

impl Ending {
    /// We close it with this code, and say so.
    pub(super) fn close(code: CloseCode, text: &'static str) -> Self {
        Self::Close(code, Cow::Borrowed(text))
    }
}

impl From<std::io::Error> for Ending {
    fn from(_: std::io::Error) -> Self {
        Self::Gone
    }
}

impl From<Fault> for Ending {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Gone => Self::Gone,
            Fault::Protocol => Self::close(CloseCode::Protocol, "not WebSocket (RFC 6455)"),
            Fault::Binary => Self::close(CloseCode::Unsupported, "text frames only"),
            Fault::TooLong => Self::close(CloseCode::Size, "the message is too large"),
            Fault::NotUtf8 => Self::close(CloseCode::Invalid, "not UTF-8"),
        }
    }
}

impl From<BodyError> for Ending {
    fn from(error: BodyError) -> Self {
        let code = match error {
            BodyError::TooMany | BodyError::TooDeep => CloseCode::Policy,
            _ => CloseCode::Invalid,
        };
        Self::Close(code, Cow::Owned(error.to_string()))
    }
}
