//! A crowd and its publishers, connected to the server and ready to be measured.

use std::rc::Rc;

use crate::args::{Common, Protocol, PublishBy};
use crate::chance::Chance;
use crate::clock::micros;
use crate::engine::{Engine, News};
use crate::ledger::Ledger;
use crate::process::Sample;
use crate::progress::Progress;
use crate::speaker::{
    Channels, Due, LongPoll, NchanPoll, NchanSocket, Poster, Session, Socket, Speaker, Stream, Way,
};
use crate::tally::Tally;
use crate::target::Target;

/// Without anybody getting ready for so long, setting up has failed; in microseconds.
const PATIENCE: u64 = 20_000_000;
/// While nothing happens, somebody may look at the progress so often, in microseconds.
const WAIT: u64 = 500_000;
/// For saying goodbye, all of them together, in microseconds.
const GOODBYE: u64 = 5_000_000;

/// Who is to be there.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Of each subscriber the channels that it hears.
    pub(crate) hears: Vec<Vec<usize>>,
    pub(crate) channels: usize,
    pub(crate) publishers: usize,
    /// Messages that each publisher may have under way, if it needs a connection for each.
    pub(crate) in_flight: usize,
    /// In bytes.
    pub(crate) payload: usize,
}

/// What setting up has cost.
#[derive(Debug, Default)]
pub(crate) struct SetUp {
    pub(crate) seconds: f64,
    pub(crate) generator_share: f64,
    /// The server before anybody came, with all subscribers, and with them a while later.
    pub(crate) before: Option<Sample>,
    pub(crate) connected: Option<Sample>,
    pub(crate) settled: Option<Sample>,
}

#[derive(Debug)]
pub(crate) struct Rig {
    pub(crate) engine: Engine,
    pub(crate) set_up: SetUp,
    pub(crate) chance: Chance,
    pub(crate) seed: u32,
    /// Of each stream its channel, and who publishes it.
    streams: Vec<(usize, usize)>,
    /// Of each subscriber the streams that it is to get.
    wants: Vec<Vec<usize>>,
    pids: Vec<u32>,
    concurrency: usize,
}

impl Rig {
    /// Connects everybody, and waits for quiet.
    ///
    /// # Errors
    /// A text, if it does not come to that.
    pub(crate) fn new(common: &Common, plan: &Plan) -> Result<Self, String> {
        let seed = common.seed;
        let target = Target::new(common, seed)?;
        let engine = Engine::new(Tally::new(Ledger::default()), common.source_addresses)?;
        let mut rig = Self {
            engine,
            set_up: SetUp::default(),
            chance: Chance::new(seed),
            seed,
            streams: Vec::new(),
            wants: Vec::new(),
            pids: common.server_pid.clone(),
            concurrency: common.connect_concurrency as usize,
        };
        rig.set_up.before = rig.server()?;
        let (begun, own) = (rig.engine.clock.now(), Sample::own());
        let crowd: Vec<usize> = plan
            .hears
            .iter()
            .map(|channels| rig.engine.add(subscriber(&target, channels), true))
            .collect();
        rig.bring_up("subscribers", &crowd)?;
        rig.set_up.seconds = (rig.engine.clock.now() - begun) as f64 / 1e6;
        rig.set_up.generator_share = Sample::own().cpu_since(&own) / rig.set_up.seconds;
        rig.set_up.connected = rig.server()?;
        let publishers = rig.publishers(&target, plan)?;
        rig.streams = match plan.channels {
            1 => publishers.iter().map(|&who| (0, who)).collect(),
            count => (0..count).map(|n| (n, publishers[n % publishers.len()])).collect(),
        };
        let wanted = |channels: &Vec<usize>| {
            let streams = rig.streams.iter().enumerate();
            streams.filter(|(_, (channel, _))| channels.contains(channel)).map(|(n, _)| n).collect()
        };
        rig.wants = plan.hears.iter().map(wanted).collect();
        rig.wait("quiet", micros(common.settle))?;
        rig.set_up.settled = rig.server()?;
        rig.fresh();
        Ok(rig)
    }

    /// What the server has used so far, if its process is known.
    pub(crate) fn server(&self) -> Result<Option<Sample>, String> {
        if self.pids.is_empty() { Ok(None) } else { Sample::of(&self.pids).map(Some) }
    }

    /// How many channels there are.
    pub(crate) fn channels(&self) -> usize {
        self.streams.last().map_or(0, |(channel, _)| channel + 1)
    }

    /// How many streams there are.
    pub(crate) fn streams(&self) -> usize {
        self.streams.len()
    }

    /// How many subscribers there are.
    pub(crate) fn subscribers(&self) -> usize {
        self.wants.len()
    }

