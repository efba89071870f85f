//! Frames that a server writes (RFC 6455 §5.2), gathered until all of them leave in one write.
//!
//! What is short is joined; a long text is written from where it lies, which for events is the one
//! copy that all their subscribers share. Between writes it holds nothing.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Buf;
use tokio::io::{self, AsyncWrite};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::core::frame::Frame;
use crate::exchange::Booked;

const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;
/// The longest payload of a control frame.
const CONTROL_MAX: usize = 125;
/// The longest header.
const HEADER_MAX: usize = 10;
/// A longer text is not joined.
const JOINED: usize = 2 << 10;

/// Frames on their way out, in their order.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// All that is joined.
    joined: Vec<u8>,
    /// Long texts, each with where it belongs in what is joined.
    long: VecDeque<(usize, Long)>,
    /// How much of what is joined is written, and of the first long text.
    written: (usize, usize),
    /// How much there is to write.
    left: usize,
    /// What texts cost until they are written.
    booked: Vec<Booked>,
}

#[derive(Debug)]
enum Long {
    Event(Frame),
    Text(String),
}

impl Long {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Event(frame) => frame.text().as_bytes(),
            Self::Text(text) => text.as_bytes(),
        }
    }
}

impl Outbox {
    /// How many bytes there are to write.
    pub(super) fn len(&self) -> usize {
        self.left
    }

    /// A text frame.
    pub(super) fn text(&mut self, text: String, booked: Booked) {
        self.book(booked);
        self.head(TEXT, text.len());
        if text.len() <= JOINED {
            self.join(text.as_bytes());
        } else {
            self.append(Long::Text(text));
        }
    }

    /// Events as one text frame, an array; says how long that is.
    pub(super) fn events(
        &mut self,
        events: Vec<Frame>,
        book: impl FnOnce(usize) -> Booked,
    ) -> usize {
        let texts: usize = events.iter().map(|event| event.text().len()).sum();
        let length = texts + events.len() + 1;
        self.book(book(length));
        self.joined.reserve(HEADER_MAX + length.min(JOINED * events.len()));
        self.head(TEXT, length);
        let mut before: &[u8] = b"[";
        for event in events {
            self.join(before);
            before = b",";
            if event.text().len() <= JOINED {
                self.join(event.text().as_bytes());
            } else {
                self.append(Long::Event(event));
            }
        }
        self.join(b"]");
        length
    }

    /// A ping.
    pub(super) fn ping(&mut self, payload: [u8; 4]) {
        self.control(PING, &payload);
    }

    /// The answer to a ping.
    pub(super) fn pong(&mut self, payload: &[u8]) {
        self.control(PONG, payload);
    }

    /// The last frame. Of a reason there is only as much as there is room for.
    pub(super) fn close(&mut self, why: Option<(CloseCode, &str)>) {
        let Some((code, reason)) = why else { return self.control(CLOSE, &[]) };
        let reason = &reason[..reason.floor_char_boundary(CONTROL_MAX - 2)];
        let code = u16::from(code).to_be_bytes();
        self.control(CLOSE, &[&code, reason.as_bytes()].concat());
    }

    fn control(&mut self, kind: u8, payload: &[u8]) {
        self.head(kind, payload.len());
        self.join(payload);
    }

    /// A frame's header: whole, unmasked, as servers send it.
    fn head(&mut self, kind: u8, length: usize) {
        match length {
            0..126 => self.join(&[kind, length as u8]),
            126..65_536 => {
                let [high, low] = (length as u16).to_be_bytes();
                self.join(&[kind, 126, high, low]);
            }
            _ => {
                self.join(&[kind, 127]);
                self.join(&(length as u64).to_be_bytes());
            }
        }
    }

    fn join(&mut self, bytes: &[u8]) {
        self.joined.extend_from_slice(bytes);
        self.left += bytes.len();
    }

    fn append(&mut self, long: Long) {
        self.left += long.bytes().len();
        self.long.push_back((self.joined.len(), long));
    }

    fn book(&mut self, booked: Booked) {
        if booked.is_open() {
            self.booked.push(booked);
        }
    }

