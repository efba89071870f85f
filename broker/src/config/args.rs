//! The command line.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Parser, Subcommand};

use super::RuleAction;

/// A Bayeux publish/subscribe message broker.
#[derive(Debug, Clone, Default, Parser)]
#[command(name = "weft", version, about)]
pub struct Args {
    /// The configuration file (TOML); WEFT_CONFIG names one as well
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where clients connect [default: 127.0.0.1:8080]; port 0 takes a free one
    #[arg(long, global = true, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// Where metrics and health answer [default: 127.0.0.1:8081]
    #[arg(long, global = true, value_name = "ADDR")]
    pub admin: Option<SocketAddr>,
    /// The directory for all that is kept over a restart [default: ./weft-data]
    #[arg(long, global = true, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// What to do; serving is the default
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What weft is asked to do.
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub enum Command {
    /// Run the broker (the default)
    Serve,
    /// Make an API key, and the lines for the configuration that let it in
    Key {
        /// Its name
        name: String,
        /// A role of whoever shows it; may be repeated
        #[arg(long = "role", value_name = "ROLE")]
        roles: Vec<String>,
    },
    /// Say which rule decides whether somebody may do something; exit code 1 if they may not
    Explain {
        /// The token or API key that they show; `-` reads it from standard input
        #[arg(long = "as", value_name = "TOKEN")]
        credentials: Option<String>,
        /// What they want to do: subscribe, publish or history
        action: RuleAction,
        /// The channel, or the pattern
        channel: String,
    },
    /// Look at, save, fill or shrink the store of a stopped broker
    Store {
        /// What to do with it
        #[command(subcommand)]
        action: StoreAction,
    },
    /// Put load on a server, this one or another, and say how it fares
    Bench {
        /// How much of what
        #[command(subcommand)]
        work: Box<weft_bench::Work>,
    },
}

/// What is done with the store of a stopped broker.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum StoreAction {
    /// Read all of it and say what is in it; damage is an error
    Check,
    /// Write all of it as lines of JSON
    Export {
        /// The file to write [default: standard output]
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Fill an empty store with what was exported
    Import {
        /// The file to read [default: standard input]
        #[arg(long, value_name = "FILE")]
        input: Option<PathBuf>,
    },
    /// Write it anew, without the space that what is gone still takes
    Compact,
}
