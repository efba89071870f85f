//! The end of a run: all that was promised arrives, and nothing is left of anybody.

use std::time::Duration;

use weft_broker::core::broker::Census;

use super::flight::Stage;
use super::world::World;

/// How often everybody gets a turn until all must have arrived.
const ROUNDS: usize = 1_000;

impl World {
    /// No more faults: everything promised must come.
    ///
    /// # Errors
    /// What does not come.
    pub fn settle(&mut self) -> Result<(), String> {
        self.faults = false;
        self.late.clear();
        self.repair();
        for round in 0..ROUNDS {
            self.commit(usize::MAX);
            for who in 0..self.clients.len() {
                if let Some(flight) = &mut self.clients[who].flight
                    && matches!(flight.stage, Stage::Silent)
                {
                    flight.stage = Stage::Failed;
                }
                // It gets its answer, and sends the next request.
                self.tick(who)?;
                self.tick(who)?;
            }
            self.pass(Duration::from_millis(700))?;
            if round.is_multiple_of(4) {
                self.audit()?;
            }
            if round > 3
                && self.clients.iter().all(|client| {
                    client.subscribed
                        && client.life == self.life.number
                        && client.ledger.missing().is_empty()
                })
            {
                break;
            }
        }
        for (who, client) in self.clients.iter().enumerate() {
            let missing = client.ledger.missing();
            if !missing.is_empty() || !client.subscribed {
                let kind = client.kind;
                return Err(format!("client {who} still misses {missing:?}: {kind:?}"));
            }
        }
        for who in 0..self.clients.len() {
            let ledger = &self.clients[who].ledger;
            let (books, resent) = (ledger.count(), ledger.resent);
            self.close(books, resent);
        }
        Ok(())
    }

    /// Everybody leaves, one way or another; nothing may be left of them.
    ///
    /// # Errors
    /// What is left.
    pub fn leave(&mut self) -> Result<(), String> {
        for who in 0..self.clients.len() {
            self.clients[who].flight = None;
            self.clients[who].ghosts.clear();
            if who % 2 == 0 {
                self.say_goodbye(who)?;
            }
        }
        self.pass(self.plan.alive() * 3)?;
        self.audit()?;
        self.tally.spills += self.life.stats.spills.get();
        let census = self.life.broker.census();
        if census != Census::default() {
            return Err(format!("left behind: {census:?}"));
        }
        if self.life.broker.browsers_known() > 0 {
            return Err("browsers left behind".to_owned());
        }
        let (_, kept) = self.life.broker.past_kept();
        if self.life.broker.frame_bytes() > kept {
            return Err("messages left behind".to_owned());
        }
        Ok(())
    }
}
