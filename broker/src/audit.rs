//! The audit log: who was let in, who was not, and what was changed. Lines of their own, without
//! secrets, and with no more of a clientId than tells sessions apart.
//!
//! They are events of `tracing` with the target `audit`, so that they go where the log goes, or to a
//! file of their own (`log`). A flood of clients must not become a flood of lines: past a rate they
//! are counted, and the next line says how many there were.

use std::fmt;
use std::net::IpAddr;
use std::time::Instant;

use parking_lot::Mutex;

use crate::core::principal::Principal;

/// The target of all events here.
pub const TARGET: &str = "audit";
/// Lines about clients that are written, in a second and at once.
const LINES_A_SECOND: f64 = 50.0;
/// Bytes of channels' names in a line.
const CHANNELS_BYTES: usize = 512;

/// Writes what happens.
#[derive(Debug)]
pub struct Audit {
    room: Mutex<Room>,
}

#[derive(Debug)]
struct Room {
    left: f64,
    since: Option<Instant>,
    unwritten: u64,
}

impl Default for Audit {
    fn default() -> Self {
        Self { room: Mutex::new(Room { left: LINES_A_SECOND, since: None, unwritten: 0 }) }
    }
}

/// How somebody is written of.
struct Named<'a>(Option<&'a Principal>);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            // A subject is whatever a token says.
            Some(who) => {
                let kind = format!("{:?}", who.kind).to_lowercase();
                write!(f, "{kind}:{}", who.subject.escape_debug())
            }
            None => f.write_str("-"),
        }
    }
}

impl Audit {
    /// Somebody was not let in, or not any more; `what` they wanted and `why` not.
    pub fn refused(&self, now: Instant, address: IpAddr, what: &str, why: &str) {
        if let Some(unwritten) = self.room(now) {
            tracing::warn!(target: TARGET, event = "refused", what, why, %address, unwritten, "audit");
        }
    }

    /// Somebody may not do that.
    pub fn denied(
        &self,
        now: Instant,
        (who, address): (Option<&Principal>, IpAddr),
        what: &str,
        channels: &[String],
    ) {
        if let Some(unwritten) = self.room(now) {
            let (who, channels) = (Named(who), short(channels));
            tracing::warn!(target: TARGET, event = "denied", what, channels = ?channels, %who, %address, unwritten, "audit");
        }
    }

    /// A session was opened for somebody.
    pub fn opened(&self, now: Instant, who: &Principal, address: IpAddr, session: &dyn fmt::Debug) {
        if let Some(unwritten) = self.room(now) {
            let (who, session) = (Named(Some(who)), format!("{session:?}"));
            tracing::info!(target: TARGET, event = "opened", %who, %address, session, unwritten, "audit");
        }
    }

    /// What was configured has changed.
    pub fn changed(&self, what: &str, ended: usize) {
        tracing::warn!(target: TARGET, event = "changed", what, sessions_ended = ended, "audit");
    }

    /// Whether there is room for a line, and how many had none since the last.
    fn room(&self, now: Instant) -> Option<u64> {
        let mut room = self.room.lock();
        let passed =
            room.since.map_or(0.0, |since| now.saturating_duration_since(since).as_secs_f64());
        room.since = Some(now);
        room.left = (room.left + passed * LINES_A_SECOND).min(LINES_A_SECOND);
        if room.left < 1.0 {
            room.unwritten += 1;
            return None;
        }
        room.left -= 1.0;
        Some(std::mem::take(&mut room.unwritten))
    }
}

/// Names, as many as a line has room for.
fn short(channels: &[String]) -> String {
    let mut text = String::new();
    for (index, channel) in channels.iter().enumerate() {
        if text.len() + channel.len() > CHANNELS_BYTES {
            return format!("{text} and {} more", channels.len() - index);
        }
        if index > 0 {
            text.push(',');
        }
        text.push_str(channel);
    }
    text
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test needs some instant to start from")]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_flood_of_refusals_is_counted_rather_than_written() {
        let (audit, now) = (Audit::default(), Instant::now());
        let written = (0..1_000).filter(|_| audit.room(now).is_some()).count();
        assert_eq!(written, 50);
        assert_eq!(audit.room(now + Duration::from_secs(1)), Some(950));
        assert_eq!(audit.room(now + Duration::from_secs(1)), Some(0));
    }

    #[test]
    fn a_line_has_room_for_some_names() {
        let names: Vec<String> = (0..4_000).map(|n| format!("/channel/{n}")).collect();
        let text = short(&names);
        assert!(text.len() < 600 && text.ends_with(" more"), "{text}");
        assert_eq!(short(&names[..2]), "/channel/0,/channel/1");
        assert_eq!(short(&["/x".repeat(400)]), " and 1 more");
    }

    #[test]
    fn a_subject_breaks_no_line() {
        let mut who = Principal::anonymous();
        who.subject = "a\nb\u{1b}[2J".into();
        assert_eq!(Named(Some(&who)).to_string(), "anonymous:a\\nb\\u{1b}[2J");
    }
}
