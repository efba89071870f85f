//! The loop: one thread, all connections, one buffer to read into.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::net::Ipv4Addr;

use rustix::io::Errno;

use crate::clock::Clock;
use crate::net::{Link, Poll, Ready};
use crate::speaker::{Due, Speaker};
use crate::tally::Tally;

/// How much is read at once. One read takes all that a server writes in one go, as a rule.
const BUFFER: usize = 256 * 1024;
/// Reads of one connection before others have their turn.
const READS: usize = 4;
/// How long to wait before a connection that failed is tried again, in microseconds.
const RETRY: u64 = 200_000;

/// What a connection has to tell the work.
#[derive(Debug)]
pub(crate) enum News {
    /// It is set up.
    Ready(usize),
    /// A message of its was answered, or never will be.
    Acked(usize),
    /// Somebody has taken its leave.
    Left,
    /// It failed, for this reason; it is tried again.
    Failed(String),
}

/// What speakers see of the world.
#[derive(Debug)]
pub(crate) struct Context {
    /// Microseconds of the clock, as of the last event.
    pub(crate) now: u64,
    /// Whose turn it is.
    pub(crate) who: usize,
    pub(crate) tally: Tally,
    pub(crate) news: VecDeque<News>,
    alarms: BinaryHeap<Reverse<(u64, usize)>>,
}

impl Context {
    /// Asks for the speaker's alarm, so many microseconds from now.
    pub(crate) fn wake_after(&mut self, micros: u64) {
        self.alarms.push(Reverse((self.now + micros, self.who)));
    }
}

#[derive(Debug)]
struct Peer {
    link: Option<Link>,
    speaker: Box<dyn Speaker>,
    /// Whether it counts as somebody's end of the wire.
    subscriber: bool,
}

/// All connections.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) clock: Clock,
    pub(crate) cx: Context,
    poll: Poll,
    peers: Vec<Peer>,
    buffer: Vec<u8>,
    ready: Vec<Ready>,
    /// Addresses to come from, in turn; 0 is whichever.
    sources: u8,
}

impl Engine {
    /// # Errors
    /// If the system gives no epoll.
    pub(crate) fn new(tally: Tally, sources: u8) -> Result<Self, String> {
        let cx =
            Context { now: 0, who: 0, tally, news: VecDeque::new(), alarms: BinaryHeap::new() };
        Ok(Self {
            clock: Clock::new(),
            cx,
            poll: Poll::new().map_err(|error| format!("epoll: {error}"))?,
            peers: Vec::new(),
            buffer: vec![0; BUFFER],
            ready: Vec::new(),
            sources,
        })
    }

    /// Takes somebody in, without a connection yet; who it is from now on. Subscribers come first, so
    /// that theirs are the ledger's numbers.
    pub(crate) fn add(&mut self, speaker: Box<dyn Speaker>, subscriber: bool) -> usize {
        self.peers.push(Peer { link: None, speaker, subscriber });
        self.peers.len() - 1
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.peers.len()
    }

    pub(crate) fn speaker(&self, who: usize) -> &dyn Speaker {
        &*self.peers[who].speaker
    }

    /// Begins to connect, anew if it is connected.
    pub(crate) fn open(&mut self, who: usize) {
        self.cx.who = who;
        let peer = &mut self.peers[who];
        peer.link = None;
        let source = match self.sources {
            0 => None,
            count => Some(Ipv4Addr::new(127, 0, 0, 2 + (who % usize::from(count)) as u8)),
        };
        match Link::open(&self.poll, who, peer.speaker.address(), source) {
            Ok(link) => peer.link = Some(link),
            Err(error) => self.failed(who, "connect_failed", &format!("connect: {error}")),
        }
    }

    /// Gives a publisher a message to send, as soon as it may.
    pub(crate) fn offer(&mut self, who: usize, due: Due) {
        if self.peers[who].link.is_none() {
            // It is about to connect again, and nothing can be said until then.
            self.cx.who = who;
            return self.peers[who].speaker.offer(due, &mut Vec::new(), &mut self.cx);
        }
        self.with(who, |speaker, link, cx| {
            speaker.offer(due, &mut link.out, cx);
        });
    }

    /// Lets somebody take its leave; false if it has nobody to tell.
    pub(crate) fn leave(&mut self, who: usize) -> bool {
        let leaves = self.peers[who].speaker.leave();
        if leaves {
            self.open(who);
        }
        leaves
    }

