//! `Transfer-Encoding: chunked`, as it comes.

use super::Fault;

/// Where in the body the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In the digits of a chunk's size.
    Size(usize),
    /// Behind them, up to the end of the line.
    Extension(usize),
    /// So many bytes of the chunk are still to come.
    Data(usize),
    /// At the line's end behind a chunk.
    End,
    /// In a line of the trailer, which has that many bytes so far.
    Trailer(usize),
    Over,
}

/// Takes chunks apart.
#[derive(Debug)]
pub(crate) struct Chunks(State);

impl Default for Chunks {
    fn default() -> Self {
        Self(State::Size(0))
    }
}

impl Chunks {
    /// Takes some bytes and gives the pieces of the body in them; how many of them belonged to it.
    ///
    /// # Errors
    /// If they are no chunks.
    pub(crate) fn feed(
        &mut self,
        bytes: &[u8],
        mut piece: impl FnMut(&[u8]),
    ) -> Result<usize, Fault> {
        let mut at = 0;
        while at < bytes.len() && self.0 != State::Over {
            let byte = bytes[at];
            if let State::Data(left) = self.0 {
                let take = left.min(bytes.len() - at);
                piece(&bytes[at..at + take]);
                at += take;
                self.0 = if take == left { State::End } else { State::Data(left - take) };
                continue;
            }
            at += 1;
            self.0 = match (self.0, byte) {
                (State::Size(size), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                    let digit = (byte as char).to_digit(16).unwrap_or_default() as usize;
                    let size = size.checked_mul(16).map(|size| size + digit);
                    State::Size(size.ok_or_else(|| Fault::new("a chunk of immense size"))?)
                }
                (State::Size(size) | State::Extension(size), b'\n') => match size {
                    0 => State::Trailer(0),
                    _ => State::Data(size),
                },
                (State::Size(size), b'\r' | b';' | b' ') | (State::Extension(size), _) => {
                    State::Extension(size)
                }
                (State::End | State::Trailer(0), b'\r') => self.0,
                (State::End, b'\n') => State::Size(0),
                (State::Trailer(0), b'\n') => State::Over,
                (State::Trailer(_), b'\n') => State::Trailer(0),
                (State::Trailer(length), _) => State::Trailer(length + 1),
                _ => return Err(Fault::new("a body in chunks that are none")),
            };
        }
        Ok(at)
    }

    /// Whether the last chunk and the trailer have come.
    pub(crate) fn is_over(&self) -> bool {
        self.0 == State::Over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] =
        b"5\r\nhello\r\nA;name=x\r\n, wide wor\r\n2\r\nld\r\n0\r\nTrailer: x\r\n\r\n";

    #[test]
    fn the_body_is_the_same_wherever_it_is_cut() {
        for cut in 0..=BODY.len() {
            let (mut chunks, mut body) = (Chunks::default(), Vec::new());
            for part in [&BODY[..cut], &BODY[cut..]] {
                let used = chunks.feed(part, |piece| body.extend_from_slice(piece)).unwrap();
                assert_eq!(used, part.len());
            }
            assert_eq!((body.as_slice(), chunks.is_over()), (&b"hello, wide world"[..], true));
        }
    }

    #[test]
    fn what_follows_it_is_not_taken() {
        let bytes = [b"1\r\nx\r\n0\r\n\r\n", &b"HTTP/1.1"[..]].concat();
        let mut chunks = Chunks::default();
        assert_eq!(chunks.feed(&bytes, |piece| assert_eq!(piece, b"x")).unwrap(), 11);
        assert!(chunks.is_over());
    }

    #[test]
    fn what_are_no_chunks_is_a_fault() {
        for bytes in ["x\r\n", "1\r\nxy\r\n", "ffffffffffffffffff\r\n"] {
            assert!(Chunks::default().feed(bytes.as_bytes(), |_| {}).is_err(), "{bytes}");
        }
    }
}
