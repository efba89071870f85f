//! The broker under test: the real binary in a process of its own.

mod child;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::process::Signal;

pub use child::{binary, workspace};

use self::child::{Addresses, Directory, Process};
use crate::http::{Connection, Request, Response};
use crate::wait::{PATIENCE, until};

/// How to start a broker.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    toml: String,
    environment: Vec<(String, String)>,
    arguments: Vec<String>,
    without_flags: bool,
}

impl Setup {
    /// The configuration file's text.
    #[must_use]
    pub fn toml(mut self, toml: &str) -> Self {
        toml.clone_into(&mut self.toml);
        self
    }

    /// An environment variable. No other `WEFT_…` variable reaches the broker, but for
    /// `WEFT_DEMO_ENABLED=false` and `WEFT_HTTP_LEAN`, which this may override.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A command-line argument, after all others.
    #[must_use]
    pub fn arg(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Gives none of `--listen`, `--admin` and `--data`: the file or the environment must.
    #[must_use]
    pub fn without_flags(mut self) -> Self {
        self.without_flags = true;
        self
    }

    /// Starts the broker and waits until it listens.
    ///
    /// # Errors
    /// When it ends instead.
    pub fn try_start(self) -> Result<Broker, Failure> {
        let directory = Directory::new();
        let process = Process::start(&self, &directory.0, None)?;
        let Addresses { listen, admin } = process.addresses;
        Ok(Broker { listen, admin, setup: self, process: Mutex::new(process), directory })
    }

    /// Starts the broker and waits until it listens.
    #[must_use]
    pub fn start(self) -> Broker {
        self.try_start().unwrap_or_else(|failure| panic!("the broker did not start: {failure:?}"))
    }
}

/// A broker that did not start.
#[derive(Debug)]
pub struct Failure {
    /// Its exit code, unless a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to stderr.
    pub log: String,
}

/// A running broker; it is killed and its directory removed when this is dropped.
#[derive(Debug)]
pub struct Broker {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Where `/metrics` is.
    pub admin: SocketAddr,
    setup: Setup,
    process: Mutex<Process>,
    directory: Directory,
}

impl Broker {
    /// Starts one with its defaults, on free ports and in a fresh directory.
    #[must_use]
    pub fn start() -> Self {
        Setup::default().start()
    }

    /// Starts one with this configuration.
    #[must_use]
    pub fn with(toml: &str) -> Self {
        Setup::default().toml(toml).start()
    }

    /// Its data directory.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.directory.0.join("data")
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.lock().child.id()
    }

    /// What it wrote to stderr so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.lock().log.lock().clone()
    }

    /// Whether the process is alive.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        matches!(self.process.lock().child.try_wait(), Ok(None))
    }

    /// Sends a signal and does not wait.
    pub fn signal(&self, signal: Signal) {
        self.process.lock().signal(signal);
    }

    /// Sends SIGTERM and waits; the exit code, `None` if a signal ended it.
    #[must_use]
    pub fn terminate(&self) -> Option<i32> {
        let mut process = self.process.lock();
        process.signal(Signal::TERM);
        process.wait(PATIENCE)
    }

    /// Waits for the process to end by itself.
    #[must_use]
    pub fn wait_exit(&self, deadline: Duration) -> Option<i32> {
        self.process.lock().wait(deadline)
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&self) {
        self.process.lock().kill();
    }

    /// Starts it again with the same ports and data, once it has ended.
    pub fn restart(&self) {
        let mut process = self.process.lock();
        process.kill();
        let addresses = Addresses { listen: self.listen, admin: self.admin };
        // The port may be taken for a moment by somebody's outgoing connection.
        *process = until("a restart on the same ports", PATIENCE, || {
            Process::start(&self.setup, &self.directory.0, Some(addresses)).ok()
        });
    }

    /// Writes its configuration anew and has it read.
    pub fn reload(&self, toml: &str) {
        std::fs::write(self.directory.0.join("weft.toml"), toml).expect("a configuration file");
        self.signal(Signal::HUP);
    }

    /// Connects to it.
    #[must_use]
    pub fn connect(&self) -> Connection {
        Connection::open(self.listen)
    }

    /// One request on a connection of its own.
    #[must_use]
    pub fn exchange(&self, request: &Request) -> Response {
        self.connect().exchange(request)
    }

    /// A GET to the admin address.
    #[must_use]
    pub fn admin_get(&self, path: &str) -> Response {
        Connection::open(self.admin).exchange(&Request::get(path))
    }

    /// A metric: one series (`weft_sessions_ended_total{cause="expired"}`), or all of a name added
    /// up. Zero if there is none.
    #[must_use]
    pub fn metric(&self, name: &str) -> f64 {
        let page = self.admin_get("/metrics");
        assert_eq!(page.status, 200);
        let matches = |series: &str| {
            series == name || series.strip_prefix(name).is_some_and(|rest| rest.starts_with('{'))
        };
        let lines = page.text().lines().filter_map(|line| line.rsplit_once(' '));
        lines.filter(|(series, _)| matches(series)).filter_map(|(_, n)| n.parse::<f64>().ok()).sum()
    }

    /// Waits until a metric is as wanted, and returns it.
    pub fn wait_metric(&self, name: &str, wanted: impl Fn(f64) -> bool) -> f64 {
        until(&format!("{name} as wanted"), PATIENCE, || {
            Some(self.metric(name)).filter(|value| wanted(*value))
        })
    }

    /// Waits until so many connects are held.
    pub fn wait_held(&self, count: usize) {
        self.wait_metric("weft_held_connects", |held| held == count as f64);
    }

    /// Waits until so many sessions are left.
    pub fn wait_sessions(&self, count: usize) {
        self.wait_metric("weft_sessions", |sessions| sessions == count as f64);
    }
}