    /// The streams that somebody publishes.
    pub(crate) fn streams_of(&self, who: usize) -> impl Iterator<Item = usize> + '_ {
        let streams = self.streams.iter().enumerate();
        streams.filter(move |(_, (_, publisher))| *publisher == who).map(|(stream, _)| stream)
    }

    /// Begins a new account.
    pub(crate) fn fresh(&mut self) {
        let tally = &mut self.engine.cx.tally;
        let ledger = Ledger::new(tally.ledger.end(), self.streams.len(), &self.wants);
        *tally = Tally::new(ledger);
        self.engine.cx.news.clear();
    }

    /// Has a message published that was due at that time.
    pub(crate) fn publish(&mut self, stream: usize, at: u64) {
        let marker = self.engine.cx.tally.ledger.send(stream, at);
        let (channel, who) = self.streams[stream];
        self.engine.offer(who, Due { marker, channel });
    }

    /// Lets things happen for so many microseconds.
    pub(crate) fn wait(&mut self, what: &str, micros: u64) -> Result<(), String> {
        let begun = self.engine.now();
        let mut progress = Progress::new(what, micros);
        while self.engine.cx.now < begun + micros {
            let next = self.engine.cx.now + WAIT;
            self.engine.turn(next.min(begun + micros))?;
            progress.at(self.engine.cx.now - begun, self.engine.cx.now);
        }
        Ok(())
    }

    /// Says goodbye for all Bayeux sessions, so that they do not stay with the server.
    pub(crate) fn leave(mut self) -> Result<(), String> {
        let until = self.engine.clock.now() + GOODBYE;
        let mut progress = Progress::new("goodbye", self.engine.len() as u64);
        let (mut next, mut leaving) = (0, 0_usize);
        self.engine.cx.news.clear();
        while (next < self.engine.len() || leaving > 0) && self.engine.cx.now < until {
            while next < self.engine.len() && leaving < self.concurrency {
                leaving += usize::from(self.engine.leave(next));
                next += 1;
            }
            if leaving > 0 {
                self.engine.turn(until)?;
            }
            while let Some(news) = self.engine.cx.news.pop_front() {
                leaving -= usize::from(matches!(news, News::Left));
            }
            progress.at(next as u64, self.engine.cx.now);
        }
        Ok(())
    }

    /// Connects them, some at once, and waits until all are ready.
    fn bring_up(&mut self, what: &str, whos: &[usize]) -> Result<(), String> {
        let mut progress = Progress::new(what, whos.len() as u64);
        let mut ready = vec![false; self.engine.len()];
        let (mut done, mut opened, mut failures) = (0, 0, 0);
        let mut deadline = self.engine.clock.now() + PATIENCE;
        let mut reason = "no answer".to_owned();
        while done < whos.len() {
            while opened < whos.len() && opened - done < self.concurrency {
                self.engine.open(whos[opened]);
                opened += 1;
            }
            self.engine.turn(deadline)?;
            while let Some(news) = self.engine.cx.news.pop_front() {
                match news {
                    News::Ready(who) if !ready[who] => {
                        ready[who] = true;
                        done += 1;
                        deadline = self.engine.cx.now + PATIENCE;
                    }
                    News::Failed(why) => {
                        failures += 1;
                        reason = why;
                    }
                    _ => {}
                }
            }
            if failures > 3 + done / 10 || self.engine.cx.now >= deadline {
                return Err(format!("{done} of {} {what} are ready; {reason}", whos.len()));
            }
            progress.at(done as u64, self.engine.cx.now);
        }
        Ok(())
    }

    /// Connects the publishers; who sends each one's messages, once for each that may be under way.
    fn publishers(&mut self, target: &Target, plan: &Plan) -> Result<Vec<usize>, String> {
        let names: Rc<[String]> = (0..plan.channels).map(|n| target.channel(n)).collect();
        let channels = Channels { names, payload: plan.payload };
        let lanes = plan.publishers * plan.in_flight;
        if target.publish == PublishBy::Http {
            let places = || (0..plan.channels).map(|n| target.publish_place(n)).collect();
            let ways = (0..lanes).map(|_| Way::Plain(places()));
            return self.posters(ways.collect(), &channels);
        }
        let sockets = target.protocol == Protocol::Websocket;
        let mut sessions = Vec::new();
        for _ in 0..plan.publishers {
            let place = target.bayeux.clone();
            let speaker: Box<dyn Speaker> = if sockets {
                let session = Session::new("websocket", Vec::new());
                Box::new(Socket::new(place, session, Some(channels.clone())))
            } else {
                Box::new(LongPoll::new(place, Session::new("long-polling", Vec::new())))
            };
            sessions.push(self.engine.add(speaker, false));
        }
        self.bring_up("publishers", &sessions)?;
        if sockets {
            return Ok(sessions);
        }
        let mut ways = Vec::new();
        for lane in 0..lanes {
            let identity = self.engine.speaker(sessions[lane % sessions.len()]).identity();
            let identity = identity.ok_or("a publisher's session was lost")?;
            ways.push(Way::Bayeux(target.bayeux.clone(), identity));
        }
        self.posters(ways, &channels)
    }

    fn posters(&mut self, ways: Vec<Way>, channels: &Channels) -> Result<Vec<usize>, String> {
        let poster = |way| Box::new(Poster::new(way, channels.clone()));
        let lanes: Vec<usize> =
            ways.into_iter().map(|way| self.engine.add(poster(way), false)).collect();
        self.bring_up("publishers", &lanes)?;
        Ok(lanes)
    }
}

/// A subscriber of these channels.
fn subscriber(target: &Target, channels: &[usize]) -> Box<dyn Speaker> {
    let session = |kind| {
        Session::new(kind, channels.iter().map(|&channel| target.channel(channel)).collect())
    };
    let bayeux = target.bayeux.clone();
    let place = || target.subscribe_place(channels);
    match target.protocol {
        Protocol::LongPolling => Box::new(LongPoll::new(bayeux, session("long-polling"))),
        Protocol::Websocket => Box::new(Socket::new(bayeux, session("websocket"), None)),
        Protocol::Sse => Box::new(Stream::events(place())),
        Protocol::Ndjson => Box::new(Stream::lines(place())),
        Protocol::NchanLongPoll | Protocol::NchanMultipart => Box::new(NchanPoll::new(place())),
        Protocol::NchanWebsocket => Box::new(NchanSocket::new(place())),
    }
}
