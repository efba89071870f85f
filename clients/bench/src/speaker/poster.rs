//! A publisher's connection by HTTP: one message, its answer, and the next.

use std::collections::VecDeque;
use std::net::SocketAddr;

use memchr::memmem::find;

use super::{Channels, Due, Identity, Speaker};
use crate::engine::{Context, News};
use crate::target::Place;
use crate::wire::{Fault, http1};

/// What a post is.
#[derive(Debug)]
pub(crate) enum Way {
    /// The data, to a path for each channel.
    Plain(Vec<Place>),
    /// A Bayeux message of a session that somebody else keeps alive.
    Bayeux(Place, Identity),
}

#[derive(Debug)]
pub(crate) struct Poster {
    way: Way,
    channels: Channels,
    open: bool,
    /// What waits for its turn.
    queue: VecDeque<Due>,
    /// What is under way, and since when.
    sent: Option<(Due, u64)>,
    body: Vec<u8>,
    anew: bool,
}

impl Poster {
    pub(crate) fn new(way: Way, channels: Channels) -> Self {
        let (queue, body) = (VecDeque::new(), Vec::new());
        Self { way, channels, open: false, queue, sent: None, body, anew: false }
    }

    fn next(&mut self, out: &mut Vec<u8>, cx: &mut Context) {
        if !self.open || self.anew || self.sent.is_some() {
            return;
        }
        let Some(due) = self.queue.pop_front() else { return };
        let _ = cx.tally.held_back.record(cx.now.saturating_sub(due.marker.at));
        self.sent = Some((due, cx.now));
        self.body.clear();
        match &self.way {
            Way::Plain(places) => {
                let place = &places[due.channel];
                due.marker.write(self.channels.payload, &mut self.body);
                http1::post(out, &place.path, &[&place.headers], &self.body);
            }
            Way::Bayeux(place, Identity { client_id, cookies }) => {
                self.channels.message(due, client_id, &mut self.body);
                http1::post(out, &place.path, &[&place.headers, cookies], &self.body);
            }
        }
    }
}

impl Speaker for Poster {
    fn address(&self) -> SocketAddr {
        match &self.way {
            Way::Plain(places) => places[0].address,
            Way::Bayeux(place, _) => place.address,
        }
    }

    fn opened(&mut self, out: &mut Vec<u8>, cx: &mut Context) {
        self.open = true;
        cx.news.push_back(News::Ready(cx.who));
        self.next(out, cx);
    }

    fn heard(&mut self, bytes: &[u8], out: &mut Vec<u8>, cx: &mut Context) -> Result<usize, Fault> {
        let Some(response) = http1::response(bytes)? else { return Ok(0) };
        self.anew = response.head.close;
        if let Some((due, at)) = self.sent.take() {
            let taken = match self.way {
                Way::Plain(_) => (200..300).contains(&response.head.status),
                Way::Bayeux(..) => find(&response.body, br#""successful":true"#).is_some(),
            };
            cx.tally.ack(due.marker, at, taken, cx.now);
            cx.news.push_back(News::Acked(cx.who));
        }
        self.next(out, cx);
        Ok(response.length)
    }

    fn offer(&mut self, due: Due, out: &mut Vec<u8>, cx: &mut Context) {
        self.queue.push_back(due);
        self.next(out, cx);
    }

    fn ended(&mut self, cx: &mut Context) -> bool {
        self.open = false;
        // It may have been taken or not: to send it again might repeat it.
        if self.sent.take().is_some() {
            cx.tally.error("publish_unanswered");
            cx.news.push_back(News::Acked(cx.who));
        }
        false
    }

    fn wants_anew(&mut self) -> bool {
        let anew = std::mem::take(&mut self.anew);
        self.open &= !anew;
        anew
    }
}
