//! When a socket pings, what a pong proves, and how much may be under way unproven.
//!
//! A pong answers all that was written before its ping, so pings do three things: they show that the
//! peer lives, they keep idle proxies from closing, and they prove that events arrived (decisions
//! section 4). The window keeps what a slow reader makes the system hold small; the rest waits in the
//! session's queue, which has its own bounds (P5).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::core::outlet::Mark;

/// Bytes of events that may be under way without proof; one frame always may.
const WINDOW: u64 = 256 << 10;
/// After so much of either a ping asks for proof at once.
const PROOF_BYTES: u64 = WINDOW / 4;
const PROOF_EVENTS: u64 = 64;
/// How long events wait for company before a ping asks for their proof.
const PROOF_DELAY: Duration = Duration::from_secs(2);
/// Who was written to so short a time ago is written to often.
const LATELY: Duration = Duration::from_millis(2);
/// How slow a reader may be with what is under way, in bytes a millisecond, before its silence
/// counts: a phone on a bad day.
const SLOWEST: u64 = 4;
/// Pings under way at once.
const PINGS_MAX: usize = 8;

/// Pings and proof of one socket.
#[derive(Debug)]
pub(super) struct Pulse {
    interval: Duration,
    timeout: Duration,
    pings: VecDeque<Ping>,
    last_number: u32,
    sent: Sent,
    pinged: Sent,
    proven: Sent,
    /// When the first event went out that no ping has followed yet.
    unpinged_since: Option<Instant>,
    heard: Instant,
    wrote: Instant,
}

#[derive(Debug, Clone, Copy, Default)]
struct Sent {
    bytes: u64,
    events: u64,
}

#[derive(Debug)]
struct Ping {
    number: u32,
    at: Instant,
    mark: Option<Mark>,
    sent: Sent,
}

impl Pulse {
    /// Pings after `interval` without a write, and gives the peer up that is silent for `timeout`
    /// while a ping is unanswered.
    pub(super) fn new(interval: Duration, timeout: Duration, now: Instant) -> Self {
        Self {
            interval,
            timeout,
            pings: VecDeque::new(),
            last_number: 0,
            sent: Sent::default(),
            pinged: Sent::default(),
            proven: Sent::default(),
            unpinged_since: None,
            heard: now,
            wrote: now,
        }
    }

    /// Whether more events may go out.
    pub(super) fn has_room(&self) -> bool {
        self.sent.bytes - self.proven.bytes < WINDOW
    }

    /// Something came from the peer.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// Something was written.
    pub(super) fn wrote(&mut self, now: Instant) {
        self.wrote = now;
    }

