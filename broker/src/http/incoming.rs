//! What a WebSocket's peer sends, message by message.
//!
//! A message is like a request's body: past its first bytes it has its share of the memory for those,
//! and the same time. Between messages nothing is held, so an idle socket has no buffer.

use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::body::{BodyLimits, FREE_BYTES, Share};
use crate::transport::websocket::{Fault, Line, Message, Reader};

/// What is read at a time.
const READ: usize = 16 << 10;

/// A socket of which messages are read.
pub struct Incoming<'l, S> {
    io: S,
    reader: Reader,
    /// What was read behind a message, or is to wait for its share.
    rest: Bytes,
    limits: &'l BodyLimits,
    /// What the message under way needs if it does not come at once.
    slow: Option<Box<Slow>>,
    over: bool,
}

/// A message that is under way for a while.
#[derive(Default)]
struct Slow {
    share: Option<Share>,
    asking: Option<Pin<Box<dyn Future<Output = Option<Share>> + Send>>>,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<S> fmt::Debug for Incoming<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("reader", &self.reader).finish_non_exhaustive()
    }
}

impl<'l, S> Incoming<'l, S> {
    /// Reads from a socket of which this was read already.
    pub fn new(io: S, read: &[u8], limits: &'l BodyLimits) -> Self {
        let (reader, rest) = (Reader::new(limits.bytes), Bytes::copy_from_slice(read));
        Self { io, reader, rest, limits, slow: None, over: false }
    }

    /// How much may come without asking for more room.
    fn room(&self) -> usize {
        match &self.slow {
            Some(slow) if slow.share.is_some() => READ,
            // What goes past it is asked for once it is there.
            _ => FREE_BYTES.saturating_sub(self.reader.held()).clamp(1, READ),
        }
    }

    /// Waits for a share of the memory for bodies, if so many bytes more need one.
    fn poll_share(&mut self, cx: &mut Context<'_>, more: usize) -> Poll<()> {
        if self.reader.held() + more <= FREE_BYTES {
            return Poll::Ready(());
        }
        let slow = self.slow.get_or_insert_default();
        if slow.share.is_some() {
            return Poll::Ready(());
        }
        let (budget, most) = (Arc::clone(&self.limits.budget), self.limits.bytes);
        let asking =
            slow.asking.get_or_insert_with(|| Box::pin(async move { budget.share(most).await }));
        slow.share = ready!(asking.as_mut().poll(cx));
        slow.asking = None;
        Poll::Ready(())
    }

    /// The message that ends in these bytes, if one does; what is behind it is left.
    fn take(&mut self, bytes: &mut &[u8]) -> Result<Option<Message>, Fault> {
        let taken = self.reader.take(bytes);
        if let Ok(Some(Message::Text(_))) = taken {
            self.slow = None;
        }
        taken
    }

    /// Nothing more can be done now: what has begun has its time.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<Fault> {
        if !self.reader.is_amid() && self.rest.is_empty() {
            return Poll::Pending;
        }
        let time = self.limits.time;
        let slow = self.slow.get_or_insert_default();
        let deadline = slow.deadline.get_or_insert_with(|| Box::pin(sleep(time)));
        deadline.as_mut().poll(cx).map(|()| Fault::Gone)
    }
}

