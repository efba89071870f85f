//! WebSocket frames, as a client reads and writes them.

use super::Fault;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opcode {
    Continuation,
    /// Text and binary alike.
    Message,
    Close,
    Ping,
    Pong,
}

/// A frame from a server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) opcode: Opcode,
    /// Its message ends with it.
    pub(crate) last: bool,
    pub(crate) payload: &'a [u8],
    /// In bytes, with its header.
    pub(crate) length: usize,
}

/// Reads a frame, if all of it is there.
///
/// # Errors
/// If it is none that a server sends.
pub(crate) fn frame(bytes: &[u8]) -> Result<Option<Frame<'_>>, Fault> {
    let &[first, second, ref rest @ ..] = bytes else { return Ok(None) };
    let opcode = match first & 0x0f {
        0 => Opcode::Continuation,
        1 | 2 => Opcode::Message,
        8 => Opcode::Close,
        9 => Opcode::Ping,
        10 => Opcode::Pong,
        other => return Err(Fault::new(format!("a frame of kind {other}"))),
    };
    if first & 0x70 != 0 || second & 0x80 != 0 {
        return Err(Fault::new("a frame that is masked, or has bits that nobody asked for"));
    }
    let wide = match second {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let Some((long, rest)) = rest.split_at_checked(wide) else { return Ok(None) };
    let length = match wide {
        0 => u64::from(second),
        _ => long.iter().fold(0, |length, &byte| length << 8 | u64::from(byte)),
    };
    let length = usize::try_from(length).map_err(|_| Fault::new("a frame of immense size"))?;
    let Some(payload) = rest.get(..length) else { return Ok(None) };
    Ok(Some(Frame { opcode, last: first & 0x80 != 0, payload, length: 2 + wide + length }))
}

const TEXT: u8 = 1;
const PONG: u8 = 10;

/// Writes a text message.
pub(crate) fn text(out: &mut Vec<u8>, payload: &[u8]) {
    write(out, TEXT, payload);
}

/// Writes the answer to a ping.
pub(crate) fn pong(out: &mut Vec<u8>, payload: &[u8]) {
    write(out, PONG, payload);
}

/// Masked, as a client must, with a key of zeros, which leaves the payload as it is: a mask is for
/// proxies that could be fooled by what a page sends.
fn write(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    out.push(0x80 | opcode);
    match payload.len() {
        length @ 0..126 => out.push(0x80 | length as u8),
        length @ 126..0x1_0000 => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
}

/// The headers that ask for a WebSocket. The key need not be a secret: it shows that the answer is
/// none to an old request, and is not looked at.
pub(crate) const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    /// As a server would write it.
    fn served(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut masked = Vec::new();
        write(&mut masked, first & 0x0f, payload);
        let header = masked.len() - payload.len() - 4;
        let mut frame = masked[..header].to_vec();
        frame[0] = first;
        frame[1] &= 0x7f;
        frame.extend_from_slice(payload);
        frame
    }

    #[test]
    fn a_frame_is_whole_with_its_last_byte_and_not_before() {
        for size in [0, 1, 125, 126, 300, 65_535, 65_536, 70_000] {
            let payload = vec![7; size];
            let mut bytes = served(0x81, &payload);
            for cut in (0..bytes.len()).filter(|cut| *cut < 20 || bytes.len() - cut < 5) {
                assert_eq!(frame(&bytes[..cut]).unwrap(), None, "{size} {cut}");
            }
            let length = bytes.len();
            bytes.extend_from_slice(&[0x81, 1]);
            let expected = Frame { opcode: Opcode::Message, last: true, payload: &payload, length };
            assert_eq!(frame(&bytes).unwrap(), Some(expected));
        }
    }

    #[test]
    fn kinds_are_told_apart() {
        use Opcode::{Close, Continuation, Message, Ping, Pong};
        let kinds = [(0x00, Continuation), (0x80, Continuation), (0x01, Message), (0x82, Message)];
        for (first, opcode) in kinds.into_iter().chain([(0x88, Close), (0x89, Ping), (0x8a, Pong)])
        {
            let bytes = served(first, b"x");
            let frame = frame(&bytes).unwrap().unwrap();
            assert_eq!((frame.opcode, frame.last), (opcode, first & 0x80 != 0));
        }
        for wrong in [[0x83, 0], [0xc1, 0], [0x81, 0x80]] {
            assert!(frame(&wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_a_client_writes_is_masked() {
        let mut out = Vec::new();
        text(&mut out, b"hi");
        assert_eq!(out, [0x81, 0x82, 0, 0, 0, 0, b'h', b'i']);
    }
}
