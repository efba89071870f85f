//! Everything there is: the broker, the network, the clients, and chance.

use std::collections::VecDeque;
use std::fmt::Write;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use weft_broker::core::clock::Clock;
use weft_broker::core::id::BrowserId;
use weft_broker::core::options::Options;
use weft_persistence::Submit;

use super::channels::{NAMES, PATTERNS, PerChannel};
use super::client::{Client, Kind, Request};
use super::doubts::Doubts;
use super::flight::{Pending, Stage};
use super::ledger::Out;
use super::life::Life;
use super::plan::{Plan, Temper};
use super::seams::{Chance, SeededIds, VirtualClock};
use super::tally::Tally;
use crate::common::disk::Disk;

/// What one request, and a message that each session reads at least, may cost beyond the bounds.
const BEYOND: usize = 12_000;

/// How many steps a trace goes back.
const TRACE: usize = 60;

/// A connect on its way whose client does not wait for it any more.
#[derive(Debug)]
pub struct Late {
    pub who: usize,
    pub request: Rc<Request>,
    /// When its head arrived.
    pub arrived: Instant,
}

/// See the module.
pub struct World {
    pub plan: Plan,
    pub clock: Arc<VirtualClock>,
    pub ids: Arc<SeededIds>,
    pub disk: Arc<Disk>,
    pub life: Life,
    pub chance: Chance,
    pub clients: Vec<Client>,
    /// What is out, by channel.
    pub log: PerChannel<Vec<Out>>,
    /// What waits for the disk: channel, number, position, and who is to be spared.
    pub awaited: VecDeque<(usize, u32, i64)>,
    pub number: u32,
    pub faults: bool,
    pub late: Vec<Late>,
    pub doubts: Doubts,
    pub tally: Tally,
    /// The last that happened is a commit, which makes room in memory.
    pub committed: bool,
    audit_every: u64,
    steps: u64,
    trace: Option<VecDeque<String>>,
}

impl World {
    /// A world that is audited after each so many steps.
    pub fn new(seed: u64, audit_every: u64, traced: bool) -> Self {
        let mut chance = Chance::new(seed);
        let plan = Plan::draw(&mut chance);
        let (clock, disk) = (VirtualClock::new(), Disk::new());
        // So that something may have come a moment before the first step.
        clock.advance(Duration::from_millis(1));
        let ids = Arc::new(SeededIds(Mutex::new(Chance::new(seed ^ 0xabcdef))));
        let life = Life::begin(1, &plan, &disk, &clock, &ids, (0, 0));
        let count = 8 + chance.below(5);
        let clients = (0..count).map(|name| {
            // Two tabs of one browser, one of another, and the rest without cookies.
            let browser = [Some(1), Some(1), Some(2)].get(name).copied().flatten();
            let wants = PATTERNS[chance.below(PATTERNS.len())];
            Client::new(Kind::draw(&mut chance), browser.map(|b| BrowserId([b; 16])), wants)
        });
        let clients = clients.collect();
        let doubts = Doubts {
            life: 1,
            started: life.started,
            forgets: plan.forgets,
            poor: plan.poor,
            spills: plan.spills,
            ..Doubts::default()
        };
        Self {
            plan,
            clock,
            ids,
            disk,
            life,
            chance,
            clients,
            log: [const { Vec::new() }; NAMES.len()],
            awaited: VecDeque::new(),
            number: 0,
            faults: true,
            late: Vec::new(),
            doubts,
            tally: Tally::default(),
            committed: false,
            audit_every,
            steps: 0,
            trace: traced.then(VecDeque::new),
        }
    }

    pub fn trace(&self) -> String {
        self.trace.iter().flatten().fold(String::new(), |mut all, line| {
            let _ = writeln!(all, "  {line}");
            all
        })
    }

    pub fn note(&mut self, line: impl FnOnce() -> String) {
        let Some(trace) = &mut self.trace else { return };
        if trace.len() == TRACE {
            trace.pop_front();
        }
        trace.push_back(format!("{:9.3?} {}", self.clock.elapsed(), line()));
    }

    pub fn now(&self) -> Duration {
        self.clock.elapsed()
    }

    pub fn anybody(&mut self) -> usize {
        self.chance.below(self.clients.len())
    }

    /// Runs with faults, then without until all is delivered, then everybody leaves.
    ///
    /// # Errors
    /// What does not hold.
    pub fn run(&mut self, steps: u64) -> Result<Tally, String> {
        for _ in 0..steps {
            self.step()?;
            self.tally.steps += 1;
        }
        self.settle()?;
        self.leave()?;
        Ok(self.tally)
    }

