//! How streams are spelled: server-sent events (the HTML standard, §9.2) and lines of JSON.
//!
//! In both, what ends an event stands in the text itself, so that any proxy may cut it into pieces as
//! it likes (RFC 6202 §3.2; checklist R25, R26). JSON that weft sends has no raw line ends, so one
//! line holds an event.

use std::fmt::Write;
use std::time::Duration;

use weft_protocol::Gap;

use crate::core::frame::Frame;

/// A form of stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spelling {
    /// `text/event-stream`.
    Events,
    /// `application/x-ndjson`.
    Lines,
}

impl Spelling {
    /// What goes first: so many bytes that mean nothing, for those who show nothing before a buffer
    /// is full (R28), then how soon to come again, and the place to go on from if nothing else comes.
    pub fn begin(self, padding: usize, retry: Duration, cursor: &str, out: &mut String) {
        match self {
            Self::Events => {
                if padding > 0 {
                    out.push(':');
                    out.extend(std::iter::repeat_n(' ', padding));
                    out.push('\n');
                }
                let _ = write!(out, "retry: {}\nid: {cursor}\n\n", retry.as_millis());
            }
            Self::Lines => out.extend(std::iter::repeat_n('\n', padding.max(1))),
        }
    }

    /// An event, and the place to go on from behind it.
    pub fn event(self, frame: &Frame, cursor: &str, out: &mut String) {
        let (before, after) = frame.halves();
        let position = frame.position();
        let _ = match self {
            Self::Events => {
                write!(out, "id: {cursor}\ndata: {before},\"position\":{position}{after}\n\n")
            }
            Self::Lines => {
                writeln!(out, r#"{before},"position":{position},"id":"{cursor}"{after}"#)
            }
        };
    }

    /// What may be missing, and the place to go on from.
    pub fn gap(self, gaps: &[Gap], cursor: &str, out: &mut String) {
        let mut list = String::from("[");
        for (index, Gap { channel, from, to }) in gaps.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let _ = write!(list, r#"{comma}{{"channel":"{channel}","from":{from},"to":{to}}}"#);
        }
        list.push(']');
        let _ = match self {
            Self::Events => {
                write!(out, "event: gap\nid: {cursor}\ndata: {{\"gap\":{list}}}\n\n")
            }
            Self::Lines => writeln!(out, r#"{{"gap":{list},"id":"{cursor}"}}"#),
        };
    }

    /// A sign of life, with the place to go on from if that has moved: `EventSource` takes it in
    /// without an event.
    pub fn heartbeat(self, moved: Option<&str>, out: &mut String) {
        match (self, moved) {
            (Self::Events, Some(cursor)) => {
                let _ = write!(out, ":\nid: {cursor}\n\n");
            }
            (Self::Events, None) => out.push_str(":\n\n"),
            (Self::Lines, _) => out.push('\n'),
        }
    }

    /// The last words of a stream whose reader is to come again no sooner than this.
    pub fn retry(self, after: Duration, out: &mut String) {
        if self == Self::Events {
            let _ = write!(out, "retry: {}\n\n", after.as_millis());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::core::frame::frame;

    fn spelled(spell: impl Fn(Spelling, &mut String)) -> (String, String) {
        let (mut events, mut lines) = (String::new(), String::new());
        spell(Spelling::Events, &mut events);
        spell(Spelling::Lines, &mut lines);
        (events, lines)
    }

    fn check(spell: impl Fn(Spelling, &mut String), events: &str, lines: &str) {
        let (found_events, found_lines) = spelled(spell);
        assert_eq!((&*found_events, &*found_lines), (events, lines));
    }

    #[test]
    fn t4_t5_an_event_is_one_line_of_json_with_its_position() {
        check(
            |form, out| form.event(&frame("/a/b", 7), "w1~2", out),
            "id: w1~2\ndata: {\"channel\":\"/a/b\",\"position\":7,\"data\":7}\n\n",
            "{\"channel\":\"/a/b\",\"position\":7,\"id\":\"w1~2\",\"data\":7}\n",
        );
    }

    #[test]
    fn p4_a_gap_is_an_event_of_its_own() {
        let gap = |channel: &str, from, to| Gap { channel: Arc::from(channel), from, to };
        let gaps = [gap("/a", 1, 2), gap("/**", 3, 4)];
        let list = r#"[{"channel":"/a","from":1,"to":2},{"channel":"/**","from":3,"to":4}]"#;
        check(
            |form, out| form.gap(&gaps, "w", out),
            &format!("event: gap\nid: w\ndata: {{\"gap\":{list}}}\n\n"),
            &format!("{{\"gap\":{list},\"id\":\"w\"}}\n"),
        );
    }

    #[test]
    fn r26_heartbeats_are_a_comment_or_an_empty_line() {
        check(|form, out| form.heartbeat(None, out), ":\n\n", "\n");
        check(|form, out| form.heartbeat(Some("w"), out), ":\nid: w\n\n", "\n");
    }

    #[test]
    fn r28_padding_comes_first_and_means_nothing() {
        let begin = |padding| {
            move |form: Spelling, out: &mut String| {
                form.begin(padding, Duration::from_secs(2), "w", out);
            }
        };
        assert_eq!(spelled(begin(1 << 20)).1.len(), 1 << 20);
        check(begin(0), "retry: 2000\nid: w\n\n", "\n");
        let (events, lines) = spelled(begin(2_048));
        let comment = format!(":{}\n", " ".repeat(2_048));
        assert_eq!(events, format!("{comment}retry: 2000\nid: w\n\n"));
        assert_eq!(lines, "\n".repeat(2_048));
    }

    #[test]
    fn whoever_has_to_go_hears_when_to_come_again() {
        check(|form, out| form.retry(Duration::from_millis(1_234), out), "retry: 1234\n\n", "");
    }
}
