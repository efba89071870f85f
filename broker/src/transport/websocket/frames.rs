//! Frames that a server writes (RFC 6455 §5.2): one write for several, and no copy of a text.
//!
//! The library's own writer keeps a buffer as large as the largest message ever sent; a session that
//! once got a burst would hold on to it.

use bytes::Buf;
use tokio::io::{self, AsyncWrite, AsyncWriteExt};

const TEXT: u8 = 0x81;
const PING: u8 = 0x89;

/// A frame's header: whole, unmasked, as servers send it.
fn header(kind: u8, length: usize) -> impl Buf {
    let mut bytes = [kind, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let size = match length {
        0..126 => {
            bytes[1] = length as u8;
            2
        }
        126..65_536 => {
            bytes[1] = 126;
            bytes[2..4].copy_from_slice(&(length as u16).to_be_bytes());
            4
        }
        _ => {
            bytes[1] = 127;
            bytes[2..10].copy_from_slice(&(length as u64).to_be_bytes());
            10
        }
    };
    std::io::Cursor::new(bytes).take(size)
}

/// What goes out in one write.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Outgoing<'a> {
    /// A text frame.
    pub(super) text: Option<&'a str>,
    /// A ping behind it.
    pub(super) ping: Option<[u8; 4]>,
}

/// Writes frames to their end.
pub(super) async fn write<S: AsyncWrite + Unpin>(
    io: &mut S,
    Outgoing { text, ping }: Outgoing<'_>,
) -> io::Result<()> {
    let text_header =
        header(TEXT, text.map_or(0, str::len)).take(if text.is_some() { 10 } else { 0 });
    let ping_header = header(PING, 4).take(if ping.is_some() { 2 } else { 0 });
    let ping = ping.unwrap_or_default();
    let payload = ping.as_slice().take(if ping_header.has_remaining() { 4 } else { 0 });
    let text = text.unwrap_or_default().as_bytes();
    let mut all = text_header.chain(text).chain(ping_header).chain(payload);
    io.write_all_buf(&mut all).await?;
    io.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: Option<&str>, ping: Option<[u8; 4]>) -> Vec<u8> {
        let mut out = Vec::new();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(write(&mut out, Outgoing { text, ping })).unwrap();
        out
    }

    #[test]
    fn lengths_take_as_many_bytes_as_they_need() {
        assert_eq!(written(Some("ab"), None), b"\x81\x02ab");
        for (length, head) in [
            (125, &[0x81, 125][..]),
            (126, &[0x81, 126, 0, 126]),
            (65_535, &[0x81, 126, 255, 255]),
            (65_536, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let out = written(Some(&"x".repeat(length)), None);
            assert_eq!(out.len(), head.len() + length);
            assert!(out.starts_with(head), "{length}");
        }
    }

    #[test]
    fn a_ping_goes_behind_the_text_or_alone() {
        assert_eq!(written(Some(""), Some(*b"1234")), b"\x81\x00\x89\x041234");
        assert_eq!(written(None, Some(*b"1234")), b"\x89\x041234");
    }
}
