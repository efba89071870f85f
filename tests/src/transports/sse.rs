//! A body that comes line by line and does not end, and server-sent events made of its lines.

use std::io;
use std::time::Duration;

use crate::http::{Connection, Cut, Request, Response, is_timeout};
use crate::wait::{PATIENCE, now};

/// A response that goes on.
#[derive(Debug)]
pub(super) struct Lines {
    connection: Connection,
    /// The response's head.
    pub(super) head: Response,
    rest: Vec<u8>,
    /// The last id that came, if these are server-sent events; it may come without an event.
    pub(super) last_id: Option<String>,
}

/// What comes of waiting for a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A line, without its end.
    Text(String),
    /// The response has ended, as responses should.
    End,
    /// Nothing in that time.
    Nothing,
}

impl Lines {
    /// Sends a request and reads the head of its answer, which must be 200.
    pub(super) fn open(mut connection: Connection, request: &Request) -> Self {
        connection.start(request);
        let head = connection.read_head().expect("a head");
        assert_eq!(head.status, 200, "{head:?}");
        Self { connection, head, rest: Vec::new(), last_id: None }
    }

    /// The next line within this time.
    pub(super) fn next_within(&mut self, time: Duration) -> Line {
        let start = now();
        loop {
            if let Some(end) = self.rest.iter().position(|&byte| byte == b'\n') {
                let mut line: Vec<u8> = self.rest.drain(..=end).collect();
                line.pop();
                return Line::Text(String::from_utf8(line).expect("text in UTF-8"));
            }
            let Some(left) = time.checked_sub(start.elapsed()).filter(|left| !left.is_zero())
            else {
                return Line::Nothing;
            };
            self.connection.set_patience(left);
            let chunk = self.connection.read_chunk();
            self.connection.set_patience(PATIENCE);
            match chunk {
                Ok(Some(chunk)) => self.rest.extend(chunk),
                Ok(None) => {
                    assert!(self.rest.is_empty(), "half a line at the end: {:?}", self.rest);
                    return Line::End;
                }
                Err(error) if is_timeout(&error) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    panic!("the response breaks off")
                }
                Err(error) => panic!("the response breaks off: {error}"),
            }
        }
    }

    pub(super) fn cut(self, cut: Cut) {
        self.connection.cut(cut);
    }
}

/// A server-sent event.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sent {
    /// `message`, unless it says otherwise.
    pub(super) event: String,
    pub(super) data: String,
}

/// The next event within this time, read as the HTML standard has it; comments and fields without
/// data are passed over. `None` is nothing in that time, or the end.
pub(super) fn next_within(lines: &mut Lines, time: Duration) -> Option<Sent> {
    let mut sent = Sent::default();
    let mut data: Vec<String> = Vec::new();
    loop {
        let Line::Text(line) = lines.next_within(time) else { return None };
        if line.is_empty() && data.is_empty() {
            sent = Sent::default();
        } else if line.is_empty() {
            sent.data = data.join("\n");
            return Some(sent);
        }
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "data" => data.push(value.to_owned()),
            "event" => value.clone_into(&mut sent.event),
            "id" => lines.last_id = Some(value.to_owned()),
            _ => {}
        }
    }
}
