//! gzip of large replies: which, how, and what the headers say of it (docs/compression.md).

use std::io::Write;
use std::sync::OnceLock;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, VARY};
use http::{HeaderValue, Response};
use tokio::sync::Semaphore;
use tokio::task::yield_now;

/// What is compressed in one go; others get their turn after each. Well below a millisecond at
/// level 1.
const STEP: usize = 64 << 10;

/// Which replies are compressed, and how.
#[derive(Debug, Clone, Copy)]
pub struct GzipOptions {
    /// Whether any is.
    pub enabled: bool,
    /// The least size, in bytes, that is worth it.
    pub min_bytes: usize,
    /// 1, the fastest, to 9, the smallest.
    pub level: u32,
}

/// How a body is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// As it is, and it would be whatever the client takes.
    Plain,
    /// As it is, for this client.
    Identity,
    /// Compressed.
    Gzip,
}

impl Coding {
    /// Says it in the headers: also a reply that is not compressed may owe that to what was asked.
    pub fn tell(self, response: &mut Response<Bytes>) {
        let headers = response.headers_mut();
        if self != Self::Plain {
            headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
        }
        if self == Self::Gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
    }
}

/// A text that never changes: compressed once, for whoever asks.
#[derive(Debug)]
pub struct Fixed {
    text: &'static str,
    packed: OnceLock<Option<Bytes>>,
}

impl Fixed {
    /// Such a text.
    #[must_use]
    pub const fn new(text: &'static str) -> Self {
        Self { text, packed: OnceLock::new() }
    }
}

/// Compresses bodies.
#[derive(Debug)]
pub struct Gzip {
    options: GzipOptions,
    /// So many large bodies are being compressed at a time: each needs memory for it, and more of
    /// them at once would not be done sooner.
    turns: Semaphore,
}

impl Gzip {
    /// With these options, on so many processors.
    #[must_use]
    pub fn new(options: GzipOptions, processors: usize) -> Self {
        Self { options, turns: Semaphore::new(processors.max(1)) }
    }

    /// Codes a body for a client that takes gzip, or does not. Waits while other large bodies have
    /// their turn.
    pub async fn code(&self, taken: bool, plain: Vec<u8>) -> (Vec<u8>, Coding) {
        if !self.is_worth_it(plain.len()) {
            return (plain, Coding::Plain);
        }
        let packed = if taken { self.squeeze(&plain).await } else { None };
        packed.map_or((plain, Coding::Identity), |packed| (packed, Coding::Gzip))
    }

    /// Codes a text that never changes.
    #[must_use]
    pub fn code_fixed(&self, taken: bool, fixed: &'static Fixed) -> (Bytes, Coding) {
        let plain = fixed.text.as_bytes();
        if !self.is_worth_it(plain.len()) {
            return (Bytes::from_static(plain), Coding::Plain);
        }
        let squeeze = || {
            let mut encoder = self.encoder(plain.len());
            encoder.write_all(plain).ok()?;
            finish(encoder, plain.len()).map(Bytes::from)
        };
        let packed = taken.then(|| fixed.packed.get_or_init(squeeze).clone()).flatten();
        match packed {
            Some(packed) => (packed, Coding::Gzip),
            None => (Bytes::from_static(plain), Coding::Identity),
        }
    }

    fn is_worth_it(&self, bytes: usize) -> bool {
        self.options.enabled && bytes >= self.options.min_bytes
    }

    fn encoder(&self, bytes: usize) -> GzEncoder<Vec<u8>> {
        GzEncoder::new(Vec::with_capacity(bytes / 4), Compression::new(self.options.level))
    }

    /// The body compressed, if that makes it smaller.
    async fn squeeze(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let large = plain.len() > STEP;
        let _turn = if large { self.turns.acquire().await.ok() } else { None };
        let mut encoder = self.encoder(plain.len());
        for (index, step) in plain.chunks(STEP).enumerate() {
            if index > 0 {
                yield_now().await;
            }
            encoder.write_all(step).ok()?;
            if encoder.get_ref().len() >= plain.len() {
                return None;
            }
        }
        finish(encoder, plain.len())
    }
}

