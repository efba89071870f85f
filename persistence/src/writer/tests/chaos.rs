//! Many publishers, and a store that fails at random and recovers.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicU64, Ordering},
};

use super::*;

const CHANNELS: i64 = 8;
const JOBS: i64 = 400;

/// A small generator, the same for the same seed (splitmix64).
struct Dice(AtomicU64);

impl Dice {
    fn roll(&self, sides: u64) -> u64 {
        let mut x = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % sides
    }
}

/// Makes the store well or ill as the dice fall, until told to leave it well.
fn afflict(rig: &Rig, dice: &Dice) {
    let mood = match dice.roll(10) {
        0 => Mood::Curable(BacklogError::Full),
        1 => Mood::Broken(BacklogError::Failed("chaos".into())),
        2 => Mood::Panicking,
        3 => Mood::TrimPanics,
        _ => Mood::Well,
    };
    rig.backlog.set(mood);
}

#[test]
fn whatever_fails_everything_is_settled_once_and_nothing_is_out_of_order() {
    let changes: usize = (0..8).map(run).sum();
    assert!(changes > 16, "{changes}: the store was hardly ever ill");
}

/// Says how often the health changed.
fn run(seed: u64) -> usize {
    let dice = Dice(AtomicU64::new(seed));
    let interval = Duration::from_millis(1);
    let rig = Rig::new(WriterOptions { interval, batch_records: 16, retry: interval, ..options() });
    // One publisher a channel, so that submissions are in the order of positions. The token is a
    // number of its own; whether it may be refused follows from it.
    let refusable = |token: i64| token % 3 == 0;
    thread::scope(|scope| {
        for channel in 0..CHANNELS {
            let (rig, dice) = (&rig, &dice);
            scope.spawn(move || {
                for at in 1..=JOBS {
                    let token = at * CHANNELS + channel;
                    let job = job(&format!("/{channel}"), at);
                    let urgent = dice.roll(2) == 0;
                    let refusable = refusable(token);
                    rig.writer.submit(Job { urgent, refusable, token: Some(token), ..job });
                    if dice.roll(20) == 0 {
                        afflict(rig, dice);
                    }
                    if dice.roll(4) == 0 {
                        rig.log.await_token(token);
                    }
                }
            });
        }
    });
    // Whatever is left is written when it is well.
    rig.backlog.set(Mood::Well);
    assert_eq!(rig.writer.stop(), Ok(()), "seed {seed}");
    check(&rig, refusable, seed);
    rig.log.health().len()
}

fn check(rig: &Rig, refusable: impl Fn(i64) -> bool, seed: u64) {
    let mut settled = BTreeMap::new();
    for (token, outcome) in rig.log.settled() {
        assert_eq!(settled.insert(token, outcome.is_ok()), None, "seed {seed}: {token} twice");
    }
    assert!(settled.keys().copied().eq(CHANNELS..CHANNELS * (JOBS + 1)), "seed {seed}: all");
    for channel in 0..CHANNELS {
        let name = format!("/{channel}");
        let positions = rig.backlog.positions(&name);
        assert!(positions.is_sorted_by(|a, b| a < b), "seed {seed}");
        let stored: BTreeSet<i64> = positions.into_iter().collect();
        let floor = rig.backlog.floor(&name).unwrap();
        for at in 1..=JOBS {
            let token = at * CHANNELS + channel;
            let (ok, there) = (settled[&token], stored.contains(&at));
            if refusable(token) {
                assert_eq!(ok, there, "seed {seed}: {name} {at} may be refused");
            } else {
                assert!(there || (!ok && at <= floor), "seed {seed}: {name} {at} was delivered");
            }
        }
    }
    let health = rig.log.health();
    assert!(health.iter().enumerate().all(|(at, trouble)| trouble.is_some() == (at % 2 == 0)));
    assert!(health.len().is_multiple_of(2), "it is well in the end");
}
