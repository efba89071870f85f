//! Requests and answers: what clients send, how the broker takes it, and what clients read.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use weft_broker::exchange::{Answer, Caller, Exchanged};
use weft_protocol::{Body, ConnectionType};

use super::book::Count;
use super::client::{Manner, Request, Sleep};
use super::flight::{Arrival, Facts, Flight, Pending, Stage, Standing, Watched, watch};
use super::known;
use super::wire::{Connected, Reply};
use super::world::World;

impl World {
    /// A client's turn: the network moves its request, or it sends one.
    pub fn tick(&mut self, who: usize) -> Result<(), String> {
        match &self.clients[who].flight {
            None => self.act(who),
            Some(Flight { stage: Stage::Failed, .. }) => {
                self.clients[who].fail();
                self.act(who)
            }
            Some(_) => self.move_flight(who),
        }
    }

    /// A client that waits for nothing sends what it has to send.
    fn act(&mut self, who: usize) -> Result<(), String> {
        let now = self.now();
        let client = &mut self.clients[who];
        if let Some(Sleep { until, stirs }) = client.sleep {
            if now < until && self.faults {
                let quiet = now.saturating_sub(client.contact);
                let stirs = stirs && quiet > Duration::from_secs(12) && client.session.is_some();
                return if stirs { self.stir(who) } else { Ok(()) };
            }
            client.sleep = None;
        }
        if now < client.not_before {
            return Ok(());
        }
        if self.faults && self.chance.percent(3) && self.clients[who].subscribed {
            self.tally.slept += 1;
            let stirs = self.chance.percent(50);
            let most = if stirs { 180_000 } else { 29_000 };
            let until = now + Duration::from_millis(self.chance.below(most) as u64);
            self.clients[who].sleep = Some(Sleep { until, stirs });
            return Ok(());
        }
        let client = &mut self.clients[who];
        let request = if client.session.is_none() {
            client.handshake()
        } else if !client.subscribed {
            client.subscribe()
        } else {
            let batches = client.kind.manner == Manner::FayeLike && self.faults;
            let along = if batches && self.chance.percent(15) {
                Some(self.next_publication())
            } else {
                None
            };
            self.clients[who].connect(&mut self.chance, along)
        };
        self.set_out(who, request)
    }

    /// A request leaves its client, and may or may not reach the broker.
    fn set_out(&mut self, who: usize, request: Request) -> Result<(), String> {
        let request = Rc::new(request);
        let patience =
            if self.faults && self.chance.percent(15) { 20_000 } else { 20_000 + 35_000 };
        let patience = patience - self.chance.below(18_000) as u64;
        let give_up = self.now() + Duration::from_millis(patience);
        let mut flight = Flight { request: Rc::clone(&request), stage: Stage::Failed, give_up };
        if self.faults && self.chance.percent(4) {
            self.note(|| format!("client {who} sends into the void {}", request.text));
            // Its head may have come all the same, and the rest comes when the client is long gone.
            if self.chance.percent(60) && request.is_lone_connect() {
                // Before whatever else happens at this very moment of virtual time.
                let arrived = self.instant() - Duration::from_nanos(1);
                self.late.push(super::world::Late { who, request, arrived });
            }
        } else {
            flight.stage = self.reach_broker(who, &request, self.instant())?;
            if let Stage::AtBroker(Standing { pending, .. }) = &flight.stage
                && matches!(pending, Pending::Watched(_))
            {
                let most = Duration::from_millis(self.chance.below(29_000) as u64);
                flight.give_up = give_up.min(self.now() + most);
            }
        }
        // A handshake's answer has not been read, so the client is still who it was.
        self.clients[who].flight = Some(flight);
        Ok(())
    }

