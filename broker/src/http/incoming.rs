//! What a WebSocket's peer sends, on its way to the library that reads it (RFC 6455 §5).
//!
//! The library makes room for a whole frame as soon as its length is announced, and keeps that room
//! for as long as the socket lives. So large frames reach it in fragments, and a message is like a
//! request's body: past its first bytes it has its share of the memory for those, and the same time.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::body::{BodyBudget, BodyLimits, FREE_BYTES, Share};

/// What is read at a time.
const READ: usize = 4 << 10;
/// No longer frame reaches the library. A multiple of four, as long as a mask is.
const PIECE: usize = 4 << 10;
/// The longest payload of a control frame.
const CONTROL_MAX: u64 = 125;

const FIN: u8 = 0x80;
const CONTROL: u8 = 0x08;
const MASKED: u8 = 0x80;

/// A socket as the library is to see it.
pub struct Incoming<S> {
    io: S,
    /// What was read, and not passed on.
    raw: BytesMut,
    /// A header to pass on.
    header: Bytes,
    /// How much of a payload is to be passed on behind it.
    piece: usize,
    /// The frame under way: what is to follow of it.
    frame: Frame,
    message: Message,
    limits: Limits,
}

/// A frame's header.
#[derive(Debug, Default, Clone, Copy)]
struct Frame {
    first: u8,
    masked: bool,
    mask: [u8; 4],
    left: u64,
}

/// The message under way.
#[derive(Default)]
struct Message {
    begun: bool,
    bytes: usize,
    share: Option<Share>,
    asking: Option<Pin<Box<dyn Future<Output = Option<Share>> + Send>>>,
    deadline: Option<Pin<Box<Sleep>>>,
}

/// Bounds of a message.
#[derive(Debug)]
struct Limits {
    bytes: usize,
    time: Duration,
    budget: Arc<BodyBudget>,
}

impl<S> fmt::Debug for Incoming<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("frame", &self.frame).finish_non_exhaustive()
    }
}

impl Frame {
    /// Reads a header; `None` until all of it is there. How long it is, and what it says.
    fn parse(raw: &[u8]) -> Option<(usize, Self)> {
        let (first, second) = (*raw.first()?, *raw.get(1)?);
        let (at, left) = match second & !MASKED {
            126 => (4, u64::from(u16::from_be_bytes(raw.get(2..4)?.try_into().ok()?))),
            127 => (10, u64::from_be_bytes(raw.get(2..10)?.try_into().ok()?)),
            short => (2, u64::from(short)),
        };
        let masked = second & MASKED != 0;
        let end = if masked { at + 4 } else { at };
        let mask = raw.get(at..end)?.try_into().unwrap_or_default();
        Some((end, Self { first, masked, mask, left }))
    }

    fn is_control(&self) -> bool {
        self.first & CONTROL != 0
    }

    /// A header of the next fragment, for so many bytes; what follows continues it.
    fn fragment(&mut self, bytes: u16) -> Bytes {
        self.left = self.left.saturating_sub(u64::from(bytes));
        let last = if self.left == 0 { self.first & FIN } else { 0 };
        let mut header = BytesMut::with_capacity(8);
        let masked = if self.masked { MASKED } else { 0 };
        header.extend_from_slice(&[self.first & !FIN | last, masked | 126]);
        header.extend_from_slice(&bytes.to_be_bytes());
        if self.masked {
            header.extend_from_slice(&self.mask);
        }
        self.first &= FIN;
        header.freeze()
    }
}

impl<S> Incoming<S> {
    /// Reads from a socket of which this was read already.
    pub fn new(io: S, read: &[u8], body: &BodyLimits) -> Self {
        let limits =
            Limits { bytes: body.bytes, time: body.time, budget: Arc::clone(&body.budget) };
        Self {
            io,
            raw: BytesMut::from(read),
            header: Bytes::new(),
            piece: 0,
            frame: Frame::default(),
            message: Message::default(),
            limits,
        }
    }

