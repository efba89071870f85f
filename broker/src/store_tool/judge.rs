//! Whether what a store or an export says is what a broker could have written.

use serde_json::value::RawValue;
use weft_protocol::{ChannelLimits, ChannelName, event, event_parts};

use super::format::{Counts, FORMAT, Line};

/// Positions are safe integers in JavaScript.
const POSITION_END: i64 = 1 << 53;
/// The first microsecond that has no four-digit year.
const TIME_END: i64 = 253_402_300_800_000_000;
/// How long a name may be is for the broker to say, and may change.
const ANY: ChannelLimits = ChannelLimits { bytes: usize::MAX, segments: usize::MAX };

/// Looks at one line after the other.
#[derive(Debug, Default)]
pub(super) struct Judge {
    stage: Stage,
    counts: Counts,
    bytes: u64,
    /// The channel whose records come.
    channel: Option<Channel>,
    /// Names rise, so that none comes twice.
    last_name: String,
    last_mark: Option<(i64, i64, [u8; 16])>,
}

/// What was seen last; the order is that of an export.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    #[default]
    Nothing,
    Store,
    Channels,
    Marks,
    End,
}

#[derive(Debug)]
struct Channel {
    floor: i64,
    head: i64,
    /// Its newest position so far; 0 if it has none.
    last: i64,
}

impl Judge {
    /// Takes the next line.
    ///
    /// # Errors
    /// What is wrong with it, or with what it ends.
    pub(super) fn see(&mut self, line: &Line<'_>) -> Result<(), String> {
        self.advance(line)?;
        match line {
            Line::Store { format, floor } => {
                if *format != FORMAT {
                    return Err(format!("format {format} is not known"));
                }
                number("the floor", *floor)
            }
            Line::Channel { name, floor, head } => self.channel(name, *floor, *head),
            Line::Record { channel, position, time_us, value } => {
                self.record(channel, *position, *time_us, value)
            }
            Line::Mark { key, position, time_us, .. } => self.mark(*time_us, *position, *key),
            Line::End(told) if *told != self.counts => {
                Err(format!("the end tells of {told}, but there were {}", self.counts))
            }
            Line::End(_) => Ok(()),
        }
    }

    /// Forgets the channel that was begun last, which is known to be bad.
    pub(super) fn abandon(&mut self) {
        self.channel = None;
    }

    /// How much was seen.
    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// How many bytes of messages were seen.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether the end was seen: otherwise this is a part.
    pub(super) fn is_complete(&self) -> bool {
        self.stage == Stage::End
    }

    fn advance(&mut self, line: &Line<'_>) -> Result<(), String> {
        let stage = match line {
            Line::Store { .. } => Stage::Store,
            Line::Channel { .. } | Line::Record { .. } => Stage::Channels,
            Line::Mark { .. } => Stage::Marks,
            Line::End(_) => Stage::End,
        };
        let once = matches!(stage, Stage::Store | Stage::End);
        if self.stage == Stage::Nothing && stage != Stage::Store {
            return Err("this is no export of a store".to_owned());
        }
        if self.stage > stage || (once && self.stage == stage) {
            return Err("this line does not belong here".to_owned());
        }
        self.stage = stage;
        if !matches!(line, Line::Record { .. }) { self.end_channel() } else { Ok(()) }
    }

    /// Looks at a channel as a whole.
    ///
    /// # Errors
    /// When records are missing and its floor does not tell.
    pub(super) fn end_channel(&mut self) -> Result<(), String> {
        let Some(Channel { floor, head, last }) = self.channel.take() else { return Ok(()) };
        let name = &self.last_name;
        if last > 0 && last != head {
            return Err(format!("{name}: the newest position is {last}, but the head is {head}"));
        }
        if last == 0 && floor < head {
            return Err(format!("{name}: nothing is kept up to {head}, but the floor is {floor}"));
        }
        Ok(())
    }

    fn channel(&mut self, name: &str, floor: i64, head: i64) -> Result<(), String> {
        let shown = name.escape_debug();
        let parsed = ChannelName::parse(name, &ANY).map_err(|error| format!("{shown}: {error}"))?;
        if parsed.is_meta() || parsed.is_service() {
            return Err(format!("{name}: nothing is kept of such channels"));
        }
        if *name <= *self.last_name {
            return Err(format!("{name} does not follow {}", self.last_name));
        }
        name.clone_into(&mut self.last_name);
        self.counts.channels += 1;
        number("the floor", floor)
            .and_then(|()| position(head))
            .map_err(|e| format!("{name}: {e}"))?;
        self.channel = Some(Channel { floor, head, last: 0 });
        Ok(())
    }

    fn record(
        &mut self,
        name: &str,
        at: i64,
        time_us: i64,
        value: &RawValue,
    ) -> Result<(), String> {
        let shown = name.escape_debug();
        let bad = |what: String| format!("{shown}: position {at}: {what}");
        let own = *name == *self.last_name;
        let Some(channel) = self.channel.as_mut().filter(|_| own) else {
            return Err(bad("its channel does not stand before it".to_owned()));
        };
        position(at).and_then(|()| time(time_us)).map_err(bad)?;
        if at <= channel.last {
            return Err(bad(format!("it does not follow {}", channel.last)));
        }
        if !is_event(name, value.get()) {
            return Err(bad("its value is no event of this channel".to_owned()));
        }
        channel.last = at;
        self.counts.records += 1;
        self.bytes += value.get().len() as u64;
        Ok(())
    }

