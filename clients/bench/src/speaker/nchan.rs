//! nchan's subscribers, for comparison. No sessions: a poll names the last message it had.

use std::net::SocketAddr;

use super::Speaker;
use super::frames::{Frames, Heard};
use crate::engine::{Context, News};
use crate::target::Place;
use crate::wire::{Fault, http1};

/// Long-polling; several messages in a response are found as well as one.
#[derive(Debug)]
pub(crate) struct NchanPoll {
    place: Place,
    /// The last message's time and tag, as headers.
    after: String,
    anew: bool,
}

impl NchanPoll {
    pub(crate) fn new(place: Place) -> Self {
        Self { place, after: String::new(), anew: false }
    }

    fn ask(&self, out: &mut Vec<u8>) {
        http1::get(out, &self.place.path, &[&self.place.headers, &self.after]);
    }
}

impl Speaker for NchanPoll {
    fn address(&self) -> SocketAddr {
        self.place.address
    }

    fn opened(&mut self, out: &mut Vec<u8>, cx: &mut Context) {
        cx.news.push_back(News::Ready(cx.who));
        self.ask(out);
    }

    fn heard(&mut self, bytes: &[u8], out: &mut Vec<u8>, cx: &mut Context) -> Result<usize, Fault> {
        let Some(response) = http1::response(bytes)? else { return Ok(0) };
        // 304 and 408 are how nchan says that nothing came for long.
        if !matches!(response.head.status, 200 | 304 | 408) {
            return Err(Fault::new(format!("status {}", response.head.status)));
        }
        let value = |name| http1::header(response.text, name).next();
        if let (Some(time), Some(tag)) = (value("Last-Modified"), value("Etag")) {
            self.after = format!("If-Modified-Since: {time}\r\nIf-None-Match: {tag}\r\n");
        }
        cx.tally.receive(cx.who, &response.body, cx.now);
        self.anew = response.head.close;
        if !self.anew {
            self.ask(out);
        }
        Ok(response.length)
    }

    fn wants_anew(&mut self) -> bool {
        std::mem::take(&mut self.anew)
    }
}

/// WebSocket: a frame is a message.
#[derive(Debug)]
pub(crate) struct NchanSocket {
    place: Place,
    frames: Frames,
}

impl NchanSocket {
    pub(crate) fn new(place: Place) -> Self {
        Self { place, frames: Frames::default() }
    }
}

impl Speaker for NchanSocket {
    fn address(&self) -> SocketAddr {
        self.place.address
    }

    fn opened(&mut self, out: &mut Vec<u8>, _cx: &mut Context) {
        self.frames.open(&self.place, "", out);
    }

    fn heard(&mut self, bytes: &[u8], out: &mut Vec<u8>, cx: &mut Context) -> Result<usize, Fault> {
        Ok(match self.frames.hear(bytes, out)? {
            Heard::Nothing => 0,
            Heard::Upgraded(used) => {
                cx.news.push_back(News::Ready(cx.who));
                used
            }
            Heard::Message(text, used) => {
                cx.tally.receive(cx.who, &text, cx.now);
                used
            }
            Heard::Control(used) => used,
        })
    }
}
