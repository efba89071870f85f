//! An attack on a broker with bystanders, measured.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::scope;
use std::time::Duration;

use parking_lot::Mutex;

use crate::broker::{Broker, Setup};
use crate::bystander::{Bystanders, Seen};
use crate::process::{memory, peak_memory, processor_time, raise_file_limit};
use crate::wait::now;

/// For how long it is measured what is usual.
const QUIET: Duration = Duration::from_millis(1_500);
/// An honest client's 99th percentile may be so many times what is usual …
const TIMES: u32 = 3;
/// … or so long, where what is usual is so little that a busy machine adds more than that.
const FLOOR: Duration = Duration::from_millis(250);
/// Attacks are repeated so often where a machine was too busy with other things.
const ATTEMPTS: usize = 3;
/// One ordeal at a time, or they measure each other.
static ALONE: Mutex<()> = Mutex::new(());

/// An attack, and what it may cost.
#[derive(Debug, Clone, Copy)]
pub struct Ordeal {
    /// What it is called in what is printed.
    pub name: &'static str,
    /// The broker's configuration, besides `limits.loopback`, which must not have a `[limits]` of
    /// its own: see `limits`.
    pub toml: &'static str,
    /// More of `[limits]`.
    pub limits: &'static str,
    /// Memory, in bytes, that the broker may grow by at most.
    pub memory: u64,
}

impl Ordeal {
    /// On a broker that is as it comes.
    #[must_use]
    pub const fn new(name: &'static str, mebibytes: u64) -> Self {
        Self { name, toml: "", limits: "", memory: mebibytes << 20 }
    }

    /// With more of `[limits]`.
    #[must_use]
    pub const fn limits(self, limits: &'static str) -> Self {
        Self { limits, ..self }
    }

    /// With other sections.
    #[must_use]
    pub const fn toml(self, toml: &'static str) -> Self {
        Self { toml, ..self }
    }

    /// Attacks, and holds what bystanders saw against what is usual. The broker, afterwards.
    pub fn run(self, attack: impl Fn(&Broker)) -> Broker {
        let _alone = ALONE.lock();
        raise_file_limit();
        for attempt in 1.. {
            let toml = format!("[limits]\nloopback = true\n{}\n{}", self.limits, self.toml);
            let broker = Setup::default().toml(&toml).start();
            let crowd = Bystanders::of(&broker);
            let (quiet, before) = crowd.during(|| {
                std::thread::sleep(QUIET);
                memory(broker.pid())
            });
            let (begun, idle) = (now(), processor_time(broker.pid()));
            let (attacked, ()) = crowd.during(|| attack(&broker));
            let (time, work) = (begun.elapsed(), processor_time(broker.pid()) - idle);
            crowd.leave();
            let (after, peak) = (memory(broker.pid()), peak_memory(broker.pid()));
            let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
            println!(
                "{}: {time:.1?}, {work:.1?} at work; deliveries, 99 %: {} ms quiet, {} ms attacked; newcomers: {} ms, \
                 {} ms; memory: {:.0} MiB, {:.0} at most, {:.0} after",
                self.name,
                millis(quiet.deliveries.p99),
                millis(attacked.deliveries.p99),
                millis(quiet.arrivals.p99),
                millis(attacked.arrivals.p99),
                mib(before),
                mib(peak),
                mib(after),
            );
            assert!(attacked.deliveries.count > 0 && attacked.arrivals.count > 0, "{attacked:?}");
            assert!(
                peak.saturating_sub(before) <= self.memory,
                "{}: memory grew by {:.1} MiB",
                self.name,
                mib(peak.saturating_sub(before))
            );
            assert!(broker.is_alive() && !broker.log().contains("panicked"), "{}", broker.log());
            if bears(&quiet, &attacked) {
                return broker;
            }
            assert!(attempt < ATTEMPTS, "{}: {quiet:?}, {attacked:?}", self.name);
        }
        unreachable!("the last attempt returns or panics")
    }
}

fn bears(quiet: &Seen, attacked: &Seen) -> bool {
    let bound = |quiet: Duration| (quiet * TIMES).max(FLOOR);
    attacked.deliveries.p99 <= bound(quiet.deliveries.p99)
        && attacked.arrivals.p99 <= bound(quiet.arrivals.p99)
}

fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}

/// Does something on a thread of its own until `act` is over: what an attacker needs to keep at it.
pub fn meanwhile<R>(beside: impl Fn(&AtomicBool) + Sync, act: impl FnOnce() -> R) -> R {
    let over = AtomicBool::new(false);
    scope(|scope| {
        scope.spawn(|| beside(&over));
        let result = act();
        over.store(true, Ordering::Relaxed);
        result
    })
}