    /// Takes up the next frame, or the next fragment of the one under way. False if more has to be
    /// read first.
    fn go_on(&mut self) -> bool {
        if self.frame.left > 0 {
            let bytes = self.frame.left.min(PIECE as u64) as u16;
            (self.header, self.piece) = (self.frame.fragment(bytes), usize::from(bytes));
            return true;
        }
        let Some((length, frame)) = Frame::parse(&self.raw) else { return false };
        if frame.is_control() && frame.left > CONTROL_MAX {
            // There is no such frame. The library says so once it has it, and need not have it all.
            self.raw.advance(length);
            self.frame = Frame { left: CONTROL_MAX + 1, ..frame };
            return self.go_on();
        }
        if !frame.is_control() {
            self.message.begun = true;
        }
        let is_long = frame.left > PIECE as u64 && !frame.is_control();
        if is_long && frame.left <= self.limits.bytes as u64 {
            self.raw.advance(length);
            self.frame = frame;
            return self.go_on();
        }
        // As it came. Of what is too long no more than this is wanted.
        self.header = self.raw.split_to(length).freeze();
        self.piece = usize::try_from(frame.left).unwrap_or(usize::MAX);
        self.frame = Frame { left: 0, ..frame };
        true
    }

    /// What was to be passed on of a fragment is.
    fn passed(&mut self) {
        if self.raw.is_empty() {
            // An idle socket has no buffer here.
            self.raw = BytesMut::new();
        }
        let passed = self.header.is_empty() && self.piece == 0 && self.frame.left == 0;
        if passed && self.frame.first & FIN != 0 && !self.frame.is_control() {
            self.message = Message::default();
        }
    }

    /// Waits for a share of the memory for bodies, if the message needs one.
    fn poll_share(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Message { bytes, share, asking, .. } = &mut self.message;
        if *bytes + self.piece <= FREE_BYTES || share.is_some() || self.frame.is_control() {
            return Poll::Ready(());
        }
        let (budget, most) = (Arc::clone(&self.limits.budget), self.limits.bytes);
        let asking =
            asking.get_or_insert_with(|| Box::pin(async move { budget.share(most).await }));
        *share = ready!(asking.as_mut().poll(cx));
        self.message.asking = None;
        Poll::Ready(())
    }

    /// Nothing more can be done now: a message that has begun has its time.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.message.begun {
            return Poll::Pending;
        }
        let time = self.limits.time;
        let deadline = self.message.deadline.get_or_insert_with(|| Box::pin(sleep(time)));
        ready!(deadline.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the message did not come in time",
        )))
    }
}

