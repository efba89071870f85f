//! What an operator may set in the core. The defaults stand in `config`, the reasons too.

use std::time::Duration;

use super::channels::PastLimits;
use super::rules::Rules;
use crate::limits::LimitOptions;

/// Times, bounds and rules of the core, made from the configuration at start.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long a connect is held (`advice.timeout`).
    pub timeout: Duration,
    /// The gap that clients are asked to leave between connects (`advice.interval`).
    pub interval: Duration,
    /// How long a session lives after its last contact, on top of the advised interval.
    pub max_interval: Duration,
    /// Whether a session without a valid browser cookie is refused (decisions 3.11).
    pub require_cookie: bool,
    /// Most sessions at once; further handshakes are refused with 503 and advice.
    pub sessions_max: usize,
    /// How many sessions of one browser may hold a connect; `None` = no rule.
    pub held_per_browser: Option<usize>,
    /// The interval advised to sessions that must poll since another tab holds (R6a).
    pub browser_interval: Duration,
    /// Bounds of one session's queue.
    pub queue: QueueLimits,
    /// What happens to a queue at its bounds.
    pub queue_policy: QueuePolicy,
    /// What happens there to messages that no backlog holds, if the others are spilled.
    pub unkept_policy: UnkeptPolicy,
    /// What undelivered messages may cost in all, in bytes; past it each session keeps what fits its
    /// fair share, and past five quarters of it publishing is refused.
    pub queue_bytes_total: usize,
    /// Bytes of events in one response; at least one event always fits.
    pub response_bytes: usize,
    /// Events in one response; the rest follows with the next.
    pub response_messages: usize,
    /// Bytes of large replies that are being written, in all.
    pub response_bytes_total: usize,
    /// Most subscriptions of one session.
    pub subscriptions_per_session: usize,
    /// Most subscriptions in all.
    pub subscriptions_total: usize,
    /// Whether events ride on any reply, as CometD does, instead of connect replies only (P1).
    pub deliver_on_any_reply: bool,
    /// What holds for which channel.
    pub rules: Rules,
    /// Bounds of what memory keeps of channels' pasts.
    pub past: PastLimits,
    /// How long an idempotency key is remembered.
    pub repeat_window: Duration,
    /// Most idempotency keys that are remembered.
    pub repeat_keys: usize,
    /// What somebody may do in a time, and hold at once.
    pub limits: LimitOptions,
}

/// Bounds of one session's queue; one message always fits an empty queue (P5).
#[derive(Debug, Clone, Copy)]
pub struct QueueLimits {
    /// Most messages, those of the last reply that still lack proof of receipt included.
    pub messages: usize,
    /// Most bytes of the same.
    pub bytes: usize,
}

impl QueueLimits {
    /// What live messages may take of the queue of a session that reads the past.
    #[must_use]
    pub fn halved(self) -> Self {
        Self { messages: self.messages.div_ceil(2), bytes: self.bytes / 2 }
    }

    /// What a queue may come to while somebody is about to make room.
    #[must_use]
    pub fn doubled(self) -> Self {
        let messages = self.messages.max(1).saturating_mul(2);
        Self { messages, bytes: self.bytes.saturating_mul(2) }
    }
}

/// A queue's bounds as they are now, and what happens there.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// The bounds.
    pub limits: QueueLimits,
    /// Whether what a backlog holds leaves memory, to be read again.
    pub spills: bool,
    /// Whether the oldest go if there is nothing to spill; else the session ends.
    pub drops_oldest: bool,
}

/// What happens to a session's queue at its bounds (P5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueuePolicy {
    /// Copies of what a backlog holds leave memory, and the session reads on from there.
    Spill,
    /// The oldest go, and the gap is told.
    DropOldest,
    /// The session ends, and the gap is told.
    Disconnect,
}

/// What happens to messages that no backlog holds, where the others are spilled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnkeptPolicy {
    /// The oldest go, and the gap is told.
    DropOldest,
    /// The session ends, and the gap is told.
    Disconnect,
}

/// Bounds of one response's events; one event always fits (P5).
#[derive(Debug, Clone, Copy)]
pub struct ResponseLimits {
    /// Most events.
    pub messages: usize,
    /// Most bytes of them.
    pub bytes: usize,
}

impl Options {
    /// Bounds of one response.
    #[must_use]
    pub fn response(&self) -> ResponseLimits {
        ResponseLimits { messages: self.response_messages, bytes: self.response_bytes }
    }

    /// These bounds for a queue, with what happens there.
    #[must_use]
    pub fn bounds(&self, limits: QueueLimits) -> Bounds {
        let spills = self.queue_policy == QueuePolicy::Spill;
        let drops_oldest = match self.queue_policy {
            QueuePolicy::Spill => self.unkept_policy == UnkeptPolicy::DropOldest,
            policy => policy == QueuePolicy::DropOldest,
        };
        Bounds { limits, spills, drops_oldest }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            interval: Duration::ZERO,
            max_interval: Duration::from_secs(30),
            require_cookie: false,
            sessions_max: 250_000,
            held_per_browser: Some(1),
            browser_interval: Duration::from_secs(2),
            queue: QueueLimits { messages: 10_000, bytes: 4 << 20 },
            queue_policy: QueuePolicy::Spill,
            unkept_policy: UnkeptPolicy::DropOldest,
            queue_bytes_total: 256 << 20,
            response_bytes: 1 << 20,
            response_messages: 1_000,
            response_bytes_total: 256 << 20,
            subscriptions_per_session: 10_000,
            subscriptions_total: 2_000_000,
            deliver_on_any_reply: false,
            rules: Rules::default(),
            past: PastLimits { bytes: 64 << 20, channels: 100_000 },
            repeat_window: Duration::from_secs(600),
            repeat_keys: 1_000_000,
            limits: LimitOptions::default(),
        }
    }
}
