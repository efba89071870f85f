//! Where a request's body ends (RFC 9112 §6), and its bytes out of those at hand.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderName, HeaderValue};
use tokio_stream::Stream;

/// No longer line tells a chunk's length.
const LINE_MAX: usize = 256;
/// A line that is no longer than a length can be is free.
const LENGTH_MAX: usize = 16;
/// All other bytes that are no body: extensions, which nobody reads, and trailers.
const BESIDES_MAX: usize = 16 << 10;

/// What is still to come of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Framing {
    state: State,
    /// How many bytes may still come that are no body.
    besides: usize,
}

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
        Self { state: State::Length(bytes), besides: 0 }
    }

    /// A body in chunks.
    pub(super) const fn chunked() -> Self {
        Self { state: State::Size, besides: BESIDES_MAX }
    }

    /// Whether nothing more is to come.
    pub(super) fn is_over(&self) -> bool {
        self.state == State::Length(0)
    }

    /// The next piece of the body, off the bytes at hand; `None` if more has to be read first, or the
    /// body is over.
    ///
    /// # Errors
    /// When what came is no such body.
    pub(super) fn take(&mut self, bytes: &mut BytesMut) -> io::Result<Option<Bytes>> {
        loop {
            match self.state {
                State::Length(0) => return Ok(None),
                State::Length(left) | State::Chunk(left) => {
                    if bytes.is_empty() {
                        return Ok(None);
                    }
                    let part = usize::try_from(left).map_or(bytes.len(), |n| n.min(bytes.len()));
                    let left = left - part as u64;
                    self.state = match self.state {
                        State::Chunk(_) if left == 0 => State::ChunkEnd,
                        State::Chunk(_) => State::Chunk(left),
                        _ => State::Length(left),
                    };
                    return Ok(Some(bytes.split_to(part).freeze()));
                }
                State::Size => {
                    let Some(line) = line(bytes, LINE_MAX)? else { return Ok(None) };
                    self.spend(line.len().saturating_sub(LENGTH_MAX))?;
                    self.state = match chunk_length(line)? {
                        0 => State::Trailers,
                        length => State::Chunk(length),
                    };
                    let length = line.len() + 2;
                    bytes.advance(length);
                }
                State::ChunkEnd => match bytes.get(..2) {
                    Some(b"\r\n") => {
                        bytes.advance(2);
                        self.state = State::Size;
                    }
                    None if bytes.is_empty() || bytes[..] == b"\r"[..] => return Ok(None),
                    _ => return Err(broken()),
                },
                State::Trailers => {
                    let Some(line) = line(bytes, self.besides)? else { return Ok(None) };
                    let length = line.len() + 2;
                    if line.is_empty() {
                        *self = Self::NONE;
                    } else if is_trailer(line) {
                        self.spend(length)?;
                    } else {
                        return Err(broken());
                    }
                    bytes.advance(length);
                }
            }
        }
    }

    fn spend(&mut self, bytes: usize) -> io::Result<()> {
        self.besides = self.besides.checked_sub(bytes).ok_or_else(broken)?;
        Ok(())
    }
}

/// The line that the bytes begin with, without its end; `None` if more has to be read first. It ends with
/// CRLF and with nothing else: whoever takes a bare CR or LF for an end, or does not, sees another
/// body than those on the way (request smuggling).
fn line(bytes: &[u8], max: usize) -> io::Result<Option<&[u8]>> {
    let Some(end) = bytes.iter().take(max).position(|byte| *byte == b'\n') else {
        return if bytes.len() < max { Ok(None) } else { Err(broken()) };
    };
    let line = bytes.get(..end).and_then(|line| line.strip_suffix(b"\r"));
    line.filter(|line| !line.contains(&b'\r')).map(Some).ok_or_else(broken)
}

/// What a line says of a chunk's length: digits, blanks, and maybe extensions.
fn chunk_length(line: &[u8]) -> io::Result<u64> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
    let digits = std::str::from_utf8(digits).unwrap_or_default().trim_end_matches([' ', '\t']);
    // A sign is none of them.
    let length = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    length.then(|| u64::from_str_radix(digits, 16).ok()).flatten().ok_or_else(broken)
}

fn is_trailer(line: &[u8]) -> bool {
    let Some(colon) = line.iter().position(|byte| *byte == b':') else { return false };
    let (name, value) = line.split_at(colon);
    HeaderName::from_bytes(name).is_ok()
        && HeaderValue::from_bytes(value.get(1..).unwrap_or_default()).is_ok()
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
                "1 ;x=y\r\na\r\n00a\r\nbcdefghijk\r\n0\r\nT: x\r\n\r\nrest",
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
            // Where there is no length there is no end either.
            "\r\n\r\n",
            ";x\r\n\r\n",
            " 3\r\nabc\r\n",
            "+3\r\nabc\r\n",
            // A line's end is CRLF, also in what nobody reads.
            "3;x\nabc\r\n",
            "3;x\ry\r\nabc\r\n",
            "3\n\r\n",
            "0\r\n\n",
            "0\r\nT: x\n\r\n",
            "0\r\nT: x\n\n",
            "0\r\nT: x\r\n folded\r\n\r\n",
            "0\r\n: x\r\n\r\n",
            "0\r\n0\r\n\r\n",
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
        // However they are cut.
        for end in ["", "\r\n"] {
            let mut endless = BytesMut::from(&*format!("1;{}{end}", "x".repeat(LINE_MAX)));
            assert!(Framing::chunked().take(&mut endless).is_err());
        }
        let many = [
            format!("1;{}\r\nx\r\n", "x".repeat(200)).repeat(100),
            format!("0\r\n{}", "A: b\r\n".repeat(BESIDES_MAX / 6 + 1)),
            format!("0\r\nA: {}", "b".repeat(BESIDES_MAX)),
        ];
        for many in many {
            let mut many = BytesMut::from(&*many);
            let mut framing = Framing::chunked();
            let end = loop {
                match framing.take(&mut many) {
                    Ok(Some(_)) => {}
                    end => break end,
                }
            };
            assert!(end.is_err(), "{} bytes are left", many.len());
        }
    }
}
