//! Frames that a server writes (RFC 6455 §5.2): one write for several, and no copy of a
//! long text.
//!
//! The library's own writer keeps a buffer as large as the largest message ever sent; a session that
//! once got a burst would hold on to it.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::Buf;
use tokio::io::{self, AsyncWrite, AsyncWriteExt};

use crate::exchange::Booked;

const TEXT: u8 = 0x81;
const PING: u8 = 0x89;
/// A longer text is written from where it lies; a shorter one costs less joined to what goes before.
const JOINED: usize = 2 << 10;

/// Frames on their way out, in their order.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    pieces: VecDeque<Piece>,
    /// How much of the first piece is written.
    written: usize,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Piece {
    bytes: Vec<u8>,
    /// What its text costs until it is written.
    _booked: Booked,
}

impl Outbox {
    /// How many bytes there are to write.
    pub(super) fn len(&self) -> usize {
        self.bytes
    }

    /// A text frame.
    pub(super) fn text(&mut self, text: String, booked: Booked) {
        self.head(TEXT, text.len());
        if text.len() <= JOINED {
            return self.join(text.as_bytes());
        }
        self.bytes += text.len();
        self.pieces.push_back(Piece { bytes: text.into_bytes(), _booked: booked });
    }

    /// A ping.
    pub(super) fn ping(&mut self, payload: [u8; 4]) {
        self.head(PING, payload.len());
        self.join(&payload);
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
        self.bytes += bytes.len();
        match self.pieces.back_mut() {
            Some(piece) if piece.bytes.len() <= JOINED => piece.bytes.extend_from_slice(bytes),
            _ => {
                self.pieces.push_back(Piece { bytes: bytes.to_vec(), ..Piece::default() });
            }
        }
    }

    /// Writes all to its end, and holds on to nothing.
    pub(super) async fn write<S: AsyncWrite + Unpin>(&mut self, io: &mut S) -> io::Result<()> {
        io.write_all_buf(self).await?;
        *self = Self::default();
        io.flush().await
    }
}

impl Buf for Outbox {
    fn remaining(&self) -> usize {
        self.bytes
    }

    fn chunk(&self) -> &[u8] {
        let first = self.pieces.front().and_then(|piece| piece.bytes.get(self.written..));
        first.unwrap_or_default()
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let rest = self.pieces.iter().skip(1).map(|piece| &*piece.bytes);
        let chunks = std::iter::once(self.chunk()).chain(rest);
        let mut count = 0;
        for (slice, chunk) in slices.iter_mut().zip(chunks) {
            *slice = IoSlice::new(chunk);
            count += 1;
        }
        count
    }

    fn advance(&mut self, count: usize) {
        self.bytes = self.bytes.saturating_sub(count);
        self.written += count;
        while let Some(piece) =
            self.pieces.front().filter(|piece| piece.bytes.len() <= self.written)
        {
            self.written -= piece.bytes.len();
            self.pieces.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(out: &mut Outbox) -> Vec<u8> {
        let mut written = Vec::new();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(out.write(&mut written)).unwrap();
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