    /// Whether something was written just before.
    pub(super) fn wrote_lately(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.wrote) < LATELY
    }

    /// Events were written.
    pub(super) fn wrote_events(&mut self, events: usize, bytes: usize, now: Instant) {
        self.sent.events += events as u64;
        self.sent.bytes += bytes as u64;
        self.unpinged_since.get_or_insert(now);
        self.wrote = now;
    }

    /// Whether a ping is due.
    pub(super) fn wants_ping(&self, now: Instant) -> bool {
        let proof = self.sent.bytes - self.pinged.bytes >= PROOF_BYTES
            || self.sent.events - self.pinged.events >= PROOF_EVENTS;
        self.pings.len() < PINGS_MAX && (proof || self.next_ping() <= now)
    }

    fn next_ping(&self) -> Instant {
        let idle = self.wrote + self.interval;
        let delay = PROOF_DELAY.min(self.interval);
        self.unpinged_since.map_or(idle, |since| idle.min(since + delay))
    }

    /// A ping goes out now, behind all that went out up to `mark`. What it carries.
    pub(super) fn ping(&mut self, mark: Option<Mark>, now: Instant) -> [u8; 4] {
        self.last_number = self.last_number.wrapping_add(1);
        self.pings.push_back(Ping { number: self.last_number, at: now, mark, sent: self.sent });
        self.pinged = self.sent;
        self.unpinged_since = None;
        self.wrote = now;
        self.last_number.to_be_bytes()
    }

    /// A pong came: what it proves to have arrived, if it answers a ping of ours.
    pub(super) fn pong(&mut self, payload: &[u8]) -> Option<Mark> {
        let number = u32::from_be_bytes(payload.try_into().ok()?);
        let at = self.pings.iter().position(|ping| ping.number == number)?;
        // Peers may answer only the newest of several pings (RFC 6455 §5.5.3).
        let answered = self.pings.drain(..=at).next_back()?;
        self.proven = answered.sent;
        answered.mark
    }

    /// The socket speaks for another session from now on: no pong proves anything of it that comes
    /// for what went before.
    pub(super) fn starts_over(&mut self) {
        for ping in &mut self.pings {
            ping.mark = None;
        }
    }

    /// Whether the peer is gone: a ping is unanswered, and nothing came since.
    pub(super) fn is_dead(&self, now: Instant) -> bool {
        self.dies_at().is_some_and(|at| at <= now)
    }

    fn dies_at(&self) -> Option<Instant> {
        let oldest = self.pings.front()?;
        let under_way = self.sent.bytes - self.proven.bytes;
        let slowness = Duration::from_millis(under_way / SLOWEST);
        // Whoever says much may be slow to answer; whoever never answers proves nothing.
        let patient = (self.heard.max(oldest.at) + self.timeout).min(oldest.at + self.timeout * 4);
        Some(patient + slowness)
    }

    /// When to look again if nothing else happens.
    pub(super) fn due(&self) -> Instant {
        let next = (self.pings.len() < PINGS_MAX).then(|| self.next_ping());
        let times = [next, self.dies_at()];
        times.into_iter().flatten().min().unwrap_or(self.wrote + self.interval)
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test needs some instant to start from")]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(20);

    fn pulse() -> (Pulse, Instant) {
        let now = Instant::now();
        (Pulse::new(INTERVAL, INTERVAL, now), now)
    }

    fn mark(events: u64) -> Option<Mark> {
        Some(Mark::of_events(events))
    }

    #[test]
    fn an_idle_socket_pings_after_its_interval_and_is_given_up_after_its_timeout() {
        let (mut pulse, now) = pulse();
        assert!(!pulse.wants_ping(now + INTERVAL / 2));
        assert_eq!(pulse.due(), now + INTERVAL);
        assert!(pulse.wants_ping(now + INTERVAL));
        pulse.ping(None, now + INTERVAL);
        assert!(!pulse.is_dead(now + INTERVAL * 3 / 2));
        pulse.ping(None, now + INTERVAL * 3 / 2);
        assert!(pulse.is_dead(now + INTERVAL * 2), "nothing came");
        pulse.heard(now + INTERVAL * 2);
        assert!(!pulse.is_dead(now + INTERVAL * 2), "something came, be it no pong");
        pulse.heard(now + INTERVAL * 5);
        assert!(pulse.is_dead(now + INTERVAL * 5), "but never a pong");
    }

    #[test]
    fn a_pong_proves_all_that_went_before_its_ping_and_nothing_later() {
        let (mut pulse, now) = pulse();
        pulse.wrote_events(1, 10, now);
        let first = pulse.ping(mark(1), now);
        pulse.wrote_events(1, 10, now);
        let second = pulse.ping(mark(2), now);
        pulse.wrote_events(1, 10, now);
        assert_eq!(pulse.pong(b"ours"), None);
        assert_eq!(pulse.pong(&second), mark(2), "the newest stands for all before it");
        assert_eq!(pulse.pong(&first), None);
        assert!(pulse.wants_ping(now + PROOF_DELAY), "the third has no proof yet");
    }

    #[test]
    fn a_burst_is_pinged_at_once_and_waits_at_the_window() {
        let (mut pulse, now) = pulse();
        pulse.wrote_events(usize::try_from(PROOF_EVENTS).unwrap(), 10, now);
        assert!(pulse.wants_ping(now));
        let ping = pulse.ping(mark(1), now);
        pulse.wrote_events(1, usize::try_from(WINDOW).unwrap(), now);
        assert!(pulse.wants_ping(now) && !pulse.has_room());
        pulse.pong(&ping);
        assert!(!pulse.has_room(), "that ping was sent before the rest");
        let ping = pulse.ping(mark(2), now);
        pulse.pong(&ping);
        assert!(pulse.has_room());
    }

    #[test]
    fn a_slow_reader_has_time_for_what_is_under_way() {
        let (mut pulse, now) = pulse();
        pulse.wrote_events(1, 40_000, now);
        pulse.ping(mark(1), now);
        assert!(!pulse.is_dead(now + INTERVAL + Duration::from_secs(9)));
        assert!(pulse.is_dead(now + INTERVAL + Duration::from_secs(10)));
    }

    #[test]
    fn p5_pings_under_way_are_bounded_and_another_session_gets_no_proof() {
        let (mut pulse, now) = pulse();
        let last = (0..PINGS_MAX).map(|_| pulse.ping(mark(7), now)).last().unwrap();
        pulse.wrote_events(1_000, 10, now);
        assert!(!pulse.wants_ping(now + INTERVAL));
        assert!(pulse.due() > now);
        pulse.starts_over();
        assert_eq!(pulse.pong(&last), None);
        assert!(pulse.wants_ping(now));
    }
}
