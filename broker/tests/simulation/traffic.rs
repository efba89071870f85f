//! Requests and answers: what clients send, how the broker takes it, and what clients read.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use weft_broker::exchange::{Caller, Exchanged};
use weft_protocol::{Body, ConnectionType};

use super::client::{Manner, Request, Sleep};
use super::flight::{Facts, Flight, Pending, Stage, Standing, Watched, watch};
use super::seams::HERE;
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
            // Its head may have come all the same, and the rest comes when the client is long gone. Not
            // where it follows upon a reply of this moment: that was given before it.
            let follows = self.clients[who].read_at == self.now();
            if self.chance.percent(60) && request.is_lone_connect() && !follows {
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
        let caller = Caller {
            browser: client.browser,
            ..Caller::from(HERE, ConnectionType::LongPolling, arrived)
        };
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
            None => Pending::Settling(turn),
            Some(exchanged) => match exchanged.map_err(|error| error.to_string())? {
                Exchanged::Answer(answer) => {
                    let arrival = self.given(who, facts, answer, silent)?;
                    return Ok(Stage::Back(Box::new(arrival)));
                }
                Exchanged::Hold(held) if self.faults && self.chance.percent(25) => watch(held),
                Exchanged::Hold(held) => Pending::Held(held),
            },
        };
        match pending.poll() {
            Some(answer) => Ok(Stage::Back(Box::new(self.given(who, facts, answer, silent)?))),
            None => Ok(Stage::AtBroker(Standing { pending, facts })),
        }
    }

    /// A request at the broker is answered, if it is time for that.
    pub fn tend_flight(&mut self, who: usize) -> Result<(), String> {
        let now = self.now();
        let client = &mut self.clients[who];
        let Some(flight) = &mut client.flight else { return Ok(()) };
        let Stage::AtBroker(Standing { pending, facts }) = &mut flight.stage else { return Ok(()) };
        let facts = *facts;
        let is_watched = matches!(pending, Pending::Watched(_));
        if !matches!(pending, Pending::Settling(_)) {
            client.contact = now;
        }
        let silent = now.saturating_sub(client.contact);
        if let Some(answer) = pending.poll() {
            self.tally.watched += u64::from(is_watched);
            let arrival = Box::new(self.given(who, facts, answer, silent)?);
            if let Some(flight) = &mut self.clients[who].flight {
                flight.stage = Stage::Back(arrival);
            }
        } else if is_watched && client.ledger.owed && facts.heard == Some(client.ledger.heard) {
            return Err(format!("nobody wakes client {who}"));
        } else if is_watched && now >= flight.give_up {
            flight.stage = Stage::Failed;
            self.note(|| format!("client {who} gives up"));
            self.tally.given_up += 1;
        }
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
            self.lose(who, &arrival);
        }
        Ok(())
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
            Stage::Back(arrival) => self.lose(who, &arrival),
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
            Stage::Back(arrival) => self.lose(who, &arrival),
            _ => {}
        }
        self.clients[who].flight = Some(flight);
        Ok(())
    }
}
