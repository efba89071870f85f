//! weft's streams: server-sent events, or lines of JSON.

use std::net::SocketAddr;

use memchr::memmem::rfind;
use memchr::memrchr;

use super::Speaker;
use crate::engine::{Context, News};
use crate::target::Place;
use crate::wire::Fault;
use crate::wire::chunks::Chunks;
use crate::wire::http1::{self, Framing};

#[derive(Debug)]
pub(crate) struct Stream {
    place: Place,
    /// What stands before an event's cursor, and what ends it.
    mark: (&'static [u8], u8),
    /// The body so far, if its head has come.
    body: Option<Chunks>,
    /// A line that has not ended yet.
    partial: Vec<u8>,
    cursor: Vec<u8>,
}

impl Stream {
    pub(crate) fn events(place: Place) -> Self {
        Self::new(place, (b"id: ", b'\n'))
    }

    pub(crate) fn lines(place: Place) -> Self {
        Self::new(place, (b"\"id\":\"", b'"'))
    }

    fn new(place: Place, mark: (&'static [u8], u8)) -> Self {
        Self { place, mark, body: None, partial: Vec::new(), cursor: Vec::new() }
    }

    /// Enters whole lines, and keeps the cursor to go on from.
    fn lines_came(mark: (&'static [u8], u8), cursor: &mut Vec<u8>, lines: &[u8], cx: &mut Context) {
        cx.tally.receive(cx.who, lines, cx.now);
        let (start, end) = mark;
        if let Some(at) = rfind(lines, start) {
            let rest = &lines[at + start.len()..];
            cursor.clear();
            cursor.extend(rest.iter().take_while(|&&byte| byte != end && byte != b'\r'));
        }
    }
}

impl Speaker for Stream {
    fn address(&self) -> SocketAddr {
        self.place.address
    }

    fn opened(&mut self, out: &mut Vec<u8>, _cx: &mut Context) {
        self.body = None;
        self.partial.clear();
        let last = if self.cursor.is_empty() {
            String::new()
        } else {
            format!("Last-Event-ID: {}\r\n", String::from_utf8_lossy(&self.cursor))
        };
        http1::get(out, &self.place.path, &[&self.place.headers, &last]);
    }

    fn heard(
        &mut self,
        bytes: &[u8],
        _out: &mut Vec<u8>,
        cx: &mut Context,
    ) -> Result<usize, Fault> {
        let Some(chunks) = &mut self.body else {
            let Some(head) = http1::head(bytes)? else { return Ok(0) };
            if head.status != 200 || head.framing != Framing::Chunked {
                return Err(Fault::new(format!("no stream: status {}", head.status)));
            }
            self.body = Some(Chunks::default());
            cx.news.push_back(News::Ready(cx.who));
            return Ok(head.length);
        };
        let Self { partial, cursor, mark, .. } = self;
        let used = chunks.feed(bytes, |piece| {
            let Some(end) = memrchr(b'\n', piece) else {
                return partial.extend_from_slice(piece);
            };
            let (lines, rest) = piece.split_at(end + 1);
            if partial.is_empty() {
                Self::lines_came(*mark, cursor, lines, cx);
            } else {
                partial.extend_from_slice(lines);
                Self::lines_came(*mark, cursor, partial, cx);
                partial.clear();
            }
            partial.extend_from_slice(rest);
        })?;
        Ok(used)
    }

    fn wants_anew(&mut self) -> bool {
        self.body.as_ref().is_some_and(Chunks::is_over)
    }
}