impl<S: AsyncRead + Unpin> Incoming<S> {
    /// Reads what there is. False at the end.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut bytes = [0; READ];
        let mut buf = ReadBuf::new(&mut bytes);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut buf))?;
        self.raw.extend_from_slice(buf.filled());
        Poll::Ready(Ok(!buf.filled().is_empty()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Incoming<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        while buf.remaining() > 0 {
            if !this.header.is_empty() {
                let part = this.header.len().min(buf.remaining());
                buf.put_slice(&this.header.split_to(part));
                this.passed();
                continue;
            }
            if this.piece > 0 && !this.raw.is_empty() {
                if this.poll_share(cx).is_pending() {
                    break;
                }
                let part = this.piece.min(this.raw.len()).min(buf.remaining());
                buf.put_slice(&this.raw.split_to(part));
                this.piece -= part;
                if !this.frame.is_control() {
                    this.message.bytes += part;
                }
                this.passed();
                continue;
            }
            if this.piece == 0 && this.go_on() {
                continue;
            }
            // Whoever has something goes on with it first.
            if buf.filled().len() > before {
                break;
            }
            match this.poll_fill(cx) {
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(end) => return Poll::Ready(end.map(|_| ())),
                Poll::Pending => break,
            }
        }
        if buf.filled().len() > before {
            return Poll::Ready(Ok(()));
        }
        this.poll_deadline(cx)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Incoming<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const KEY: [u8; 4] = [1, 2, 3, 4];
    const OPCODE: u8 = 0x0f;

    fn limits(bytes: usize) -> BodyLimits {
        let budget = BodyBudget::new(1 << 20);
        BodyLimits { bytes, time: Duration::from_millis(500), budget }
    }

    /// A masked frame whose payload counts on.
    fn frame(first: u8, length: usize) -> Vec<u8> {
        let mut bytes = vec![first];
        match length {
            0..126 => bytes.push(0x80 | length as u8),
            126..65_536 => {
                bytes.push(0x80 | 126);
                bytes.extend((length as u16).to_be_bytes());
            }
            _ => {
                bytes.push(0x80 | 127);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        bytes.extend(KEY);
        bytes.extend((0..length).map(|n| n as u8 ^ KEY[n % 4]));
        bytes
    }

    /// First byte and unmasked payload of each frame.
    fn frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let mut frames = Vec::new();
        while let Some((length, frame)) = Frame::parse(bytes) {
            let payload = &bytes[length..][..frame.left as usize];
            let unmasked = payload.iter().zip(frame.mask.iter().cycle()).map(|(a, b)| a ^ b);
            frames.push((frame.first, unmasked.collect()));
            bytes = &bytes[length + payload.len()..];
        }
        assert!(bytes.is_empty());
        frames
    }

    async fn passed(bytes: &[u8], limit: usize) -> Vec<u8> {
        let (read, rest) = bytes.split_at(bytes.len().min(3));
        let mut incoming = Incoming::new(rest, read, &limits(limit));
        let mut passed = Vec::new();
        incoming.read_to_end(&mut passed).await.expect("an end");
        passed
    }

    #[tokio::test]
    async fn l4_long_frames_come_in_fragments_and_say_the_same() {
        let lengths = [0, 1, 125, 126, 4_095, 4_096, 4_097, 8_192, 65_535, 65_536, 100_001];
        for length in lengths {
            // A message in two frames with a ping between them, and another behind it.
            let sent = [frame(0x01, length), frame(0x89, 5), frame(0x80, length), frame(0x81, 7)];
            let got = frames(&passed(&sent.concat(), 1 << 20).await);
            assert!(got.iter().all(|(_, payload)| payload.len() <= PIECE), "{length}");
            let pings = got.iter().filter(|(first, _)| *first == 0x89).count();
            assert_eq!(pings, 1, "{length}");
            let data: Vec<_> = got.iter().filter(|(first, _)| *first != 0x89).collect();
            let heads: Vec<u8> = data.iter().map(|(first, _)| *first).collect();
            let ends = heads.iter().filter(|first| **first & FIN != 0).count();
            let begins = heads.iter().filter(|first| **first & OPCODE == 1).count();
            assert_eq!((heads[0] & OPCODE, ends, begins), (1, 2, 2), "{length}: {heads:?}");
            let all: Vec<u8> = data.into_iter().flat_map(|(_, payload)| payload.clone()).collect();
            let one = || (0..length).map(|n| n as u8);
            assert_eq!(all, one().chain(one()).chain(0..7).collect::<Vec<_>>(), "{length}");
        }
    }

    #[tokio::test]
    async fn l4_what_no_client_may_send_is_passed_on_as_what_it_is_and_no_more() {
        // Too long: the header is enough.
        let long = frame(0x81, 100_001);
        assert_eq!(passed(&long, 100_000).await, long);
        // No control frame is that long.
        let ping = passed(&frame(0x89, 90_000), 1 << 20).await;
        assert_eq!(ping[..4], [0x89, 0x80 | 126, 0, 126]);
        // Neither mask nor reserved bits get lost.
        let mut unmasked = vec![0x81, 126];
        unmasked.extend(9_000_u16.to_be_bytes());
        unmasked.extend([b' '; 9_000]);
        assert_eq!(passed(&unmasked, 1 << 20).await[..4], [0x01, 126, 0x10, 0]);
        let packed = passed(&frame(0xc1, 9_000), 1 << 20).await;
        assert_eq!(packed[0], 0x41);
    }

    #[tokio::test]
    async fn l4_a_message_past_its_first_bytes_has_its_share_until_its_end() {
        let limits = limits(1 << 19);
        let message = frame(0x81, 100_000);
        let (mut far, near) = tokio::io::duplex(1 << 20);
        let mut incoming = Incoming::new(near, &[], &limits);
        let mut bytes = vec![0; 200_000];
        far.write_all(&message[..50_000]).await.expect("room");
        while incoming.message.bytes < 45_000 {
            let _ = incoming.read(&mut bytes).await.expect("bytes");
        }
        assert_eq!(limits.budget.in_use(), 1 << 19);
        far.write_all(&message[50_000..]).await.expect("room");
        while incoming.message.begun {
            let _ = incoming.read(&mut bytes).await.expect("bytes");
        }
        assert_eq!(limits.budget.in_use(), 0);
        // Another one is begun, and does not go on.
        far.write_all(&message[..50]).await.expect("room");
        let late = loop {
            match incoming.read(&mut bytes).await {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
    }
}