impl<S: AsyncRead + Unpin> Incoming<'_, S> {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Message, Fault>> {
        loop {
            let taken = if self.rest.is_empty() {
                let mut space = [MaybeUninit::uninit(); READ];
                let room = self.room();
                let mut read = ReadBuf::uninit(&mut space[..room]);
                match Pin::new(&mut self.io).poll_read(cx, &mut read) {
                    Poll::Pending => return self.poll_deadline(cx).map(Err),
                    Poll::Ready(Ok(())) if !read.filled().is_empty() => {}
                    Poll::Ready(_) => return Poll::Ready(Err(Fault::Gone)),
                }
                let mut bytes = read.filled();
                let taken = match self.poll_share(cx, bytes.len()) {
                    Poll::Ready(()) => self.take(&mut bytes),
                    Poll::Pending => Ok(None),
                };
                self.rest = Bytes::copy_from_slice(bytes);
                taken
            } else {
                if self.poll_share(cx, self.rest.len()).is_pending() {
                    return self.poll_deadline(cx).map(Err);
                }
                let mut rest = std::mem::take(&mut self.rest);
                let mut bytes = &*rest;
                let taken = self.take(&mut bytes);
                let used = rest.len() - bytes.len();
                rest.advance(used);
                // An idle socket has no buffer here.
                self.rest = if rest.is_empty() { Bytes::new() } else { rest };
                taken
            };
            if let Some(message) = taken.transpose() {
                return Poll::Ready(message);
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Line for Incoming<'_, S> {
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<Message, Fault>> {
        if self.over {
            return Poll::Ready(Err(Fault::Gone));
        }
        let polled = self.poll_next(cx);
        self.over = matches!(polled, Poll::Ready(Err(_)));
        polled
    }

    fn has_more(&self) -> bool {
        !self.rest.is_empty()
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Incoming<'_, S> {
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
    use std::future::poll_fn;
    use std::time::Duration;

    use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

    use super::super::body::BodyBudget;
    use super::*;

    fn limits(bytes: usize) -> BodyLimits {
        let budget = BodyBudget::new(1 << 20);
        BodyLimits { bytes, time: Duration::from_millis(500), budget }
    }

    /// A frame masked by nothing.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first, 0xff];
        bytes.extend((payload.len() as u64).to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend(payload);
        bytes
    }

    async fn next(incoming: &mut Incoming<'_, DuplexStream>) -> Result<Message, Fault> {
        poll_fn(|cx| incoming.poll_message(cx)).await
    }

    #[tokio::test]
    async fn l4_a_message_past_its_first_bytes_has_its_share_until_its_end() {
        let limits = limits(1 << 19);
        let message = frame(0x81, &[b'x'; 100_000]);
        let (mut far, near) = duplex(1 << 20);
        let mut incoming = Incoming::new(near, &message[..3], &limits);
        far.write_all(&message[3..50_000]).await.expect("room");
        let early = tokio::time::timeout(Duration::from_millis(50), next(&mut incoming)).await;
        assert!(early.is_err());
        assert_eq!(limits.budget.in_use(), 1 << 19);
        far.write_all(&message[50_000..]).await.expect("room");
        far.write_all(&frame(0x89, b"a")).await.expect("room");
        far.write_all(&frame(0x8a, b"b")).await.expect("room");
        assert_eq!(next(&mut incoming).await, Ok(Message::Text("x".repeat(100_000))));
        assert_eq!(limits.budget.in_use(), 0);
        assert_eq!(next(&mut incoming).await, Ok(Message::Ping(b"a".to_vec())));
        assert_eq!(next(&mut incoming).await, Ok(Message::Pong(b"b".to_vec())));
        assert!(incoming.rest.is_empty() && incoming.slow.is_none());
        // Another one is begun, and does not go on.
        far.write_all(&message[..50]).await.expect("room");
        assert_eq!(next(&mut incoming).await, Err(Fault::Gone));
        assert_eq!(next(&mut incoming).await, Err(Fault::Gone), "and there it ends");
    }

    #[tokio::test]
    async fn l4_who_gets_no_share_has_the_same_time() {
        let limits = limits(1 << 19);
        let all = (limits.budget.share(1 << 20).await, limits.budget.in_use());
        assert_eq!(all.1, 1 << 20);
        let (mut far, near) = duplex(1 << 20);
        let mut incoming = Incoming::new(near, &[], &limits);
        far.write_all(&frame(0x81, &[b'x'; 10_000])).await.expect("room");
        assert!(next(&mut incoming).await.is_ok(), "it needs none");
        far.write_all(&frame(0x81, &[b'x'; 100_000])).await.expect("room");
        assert_eq!(next(&mut incoming).await, Err(Fault::Gone));
        assert!(incoming.reader.held() <= FREE_BYTES);
    }
}
