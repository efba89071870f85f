//! Reading a request's body under a limit and a deadline, so that too much is answered 413 and too
//! slow is cut, while a held poll (whose body was read long before) is never touched by either.

use std::sync::Arc;
use std::time::Duration;

use bytes::Buf;
use http::header::{CONTENT_LENGTH, EXPECT};
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_stream::{Stream, StreamExt};

/// How much of a body past the limit is read and thrown away, so that the sender, busy sending,
/// gets to see the answer and the connection lives on.
const SWALLOW_MAX: u64 = 8 << 20;

/// What a body may take without asking: most bodies are smaller.
pub const FREE_BYTES: usize = 16 << 10;
/// The unit of the budget.
const KIB: usize = 1 << 10;

/// Bounds of a body.
#[derive(Debug)]
pub struct BodyLimits {
    /// Most bytes.
    pub bytes: usize,
    /// How long the whole body may take.
    pub time: Duration,
    /// What all bodies under way may take together.
    pub budget: Arc<BodyBudget>,
}

/// Memory for bodies under way. A body past its first 16 KiB waits for its share, and the
/// time it may take is running: whoever sends slowly is cut, whoever sends fast waits a little.
#[derive(Debug)]
pub struct BodyBudget {
    kib: Arc<Semaphore>,
    total: usize,
}

/// A part of the budget, given back when this is dropped.
#[derive(Debug)]
pub struct Share(OwnedSemaphorePermit);

impl Share {
    /// Gives back all but so many bytes.
    pub fn shrink(&mut self, bytes: usize) {
        let excess = self.0.num_permits().saturating_sub(bytes.div_ceil(KIB));
        drop(self.0.split(excess));
    }
}

impl BodyBudget {
    /// A budget of so many bytes.
    #[must_use]
    pub fn new(bytes: usize) -> Arc<Self> {
        let total = (bytes / KIB).clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        Arc::new(Self { kib: Arc::new(Semaphore::new(total)), total })
    }

    /// Bytes in use now.
    #[must_use]
    pub fn in_use(&self) -> usize {
        (self.total - self.kib.available_permits()) * KIB
    }

    /// Waits for a share.
    pub async fn share(&self, bytes: usize) -> Option<Share> {
        let kib = bytes.div_ceil(KIB).min(self.total);
        let permit = Arc::clone(&self.kib).acquire_many_owned(u32::try_from(kib).ok()?).await;
        permit.ok().map(Share)
    }
}

/// Why there is no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyFailure {
    /// Longer than the limit.
    TooLarge,
    /// Not there in time.
    TooSlow,
    /// Cut off, or broken framing.
    Broken,
}

impl BodyFailure {
    /// The HTTP status: of all that can be wrong with a body only its size has one of its own.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow | Self::Broken => StatusCode::BAD_REQUEST,
        }
    }

    /// A short text.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::TooLarge => "the body is too large",
            Self::TooSlow => "the body did not come in time",
            Self::Broken => "the body was cut short",
        }
    }
}

/// Reads a body.
///
/// # Errors
/// See [`BodyFailure`].
pub async fn read<S, B, E>(
    headers: &HeaderMap,
    body: S,
    limits: &BodyLimits,
) -> Result<Vec<u8>, BodyFailure>
where
    S: Stream<Item = Result<B, E>>,
    B: Buf,
{
    let told = headers.get(CONTENT_LENGTH).and_then(number);
    let limit = limits.bytes as u64;
    let waits_for_leave = headers.contains_key(EXPECT);
    if told.is_some_and(|told| told > limit && (waits_for_leave || told > SWALLOW_MAX)) {
        return Err(BodyFailure::TooLarge);
    }
    let known = usize::try_from(told.unwrap_or(0).min(limit)).unwrap_or(0);
    let reading = collect(body, known, limits);
    let late = if told.is_some_and(|told| told > limit) {
        BodyFailure::TooLarge
    } else {
        BodyFailure::TooSlow
    };
    tokio::time::timeout(limits.time, reading).await.unwrap_or(Err(late))
}

fn number(value: &HeaderValue) -> Option<u64> {
    value.to_str().ok()?.parse().ok()
}

/// How long a request's head says that its body is, up to the limit.
#[must_use]
pub fn told_length(headers: &HeaderMap, limits: &BodyLimits) -> Option<usize> {
    let told = headers.get(CONTENT_LENGTH).and_then(number)?;
    Some(usize::try_from(told).unwrap_or(usize::MAX).min(limits.bytes))
}

async fn collect<S, B, E>(
    body: S,
    known: usize,
    limits: &BodyLimits,
) -> Result<Vec<u8>, BodyFailure>
where
    S: Stream<Item = Result<B, E>>,
    B: Buf,
{
    tokio::pin!(body);
    let mut read = Vec::with_capacity(known.min(FREE_BYTES));
    let mut share: Option<Share> = None;
    let mut swallowed = 0;
    while let Some(chunk) = body.next().await {
        let mut chunk = chunk.map_err(|_| BodyFailure::Broken)?;
        let len = read.len() + chunk.remaining();
        if swallowed > 0 || len > limits.bytes {
            swallowed += len as u64;
            read = Vec::new();
            share = None;
            if swallowed > SWALLOW_MAX {
                return Err(BodyFailure::TooLarge);
            }
            continue;
        }
        // The whole of what is still to come at once, so that no two wait for each other.
        if len > FREE_BYTES && share.is_none() {
            let most = if known > 0 { known } else { limits.bytes };
            share = limits.budget.share(most).await;
        }
        while chunk.has_remaining() {
            let part = chunk.chunk();
            read.extend_from_slice(part);
            let len = part.len();
            chunk.advance(len);
        }
    }
    drop(share);
    if swallowed > 0 { Err(BodyFailure::TooLarge) } else { Ok(read) }
}
