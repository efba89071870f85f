//! What an operator may set in the core. The defaults stand in `config`, the reasons too.

use std::time::Duration;

use super::channels::PastLimits;
use super::rules::Rules;

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
    /// Bytes of undelivered messages in all; past it slow sessions keep only their newest message,
    /// and past five quarters of it publishing is refused.
    pub queue_bytes_total: usize,
    /// Bytes of events in one response; at least one event always fits.
    pub response_bytes: usize,
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
}

/// Bounds of one session's queue; one message always fits an empty queue (P5).
#[derive(Debug, Clone, Copy)]
pub struct QueueLimits {
    /// Most messages, those of the last reply that still lack proof of receipt included.
    pub messages: usize,
    /// Most bytes of the same.
    pub bytes: usize,
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
            queue_bytes_total: 256 << 20,
            response_bytes: 1 << 20,
            subscriptions_per_session: 10_000,
            subscriptions_total: 2_000_000,
            deliver_on_any_reply: false,
            rules: Rules::default(),
            past: PastLimits { bytes: 64 << 20, channels: 100_000 },
            repeat_window: Duration::from_secs(600),
            repeat_keys: 1_000_000,
        }
    }
}
