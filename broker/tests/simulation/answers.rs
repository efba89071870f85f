//! Answers: what the broker says by them, and what clients make of them.

use std::sync::atomic::Ordering;
use std::time::Duration;

use weft_broker::exchange::Answer;

use super::book::Count;
use super::doubts::Doubts;
use super::flight::{Arrival, Facts};
use super::wire::{Connected, Reply};
use super::world::World;

/// What may stand in an answer besides events, in bytes, what with each of them, and what a gap takes.
const BESIDES_EVENTS: usize = 600;
const POSITION: usize = 50;
const GAP: usize = 100;

impl World {
    /// The broker has answered: what does that say of the session?
    pub fn given(
        &mut self,
        who: usize,
        facts: Facts,
        answer: Answer,
        silent: Duration,
    ) -> Result<Arrival, String> {
        let name = |what| format!("client {who}: {what}");
        let reply = Reply::read(&answer.text).map_err(name)?;
        self.note(|| format!("client {who} is to get {}", answer.text));
        self.check_size(&reply, answer.text.len()).map_err(name)?;
        self.note_doubts();
        let now = self.now();
        let mut arrival = Arrival {
            reply,
            carries: answer.carries,
            facts,
            doubts: self.doubts,
            given: now,
            serial: None,
            held_up: None,
        };
        let reply = &arrival.reply;
        self.tally.demotions += u64::from(reply.demoted);
        self.tally.sessions += u64::from(reply.client_id.is_some());
        let client = &mut self.clients[who];
        if facts.epoch != client.epoch || facts.epoch == 0 || reply.client_id.is_some() {
            return Ok(arrival);
        }
        if client.life != facts.life {
            let known = || name("a session outlives its broker".to_owned());
            return if reply.unknown { Ok(arrival) } else { Err(known()) };
        }
        if reply.subscribed {
            let (asked, starts) = (client.asked(), client.starts());
            let readable = !self.disk.unreadable.load(Ordering::Relaxed);
            let doubts = Doubts { unreadable: !readable, ..self.doubts };
            client.ledger.join(asked, |channel| starts[channel], &self.log, &doubts);
            self.tally.replays += u64::from(client.kind.replay);
        }
        if reply.disconnected {
            client.gone = true;
        }
        if reply.unknown {
            self.tally.strangers += 1;
            self.check_unknown(who, &arrival, silent)?;
        } else if reply.connected == Some(Connected::Well) && !client.gone {
            let id = facts.connect.unwrap_or_default();
            let serial = client.ledger.give(reply, facts, id, now).map_err(name)?;
            arrival.serial = Some(serial);
        }
        Ok(arrival)
    }

    /// A reply stays within its bounds, but for one message, which always fits.
    fn check_size(&self, reply: &Reply, bytes: usize) -> Result<(), String> {
        let (events, response) = (reply.events.len(), self.plan.options.response());
        let rest = BESIDES_EVENTS + events * POSITION + reply.gaps.len() * GAP;
        let too_long = bytes.saturating_sub(rest) > response.bytes;
        if events > 1 && (events > response.messages || too_long) {
            return Err(format!("{events} events, {bytes} bytes in all: {reply:?}"));
        }
        Ok(())
    }

    /// A session is unknown only if it was silent for long, ended, or passed its bounds.
    fn check_unknown(
        &mut self,
        who: usize,
        arrival: &Arrival,
        silent: Duration,
    ) -> Result<(), String> {
        let alive = self.plan.alive();
        let client = &mut self.clients[who];
        let reply = &arrival.reply;
        if client.gone {
            return Ok(());
        }
        if !reply.gaps.is_empty() {
            if !self.plan.ends_overrun {
                return Err(format!("client {who} is thrown out: {reply:?}"));
            }
            self.tally.overruns += 1;
            client.gone = true;
            for gap in &reply.gaps {
                client.ledger.read_gap(gap, &self.doubts, false)?;
            }
            // Whoever holds positions asks again for what it may not have been told of: a past that it
            // asked for when its queue was given up already.
            let missing = client.ledger.missing();
            if missing.is_empty() || client.kind.replay {
                return Ok(());
            }
            return Err(format!("client {who} is thrown out without {missing:?}: {reply:?}"));
        }
        if silent >= alive {
            client.gone = true;
        } else if client.ledger.fought() {
            self.tally.fights += 1;
        } else {
            return Err(format!("client {who} is a stranger after {silent:?}"));
        }
        Ok(())
    }

    /// Nobody will ever read an answer.
    pub fn lose(&mut self, who: usize, arrival: &Arrival) {
        self.note(|| format!("client {who} never sees {:?}", arrival.reply));
        self.tally.lost_replies += 1;
        let client = &mut self.clients[who];
        if arrival.is_of(client.epoch) && client.life == self.life.number {
            client.ledger.excuse_gaps(&arrival.reply.subscribe_gaps);
        }
    }

    pub fn read(&mut self, who: usize, arrival: &Arrival) -> Result<(), String> {
        self.note(|| format!("client {who} reads it"));
        let now = self.now();
        let client = &mut self.clients[who];
        client.read_at = now;
        let Arrival { reply, facts, doubts, serial, given, .. } = arrival;
        if facts.epoch != 0 && facts.epoch != client.epoch {
            return Ok(());
        }
        self.tally.gaps += (reply.gaps.len() + reply.subscribe_gaps.len()) as u64;
        let told = |what| format!("client {who}: {what}");
        for gap in &reply.subscribe_gaps {
            client.ledger.read_gap(gap, doubts, true).map_err(told)?;
        }
        if let Some(serial) = *serial {
            let again = client.ledger.read(reply, serial, doubts).map_err(told)?;
            self.tally.repeated += again;
        }
        let before = client.epoch;
        let (books, resent) = (client.ledger.count(), client.ledger.resent);
        client.read(reply, now, *given, facts.life);
        if client.epoch != before {
            self.close(books, resent);
        }
        Ok(())
    }

    /// A session's books are closed.
    pub fn close(&mut self, Count { received, told, lost }: Count, resent: u64) {
        self.tally.received += received;
        self.tally.told += told;
        self.tally.lost += lost;
        self.tally.resends += resent;
    }
}
