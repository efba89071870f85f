//! The command line of `weft bench`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;

use crate::clock::any_seed;

/// More messages a second than any generator sends.
const RATE_MOST: f64 = 1e7;
/// No run is longer, in seconds.
const TIME_MOST: f64 = 1e6;

fn number(text: &str, fits: impl Fn(f64) -> bool, which: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    // What is no number at all fits nothing.
    if fits(number) { Ok(number) } else { Err(format!("must be {which}")) }
}

fn rate(text: &str) -> Result<f64, String> {
    number(text, |rate| rate > 0.0 && rate <= RATE_MOST, "more than 0, and 10000000 at most")
}

fn time(text: &str) -> Result<f64, String> {
    number(text, |time| time > 0.0 && time <= TIME_MOST, "more than 0, and 1000000 at most")
}

fn pause(text: &str) -> Result<f64, String> {
    number(text, |time| (0.0..=TIME_MOST).contains(&time), "0 to 1000000")
}

fn factor(text: &str) -> Result<f64, String> {
    number(text, |factor| factor > 1.0 && factor <= 1e3, "more than 1, and 1000 at most")
}

/// What is measured. Each prints a table, and with `--json` all figures; docs/bench.md explains them.
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub enum Work {
    /// Everybody hears one channel
    Fanout {
        /// What every work needs to know
        #[command(flatten)]
        common: Common,
        /// Who hears it
        #[command(flatten)]
        crowd: Crowd,
        /// How much is published
        #[command(flatten)]
        load: Load,
    },
    /// Everybody hears some of many channels; each message goes to one of them
    Rooms {
        /// What every work needs to know
        #[command(flatten)]
        common: Common,
        /// Who hears which
        #[command(flatten)]
        rooms: Rooms,
        /// How much is published
        #[command(flatten)]
        load: Load,
    },
    /// Many clients that hear nothing, and then one message to all
    Idle {
        /// What every work needs to know
        #[command(flatten)]
        common: Common,
        /// Who waits
        #[command(flatten)]
        idle: Idle,
    },
    /// Publishers as fast as they can
    Publish {
        /// What every work needs to know
        #[command(flatten)]
        common: Common,
        /// Who publishes
        #[command(flatten)]
        publish: Publish,
    },
    /// Fan-out or rooms, faster and faster until it does not keep up
    Sweep {
        /// What every work needs to know
        #[command(flatten)]
        common: Common,
        /// How it goes on
        #[command(flatten)]
        sweep: Sweep,
    },
}

/// What every work needs to know.
#[derive(Debug, Clone, PartialEq, Args, Serialize)]
pub struct Common {
    /// The server: http:// or ws://; for nchan its origin is enough
    #[arg(long, default_value = "http://127.0.0.1:8080/bayeux")]
    pub url: String,
    /// How subscribers listen
    #[arg(long, value_enum, default_value_t = Protocol::LongPolling)]
    pub protocol: Protocol,
    /// How publishers publish [default: http for sse, ndjson and nchan, else bayeux]
    #[arg(long, value_enum)]
    pub publish: Option<PublishBy>,
    /// Where `--publish http` posts [default: ORIGIN/publish/{channel}, for nchan ORIGIN/pub/{channel}]
    #[arg(long, value_name = "TEMPLATE")]
    pub publish_url: Option<String>,
    /// Where streams and nchan are read [default: ORIGIN/events/{channel}, ORIGIN/stream/{channel},
    /// for nchan ORIGIN/sub/{channel}]
    #[arg(long, value_name = "TEMPLATE")]
    pub subscribe_url: Option<String>,
    /// What stands between several channels in nchan's {channel}
    #[arg(long, value_name = "TEXT", default_value = ",")]
    pub channel_separator: String,
    /// An API key of weft's, sent as X-API-Key
    #[arg(long)]
    #[serde(skip)]
    pub key: Option<String>,
    /// A header for all requests, such as 'Authorization: Bearer …'; may be repeated
    #[arg(long, value_name = "'NAME: VALUE'")]
    #[serde(skip)]
    pub header: Vec<String>,
    /// The server's process, to read its CPU time and memory; may be repeated, and is summed up
    #[arg(long, value_name = "PID")]
    pub server_pid: Vec<u32>,
    /// Connect from so many addresses, 127.0.0.2 and on, in turn; 0: from whichever the system takes
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub source_addresses: u8,
    /// Clients that are being set up at once
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    pub connect_concurrency: u32,
    /// Quiet before measuring, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 0.7, value_parser = pause)]
    pub settle: f64,
    /// How long to wait for what has not arrived, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 6.0, value_parser = pause)]
    pub drain: f64,
    /// p99 above which the server does not keep up, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 1000.0, value_parser = time)]
    pub limit_ms: f64,
    /// Write all figures there as JSON; `-` is standard output, instead of the table
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    pub json: Option<PathBuf>,
    /// For whatever is chosen at random, and the channels' names [default: another each time]
    #[arg(long, default_value_t = any_seed(), hide_default_value = true)]
    pub seed: u32,
}

