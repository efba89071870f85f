//! Publishing line by line, as many as there are: each line is a message with an outcome of its own.
//!
//! Lines are taken in as fast as the store takes them; outcomes leave in the order of the lines. A
//! client that does not read its outcomes is not read from either, once some megabytes wait.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use tokio::sync::mpsc;
use tokio_stream::{Stream, StreamExt};
use weft_protocol::{Error, publish_line, publish_status};

use super::api::{Api, published, quoted};
use super::connection::Peer;
use crate::core::held::Wakes;
use crate::core::publishing::{Publication, Published, Publishing};

/// Outcomes that are awaited at once.
const UNDER_WAY: usize = 256;
/// Bytes of outcomes in one piece of the answer, and pieces that wait for the reader.
const PIECE: usize = 64 << 10;
const PIECES: usize = 64;

/// One stream of messages.
#[derive(Debug)]
pub struct Lines {
    api: Arc<Api>,
    peer: Arc<Peer>,
    durable: bool,
    out: mpsc::Sender<Bytes>,
    outcomes: VecDeque<Outcome>,
    ready: String,
    partial: Vec<u8>,
    /// The rest of this line is too long to be kept.
    skipping: bool,
}

#[derive(Debug)]
enum Outcome {
    Known(String),
    Awaited(String, Publishing),
}

impl Lines {
    /// Works on a body until its end; the answer comes out of the receiver.
    pub fn start<S, B, E>(
        api: Arc<Api>,
        peer: Arc<Peer>,
        durable: bool,
        body: S,
    ) -> mpsc::Receiver<Bytes>
    where
        S: Stream<Item = Result<B, E>> + Send + Unpin + 'static,
        B: Buf + Send + 'static,
        E: Send + 'static,
    {
        let (out, answer) = mpsc::channel(PIECES);
        peer.streams(true);
        let lines = Self {
            api,
            peer,
            durable,
            out,
            outcomes: VecDeque::new(),
            ready: String::new(),
            partial: Vec::new(),
            skipping: false,
        };
        tokio::spawn(lines.run(body));
        answer
    }

    async fn run<S, B, E>(mut self, mut body: S)
    where
        S: Stream<Item = Result<B, E>> + Send + Unpin,
        B: Buf + Send + 'static,
        E: Send + 'static,
    {
        let idle = self.api.endpoint.body.time;
        let mut ended = false;
        while !ended || !self.outcomes.is_empty() {
            if self.ready.len() >= PIECE || (self.outcomes.is_empty() && !self.ready.is_empty()) {
                let piece = std::mem::take(&mut self.ready);
                if self.out.send(piece.into()).await.is_err() {
                    return;
                }
            }
            let more = !ended && self.outcomes.len() < UNDER_WAY;
            tokio::select! {
                biased;
                line = next_outcome(&mut self.outcomes), if !self.outcomes.is_empty() => {
                    let line = self.count(line);
                    self.push(&line);
                }
                chunk = tokio::time::timeout(idle, body.next()), if more => match chunk {
                    Ok(Some(Ok(chunk))) => ended = !self.chunk(chunk).await,
                    Ok(Some(Err(_))) => return,
                    Ok(None) => {
                        self.end();
                        ended = true;
                    }
                    Err(_) => {
                        self.refuse(408, "nothing came in time");
                        ended = true;
                    }
                },
            }
        }
        let rest = std::mem::take(&mut self.ready);
        if !rest.is_empty() {
            // Whoever asked may be gone.
            let _ = self.out.send(rest.into()).await;
        }
    }

    fn push(&mut self, line: &str) {
        self.ready.push_str(line);
        self.ready.push('\n');
    }

    fn count(&self, (line, refused): (String, Option<u16>)) -> String {
        if let Some(status) = refused {
            self.api.count_refused(status);
        }
        line
    }

    /// Takes in what came; false if nothing more is wanted.
    async fn chunk(&mut self, mut chunk: impl Buf) -> bool {
        let mut wakes = Wakes::default();
        let bytes = chunk.copy_to_bytes(chunk.remaining());
        let mut rest = &bytes[..];
        while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(at);
            rest = &after[1..];
            self.keep(line);
            if !self.api.broker.has_room() {
                drop(std::mem::take(&mut wakes));
                self.api.broker.room().await;
            }
            if !self.line(&mut wakes) {
                return false;
            }
        }
        self.keep(rest);
        true
    }

    /// Keeps a piece of the line under way, unless it is too long.
    fn keep(&mut self, piece: &[u8]) {
        let limit = self.api.endpoint.body.bytes;
        if self.skipping || self.partial.len() + piece.len() > limit {
            self.partial = Vec::new();
            self.skipping = true;
        } else {
            self.partial.extend_from_slice(piece);
        }
    }

    /// The last line may lack its end.
    fn end(&mut self) {
        let mut wakes = Wakes::default();
        if self.skipping || !self.partial.is_empty() {
            self.line(&mut wakes);
        }
    }

    /// Publishes the line that is complete now.
    fn line(&mut self, wakes: &mut Wakes) -> bool {
        let line = std::mem::take(&mut self.partial);
        if std::mem::take(&mut self.skipping) {
            self.refuse(413, "the line is too long");
            return true;
        }
        if self.api.broker.is_draining() {
            self.refuse(503, &Error::Draining.to_string());
            return false;
        }
        let text = line.trim_ascii();
        if text.is_empty() {
            return true;
        }
        let api = Arc::clone(&self.api);
        let message = match publish_line(text, &api.limits) {
            Ok(message) => message,
            Err(error) => {
                self.refuse(error.status(), &error.to_string());
                return true;
            }
        };
        let publishing = api.name(&message.channel).and_then(|channel| {
            let publication = Publication {
                ext: message.ext.as_deref(),
                key: message.key.as_deref(),
                durable: self.durable,
                ..Publication::new(channel, &message.data)
            };
            api.broker.publish(&publication, wakes)
        });
        let channel = message.channel.into_owned();
        match publishing {
            Ok(publishing) => self.outcomes.push_back(Outcome::Awaited(channel, publishing)),
            Err(error) => {
                let (line, refused) = spell(&channel, Err(error));
                let line = self.count((line, refused));
                self.outcomes.push_back(Outcome::Known(line));
            }
        }
        true
    }

    fn refuse(&mut self, status: u16, text: &str) {
        self.api.count_refused(status);
        let line = format!(r#"{{"error":{},"status":{status}}}"#, quoted(text));
        self.outcomes.push_back(Outcome::Known(line));
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.peer.streams(false);
    }
}

/// The outcome of the oldest line that has none yet. Nothing is lost if this is not waited for.
async fn next_outcome(outcomes: &mut VecDeque<Outcome>) -> (String, Option<u16>) {
    let spelled = match outcomes.front_mut() {
        Some(Outcome::Awaited(channel, publishing)) => {
            let outcome = publishing.settled().await;
            spell(channel, outcome)
        }
        Some(Outcome::Known(line)) => (std::mem::take(line), None),
        None => (String::new(), None),
    };
    outcomes.pop_front();
    spelled
}

fn spell(channel: &str, outcome: Result<Published, Error>) -> (String, Option<u16>) {
    match outcome {
        Ok(outcome) => (published(channel, &outcome), None),
        Err(error) => {
            let status = publish_status(&error);
            let text = quoted(&error.to_string());
            (format!(r#"{{"channel":"{channel}","error":{text},"status":{status}}}"#), Some(status))
        }
    }
}