    fn mark(&mut self, time_us: i64, at: i64, key: [u8; 16]) -> Result<(), String> {
        position(at).and_then(|()| time(time_us)).map_err(|error| format!("key: {error}"))?;
        let mark = Some((time_us, at, key));
        if mark <= self.last_mark {
            return Err("key: it does not follow the one before it".to_owned());
        }
        self.last_mark = mark;
        self.counts.marks += 1;
        Ok(())
    }
}

/// Whether a text is, to the letter, what the broker writes of the event's parts.
fn is_event(channel: &str, text: &str) -> bool {
    let (Ok(name), Some((data, ext))) = (ChannelName::parse(channel, &ANY), event_parts(text))
    else {
        return false;
    };
    ext.is_none_or(|ext| ext.starts_with('{'))
        && !text.contains(['\r', '\n'])
        && event(name, data, ext) == text
}

fn number(what: &str, number: i64) -> Result<(), String> {
    let fits = (0..POSITION_END).contains(&number);
    if fits { Ok(()) } else { Err(format!("{what} is {number}, not from 0 to below 2^53")) }
}

fn position(position: i64) -> Result<(), String> {
    let fits = (1..POSITION_END).contains(&position);
    if fits { Ok(()) } else { Err(format!("{position} is no position from 1 to below 2^53")) }
}

fn time(time_us: i64) -> Result<(), String> {
    let fits = (0..TIME_END).contains(&time_us);
    if fits { Ok(()) } else { Err(format!("{time_us} is no time from 1970 to 9999")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORE: &str = r#"{"store":{"format":1,"floor":0}}"#;

    /// What is wrong with the last of these lines.
    fn verdict(lines: &[&str]) -> String {
        let mut judge = Judge::default();
        let mut verdict = String::new();
        for line in lines {
            assert_eq!(verdict, "", "only the last one is bad");
            let line = serde_json::from_str(line).unwrap();
            verdict = judge.see(&line).err().unwrap_or_default();
        }
        verdict
    }

    fn record(channel: &str, position: i64, value: &str) -> String {
        format!(
            r#"{{"record":{{"channel":"{channel}","position":{position},"time_us":1,"value":{value}}}}}"#
        )
    }

    #[test]
    fn only_events_of_the_channel_are_values() {
        assert!(is_event("/a", r#"{"channel":"/a","data":[ 1],"ext":{"x":null}}"#));
        for bad in [
            "1",
            r#"{"channel":"/b","data":1}"#,
            r#"{"channel":"/a"}"#,
            r#"{"channel":"/a","data":1,"ext":2}"#,
            r#"{"channel":"/a","data":1,"ext":null}"#,
            r#"{"channel":"/a","data":1,"id":"7"}"#,
            r#"{"data":1,"channel":"/a"}"#,
            r#"{"channel":"/a", "data":1}"#,
            "{\"channel\":\"/a\",\"data\":[\n1]}",
        ] {
            assert!(!is_event("/a", bad), "{bad}");
        }
    }

    #[test]
    fn lines_stand_in_their_order() {
        let channel = r#"{"channel":{"name":"/a","floor":7,"head":7}}"#;
        let lower = r#"{"channel":{"name":"/A","floor":7,"head":7}}"#;
        let end = r#"{"end":{"channels":1,"records":0,"marks":0}}"#;
        assert_eq!(verdict(&[STORE, channel, end]), "");
        for (lines, expected) in [
            (&[channel] as &[&str], "no export"),
            (&[STORE, STORE], "does not belong here"),
            (&[STORE, channel, channel], "does not follow"),
            (&[STORE, channel, lower], "does not follow"),
            (&[STORE, end], "the end tells of 1 channels"),
            (&[STORE, channel, end, end], "does not belong here"),
            (&[STORE, &record("/a", 1, "1")], "does not stand before it"),
        ] {
            assert!(verdict(lines).contains(expected), "{lines:?}: {}", verdict(lines));
        }
    }

    #[test]
    fn channels_and_positions_make_sense() {
        let channel = |name: &str, floor: i64, head: i64| {
            format!(r#"{{"channel":{{"name":"{name}","floor":{floor},"head":{head}}}}}"#)
        };
        let event = r#"{"channel":"/a","data":1}"#;
        let good = channel("/a", 0, 9);
        for (lines, expected) in [
            (vec![channel("a", 0, 1)], "not a valid channel name"),
            (vec![channel("/a/*", 0, 1)], "not a valid channel name"),
            (vec![channel("/meta/x", 0, 1)], "nothing is kept"),
            (vec![channel("/a", -1, 1)], "the floor is -1"),
            (vec![channel("/a", 0, 0)], "0 is no position"),
            (vec![channel("/a", 0, 1 << 53)], "is no position"),
            (vec![good.clone(), record("/a", 0, event)], "0 is no position"),
            (vec![good.clone(), record("/b", 9, event)], "does not stand before it"),
            (vec![good.clone(), record("/a", 9, "1")], "no event"),
            (vec![good.clone(), record("/a", 8, event), channel("/b", 0, 1)], "the head is 9"),
            (vec![good.clone(), channel("/b", 0, 1)], "the floor is 0"),
            (vec![good, record("/a", 9, event), record("/a", 9, event)], "not follow 9"),
        ] {
            let mut all = vec![STORE];
            all.extend(lines.iter().map(String::as_str));
            assert!(verdict(&all).contains(expected), "{lines:?}: {}", verdict(&all));
        }
    }
}