    /// The broker gets a request.
    pub fn reach_broker(
        &mut self,
        who: usize,
        request: &Rc<Request>,
        arrived: Instant,
    ) -> Result<Stage, String> {
        self.note(|| format!("client {who} sends {}", request.text));
        let now = self.now();
        let client = &mut self.clients[who];
        let silent = now.saturating_sub(client.contact);
        let is_current = request.epoch == client.epoch && client.life == self.life.number;
        if is_current || request.epoch == 0 {
            client.contact = now;
        }
        let caller =
            Caller { browser: client.browser, transport: ConnectionType::LongPolling, arrived };
        let (text, exchange) = (request.text.clone(), Arc::clone(&self.life.exchange));
        let mut turn = Watched::new(async move {
            let body = Body::post(text.as_bytes())?;
            exchange.handle(caller, &body).await
        });
        let before = self.life.broker.last_position();
        let exchanged = turn.poll();
        if let Some((channel, number)) = request.publish {
            self.placed(channel, number, before, Some(who));
        }
        let mut facts = Facts {
            epoch: request.epoch,
            life: self.life.number,
            heard: None,
            settling: false,
            connect: request.connect.map(|connect| connect.id),
        };
        if let Some(connect) = request.connect.filter(|_| is_current) {
            let arrived = self.clock.since_start(arrived);
            let ledger = &mut self.clients[who].ledger;
            if ledger.heard(&connect, arrived) {
                facts.heard = Some(ledger.heard);
            } else {
                self.tally.stale += 1;
            }
        }
        let mut pending = match exchanged {
            None => {
                facts.settling = true;
                Pending::Settling(turn)
            }
            Some(exchanged) => match exchanged.map_err(|error| error.to_string())? {
                Exchanged::Answer(answer) => {
                    let arrival = self.given(who, facts, answer, silent)?;
                    return Ok(Stage::Back(arrival));
                }
                Exchanged::Hold(held) if self.faults && self.chance.percent(25) => watch(held),
                Exchanged::Hold(held) => Pending::Held(held),
            },
        };
        match pending.poll() {
            Some(answer) => Ok(Stage::Back(self.given(who, facts, answer, silent)?)),
            None => Ok(Stage::AtBroker(Standing { pending, facts })),
        }
    }