/// How messages come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// Bayeux over long-polling
    LongPolling,
    /// Bayeux over WebSocket
    Websocket,
    /// weft's server-sent events
    Sse,
    /// weft's lines of JSON
    Ndjson,
    /// nchan's long-polling
    NchanLongPoll,
    /// nchan's long-polling with several messages a response
    NchanMultipart,
    /// nchan's WebSocket
    NchanWebsocket,
}

/// How messages go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PublishBy {
    /// A POST for each
    Http,
    /// A Bayeux session: over WebSocket if that is the protocol, else by POST
    Bayeux,
}

/// How much is published, in open loop.
#[derive(Debug, Clone, Copy, PartialEq, Args, Serialize)]
pub struct Load {
    /// Messages a second [default: 20; rooms: 50]
    #[arg(long, value_parser = rate)]
    pub rate: Option<f64>,
    /// How long to publish, in seconds
    #[arg(long, default_value_t = 10.0, value_parser = time)]
    pub seconds: f64,
}

/// Who publishes what.
#[derive(Debug, Clone, Copy, PartialEq, Args, Serialize)]
pub struct Publishers {
    /// Publishers, each with a connection of its own
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..))]
    pub publishers: u32,
    /// The data of a message, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 100)]
    pub payload: u32,
}

/// One channel.
#[derive(Debug, Clone, Copy, PartialEq, Args, Serialize)]
pub struct Crowd {
    /// Clients that hear the channel
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub subscribers: u32,
    /// Who publishes what
    #[command(flatten)]
    #[serde(flatten)]
    pub publishers: Publishers,
}

/// Many channels.
#[derive(Debug, Clone, Copy, PartialEq, Args, Serialize)]
pub struct Rooms {
    /// Clients
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub clients: u32,
    /// Channels
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub rooms: u32,
    /// Channels that each client hears, chosen at random
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub rooms_per_client: u32,
    /// Who publishes what
    #[command(flatten)]
    #[serde(flatten)]
    pub publishers: Publishers,
}

/// Clients that wait.
#[derive(Debug, Clone, Copy, PartialEq, Args, Serialize)]
pub struct Idle {
    /// Clients
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub clients: u32,
    /// How long nothing happens, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0, value_parser = pause)]
    pub hold: f64,
    /// The data of the message to all, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 100)]
    pub payload: u32,
}

/// As fast as they can.
#[derive(Debug, Clone, Copy, PartialEq, Args, Serialize)]
pub struct Publish {
    /// Who publishes what
    #[command(flatten)]
    #[serde(flatten)]
    pub publishers: Publishers,
    /// Messages that each publisher has under way: so many connections, or frames on its one
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..))]
    pub in_flight: u32,
    /// How long, in seconds
    #[arg(long, default_value_t = 5.0, value_parser = time)]
    pub seconds: f64,
    /// Clients that hear all of it
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub subscribers: u32,
}

/// Faster and faster.
#[derive(Debug, Clone, Copy, PartialEq, Args, Serialize)]
pub struct Sweep {
    /// What is done at each rate
    #[arg(long, value_enum, default_value_t = Pattern::Fanout)]
    pub work: Pattern,
    /// The first rate, in messages a second
    #[arg(long, value_name = "RATE", default_value_t = 5.0, value_parser = rate)]
    pub from: f64,
    /// How much faster each step is than the one before
    #[arg(long, default_value_t = 1.41, value_parser = factor)]
    pub factor: f64,
    /// How long each step takes, in seconds
    #[arg(long, default_value_t = 3.0, value_parser = time)]
    pub seconds: f64,
    /// Clients of a fan-out
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub subscribers: u32,
    /// Who hears which
    #[command(flatten)]
    #[serde(flatten)]
    pub rooms: Rooms,
}

/// What a sweep does at each rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pattern {
    /// As `weft bench fanout`
    Fanout,
    /// As `weft bench rooms`
    Rooms,
}

impl Work {
    /// What every work needs to know.
    #[must_use]
    pub fn common(&self) -> &Common {
        match self {
            Self::Fanout { common, .. }
            | Self::Rooms { common, .. }
            | Self::Idle { common, .. }
            | Self::Publish { common, .. }
            | Self::Sweep { common, .. } => common,
        }
    }
}
