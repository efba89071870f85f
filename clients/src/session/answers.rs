//! What answers do to a session.

use std::time::{Duration, Instant};

use super::{Lane, Link, Output, Session, TYPE};
use crate::{
    ClientError, Event, Message, State,
    advice::Advice,
    outbox::{Settled, Task},
    wire::Incoming,
};

impl Session {
    /// Takes a lane's answer, or why there is none: [`ClientError::Lost`], or
    /// [`ClientError::Refused`] where the server refused the request as a whole. The dice, in
    /// [0, 1), decides on the wait after a failure.
    pub(crate) fn answer(
        &mut self,
        lane: Lane,
        answer: Result<Vec<Incoming>, ClientError>,
        now: Instant,
        dice: f64,
    ) {
        match lane {
            _ if self.over.is_some() => {}
            Lane::Link => self.link_answered(answer, now, dice),
            Lane::Messages => self.messages_answered(answer, now, dice),
        }
    }

    fn link_answered(
        &mut self,
        answer: Result<Vec<Incoming>, ClientError>,
        now: Instant,
        dice: f64,
    ) {
        let channel = match self.link {
            Link::Shaking => "/meta/handshake",
            Link::Holding => "/meta/connect",
            _ => return, // of a request that was given up
        };
        self.link = Link::Idle;
        let replies = answer.and_then(|mut replies| {
            let at = replies.iter().position(|reply| reply.channel == channel);
            let at = at.ok_or_else(|| ClientError::Lost("there is no reply in it".to_owned()))?;
            self.receive(&mut replies, true);
            Ok(replies.swap_remove(at))
        });
        if self.closing {
            return; // the goodbye goes on
        }
        match replies {
            Ok(reply) if !reply.succeeded() => self.failed(&reply.error_text(), now, dice),
            Ok(reply) if channel == "/meta/handshake" => self.shaken(reply, now, dice),
            Ok(_) => {
                self.failures = 0;
                self.broken = false;
                self.enter(State::Connected, None);
                self.schedule("the server asked us not to come back", now, Duration::ZERO);
            }
            Err(error) => {
                self.broken = true;
                self.failed(&error.to_string(), now, dice);
            }
        }
    }

    fn shaken(&mut self, reply: Incoming, now: Instant, dice: f64) {
        let types = reply.supported_connection_types;
        if types.is_some_and(|types| types.iter().all(|name| name != TYPE)) {
            self.give_up(&format!("the server does not speak {TYPE}"));
            return;
        }
        if reply.client_id.is_none() {
            self.failed("the handshake's reply has no clientId", now, dice);
            return;
        }
        self.client_id = reply.client_id;
        self.outbox.resubscribe(&self.names);
        self.schedule("the server asked us not to come back", now, Duration::ZERO);
    }

    fn messages_answered(
        &mut self,
        answer: Result<Vec<Incoming>, ClientError>,
        now: Instant,
        dice: f64,
    ) {
        let mut replies = match answer {
            Ok(replies) => replies,
            Err(error) => {
                let settled = self.outbox.failed(&error);
                let wait = self.wait(self.outbox.failures(), dice);
                self.outbox.wait_until(now + wait);
                self.settle(settled);
                return;
            }
        };
        let current = self.client_id.as_deref() == Some(self.outbox.flight_of());
        self.receive(&mut replies, current);
        let gone = replies.iter().find(|reply| reply.wants_handshake());
        let gone = gone.filter(|_| current).map(Incoming::error_text);
        let settled = self.outbox.answered(&replies);
        self.settle(settled);
        if self.over.is_some() {
            return;
        }
        match gone {
            Some(_) if self.closing => self.stop(ClientError::Closed),
            // What the link waits for belongs to a session that is no more.
            Some(error) => self.failed(&error, now, dice),
            None => {}
        }
    }

    /// Tells the outcome of tasks.
    fn settle(&mut self, settled: Vec<Settled>) {
        for (queued, outcome) in settled {
            match (&queued.task, &outcome) {
                (Task::Disconnect, _) => self.stop(ClientError::Closed),
                (Task::Subscribe { name, fresh }, Err(error)) => {
                    if *fresh || queued.ticket.is_none() {
                        self.names.remove(name);
                    }
                    if queued.ticket.is_none() {
                        let (name, error) = (name.clone(), error.to_string());
                        self.event(Event::Unsubscribed { name, error });
                    }
                }
                _ => {}
            }
            if let Some(ticket) = queued.ticket {
                self.outputs.push_back(Output::Done(ticket, outcome));
            }
        }
    }

    /// Takes advice, gaps and events out of an answer.
    fn receive(&mut self, replies: &mut [Incoming], current: bool) {
        for message in replies {
            if let Some(advice) = message.advice.as_ref().filter(|_| current) {
                self.advice = Advice::read(advice);
            }
            if message.channel.starts_with("/meta/") {
                for gap in message.gaps() {
                    self.event(Event::Gap { channel: gap.channel, from: gap.from, to: gap.to });
                }
            } else if let Some(data) = message.data.take() {
                let (channel, ext) = (message.channel.clone(), message.ext.take());
                self.event(Event::Message(Message { channel, data, ext }));
            }
        }
    }
}
