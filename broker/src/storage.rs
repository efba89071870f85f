//! Opens what is kept over a restart, and closes it again in order.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use weft_persistence::{
    Backlog, BacklogError, Boot, Ceiling, Loss, Marked, Opened, Policy, Retention, Sled,
    SledOptions, Submit, Writer, WriterOptions,
};
use weft_protocol::{ChannelLimits, ChannelName};

use crate::config::Config;
use crate::core::broker::{Broker, Origin};
use crate::core::channels::Store;
use crate::core::clock::Clock;
use crate::core::publishing::Commit;
use crate::core::rules::Rules;
use crate::core::settling::{self, Settler};
use crate::swap;

/// How often the ceiling of positions is raised: it stands 10 s ahead.
const RAISE_EVERY: Duration = Duration::from_secs(2);

/// Where the store lies, below the data directory.
pub const STORE: &str = "store";

/// The store's own bounds.
#[must_use]
pub fn sled_options(config: &Config) -> SledOptions {
    let store = &config.store;
    SledOptions {
        cache_bytes: store.cache.get(),
        budget_bytes: store.bytes.get(),
        channels: store.channels,
        reserve_bytes: store.reserve.get(),
        ballast_bytes: store.ballast.get(),
        shared_floor: 0,
    }
}

/// How to keep what is published.
#[derive(Debug, Clone)]
pub struct StorageOptions {
    /// The store's own bounds; `None` = memory only.
    pub sled: Option<SledOptions>,
    /// How it is written.
    pub writer: WriterOptions,
    /// What is kept of which channel.
    pub rules: Rules,
}

/// What is open.
#[derive(Debug)]
pub struct Storage {
    ceiling: Arc<Ceiling>,
    writer: Option<Arc<Writer<Commit>>>,
    settler: Settler,
    marks: Vec<Marked>,
    losses: Vec<Loss>,
}

/// What the writer asks about channels.
#[derive(Debug)]
struct Keeping {
    rules: Rules,
    clock: Arc<dyn Clock>,
}

impl Policy for Keeping {
    fn retention(&self, channel: &str) -> Retention {
        const ANY: ChannelLimits = ChannelLimits { bytes: usize::MAX, segments: usize::MAX };
        ChannelName::parse(channel, &ANY).map_or(Retention::ALL, |name| self.rules.of(name).keep)
    }

    fn now_us(&self) -> i64 {
        self.clock.wall_us()
    }
}

fn log_boot(boot: &Boot) {
    if let Some(aside) = &boot.moved_aside {
        tracing::error!(
            aside = %aside.display(),
            "the file of positions was damaged and moved aside: clients are told of a gap"
        );
    } else if boot.unclean {
        tracing::warn!("the last stop was not clean: clients are told of a possible gap");
    }
}

/// Opens the store, wherever an interrupted compaction has left it. What is not there is told to be
/// missing up to the ceiling.
fn open_store(directory: &Path, options: &SledOptions, ceiling: i64) -> io::Result<Opened> {
    if swap::put_back(directory)? {
        tracing::warn!("a compaction was interrupted; the store is where it was before");
    }
    if ceiling > 0 && !directory.exists() {
        tracing::warn!(path = %directory.display(), "there is no store: an empty one is begun");
    }
    let options = SledOptions { shared_floor: ceiling, ..options.clone() };
    Sled::open(directory, options).map_err(io::Error::other)
}

impl Storage {
    /// Opens the store in the data directory, and says what there is from before. Blocking.
    ///
    /// # Errors
    /// When the directory cannot be written, or the store is in use or newer than this program. A
    /// damaged store is no error: it is moved aside, and that is logged.
    pub fn open(
        data: &Path,
        options: StorageOptions,
        clock: &Arc<dyn Clock>,
    ) -> Result<(Self, Origin), io::Error> {
        let StorageOptions { sled, writer, rules } = options;
        let (ceiling, boot) = Ceiling::open(data, clock.wall_us().saturating_add(10_000_000))?;
        let mut origin =
            Origin { store: None, floor: boot.ceiling, doubt: boot.doubt, ceiling: Some(0) };
        let settler = Settler::default();
        let mut storage = Self {
            ceiling: Arc::new(ceiling),
            writer: None,
            settler,
            marks: Vec::new(),
            losses: Vec::new(),
        };
        let Some(sled) = sled else {
            log_boot(&boot);
            return Ok((storage, origin));
        };
        let Opened { backlog, losses } = open_store(&data.join(STORE), &sled, boot.ceiling)?;
        // Where another broker has the store, nothing is wrong with the last stop.
        log_boot(&boot);
        losses.iter().for_each(settling::log_loss);
        storage.losses = losses;
        // A store from elsewhere may be ahead of this directory's positions.
        origin.floor = origin.floor.max(backlog.highest());
        let backlog: Arc<dyn Backlog> = Arc::new(backlog);
        let since =
            clock.wall_us() - i64::try_from(writer.marks_window.as_micros()).unwrap_or(i64::MAX);
        storage.marks = backlog.marks(since).map_err(io::Error::other)?;
        let policy = Arc::new(Keeping { rules, clock: Arc::clone(clock) });
        let writer = Writer::start(Arc::clone(&backlog), writer, policy, storage.settler.clone())?;
        let writer = Arc::new(writer);
        let submit: Arc<dyn Submit<Commit>> = Arc::<Writer<Commit>>::clone(&writer);
        origin.store = Some(Store { backlog, writer: submit });
        storage.writer = Some(writer);
        Ok((storage, origin))
    }

    /// Lets the store talk to the broker that was made from what there was, and allows positions.
    /// Blocking.
    ///
    /// # Errors
    /// When the ceiling cannot be written.
    pub fn attach(&mut self, broker: &Arc<Broker>) -> io::Result<()> {
        self.settler.attach(broker);
        self.losses.drain(..).for_each(|loss| broker.stats.store.lost(&loss));
        let troubled = self.writer.as_ref().is_some_and(|writer| writer.trouble().is_some());
        broker.stats.store.trouble(troubled);
        broker.restore_marks(&std::mem::take(&mut self.marks));
        let ceiling = broker.wanted_ceiling();
        self.ceiling.raise(ceiling)?;
        broker.raise_ceiling(ceiling);
        Ok(())
    }

    /// Keeps the ceiling ahead of the positions until told to stop.
    pub fn keep_ceiling(&self, broker: Arc<Broker>, stop: CancellationToken) {
        let ceiling = Arc::clone(&self.ceiling);
        tokio::spawn(async move {
            let mut failing = false;
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(RAISE_EVERY) => {}
                }
                let wanted = broker.wanted_ceiling();
                let file = Arc::clone(&ceiling);
                let raised = tokio::task::spawn_blocking(move || file.raise(wanted)).await;
                match raised.unwrap_or_else(|error| Err(io::Error::other(error))) {
                    Ok(()) => {
                        broker.raise_ceiling(wanted);
                        failing = false;
                    }
                    Err(error) if !failing => {
                        tracing::error!(%error, "the ceiling of positions cannot be written");
                        failing = true;
                    }
                    Err(_) => {}
                }
            }
        });
    }

    /// Writes what is not written, and notes that the stop was clean. Blocking.
    ///
    /// # Errors
    /// When something could not be written; then the next start takes the stop for unclean.
    pub fn close(&self, broker: &Broker) -> Result<(), io::Error> {
        if let Some(writer) = &self.writer {
            writer.stop().map_err(|error: BacklogError| io::Error::other(error))?;
        }
        self.ceiling.close(broker.last_position())
    }
}