fn finish(encoder: GzEncoder<Vec<u8>>, plain: usize) -> Option<Vec<u8>> {
    let mut packed = encoder.finish().ok()?;
    packed.shrink_to_fit();
    (packed.len() < plain).then_some(packed)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;
    use http::StatusCode;

    use super::*;

    fn gzip(level: u32) -> Gzip {
        Gzip::new(GzipOptions { enabled: true, min_bytes: 1_000, level }, 1)
    }

    fn unpacked(packed: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        GzDecoder::new(packed).read_to_end(&mut plain).unwrap();
        plain
    }

    /// Bytes that look like chance, and cannot get smaller.
    fn noise(bytes: usize) -> Vec<u8> {
        let mut state = 1_u64;
        let next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        };
        std::iter::repeat_with(next).take(bytes).collect()
    }

    #[tokio::test]
    async fn what_is_large_and_taken_gets_smaller_and_is_the_same_again() {
        let gzip = gzip(1);
        for bytes in [1_000, STEP - 1, STEP, STEP + 1, 5 * STEP / 2] {
            let plain: Vec<u8> = b"{\"price\":17},".iter().copied().cycle().take(bytes).collect();
            let (packed, coding) = gzip.code(true, plain.clone()).await;
            assert_eq!(coding, Coding::Gzip);
            assert!(packed.len() < plain.len() / 4, "{} of {bytes}", packed.len());
            assert_eq!(unpacked(&packed), plain);
            assert_eq!(gzip.code(false, plain.clone()).await, (plain, Coding::Identity));
        }
    }

    #[tokio::test]
    async fn what_is_small_or_switched_off_is_left_alone() {
        let small = vec![b' '; 999];
        assert_eq!(gzip(1).code(true, small.clone()).await, (small, Coding::Plain));
        let off = Gzip::new(GzipOptions { enabled: false, min_bytes: 1, level: 1 }, 1);
        let large = vec![b' '; 9_999];
        assert_eq!(off.code(true, large.clone()).await, (large, Coding::Plain));
    }

    #[tokio::test]
    async fn what_does_not_get_smaller_goes_as_it_is() {
        for bytes in [2_000, 3 * STEP] {
            let plain = noise(bytes);
            assert_eq!(gzip(9).code(true, plain.clone()).await, (plain, Coding::Identity));
        }
    }

    #[test]
    fn a_fixed_text_is_compressed_once() {
        static TEXT: Fixed = Fixed::new(include_str!("openapi.json"));
        let gzip = gzip(1);
        let (first, coding) = gzip.code_fixed(true, &TEXT);
        assert_eq!((coding, unpacked(&first)), (Coding::Gzip, TEXT.text.as_bytes().to_vec()));
        let (second, _) = gzip.code_fixed(true, &TEXT);
        assert_eq!(first.as_ptr(), second.as_ptr());
        let plain = (Bytes::from_static(TEXT.text.as_bytes()), Coding::Identity);
        assert_eq!(gzip.code_fixed(false, &TEXT), plain);
    }

    #[test]
    fn the_headers_say_what_was_done_and_what_it_depends_on() {
        for (coding, vary, told) in [
            (Coding::Plain, None, None),
            (Coding::Identity, Some("Accept-Encoding"), None),
            (Coding::Gzip, Some("Accept-Encoding"), Some("gzip")),
        ] {
            let mut response = Response::new(Bytes::new());
            *response.status_mut() = StatusCode::OK;
            coding.tell(&mut response);
            let header = |name| response.headers().get(name).map(|value| value.to_str().unwrap());
            assert_eq!((header(VARY), header(CONTENT_ENCODING)), (vary, told));
        }
    }
}
