//! Bayeux over WebSocket, for subscribers and for publishers.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use memchr::memmem::find;

use super::bayeux::{Reply, Session, Step, replies};
use super::frames::{Frames, Heard};
use super::{Due, Identity, Speaker};
use crate::engine::{Context, News};
use crate::marker::Marker;
use crate::target::Place;
use crate::wire::{Fault, websocket};

/// What a publisher publishes.
#[derive(Debug, Clone)]
pub(crate) struct Channels {
    /// Their names, by index.
    pub(crate) names: Rc<[String]>,
    /// The size of a message's data, in bytes.
    pub(crate) payload: usize,
}

impl Channels {
    /// Writes a Bayeux publication.
    pub(super) fn message(&self, due: Due, client_id: &str, out: &mut Vec<u8>) {
        let channel = &self.names[due.channel];
        let Marker { stream, number, .. } = due.marker;
        let start = format!(
            r#"[{{"channel":"{channel}","clientId":"{client_id}","id":"{stream}.{number}","data":"#
        );
        out.extend_from_slice(start.as_bytes());
        due.marker.write(self.payload, out);
        out.extend_from_slice(b"}]");
    }
}

#[derive(Debug)]
pub(crate) struct Socket {
    place: Place,
    session: Session,
    frames: Frames,
    /// Only a publisher's socket has any.
    channels: Option<Channels>,
    /// What is not answered yet, and when it was sent.
    sent: VecDeque<(Marker, u64)>,
    text: Vec<u8>,
    waiting: bool,
}

impl Socket {
    pub(crate) fn new(place: Place, session: Session, channels: Option<Channels>) -> Self {
        let (frames, text, sent) = (Frames::default(), Vec::new(), VecDeque::new());
        Self { place, session, frames, channels, sent, text, waiting: false }
    }

    fn ask(&self, out: &mut Vec<u8>) {
        websocket::text(out, self.session.request().as_bytes());
    }

    fn message(&mut self, text: &[u8], out: &mut Vec<u8>, cx: &mut Context) -> Result<(), Fault> {
        cx.tally.receive(cx.who, text, cx.now);
        if self.session.step != Step::Held {
            let before = self.session.step;
            self.session.hear(&replies(text)?)?;
            match self.session.step {
                Step::Gone => cx.news.push_back(News::Left),
                step if step != before => {
                    if step == Step::Held {
                        self.ready(cx);
                    }
                    self.ask(out);
                }
                _ => {}
            }
            return Ok(());
        }
        if self.channels.is_some() {
            for reply in replies(text)? {
                self.answered(&reply, cx);
            }
        }
        if find(text, b"/meta/connect").is_some() {
            match self.session.held(text)? {
                Duration::ZERO => self.ask(out),
                wait => {
                    self.waiting = true;
                    cx.wake_after(wait.as_micros() as u64);
                }
            }
        }
        Ok(())
    }

    /// It is set up, perhaps again: then what was under way before will not be answered any more.
    fn ready(&mut self, cx: &mut Context) {
        cx.news.push_back(News::Ready(cx.who));
        for _ in self.sent.drain(..) {
            cx.tally.error("publish_unanswered");
            cx.news.push_back(News::Acked(cx.who));
        }
    }

    /// Looks up what a reply is the answer of. Answers come in the order of what they answer, as a
    /// rule.
    fn answered(&mut self, reply: &Reply, cx: &mut Context) {
        let Some((stream, number)) = reply.id.as_deref().and_then(|id| id.split_once('.')) else {
            return;
        };
        let (stream, number) = (stream.parse::<u32>(), number.parse::<u32>());
        let fits = |(marker, _): &(Marker, u64)| {
            Ok(marker.stream) == stream && Ok(marker.number) == number
        };
        let place = self.sent.iter().position(fits);
        if let Some((marker, at)) = place.and_then(|place| self.sent.remove(place)) {
            cx.tally.ack(marker, at, reply.successful != Some(false), cx.now);
            cx.news.push_back(News::Acked(cx.who));
        }
    }
}

impl Speaker for Socket {
    fn address(&self) -> SocketAddr {
        self.place.address
    }

    fn opened(&mut self, out: &mut Vec<u8>, _cx: &mut Context) {
        let cookies = self.session.identity().cookies.clone();
        self.frames.open(&self.place, &cookies, out);
    }

    fn heard(&mut self, bytes: &[u8], out: &mut Vec<u8>, cx: &mut Context) -> Result<usize, Fault> {
        Ok(match self.frames.hear(bytes, out)? {
            Heard::Nothing => 0,
            Heard::Upgraded(used) => {
                self.session.keep_cookies(&bytes[..used]);
                self.ask(out);
                used
            }
            Heard::Message(text, used) => {
                self.message(&text, out, cx)?;
                used
            }
            Heard::Control(used) => used,
        })
    }

    fn alarm(&mut self, out: &mut Vec<u8>, _cx: &mut Context) {
        if std::mem::take(&mut self.waiting) && self.frames.is_open() {
            self.ask(out);
        }
    }

    fn offer(&mut self, due: Due, out: &mut Vec<u8>, cx: &mut Context) {
        // A message that finds no socket is lost before it was sent.
        let ready = self.frames.is_open() && self.session.step == Step::Held;
        let Some(channels) = self.channels.as_ref().filter(|_| ready) else {
            return cx.tally.error("publish_unsent");
        };
        self.text.clear();
        channels.message(due, &self.session.identity().client_id, &mut self.text);
        websocket::text(out, &self.text);
        self.sent.push_back((due.marker, cx.now));
    }

    fn ended(&mut self, _cx: &mut Context) -> bool {
        self.waiting = false;
        self.frames = Frames::default();
        self.session.step == Step::Gone
    }

    fn leave(&mut self) -> bool {
        self.session.leave()
    }

    fn identity(&self) -> Option<Identity> {
        (self.session.step == Step::Held).then(|| self.session.identity().clone())
    }
}
