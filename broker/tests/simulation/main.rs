//! The core under one seeded clock, with clients of three kinds and a network that loses replies,
//! cuts sockets seen and unseen, repeats requests, and steps the wall clock.
//!
//! After every step: what the broker counts equals a recount, each session has exactly one armed
//! deadline that comes in time, queues are within bounds. On every reply: order, no stranger's
//! message, no repeat without cause. At the end: nothing lost beyond what was told or is known not
//! to be covered (decisions section 4), and an empty broker once everybody has left.
//!
//! A failing seed is printed with the last steps before the failure; `WEFT_SIM_SEED=n` runs it
//! alone, `WEFT_SIM_SEEDS=n` and `WEFT_SIM_STEPS=n` change how many run and for how long.

#![expect(unreachable_pub, reason = "a test binary exports nothing")]

mod client;
#[path = "../common/mod.rs"]
mod common;
mod ledger;
mod seams;
mod tally;
mod world;

use tally::Tally;
use world::World;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn run(seed: u64, steps: u64) -> Result<Tally, String> {
    let mut world = World::new(seed);
    let result = world.run(steps);
    result.map_err(|what| format!("seed {seed}: {what}\n{}", world.trace()))
}

#[test]
fn r24_l11_l12_e17_nothing_is_lost_reordered_or_leaked_whatever_the_network_does() {
    let steps = number("WEFT_SIM_STEPS", 400);
    let alone = number("WEFT_SIM_SEED", 0);
    let seeds = if alone > 0 { alone..=alone } else { 1..=number("WEFT_SIM_SEEDS", 200) };
    let mut tally = Tally::default();
    for seed in seeds {
        match run(seed, steps) {
            Ok(run) => tally.add(&run),
            Err(failure) => panic!("{failure}"),
        }
    }
    println!("{tally:?}");
    if alone == 0 {
        tally.assert_everything_happened();
    }
}

#[test]
fn a_seed_replays_exactly() {
    for seed in [3, 77] {
        let trace = || {
            let mut world = World::new(seed);
            world.run(300).expect("a clean run");
            world.trace()
        };
        assert_eq!(trace(), trace());
    }
}
