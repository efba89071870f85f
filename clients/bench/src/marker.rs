//! What a message says about itself: whose it is, its number there, and when it was to be sent.
//!
//! It stands in the data as one text, `wb~STREAM.NUMBER.MICROSECONDS~`, so that it is found in any
//! response, frame or line by looking for four bytes, whatever the server has put around it.

use memchr::memmem::Finder;

/// A stream is what one publisher's connection sends to one channel: its numbers come in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Marker {
    pub(crate) stream: u32,
    /// Counted from 0, without holes.
    pub(crate) number: u32,
    /// When it was to be sent, in microseconds of the generator's clock.
    pub(crate) at: u64,
}

impl Marker {
    /// Writes the JSON data of a message with this marker, `size` bytes long, or as few as it takes.
    pub(crate) fn write(self, size: usize, out: &mut Vec<u8>) {
        let start = out.len();
        let Self { stream, number, at } = self;
        out.extend_from_slice(format!("{{\"m\":\"wb~{stream}.{number}.{at}~").as_bytes());
        let end = start + size.saturating_sub(2);
        out.resize(end.max(out.len()), b'x');
        out.extend_from_slice(b"\"}");
    }
}

/// Finds markers.
#[derive(Debug)]
pub(crate) struct Scanner(Finder<'static>);

impl Scanner {
    pub(crate) fn new() -> Self {
        Self(Finder::new(b"\"wb~"))
    }

    /// All markers in there, in order.
    pub(crate) fn scan<'a>(&'a self, bytes: &'a [u8]) -> impl Iterator<Item = Marker> + 'a {
        self.0.find_iter(bytes).filter_map(|at| read(&bytes[at + 4..]))
    }
}

fn read(bytes: &[u8]) -> Option<Marker> {
    let (stream, bytes) = number(bytes, b'.')?;
    let (place, bytes) = number(bytes, b'.')?;
    let (at, _) = number(bytes, b'~')?;
    Some(Marker { stream: u32::try_from(stream).ok()?, number: u32::try_from(place).ok()?, at })
}

/// A number, and what follows the mark behind it.
fn number(bytes: &[u8], end: u8) -> Option<(u64, &[u8])> {
    let mut value = 0_u64;
    for (at, &byte) in bytes.iter().enumerate() {
        match byte {
            b'0'..=b'9' => value = value.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?,
            _ if byte == end && at > 0 => return Some((value, &bytes[at + 1..])),
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(stream: u32, number: u32, at: u64, size: usize) -> Vec<u8> {
        let mut out = Vec::new();
        Marker { stream, number, at }.write(size, &mut out);
        out
    }

    #[test]
    fn data_is_json_of_the_size_asked_for() {
        for size in [40, 100, 1_000] {
            let data = data(3, 70, 123_456, size);
            assert_eq!(data.len(), size);
            assert!(serde_json::from_slice::<serde_json::Value>(&data).is_ok());
        }
        assert_eq!(data(1, 2, 3, 0), b"{\"m\":\"wb~1.2.3~\"}");
    }

    #[test]
    fn markers_are_found_in_order_in_whatever_stands_around() {
        let mut text = b"--b\r\nContent-Type: text/plain\r\n\r\n".to_vec();
        let expected: Vec<Marker> = (0..5)
            .map(|n| Marker { stream: n % 2, number: n, at: u64::from(n) * 1_000_000_007 })
            .collect();
        for marker in &expected {
            marker.write(80, &mut text);
            text.extend_from_slice(b"\r\n--b\r\n\r\n");
        }
        assert_eq!(Scanner::new().scan(&text).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_only_looks_like_one_is_none() {
        let texts =
            ["", "\"wb~", "\"wb~1.2", "\"wb~1.2.3", "\"wb~1..3~", "\"wb~1.2.x~", "wb~1.2.3~"];
        let scanner = Scanner::new();
        for text in texts {
            assert_eq!(scanner.scan(text.as_bytes()).count(), 0, "{text}");
        }
        let long = "\"wb~1.2.99999999999999999999999~";
        assert_eq!(scanner.scan(long.as_bytes()).count(), 0);
    }
}