    fn step(&mut self) -> Result<(), String> {
        let Temper { publish, commit, pass, trouble, crash, stop, leave } = self.plan.temper;
        // What is left of a thousand are the turns of clients.
        self.committed = false;
        let mut luck = self.chance.below(1_000);
        let mut falls = |share: usize| {
            let hit = luck < share;
            luck = luck.wrapping_sub(share);
            hit
        };
        if falls(publish) {
            self.publish();
        } else if falls(commit) {
            self.commit_some();
        } else if falls(pass) {
            let long = self.chance.percent(3);
            let ms = self.chance.below(if long { 45_000 } else { 1_500 }) as u64;
            self.pass(Duration::from_millis(ms))?;
        } else if falls(trouble) {
            self.trouble();
        } else if falls(crash) {
            self.stop(false)?;
        } else if falls(stop) {
            self.stop(true)?;
        } else if falls(6) {
            self.step_clock();
        } else if falls(14) {
            self.come_late()?;
        } else {
            let who = self.anybody();
            if falls(leave) {
                self.say_goodbye(who)?;
            } else if falls(30) {
                self.speak(who)?;
            } else if falls(2) {
                self.storm(who)?;
            } else {
                self.tick(who)?;
            }
        }
        self.steps += 1;
        // Who waits is not always run before the next request is.
        if self.chance.percent(12) {
            return Ok(());
        }
        self.tend()?;
        if self.steps.is_multiple_of(self.audit_every) { self.audit() } else { Ok(()) }
    }

    fn step_clock(&mut self) {
        self.tally.clock_steps += 1;
        let hours = i64::try_from(self.chance.below(7)).expect("small") - 3;
        self.clock.step_wall(hours * 3_600_000_000);
    }

    /// After each step: what is due is answered.
    pub fn tend(&mut self) -> Result<(), String> {
        self.life.broker.expire();
        for who in 0..self.clients.len() {
            self.tend_flight(who)?;
            self.tend_ghosts(who)?;
        }
        Ok(())
    }

    /// Notes what the broker has cause to doubt by now.
    pub fn note_doubts(&mut self) {
        self.doubts.unreadable |= self.disk.failed_reads.load(Ordering::Relaxed) > 0;
        self.doubts.gave_up |= self.plan.forgets && self.life.hand.trouble().is_some();
    }

    /// The books are checked.
    pub fn audit(&mut self) -> Result<(), String> {
        self.life.broker.audit()?;
        let waits = |pending: &Pending| usize::from(pending.is_waiting());
        let waiting: usize = self
            .clients
            .iter()
            .map(|client| {
                let flight = client.flight.as_ref().map_or(0, |flight| match &flight.stage {
                    Stage::AtBroker(standing) => waits(&standing.pending),
                    _ => 0,
                });
                flight + client.ghosts.iter().map(|ghost| waits(&ghost.pending)).sum::<usize>()
            })
            .sum();
        let counted = self.life.broker.census().held;
        if counted != waiting {
            return Err(format!("{counted} held, {waiting} waiting"));
        }
        self.check_memory()
    }

    /// Whatever clients do, memory has its bounds.
    fn check_memory(&mut self) -> Result<(), String> {
        let Options { past, queue_bytes_total, .. } = &self.plan.options;
        let (channels, cost) = self.life.broker.past_kept();
        let stored = self.life.hand.queued() == 0 && self.life.hand.trouble().is_none();
        if self.committed
            && stored
            && !self.disk.unreadable.load(Ordering::Relaxed)
            && cost > past.bytes
        {
            return Err(format!("{cost} bytes of the past in {channels} channels"));
        }
        // What leaves the past may still wait in queues, until the next publication makes room.
        self.life.most_past = self.life.most_past.max(cost);
        let all = self.life.broker.frame_bytes();
        if all > queue_bytes_total / 4 * 5 + self.life.most_past + BEYOND {
            return Err(format!("{all} bytes of messages, {cost} of them past"));
        }
        Ok(())
    }

    /// Time passes, in pieces, so that deadlines are met when they are due and not all at the end.
    ///
    /// # Errors
    /// What does not hold meanwhile.
    pub fn pass(&mut self, by: Duration) -> Result<(), String> {
        let pieces = if by > Duration::from_secs(1) { 10 } else { 1 };
        for _ in 0..pieces {
            self.clock.advance(by / pieces);
            self.tend()?;
        }
        Ok(())
    }

    pub fn instant(&self) -> Instant {
        self.clock.now()
    }
}