    /// Waits for something to happen until that time, and works it off.
    ///
    /// # Errors
    /// If the system does not let it wait.
    pub(crate) fn turn(&mut self, until: u64) -> Result<(), String> {
        self.now();
        let until = self.cx.alarms.peek().map_or(until, |Reverse((at, _))| until.min(*at));
        let wait = until.saturating_sub(self.cx.now);
        let mut ready = std::mem::take(&mut self.ready);
        let waited = self.poll.wait(wait, &mut ready);
        for event in ready.drain(..) {
            self.now();
            self.handle(event);
        }
        self.ready = ready;
        self.now();
        while let Some(&Reverse((at, who))) = self.cx.alarms.peek() {
            if at > self.cx.now {
                break;
            }
            self.cx.alarms.pop();
            if self.peers[who].link.is_none() {
                self.open(who);
            } else {
                self.with(who, |speaker, link, cx| speaker.alarm(&mut link.out, cx));
            }
        }
        waited.map_err(|error| format!("epoll: {error}"))
    }

    /// Looks at the clock; microseconds.
    pub(crate) fn now(&mut self) -> u64 {
        self.cx.now = self.clock.now();
        self.cx.now
    }

    fn handle(&mut self, event: Ready) {
        let who = event.who;
        let Some(link) = &mut self.peers[who].link else { return };
        if !link.connected && event.write {
            match link.finish() {
                Ok(()) => self.with(who, |speaker, link, cx| speaker.opened(&mut link.out, cx)),
                Err(error) => {
                    return self.failed(who, "connect_failed", &format!("connect: {error}"));
                }
            }
        } else if event.write {
            self.with(who, |_, _, _| {});
        }
        if event.read {
            self.read(who);
        }
    }

    /// Reads all that is there and lets the speaker work it off.
    fn read(&mut self, who: usize) {
        self.cx.who = who;
        let Self { peers, buffer, cx, .. } = self;
        for _ in 0..READS {
            let Peer { link, speaker, subscriber } = &mut peers[who];
            let Some(link) = link.as_mut().filter(|link| link.connected) else { return };
            let count = match link.read(buffer) {
                Ok(None) => break,
                Ok(Some(0)) => return self.ended(who, None),
                Err(error) => return self.ended(who, Some(error)),
                Ok(Some(count)) => count,
            };
            if *subscriber {
                cx.tally.wire_bytes += count as u64;
            }
            let heard = if link.rest.is_empty() {
                let came = &buffer[..count];
                hear(&mut **speaker, came, &mut link.out, cx).map(|used| {
                    link.rest.extend_from_slice(&came[used..]);
                })
            } else {
                link.rest.extend_from_slice(&buffer[..count]);
                hear(&mut **speaker, &link.rest, &mut link.out, cx).map(|used| {
                    link.rest.drain(..used);
                })
            };
            if let Err(fault) = heard {
                return self.failed(who, "protocol", &fault);
            }
            if count < buffer.len() {
                break;
            }
        }
        self.with(who, |_, _, _| {});
        if self.peers[who].speaker.wants_anew() {
            self.open(who);
        }
    }

    /// Lets a speaker speak, and sends what it says.
    fn with(&mut self, who: usize, act: impl FnOnce(&mut dyn Speaker, &mut Link, &mut Context)) {
        self.cx.who = who;
        let Peer { link, speaker, .. } = &mut self.peers[who];
        let Some(link) = link else { return };
        act(&mut **speaker, link, &mut self.cx);
        if let Err(error) = link.flush(&self.poll, who) {
            self.ended(who, Some(error));
        }
    }

    /// The connection is gone, without having been asked to.
    fn ended(&mut self, who: usize, error: Option<Errno>) {
        let reason = error.map_or_else(|| "closed".to_owned(), |error| error.to_string());
        self.failed(who, "connection_lost", &reason);
    }

    /// Counts it and tries again a little later.
    fn failed(&mut self, who: usize, kind: &'static str, reason: &str) {
        self.cx.who = who;
        let peer = &mut self.peers[who];
        let quiet = peer.speaker.ended(&mut self.cx);
        peer.link = None;
        if quiet {
            return;
        }
        self.cx.tally.error(kind);
        self.cx.news.push_back(News::Failed(format!("{kind}: {reason}")));
        self.cx.wake_after(RETRY);
    }
}

/// Lets a speaker hear bytes as long as it understands some; how many it did.
fn hear(
    speaker: &mut dyn Speaker,
    bytes: &[u8],
    out: &mut Vec<u8>,
    cx: &mut Context,
) -> Result<usize, String> {
    let mut at = 0;
    while at < bytes.len() {
        match speaker.heard(&bytes[at..], out, cx) {
            Ok(0) => break,
            Ok(used) => at += used,
            Err(fault) => return Err(fault.0),
        }
    }
    Ok(at)
}