    /// Writes all to its end.
    pub(super) fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut S,
    ) -> Poll<io::Result<()>> {
        let mut io = Pin::new(io);
        while self.left > 0 {
            let count = if self.long.is_empty() {
                ready!(io.as_mut().poll_write(cx, self.chunk()))?
            } else {
                let mut slices = [IoSlice::new(&[]); 64];
                let count = self.chunks_vectored(&mut slices);
                let slices = slices.get(..count).unwrap_or_default();
                ready!(io.as_mut().poll_write_vectored(cx, slices))?
            };
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(count);
        }
        *self = Self::default();
        io.poll_flush(cx)
    }

    /// What is joined up to the next long text, and that text's rest.
    fn next(&self) -> (&[u8], &[u8]) {
        let (joined, of_long) = self.written;
        let Some((at, long)) = self.long.front() else {
            return (self.joined.get(joined..).unwrap_or_default(), &[]);
        };
        let before = self.joined.get(joined..*at).unwrap_or_default();
        (before, long.bytes().get(of_long..).unwrap_or_default())
    }
}

impl Buf for Outbox {
    fn remaining(&self) -> usize {
        self.left
    }

    fn chunk(&self) -> &[u8] {
        let (before, long) = self.next();
        if before.is_empty() { long } else { before }
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let (before, long) = self.next();
        let ends = self.long.iter().map(|(at, _)| *at).chain([self.joined.len()]).skip(1);
        let rest = self.long.iter().zip(ends).enumerate().flat_map(|(n, ((from, text), to))| {
            let text = if n == 0 { long } else { text.bytes() };
            [text, self.joined.get(*from..to).unwrap_or_default()]
        });
        let chunks = std::iter::once(before).chain(rest).filter(|chunk| !chunk.is_empty());
        let mut count = 0;
        for (slice, chunk) in slices.iter_mut().zip(chunks) {
            *slice = IoSlice::new(chunk);
            count += 1;
        }
        count
    }

    fn advance(&mut self, mut count: usize) {
        self.left = self.left.saturating_sub(count);
        while count > 0 {
            let (before, long) = self.next();
            let (joined, of_long) = (before.len().min(count), long.len());
            count -= joined;
            self.written.0 += joined;
            let part = of_long.min(count);
            count -= part;
            self.written.1 += part;
            if part == of_long {
                self.written.1 = 0;
                if self.long.pop_front().is_none() {
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(out: &mut Outbox) -> Vec<u8> {
        let mut written = Vec::new();
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(matches!(out.poll_write(&mut cx, &mut written), Poll::Ready(Ok(()))));
        assert_eq!(out.len(), 0);
        written
    }

    fn text(text: &str) -> Outbox {
        let mut out = Outbox::default();
        out.text(text.to_owned(), Booked::default());
        out
    }

    #[test]
    fn lengths_take_as_many_bytes_as_they_need() {
        assert_eq!(written(&mut text("ab")), b"\x81\x02ab");
        for (length, head) in [
            (125, &[0x81, 125][..]),
            (126, &[0x81, 126, 0, 126]),
            (65_535, &[0x81, 126, 255, 255]),
            (65_536, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let mut out = text(&"x".repeat(length));
            assert_eq!(out.len(), head.len() + length);
            let out = written(&mut out);
            assert_eq!(out.len(), head.len() + length);
            assert!(out.starts_with(head), "{length}");
        }
    }

    #[test]
    fn frames_keep_their_order_however_they_are_written() {
        let mut all: Vec<u8> = Vec::new();
        let mut out = Outbox::default();
        for length in [3, JOINED + 1, 0, JOINED, JOINED, 100_000, 7] {
            all.extend(written(&mut text(&"x".repeat(length))));
            out.text("x".repeat(length), Booked::default());
            all.extend(b"\x89\x041234");
            out.ping(*b"1234");
        }
        assert_eq!(out.len(), all.len());
        let mut seen: Vec<u8> = Vec::new();
        while out.has_remaining() {
            let mut slices = [IoSlice::new(&[]); 3];
            let count = out.chunks_vectored(&mut slices);
            let chunks: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.to_vec()).collect();
            let part = chunks.len().min(1_000);
            seen.extend(&chunks[..part]);
            out.advance(part);
        }
        assert!(seen == all);
    }
}
