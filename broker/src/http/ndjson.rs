//! Publishing line by line, as many as there are: each line is a message with an outcome of its own.
//!
//! Lines are taken in as fast as the store takes them; outcomes leave in the order of the lines. A
//! client that does not read its outcomes is not read from either, once some of them wait. A long
//! line takes its share of the memory for bodies, and the time that a body may take is a line's.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::sync::mpsc;
use tokio::task::yield_now;
use tokio::time::timeout;
use tokio_stream::{Stream, StreamExt};
use weft_protocol::{ChannelName, Error, publish_line};

use super::api::{Api, Refusal, published};
use super::body::{BodyFailure, FREE_BYTES, Share};
use super::connection::Peer;
use super::limited::Pace;
use crate::core::held::Wakes;
use crate::core::publishing::{Publication, Publishing};
use crate::guard::Asker;
use crate::hook::Event;

/// Outcomes that are awaited at once.
const UNDER_WAY: usize = 256;
/// Bytes of outcomes in one piece of the answer, and pieces that wait for the reader.
const PIECE: usize = 64 << 10;
const PIECES: usize = 4;
/// Others have their turn after so long: a line may be for very many.
const TURN: Duration = Duration::from_millis(2);

/// One stream of messages.
#[derive(Debug)]
pub struct Lines {
    api: Arc<Api>,
    peer: Arc<Peer>,
    durable: bool,
    /// Who publishes.
    asker: Asker,
    pace: Pace,
    /// What came, and is not worked off yet.
    rest: Bytes,
    /// How long its limits keep that waiting.
    paused: Option<Duration>,
    out: mpsc::Sender<Bytes>,
    outcomes: VecDeque<Outcome>,
    ready: String,
    partial: Partial,
}

/// The line under way.
#[derive(Debug, Default)]
struct Partial {
    bytes: Vec<u8>,
    share: Option<Share>,
    /// It is too long to be kept.
    too_long: bool,
    /// How long its sender has been waited for.
    waited: Duration,
}

#[derive(Debug)]
enum Outcome {
    Known(String),
    Awaited(String, Publishing),
}

enum Next<C> {
    Outcome(String),
    Rest,
    Chunk(C),
}

impl Lines {
    /// Works on a body until its end; the answer comes out of the receiver.
    pub fn start<S, B, E>(
        api: Arc<Api>,
        peer: Arc<Peer>,
        (durable, asker, pace): (bool, Asker, Pace),
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
            asker,
            pace,
            rest: Bytes::new(),
            paused: None,
            out,
            outcomes: VecDeque::new(),
            ready: String::new(),
            partial: Partial::default(),
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
        let mut ended = false;
        while !ended || !self.outcomes.is_empty() {
            if self.ready.len() >= PIECE || (self.outcomes.is_empty() && !self.ready.is_empty()) {
                let piece = std::mem::take(&mut self.ready);
                if self.out.send(piece.into()).await.is_err() {
                    return;
                }
            }
            let more = !ended && self.outcomes.len() < UNDER_WAY;
            let left = self.time_left();
            let asked = self.api.endpoint.exchange.now();
            let next = tokio::select! {
                biased;
                line = next_outcome(&self.api, &mut self.outcomes), if !self.outcomes.is_empty() => {
                    Next::Outcome(line)
                }
                () = pause(self.paused), if more && !self.rest.is_empty() => Next::Rest,
                chunk = timeout(left, body.next()), if more && self.rest.is_empty() => {
                    Next::Chunk(chunk)
                }
            };
            if more && self.rest.is_empty() {
                self.partial.waited += self.api.endpoint.exchange.now() - asked;
            }
            match next {
                Next::Outcome(line) => self.push(&line),
                Next::Rest => ended = !self.work_off().await,
                Next::Chunk(Ok(Some(Ok(mut chunk)))) => {
                    self.rest = chunk.copy_to_bytes(chunk.remaining());
                    self.pace.owe(self.rest.len());
                    ended = !self.work_off().await;
                }
                Next::Chunk(Ok(None)) => {
                    self.end().await;
                    ended = true;
                }
                Next::Chunk(Ok(Some(Err(_)))) => {
                    self.give_up(BodyFailure::Broken);
                    ended = true;
                }
                Next::Chunk(Err(_)) => {
                    self.give_up(BodyFailure::TooSlow);
                    ended = true;
                }
            }
        }
        let rest = std::mem::take(&mut self.ready);
        if !rest.is_empty() {
            // Whoever asked may be gone.
            let _ = self.out.send(rest.into()).await;
        }
    }

    fn time_left(&self) -> Duration {
        self.api.endpoint.body.time.saturating_sub(self.partial.waited)
    }

    fn push(&mut self, line: &str) {
        self.ready.push_str(line);
        self.ready.push('\n');
    }

