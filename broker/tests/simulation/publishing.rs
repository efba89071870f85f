//! Publishers, the disk, and what becomes of the broker's process.

use std::sync::atomic::Ordering;

use weft_broker::core::held::Wakes;
use weft_broker::core::publishing::Publication;

use super::channels::{self, NAMES};
use super::flight::Stage;
use super::ledger::Out;
use super::life::Life;
use super::world::World;

impl World {
    pub fn next_publication(&mut self) -> (usize, u32) {
        self.number += 1;
        (self.chance.below(NAMES.len()), self.number)
    }

    /// Somebody who is no session publishes, now and then a lot.
    pub fn publish(&mut self) {
        let (channel, _) = self.next_publication();
        let most = if self.chance.percent(12) { 25 } else { 4 };
        let count = 1 + self.chance.below(most);
        if self.chance.percent(20) && count <= self.plan.options.queue.messages.min(8) {
            return self.publish_together(channel, count);
        }
        let mut wakes = Wakes::default();
        for _ in 0..count {
            self.number += 1;
            let (number, before) = (self.number, self.life.broker.last_position());
            let data = number.to_string();
            let publication = Publication::new(channels::name(channel), &data);
            let published = self.life.broker.publish(&publication, &mut wakes);
            self.note(|| format!("publish {number} on {}: {published:?}", NAMES[channel]));
            self.placed(channel, number, before, None);
        }
    }

    /// One request with many messages.
    fn publish_together(&mut self, channel: usize, count: usize) {
        let numbers: Vec<u32> = (0..count).map(|_| self.next_publication().1).collect();
        let data: Vec<String> = numbers.iter().map(u32::to_string).collect();
        let name = channels::name(channel);
        let all: Vec<_> = data.iter().map(|data| Publication::new(name, data)).collect();
        let before = self.life.broker.last_position();
        let published = self.life.broker.publish_all(&all, &mut Wakes::default());
        self.note(|| format!("publish {numbers:?} on {}: {published:?}", NAMES[channel]));
        let last = self.life.broker.last_position();
        if last == before {
            self.tally.refused += 1;
            return;
        }
        // All at one moment, so one after the other.
        let first = last + 1 - i64::try_from(count).expect("few");
        for (number, position) in numbers.into_iter().zip(first..) {
            self.settle_place(channel, number, position, None);
        }
    }

    /// A message was handed to the broker, which may have given it a number.
    pub fn placed(&mut self, channel: usize, number: u32, before: i64, from: Option<usize>) {
        let position = self.life.broker.last_position();
        if position == before {
            self.tally.refused += 1;
        } else {
            self.settle_place(channel, number, position, from);
        }
    }

    fn settle_place(&mut self, channel: usize, number: u32, position: i64, from: Option<usize>) {
        if channels::awaits_disk(channel) {
            self.awaited.push_back((channel, number, position));
        } else {
            self.out(channel, number, position, from);
        }
    }

    /// A message is out: enters it into the books of all whom it must reach.
    fn out(&mut self, channel: usize, number: u32, position: i64, from: Option<usize>) {
        self.tally.published += 1;
        let out = Out { number, position, life: self.life.number };
        let last = self.log[channel].last();
        assert!(last.is_none_or(|last| last.position < position), "{out:?} after {last:?}");
        self.log[channel].push(out);
        for (who, client) in self.clients.iter_mut().enumerate() {
            if client.life != self.life.number || client.gone {
                continue;
            }
            if channels::spares_publisher(channel) && from == Some(who) {
                client.ledger.passed_by(channel);
            } else {
                client.ledger.published(channel, out);
            }
        }
    }

    /// The disk gets some of what waits for it.
    pub fn commit_some(&mut self) {
        let most = if self.chance.percent(20) { 1_000 } else { self.chance.below(8) };
        self.commit(most);
        if self.chance.percent(30) {
            let channel = self.chance.below(NAMES.len());
            let keep = self.plan.options.rules.of(channels::name(channel)).keep;
            let backlog = &self.life.broker.store().expect("there is one").backlog;
            // Where the store cannot be read, it trims later.
            let _ = backlog.trim(NAMES[channel], &keep, 0);
        }
    }

    pub fn commit(&mut self, most: usize) {
        for _ in 0..most {
            let mut stored = Vec::new();
            // What awaits the disk is out when the commit is settled; nobody looks in between.
            let hand = std::sync::Arc::clone(&self.life.hand);
            if !hand.commit(|record| stored.push(record.position)) {
                return;
            }
            self.committed = true;
            self.note_doubts();
            for position in stored {
                let at = self.awaited.iter().position(|(_, _, other)| *other == position);
                let (channel, number, position) =
                    at.and_then(|at| self.awaited.remove(at)).expect("it was published");
                self.note(|| format!("{number} on {} is on disk", NAMES[channel]));
                self.tally.awaited += 1;
                self.out(channel, number, position, None);
            }
        }
    }

    /// The store fails or recovers.
    pub fn trouble(&mut self) {
        let fails = self.chance.percent(40);
        match self.chance.below(3) {
            0 => {
                self.disk.unwritable.store(fails, Ordering::Relaxed);
                self.tally.unwritable += u64::from(fails);
                if !fails {
                    self.life.hand.recover();
                    self.note_unstored();
                }
            }
            1 => {
                self.disk.unreadable.store(fails, Ordering::Relaxed);
                self.tally.unreadable += u64::from(fails);
            }
            _ => self.life.hand.full.store(fails, Ordering::Relaxed),
        }
        let disk = std::sync::Arc::clone(&self.disk);
        self.note(|| format!("the store: {disk:?}"));
    }

    fn note_unstored(&mut self) {
        for (name, to) in &*self.disk.raised.lock() {
            let channel = channels::index(name).expect("one of ours");
            self.doubts.unstored[channel] = *to;
        }
    }

    /// The store works again.
    pub fn repair(&mut self) {
        self.disk.unwritable.store(false, Ordering::Relaxed);
        self.disk.unreadable.store(false, Ordering::Relaxed);
        self.life.hand.full.store(false, Ordering::Relaxed);
        assert!(self.life.hand.recover(), "nothing keeps it from writing");
        self.note_unstored();
    }

    /// The process ends, and another begins: what was not written is gone if the stop is not clean.
    pub fn stop(&mut self, clean: bool) -> Result<(), String> {
        self.note(|| format!("a stop, clean: {clean}"));
        if clean {
            self.tally.stops += 1;
            self.life.broker.drain();
            self.tend()?;
            self.repair();
            self.commit(usize::MAX);
            self.tend()?;
        } else {
            self.tally.crashes += 1;
            self.disk.unwritable.store(false, Ordering::Relaxed);
            self.disk.unreadable.store(false, Ordering::Relaxed);
        }
        self.awaited.clear();
        self.tally.spills += self.life.stats.spills.get();
        for client in &mut self.clients {
            client.ghosts.clear();
            let Some(flight) = &mut client.flight else { continue };
            if matches!(flight.stage, Stage::AtBroker(_)) {
                flight.stage = Stage::Failed;
            }
        }
        let floors = self.life.end(clean);
        let number = self.life.number + 1;
        self.life = Life::begin(number, &self.plan, &self.disk, &self.clock, &self.ids, floors);
        self.doubts.life = number;
        (self.doubts.started, self.doubts.doubt) = (self.life.started, self.life.doubt);
        (self.doubts.gave_up, self.doubts.unreadable) = (false, false);
        self.disk.failed_reads.store(0, Ordering::Relaxed);
        Ok(())
    }
}