    /// The broker has answered: what does that say of the session?
    fn given(
        &mut self,
        who: usize,
        facts: Facts,
        answer: Answer,
        silent: Duration,
    ) -> Result<Arrival, String> {
        let name = |what| format!("client {who}: {what}");
        let reply = Reply::read(&answer.text).map_err(name)?;
        self.note(|| format!("client {who} is to get {}", answer.text));
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
            let (wants, starts) = (client.wants, client.starts());
            client.ledger.join(wants, |channel| starts[channel], &self.log, &self.doubts);
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
            client.gone |= self.plan.ends_overrun && known::told_too_early(facts, &reply.gaps);
        }
        Ok(arrival)
    }

    /// A session is unknown only if it was silent for long, ended, or passed its bounds.
    fn check_unknown(
        &mut self,
        who: usize,
        arrival: &Arrival,
        silent: Duration,
    ) -> Result<(), String> {
        let (now, alive) = (self.now(), self.plan.alive());
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
            let mut missing = client.ledger.missing();
            missing.retain(|missing| !known::out_after_the_end(missing, &reply.gaps));
            let told = format!("client {who} is thrown out and not told of {missing:?}: {reply:?}");
            return if missing.is_empty() { Ok(()) } else { Err(told) };
        }
        if silent >= alive {
            client.gone = true;
        } else if client.ledger.fought(now) {
            self.tally.fights += 1;
        } else {
            return Err(format!("client {who} is a stranger after {silent:?}"));
        }
        Ok(())
    }

    pub fn tend_flight(&mut self, who: usize) -> Result<(), String> {
        let now = self.now();
        let client = &mut self.clients[who];
        let Some(mut flight) = client.flight.take() else { return Ok(()) };
        if let Stage::AtBroker(standing) = &mut flight.stage {
            let facts = standing.facts;
            let is_watched = matches!(standing.pending, Pending::Watched(_));
            if !matches!(standing.pending, Pending::Settling(_)) {
                client.contact = now;
            }
            let silent = now.saturating_sub(client.contact);
            if let Some(answer) = standing.pending.poll() {
                self.tally.watched += u64::from(is_watched);
                flight.stage = Stage::Back(self.given(who, facts, answer, silent)?);
            } else if is_watched && client.ledger.owed && facts.heard == Some(client.ledger.heard) {
                return Err(format!("nobody wakes client {who}"));
            } else if is_watched && now >= flight.give_up {
                self.note(|| format!("client {who} gives up"));
                self.tally.given_up += 1;
                flight.stage = Stage::Failed;
            }
        }
        self.clients[who].flight = Some(flight);
        Ok(())
    }

    pub fn tend_ghosts(&mut self, who: usize) -> Result<(), String> {
        if self.clients[who].ghosts.is_empty() {
            return Ok(());
        }
        let now = self.now();
        let mut ghosts = std::mem::take(&mut self.clients[who].ghosts);
        let mut lost = Vec::new();
        ghosts.retain_mut(|ghost| {
            if ghost.pending.is_waiting() {
                self.clients[who].contact = now;
            }
            let silent = now.saturating_sub(self.clients[who].contact);
            let answer = ghost.pending.poll();
            answer.map(|answer| lost.push((ghost.facts, answer, silent))).is_none()
        });
        self.clients[who].ghosts = ghosts;
        for (facts, answer, silent) in lost {
            let arrival = self.given(who, facts, answer, silent)?;
            self.lose(who, arrival);
        }
        Ok(())
    }

    /// Nobody will ever read an answer.
    pub fn lose(&mut self, who: usize, arrival: Arrival) {
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

    /// A connect whose client is gone comes to the broker at last. If nothing newer has come since,
    /// it counts as any other; its answer goes nowhere.
    pub fn come_late(&mut self) -> Result<(), String> {
        if self.late.is_empty() {
            return Ok(());
        }
        let late = self.late.swap_remove(self.chance.below(self.late.len()));
        self.tally.late += 1;
        self.note(|| format!("client {}'s lost request comes late", late.who));
        // On a socket of its own, it is new to the broker.
        let arrived = if self.chance.percent(20) { self.instant() } else { late.arrived };
        self.haunt(late.who, &late.request, arrived)
    }

    /// A request reaches the broker, and nobody waits for the answer.
    pub fn haunt(
        &mut self,
        who: usize,
        request: &Rc<Request>,
        arrived: Instant,
    ) -> Result<(), String> {
        match self.reach_broker(who, request, arrived)? {
            Stage::AtBroker(standing) if standing.pending.may_haunt() => {
                self.clients[who].ghosts.push(standing);
            }
            Stage::Back(arrival) => self.lose(who, arrival),
            _ => {}
        }
        Ok(())
    }

    /// The network delivers a connect a second time; the client reads one of the two answers.
    pub fn duplicate(&mut self, who: usize, mut flight: Flight) -> Result<(), String> {
        self.tally.duplicates += 1;
        self.note(|| format!("client {who}'s request comes twice"));
        let arrived = self.instant();
        let mut stage = self.reach_broker(who, &flight.request, arrived)?;
        // The older of the two was let go.
        self.clients[who].flight = Some(flight);
        self.tend_flight(who)?;
        flight = self.clients[who].flight.take().expect("it was put there");
        if self.chance.percent(50) {
            std::mem::swap(&mut stage, &mut flight.stage);
        }
        match stage {
            Stage::AtBroker(standing) if standing.pending.may_haunt() => {
                self.clients[who].ghosts.push(standing);
            }
            Stage::Back(arrival) => self.lose(who, arrival),
            _ => {}
        }
        self.clients[who].flight = Some(flight);
        Ok(())
    }
}

impl Request {
    pub fn is_lone_connect(&self) -> bool {
        self.connect.is_some_and(|connect| connect.alone)
    }
}