    /// Takes in what came, as far as the limits allow now; false if nothing more is wanted.
    async fn work_off(&mut self) -> bool {
        let mut wakes = Wakes::default();
        let mut begun = self.api.endpoint.exchange.now();
        self.paused = self.pace.pay(&self.api).err();
        while !self.rest.is_empty() && self.paused.is_none() {
            let end = self.rest.iter().position(|byte| *byte == b'\n');
            let piece = self.rest.slice(..end.unwrap_or(self.rest.len()));
            // Lines without anything in them keep a stream busy, and cost nothing.
            let counts = end.is_some() && !self.partial.is_blank_with(&piece);
            if counts
                && !self.api.broker.is_draining()
                && let Err(wait) = self.pace.line(&self.api)
            {
                self.paused = Some(wait);
                return true;
            }
            if self.partial.wants_share(&piece) {
                drop(std::mem::take(&mut wakes));
                let endpoint = &self.api.endpoint.body;
                let share = endpoint.budget.share(endpoint.bytes);
                let Ok(share) = timeout(self.time_left(), share).await else {
                    self.give_up(BodyFailure::TooSlow);
                    return false;
                };
                self.partial.share = share;
            }
            self.partial.keep(&piece, self.api.endpoint.body.bytes);
            let Some(end) = end else {
                self.rest = Bytes::new();
                break;
            };
            self.rest.advance(end + 1);
            if !self.api.broker.has_room() {
                drop(std::mem::take(&mut wakes));
                self.api.broker.room().await;
            }
            if !self.line(&mut wakes).await {
                return false;
            }
            let now = self.api.endpoint.exchange.now();
            if now.saturating_duration_since(begun) > TURN {
                yield_now().await;
                begun = now;
            }
        }
        true
    }

    /// The last line may lack its end.
    async fn end(&mut self) {
        if self.partial.too_long || !self.partial.bytes.is_empty() {
            // There is nothing behind it that could be made to wait.
            let _ = self.pace.line(&self.api);
            self.line(&mut Wakes::default()).await;
        }
    }

    /// Publishes the line that is complete now; false if nothing more is wanted.
    async fn line(&mut self, wakes: &mut Wakes) -> bool {
        let Partial { bytes, too_long, share: _share, .. } = std::mem::take(&mut self.partial);
        let line = bytes.strip_suffix(b"\r").unwrap_or(&bytes);
        if too_long || line.len() > self.api.endpoint.body.bytes {
            self.refuse(&Refusal::new(413, "the line is too long"), None);
            return true;
        }
        if self.api.broker.is_draining() {
            self.refuse(&Error::Draining.into(), None);
            self.peer.leaves_unread();
            return false;
        }
        let text = line.trim_ascii();
        if text.is_empty() {
            return true;
        }
        if self.asker.who.as_ref().is_some_and(|who| !self.api.guard().holds(who)) {
            self.refuse(&Error::Unauthorized("token_expired").into(), None);
            self.peer.leaves_unread();
            return false;
        }
        let api = Arc::clone(&self.api);
        let message = match publish_line(text, &api.limits, api.guard().token_field()) {
            Ok(message) => message,
            Err(error) => {
                self.refuse(&Refusal::new(error.status(), error.to_string()), None);
                return true;
            }
        };
        let may = |channel: ChannelName<'_>| api.guard().may_publish(&self.asker, channel.as_str());
        let mut named = api.name(&message.channel).and_then(|name| may(name).map(|()| name));
        if let (Ok(name), true) = (&named, api.guard().asks_hook(Event::Publish)) {
            // Who waits for the lines before this one does not wait for the hook.
            drop(std::mem::take(wakes));
            let asked = (name.as_str(), &*message.data);
            let lets = api.guard().hook_may_publish(&self.asker, None, asked).await;
            named = lets.and(named);
        }
        let publishing = named.and_then(|channel| {
            let publication = Publication {
                by: self.asker.who.as_deref(),
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
            Err(error) => self.refuse(&error.into(), Some(&channel)),
        }
        true
    }

    /// Nothing more can be read. What was published has its outcomes all the same, and the last line
    /// says why there are no more.
    fn give_up(&mut self, why: BodyFailure) {
        self.refuse(&why.into(), None);
        self.peer.leaves_unread();
    }

    fn refuse(&mut self, refusal: &Refusal, channel: Option<&str>) {
        self.api.broker.stats.refused.inc(refusal.status);
        self.outcomes.push_back(Outcome::Known(refusal.line(channel)));
    }
}

impl Partial {
    fn is_blank_with(&self, piece: &[u8]) -> bool {
        !self.too_long && self.bytes.is_empty() && piece.trim_ascii().is_empty()
    }

    fn wants_share(&self, piece: &[u8]) -> bool {
        let len = self.bytes.len() + piece.len();
        len > FREE_BYTES && self.share.is_none() && !self.too_long
    }

    /// Keeps a piece, unless that makes it too long. The end of a line may have two bytes, of which
    /// the first is here.
    fn keep(&mut self, piece: &[u8], limit: usize) {
        if self.too_long || self.bytes.len() + piece.len() > limit + 1 {
            self.bytes = Vec::new();
            self.share = None;
            self.too_long = true;
        } else {
            self.bytes.extend_from_slice(piece);
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.peer.streams(false);
    }
}

async fn pause(time: Option<Duration>) {
    if let Some(time) = time {
        tokio::time::sleep(time).await;
    }
}

/// The outcome of the oldest line that has none yet. Nothing is lost if this is not waited for.
async fn next_outcome(api: &Api, outcomes: &mut VecDeque<Outcome>) -> String {
    let line = match outcomes.front_mut() {
        Some(Outcome::Awaited(channel, publishing)) => match publishing.settled().await {
            Ok(outcome) => published(channel, &outcome),
            Err(error) => {
                let refusal = Refusal::from(error);
                api.broker.stats.refused.inc(refusal.status);
                refusal.line(Some(channel))
            }
        },
        Some(Outcome::Known(line)) => std::mem::take(line),
        None => String::new(),
    };
    outcomes.pop_front();
    line
}
