//! The core and its store under one seeded clock: many clients of several kinds, and a network that
//! loses, delays, repeats and cuts; a store that fails; stops, clean or not; clocks that step.
//!
//! Clients are like cometd.js, like faye, or plain pollers, with and without ack, with and without
//! replay. The world draws what happens next ([`world`]), a model of what was promised keeps books of
//! every session ([`ledger`]), and of every answer: order, no stranger's message, no repeat without
//! cause and none with ack, no loss that was not told, no gap told where nothing is missing. After
//! steps: what the broker counts equals a recount, each session has exactly one armed deadline that
//! comes in time, queues are within bounds. At the end: all that is owed arrives, and an empty broker
//! once everybody has left.
//!
//! A failing seed is run again to print the last steps before the failure; `WEFT_SIM_SEED=n` runs it
//! alone, `WEFT_SIM_SEEDS=n` and `WEFT_SIM_STEPS=n` change how many run and for how long.

#![expect(unreachable_pub, reason = "a test binary exports nothing")]

mod answers;
mod book;
mod channels;
mod client;
#[path = "../common/mod.rs"]
mod common;
mod doubts;
mod finish;
mod flight;
mod found;
mod ledger;
mod life;
mod network;
mod plan;
mod publishing;
mod seams;
mod tally;
mod traffic;
mod wire;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use tally::Tally;
use world::World;

const SEEDS: u64 = 2_000;
const STEPS: u64 = 500;
/// In a build without optimisation, an audit costs as much as several steps. So one seed in so many has
/// one after each step, the others one after so many steps; a seed that fails is run again with one
/// after each. `WEFT_SIM_AUDIT=1` audits all after each step.
const AUDITED: u64 = 8;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Held connects that are watched sleep by tokio's timers, which never fire here.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime")
}

/// Runs a world, whether it fails or panics.
fn run(world: &mut World, steps: u64) -> Result<Tally, String> {
    let ran = catch_unwind(AssertUnwindSafe(|| world.run(steps)));
    ran.unwrap_or_else(|_| Err("it panicked".to_owned()))
}

/// One seed; if it fails, once more with a trace.
fn try_seed(seed: u64, steps: u64) -> Result<Tally, String> {
    let audited = number("WEFT_SIM_AUDIT", AUDITED);
    let audit_every = if seed.is_multiple_of(audited) { 1 } else { audited };
    run(&mut World::new(seed, audit_every, false), steps).map_err(|first| {
        let mut world = World::new(seed, 1, true);
        let again = run(&mut world, steps);
        let trace = world.trace();
        format!("seed {seed} ({first}); once more, audited after each step: {again:?}\n{trace}alone: WEFT_SIM_SEED={seed}")
    })
}

#[test]
fn r24_l11_l12_e17_x1_nothing_is_lost_reordered_repeated_or_leaked_whatever_happens() {
    let steps = number("WEFT_SIM_STEPS", STEPS);
    let alone = number("WEFT_SIM_SEED", 0);
    let seeds = if alone > 0 { alone..=alone } else { 1..=number("WEFT_SIM_SEEDS", SEEDS) };
    let (next, failed) = (AtomicU64::new(*seeds.start()), AtomicBool::new(false));
    let work = || {
        let runtime = runtime();
        let _entered = runtime.enter();
        let mut tally = Tally::default();
        while !failed.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if !seeds.contains(&seed) {
                break;
            }
            let ran = try_seed(seed, steps);
            failed.fetch_or(ran.is_err(), Ordering::Relaxed);
            tally.add(&ran?);
        }
        Ok::<_, String>(tally)
    };
    let mut tally = Tally::default();
    let outcomes = thread::scope(|scope| {
        let threads = [(); 2].map(|()| scope.spawn(work));
        threads.map(|thread| thread.join().expect("it catches what panics"))
    });
    for outcome in outcomes {
        match outcome {
            Ok(part) => tally.add(&part),
            Err(failure) => panic!("{failure}"),
        }
    }
    println!("{tally:#?}");
    if alone == 0 {
        tally.assert_everything_happened();
    }
}

#[test]
fn a_seed_replays_exactly() {
    let runtime = runtime();
    let _entered = runtime.enter();
    for seed in [3, 77, 1_234] {
        let trace = || {
            let mut world = World::new(seed, 1, true);
            world.run(300).expect("a clean run");
            world.trace()
        };
        assert_eq!(trace(), trace());
    }
}
