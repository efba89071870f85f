//! What the network and the clients' own moods do: sockets that die, answers that are lost or late,
//! requests on the side.

use std::rc::Rc;
use std::time::Duration;

use super::channels::{self, NAMES};
use super::client::Request;
use super::flight::{Flight, Stage};
use super::world::World;

impl World {
    /// What the network does with a client's request or its answer.
    pub fn move_flight(&mut self, who: usize) -> Result<(), String> {
        let Some(flight) = self.clients[who].flight.take() else { return Ok(()) };
        if self.now() >= flight.give_up && self.faults {
            self.note(|| format!("client {who} gives up"));
            self.tally.given_up += 1;
            self.let_go(who, flight);
            return Ok(());
        }
        match flight.stage {
            Stage::AtBroker(_) => self.move_standing(who, flight),
            Stage::Back(_) => self.move_answer(who, flight),
            Stage::Failed | Stage::Silent => {
                self.clients[who].flight = Some(flight);
                Ok(())
            }
        }
    }

    /// The client does not wait any more: does the broker see that?
    fn let_go(&mut self, who: usize, mut flight: Flight) {
        let unseen = self.chance.percent(50);
        match std::mem::replace(&mut flight.stage, Stage::Failed) {
            Stage::AtBroker(standing) if unseen && standing.pending.may_haunt() => {
                self.clients[who].ghosts.push(standing);
            }
            Stage::Back(arrival) => self.lose(who, &arrival),
            _ => {}
        }
        self.clients[who].flight = Some(flight);
    }

    fn move_standing(&mut self, who: usize, mut flight: Flight) -> Result<(), String> {
        let luck = if self.faults { self.chance.below(100) } else { 100 };
        match luck {
            0..4 => {
                self.note(|| format!("client {who}'s socket closes"));
                self.tally.cut_seen += 1;
                flight.stage = Stage::Failed;
            }
            4..7 => {
                self.note(|| format!("client {who}'s socket dies unseen"));
                self.tally.cut_unseen += 1;
                match std::mem::replace(&mut flight.stage, Stage::Failed) {
                    Stage::AtBroker(standing) if standing.pending.may_haunt() => {
                        self.clients[who].ghosts.push(standing);
                    }
                    _ => {}
                }
            }
            7..9 => {
                self.note(|| format!("client {who} hears no more of its request"));
                self.tally.half_closed += 1;
                flight.stage = Stage::Silent;
            }
            9..13 if flight.request.is_lone_connect() => return self.duplicate(who, flight),
            _ => {}
        }
        self.clients[who].flight = Some(flight);
        Ok(())
    }

    /// Something on the way delivers a client's connect again and again.
    pub fn storm(&mut self, who: usize) -> Result<(), String> {
        for _ in 0..8 {
            let Some(flight) = self.clients[who].flight.take() else { return Ok(()) };
            if !flight.request.is_lone_connect() || !matches!(flight.stage, Stage::AtBroker(_)) {
                self.clients[who].flight = Some(flight);
                return Ok(());
            }
            self.duplicate(who, flight)?;
        }
        Ok(())
    }

    fn move_answer(&mut self, who: usize, mut flight: Flight) -> Result<(), String> {
        let now = self.now();
        let Stage::Back(arrival) = &mut flight.stage else { return Ok(()) };
        if arrival.held_up.is_some_and(|until| now < until) && self.faults {
            self.clients[who].flight = Some(flight);
            return Ok(());
        }
        let was_late = arrival.held_up.is_some();
        let luck = if self.faults && !was_late { self.chance.below(100) } else { 100 };
        match luck {
            0..6 => {
                let Stage::Back(arrival) = std::mem::replace(&mut flight.stage, Stage::Failed)
                else {
                    return Ok(());
                };
                self.lose(who, &arrival);
            }
            6..9 => {
                self.note(|| format!("client {who}'s answer cannot be written"));
                self.tally.unwritten += 1;
                self.fail_to_write(who, flight);
                return Ok(());
            }
            9..13 => {
                self.tally.delayed += 1;
                let by = Duration::from_millis(self.chance.below(40_000) as u64);
                arrival.held_up = Some(now + by);
            }
            13..16 if flight.request.is_lone_connect() => return self.duplicate(who, flight),
            _ => {
                let Stage::Back(arrival) = flight.stage else { return Ok(()) };
                self.tally.late_reads += u64::from(was_late);
                return self.read(who, &arrival);
            }
        }
        self.clients[who].flight = Some(flight);
        Ok(())
    }

    fn fail_to_write(&mut self, who: usize, mut flight: Flight) {
        if let Stage::Back(arrival) = std::mem::replace(&mut flight.stage, Stage::Failed) {
            let client = &mut self.clients[who];
            if let Some((session, reply_no)) = &arrival.carries {
                session.write_failed(*reply_no);
            }
            if let Some(serial) = arrival.serial.filter(|_| arrival.is_of(client.epoch)) {
                client.ledger.write_failed(serial);
            }
            self.lose(who, &arrival);
        }
        self.clients[who].flight = Some(flight);
    }

    /// A client says something besides its connects.
    pub fn speak(&mut self, who: usize) -> Result<(), String> {
        let client = &self.clients[who];
        if client.session.is_none() || !client.subscribed {
            return Ok(());
        }
        if self.chance.percent(80) {
            let (mut channel, number) = self.next_publication();
            // Who hears of a channel that spares its publishers is one of them.
            if self.chance.percent(30) {
                let spares = (0..NAMES.len()).find(|channel| channels::spares_publisher(*channel));
                channel = spares.unwrap_or(channel);
            }
            let request = self.clients[who].publish(channel, number);
            return self.send_aside(who, request);
        }
        if client.asks < client.wants.len() {
            self.clients[who].asks = client.wants.len();
            self.tally.asked_more += 1;
            let request = self.clients[who].subscribe();
            return self.send_aside(who, request);
        }
        // Whoever holds positions would read again what is on its way.
        if client.kind.replay {
            return self.stir(who);
        }
        let asked = client.asked();
        let pattern = asked[self.chance.below(asked.len())];
        let request = self.clients[who].unsubscribe(Some(pattern));
        self.tally.unsubscribed += 1;
        self.send_aside(who, request)
    }

    /// A sign of life, and no more.
    pub fn stir(&mut self, who: usize) -> Result<(), String> {
        let request = self.clients[who].unsubscribe(None);
        self.send_aside(who, request)
    }

    pub fn say_goodbye(&mut self, who: usize) -> Result<(), String> {
        if self.clients[who].session.is_none() {
            return Ok(());
        }
        let request = self.clients[who].goodbye();
        self.send_aside(who, request)
    }

    /// Sends a request on another socket, and reads the answer if it comes at once.
    fn send_aside(&mut self, who: usize, request: Request) -> Result<(), String> {
        let leaves = request.leaves;
        let request = Rc::new(request);
        match self.reach_broker(who, &request, self.instant())? {
            Stage::AtBroker(standing) => self.clients[who].ghosts.push(standing),
            Stage::Back(arrival) => {
                if let Some(pattern) = leaves.filter(|_| !arrival.reply.unknown) {
                    let last = self.life.broker.last_position();
                    let client = &mut self.clients[who];
                    client.ledger.leave(pattern, last);
                    client.subscribed = false;
                }
                if self.faults && self.chance.percent(10) {
                    self.lose(who, &arrival);
                } else {
                    self.read(who, &arrival)?;
                }
            }
            Stage::Failed | Stage::Silent => {}
        }
        Ok(())
    }
}
