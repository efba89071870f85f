//! Where a request's body ends (RFC 9112 §6), and its bytes out of those at hand.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio_stream::Stream;

/// No longer line tells a chunk's length, and no more trailers are read.
const LINE_MAX: usize = 256;
const TRAILERS_MAX: usize = 16 << 10;
const TRAILERS: usize = 64;

/// What is still to come of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Framing(State);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// So many bytes.
    Length(u64),
    /// A line that tells how long a chunk is.
    Size,
    /// So many bytes of a chunk.
    Chunk(u64),
    /// The end of a chunk's last line.
    ChunkEnd,
    /// Trailers, which nobody reads, and an empty line.
    Trailers,
}

impl Framing {
    /// No body.
    pub(super) const NONE: Self = Self::length(0);

    /// A body of so many bytes.
    pub(super) const fn length(bytes: u64) -> Self {
        Self(State::Length(bytes))
    }

    /// A body in chunks.
    pub(super) const fn chunked() -> Self {
        Self(State::Size)
    }

    /// Whether nothing more is to come.
    pub(super) fn is_over(&self) -> bool {
        self.0 == State::Length(0)
    }

    /// The next piece of the body, off the bytes at hand; `None` if more has to be read first, or the
    /// body is over.
    ///
    /// # Errors
    /// When what came is no such body.
    pub(super) fn take(&mut self, bytes: &mut BytesMut) -> io::Result<Option<Bytes>> {
        loop {
            match self.0 {
                State::Length(0) => return Ok(None),
                State::Length(left) | State::Chunk(left) => {
                    if bytes.is_empty() {
                        return Ok(None);
                    }
                    let part = usize::try_from(left).map_or(bytes.len(), |n| n.min(bytes.len()));
                    let left = left - part as u64;
                    self.0 = match self.0 {
                        State::Chunk(_) if left == 0 => State::ChunkEnd,
                        State::Chunk(_) => State::Chunk(left),
                        _ => State::Length(left),
                    };
                    return Ok(Some(bytes.split_to(part).freeze()));
                }
                State::Size => match httparse::parse_chunk_size(bytes) {
                    Ok(httparse::Status::Complete((length, 0))) => {
                        bytes.advance(length);
                        self.0 = State::Trailers;
                    }
                    Ok(httparse::Status::Complete((length, size))) => {
                        bytes.advance(length);
                        self.0 = State::Chunk(size);
                    }
                    Ok(httparse::Status::Partial) if bytes.len() < LINE_MAX => return Ok(None),
                    _ => return Err(broken()),
                },
                State::ChunkEnd => match bytes.get(..2) {
                    Some(b"\r\n") => {
                        bytes.advance(2);
                        self.0 = State::Size;
                    }
                    None if bytes.is_empty() || bytes[..] == b"\r"[..] => return Ok(None),
                    _ => return Err(broken()),
                },
                State::Trailers => {
                    let mut slots = [httparse::EMPTY_HEADER; TRAILERS];
                    match httparse::parse_headers(bytes, &mut slots) {
                        Ok(httparse::Status::Complete((length, _))) => {
                            bytes.advance(length);
                            *self = Self::NONE;
                        }
                        Ok(httparse::Status::Partial) if bytes.len() < TRAILERS_MAX => {
                            return Ok(None);
                        }
                        _ => return Err(broken()),
                    }
                }
            }
        }
    }
}

fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the body's framing is broken")
}

/// Where more bytes come from.
pub(super) trait Source {
    /// Reads more, behind what is at hand; none at the end.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>>;

    /// What was read and not taken.
    fn at_hand(&mut self) -> &mut BytesMut;
}

/// A body as it comes.
#[derive(Debug)]
pub(super) struct Body<'a, S> {
    pub(super) source: &'a mut S,
    pub(super) framing: &'a mut Framing,
}

impl<S: Source> Stream for Body<'_, S> {
    type Item = io::Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self { source, framing } = self.get_mut();
        loop {
            match framing.take(source.at_hand()) {
                Ok(None) if framing.is_over() => return Poll::Ready(None),
                Ok(None) => {}
                piece => return Poll::Ready(piece.transpose()),
            }
            if ready!(source.poll_fill(cx))? == 0 {
                return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The body and what stands behind it, when the bytes come in two parts.
    fn read(framing: Framing, text: &str, split: usize) -> Option<(Vec<u8>, Vec<u8>)> {
        let (first, second) = text.as_bytes().split_at(split);
        let mut framing = framing;
        let (mut bytes, mut body) = (BytesMut::from(first), Vec::new());
        for more in [second, b""] {
            while let Some(piece) = framing.take(&mut bytes).ok()? {
                assert!(!piece.is_empty());
                body.extend_from_slice(&piece);
            }
            bytes.extend_from_slice(more);
        }
        framing.is_over().then(|| (body, bytes.to_vec()))
    }

    #[test]
    fn bodies_end_where_they_say_however_they_are_cut() {
        for (framing, text, body) in [
            (Framing::NONE, "rest", ""),
            (Framing::length(3), "abcrest", "abc"),
            (Framing::chunked(), "0\r\n\r\nrest", ""),
            (Framing::chunked(), "3\r\nabc\r\n0\r\n\r\nrest", "abc"),
            (
                Framing::chunked(),
                "1;x=y\r\na\r\n00a\r\nbcdefghijk\r\n0\r\nT: x\r\n\r\nrest",
                "abcdefghijk",
            ),
        ] {
            for split in 0..=text.len() {
                let expected = Some((body.as_bytes().to_vec(), b"rest".to_vec()));
                assert_eq!(read(framing, text, split), expected, "{text} cut at {split}");
            }
        }
    }

    #[test]
    fn r37_what_is_no_framing_is_an_error() {
        for text in [
            "x\r\n",
            "3\nabc\r\n",
            "3\r\nabcd\r\n",
            "3\r\nabc\n0\r\n\r\n",
            "-3\r\nabc\r\n",
            "11111111111111111\r\n",
            "0\r\nno header\r\n\r\n",
        ] {
            let mut framing = Framing::chunked();
            let mut bytes = BytesMut::from(text);
            let end = loop {
                match framing.take(&mut bytes) {
                    Ok(Some(_)) => {}
                    end => break end,
                }
            };
            assert!(end.is_err(), "{text}");
        }
        let mut endless = BytesMut::from(&*format!("1;{}", "x".repeat(LINE_MAX)));
        assert!(Framing::chunked().take(&mut endless).is_err());
    }
}
