//! Bayeux over long-polling: one connection, one request at a time, of which most are held connects.

use std::net::SocketAddr;
use std::time::Duration;

use super::bayeux::{Session, Step, replies};
use super::{Identity, Speaker};
use crate::engine::{Context, News};
use crate::target::Place;
use crate::wire::{Fault, http1};

#[derive(Debug)]
pub(crate) struct LongPoll {
    place: Place,
    session: Session,
    /// The held connect, as it is sent again and again.
    connect: Vec<u8>,
    /// It waits for the advised interval to pass.
    waiting: bool,
    anew: bool,
}

impl LongPoll {
    pub(crate) fn new(place: Place, session: Session) -> Self {
        Self { place, session, connect: Vec::new(), waiting: false, anew: false }
    }

    fn ask(&mut self, out: &mut Vec<u8>) {
        if self.session.step == Step::Held && !self.connect.is_empty() {
            return out.extend_from_slice(&self.connect);
        }
        let headers = [&*self.place.headers, &self.session.identity().cookies];
        let start = out.len();
        http1::post(out, &self.place.path, &headers, self.session.request().as_bytes());
        self.connect.clear();
        if self.session.step == Step::Held {
            self.connect.extend_from_slice(&out[start..]);
        }
    }

    fn held(&mut self, body: &[u8], out: &mut Vec<u8>, cx: &mut Context) -> Result<(), Fault> {
        cx.tally.receive(cx.who, body, cx.now);
        match self.session.held(body)? {
            Duration::ZERO if !self.anew => self.ask(out),
            wait => {
                self.waiting = true;
                cx.wake_after(wait.as_micros() as u64);
            }
        }
        Ok(())
    }
}

impl Speaker for LongPoll {
    fn address(&self) -> SocketAddr {
        self.place.address
    }

    fn opened(&mut self, out: &mut Vec<u8>, _cx: &mut Context) {
        if !self.waiting {
            self.ask(out);
        }
    }

    fn heard(&mut self, bytes: &[u8], out: &mut Vec<u8>, cx: &mut Context) -> Result<usize, Fault> {
        let Some(response) = http1::response(bytes)? else { return Ok(0) };
        if response.head.status != 200 {
            let text = String::from_utf8_lossy(&response.body);
            return Err(Fault::new(format!("status {}: {text}", response.head.status)));
        }
        self.anew = response.head.close;
        if self.session.step == Step::Held {
            self.held(&response.body, out, cx)?;
            return Ok(response.length);
        }
        cx.tally.receive(cx.who, &response.body, cx.now);
        self.session.keep_cookies(response.text);
        self.session.hear(&replies(&response.body)?)?;
        match self.session.step {
            Step::Gone => cx.news.push_back(News::Left),
            step => {
                if step == Step::Held {
                    cx.news.push_back(News::Ready(cx.who));
                }
                if !self.anew {
                    self.ask(out);
                }
            }
        }
        Ok(response.length)
    }

    fn alarm(&mut self, out: &mut Vec<u8>, _cx: &mut Context) {
        if std::mem::take(&mut self.waiting) {
            self.ask(out);
        }
    }

    fn ended(&mut self, _cx: &mut Context) -> bool {
        self.waiting = false;
        self.session.step == Step::Gone
    }

    fn wants_anew(&mut self) -> bool {
        std::mem::take(&mut self.anew) && self.session.step != Step::Gone
    }

    fn leave(&mut self) -> bool {
        self.waiting = false;
        self.session.leave()
    }

    fn identity(&self) -> Option<Identity> {
        (self.session.step == Step::Held).then(|| self.session.identity().clone())
    }
}
