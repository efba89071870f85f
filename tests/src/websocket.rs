//! WebSocket by hand (RFC 6455), as HTTP is: what is sent is what a test spells out, and nothing is
//! answered that a test did not want answered.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::http::{Connection, Cut, Request, Response, is_timeout};
use crate::wait::{PATIENCE, now};

/// The key of the RFC's own example, and what the broker has to make of it.
const KEY: (&str, &str) = ("dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
/// Any mask will do: it is there against proxies that take frames for requests.
const MASK: [u8; 4] = [0x5a, 0x00, 0xff, 0x13];
/// Payloads up to this length stand in a frame's second byte; 126 and 127 say what follows it.
const SHORT: usize = 125;

/// What a frame is.
#[allow(missing_docs, reason = "the RFC's names")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

/// A frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Whether a message ends with it.
    pub last: bool,
    /// What it is.
    pub kind: Kind,
    /// What it carries, unmasked.
    pub payload: Vec<u8>,
}

impl Frame {
    /// A frame that is a whole message.
    #[must_use]
    pub fn new(kind: Kind, payload: impl Into<Vec<u8>>) -> Self {
        Self { last: true, kind, payload: payload.into() }
    }

    /// The same as the beginning of a message, or a part of it.
    #[must_use]
    pub fn unfinished(self) -> Self {
        Self { last: false, ..self }
    }

    /// The frame as a client writes it.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let length = self.payload.len();
        let mut bytes = vec![u8::from(self.last) << 7 | self.kind as u8];
        match (u8::try_from(length), u16::try_from(length)) {
            (Ok(short), _) if length <= SHORT => bytes.push(0x80 | short),
            (_, Ok(length)) => {
                bytes.push(0x80 | 126);
                bytes.extend(length.to_be_bytes());
            }
            _ => {
                bytes.push(0x80 | 127);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        bytes.extend(MASK);
        bytes.extend(self.payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        bytes
    }
}

/// An open socket.
#[derive(Debug)]
pub struct Socket {
    /// What it runs over.
    pub connection: Connection,
    /// Whether pings are answered on the way; otherwise the broker cannot know what arrived.
    pub answers_pings: bool,
}

/// What comes of waiting for a message.
#[derive(Debug, PartialEq, Eq)]
pub enum Came {
    /// A text message.
    Text(String),
    /// A close frame: its code, zero if there is none, and its text.
    Close(u16, String),
    /// Nothing in that time.
    Nothing,
}

/// The request for an upgrade of this path.
#[must_use]
pub fn upgrade(path: &str) -> Request {
    Request::get(path)
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", KEY.0)
}

impl Socket {
    /// Opens one on the usual path.
    #[must_use]
    pub fn open(address: SocketAddr) -> Self {
        Self::upgraded(address, &upgrade("/bayeux"))
    }

    /// Opens one with this request, which must succeed.
    #[must_use]
    pub fn upgraded(address: SocketAddr, request: &Request) -> Self {
        Self::try_upgraded(address, request)
            .unwrap_or_else(|response| panic!("{}: {}", response.status, response.text()))
    }

    /// Opens one with this request.
    ///
    /// # Errors
    /// The answer, when it is not 101.
    pub fn try_upgraded(address: SocketAddr, request: &Request) -> Result<Self, Response> {
        Self::try_over(Connection::open(address), request)
    }

    /// Opens one over this connection.
    ///
    /// # Errors
    /// The answer, when it is not 101.
    pub fn try_over(mut connection: Connection, request: &Request) -> Result<Self, Response> {
        let response = connection.exchange(request);
        if response.status != 101 {
            return Err(response);
        }
        let header = |name| response.header(name).unwrap_or_default().to_lowercase();
        assert_eq!(
            (header("Upgrade"), header("Connection")),
            ("websocket".into(), "upgrade".into())
        );
        assert_eq!(response.header("Sec-WebSocket-Accept"), Some(KEY.1));
        Ok(Self { connection, answers_pings: true })
    }

    /// Sends a frame.
    pub fn send(&mut self, frame: &Frame) {
        self.connection.send(&frame.bytes());
    }

    /// Sends a text message.
    pub fn send_text(&mut self, text: &str) {
        self.send(&Frame::new(Kind::Text, text));
    }

    /// The next frame, control frames included; nothing is answered.
    ///
    /// # Errors
    /// When the socket closes or stays silent before it is whole.
    pub fn read_frame(&mut self) -> io::Result<Frame> {
        let bytes = self.connection.wait_for(2)?;
        let (first, second) = (bytes[0], bytes[1]);
        assert_eq!((first & 0x70, second & 0x80), (0, 0), "extensions and masks are for others");
        let last = first & 0x80 != 0;
        let kinds =
            [Kind::Continuation, Kind::Text, Kind::Binary, Kind::Close, Kind::Ping, Kind::Pong];
        let kind = kinds.into_iter().find(|&kind| kind as u8 == first & 0x0f).expect("a kind");
        let more = match second {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let bytes = &self.connection.wait_for(2 + more)?[2..][..more];
        let length = match more {
            0 => usize::from(second),
            _ => bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)),
        };
        self.connection.wait_for(2 + more + length)?;
        let payload = self.connection.take(2 + more + length)?.split_off(2 + more);
        Ok(Frame { last, kind, payload })
    }

    /// The next message within this time. Pings are answered on the way, if they are to be.
    #[must_use]
    pub fn next_within(&mut self, time: Duration) -> Came {
        let start = now();
        let mut text = Vec::new();
        loop {
            let Some(left) = time.checked_sub(start.elapsed()).filter(|left| !left.is_zero())
            else {
                return Came::Nothing;
            };
            self.connection.set_patience(left);
            let frame = self.read_frame();
            self.connection.set_patience(PATIENCE);
            let frame = match frame {
                Ok(frame) => frame,
                Err(error) if is_timeout(&error) => continue,
                Err(error) => panic!("the socket broke without a close frame: {error}"),
            };
            match frame.kind {
                Kind::Text | Kind::Continuation => {
                    text.extend(frame.payload);
                    if frame.last {
                        return Came::Text(String::from_utf8(text).expect("text in UTF-8"));
                    }
                }
                Kind::Ping if self.answers_pings => {
                    self.send(&Frame::new(Kind::Pong, frame.payload));
                }
                Kind::Ping | Kind::Pong => {}
                Kind::Close => {
                    let (code, reason) = frame.payload.split_at(frame.payload.len().min(2));
                    let code = code.try_into().map_or(0, u16::from_be_bytes);
                    return Came::Close(code, String::from_utf8_lossy(reason).into_owned());
                }
                Kind::Binary => panic!("a binary frame"),
            }
        }
    }

    /// The next text message.
    #[must_use]
    pub fn next_text(&mut self) -> String {
        match self.next_within(PATIENCE) {
            Came::Text(text) => text,
            other => panic!("not a message: {other:?}"),
        }
    }

    /// The code and the text with which the broker closes; messages before that are passed over.
    #[must_use]
    pub fn closed(&mut self) -> (u16, String) {
        loop {
            match self.next_within(PATIENCE) {
                Came::Text(_) => {}
                Came::Close(code, reason) => return (code, reason),
                Came::Nothing => panic!("not closed"),
            }
        }
    }

    /// Ends the connection without a close frame.
    pub fn cut(self, cut: Cut) {
        self.connection.cut(cut);
    }
}
