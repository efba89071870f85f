//! What holds over a stop that was not clean: what the store had not written is gone.

use std::sync::Arc;

use weft_broker::core::clock::SystemClock;
use weft_broker::core::options::Options;
use weft_broker::core::publishing::{Published, Publishing};
use weft_broker::core::rules::Durability;
use weft_persistence::Backlog;

use super::common::Chance;
use super::common::disk::Disk;
use super::life::Life;
use super::rig::{Client, TINY, options, publish, rule, rules};

const CHANNELS: [&str; 3] = ["/interval/a", "/sync/a", "/memory/a"];

/// Begins after an unclean stop, or for the first time (`doubt` 0).
fn begin(backlog: &Arc<Disk>, options: Options, doubt: i64) -> Life {
    Life::begin(backlog, options, Arc::new(SystemClock), (doubt, doubt))
}

fn keeping() -> Options {
    options(rules(&[
        ("/sync/**", rule(Durability::Sync)),
        ("/memory/**", rule(Durability::Memory)),
    ]))
}

fn outcome(publishing: &mut Publishing) -> Option<Published> {
    publishing.poll().map(|outcome| outcome.expect("stored"))
}

#[test]
fn after_an_unclean_stop_gaps_are_told_where_something_may_be_lost_and_nowhere_else() {
    for seed in 0..20 {
        let mut chance = Chance::new(seed);
        let backlog = Disk::new();
        let old = begin(&backlog, keeping(), 0);
        let mut published: Vec<(usize, String, Publishing)> = Vec::new();
        for n in 0..60 {
            let (channel, key) = (chance.below(3), format!("key {n}"));
            let publishing = old.publish(CHANNELS[channel], Some(&key));
            published.push((channel, key, publishing));
            old.commit(chance.below(2));
        }
        let stored: Vec<Vec<i64>> = CHANNELS
            .iter()
            .map(|channel| {
                let page = weft_persistence::Page { records: 1_000, bytes: 1 << 20 };
                let records = backlog.read_after(channel, 0, page).expect("readable");
                records.iter().map(|record| record.position).collect()
            })
            .collect();
        let last = old.broker.last_position();
        drop(old.hand);
        let doubt = last + 10_000_000;
        let new = begin(&backlog, keeping(), doubt);
        resume(seed, &new, &stored, doubt);
        for (channel, key, mut before) in published {
            let before = before
                .poll()
                .and_then(Result::ok)
                .filter(|before| stored[channel].contains(&before.position));
            let mut again = new.publish(CHANNELS[channel], Some(&key));
            new.commit(usize::MAX);
            let again = outcome(&mut again).expect("settled");
            assert_eq!(again.repeat, before.is_some(), "seed {seed}: {key}");
            match before {
                Some(before) => assert_eq!(again.position, before.position, "seed {seed}: {key}"),
                None => assert!(again.position > doubt, "seed {seed}: {key} went back"),
            }
        }
    }
}

/// Sessions come back with numbers from before the stop, and one from after it.
fn resume(seed: u64, new: &Life, stored: &[Vec<i64>], doubt: i64) {
    for (channel, stored) in CHANNELS.iter().zip(stored) {
        let Some(&from) = stored.first() else { continue };
        let mut late = Client::subscribed(&new.broker, channel, Some(from));
        let mut all = Client::subscribed(&new.broker, channel, Some(-2));
        let mut fresh: Vec<Publishing> = (0..3).map(|_| new.publish(channel, None)).collect();
        new.commit(usize::MAX);
        let fresh: Vec<i64> =
            fresh.iter_mut().map(|one| outcome(one).expect("settled").position).collect();
        assert!(fresh.is_sorted_by(|a, b| a < b) && fresh[0] > doubt, "seed {seed}: {fresh:?}");
        late.drain(&new.broker);
        all.drain(&new.broker);
        let wanted = [&stored[1..], &fresh].concat();
        assert_eq!(late.seen(channel), wanted, "seed {seed}: {channel}");
        assert_eq!(all.seen(channel), [&[from][..], &wanted].concat(), "seed {seed}: {channel}");
        if channel.starts_with("/sync") {
            assert!(late.gaps.is_empty(), "seed {seed}: {:?}", late.gaps);
        } else {
            assert!(late.was_told(channel, from + 1), "seed {seed}: {:?}", late.gaps);
            assert!(late.was_told(channel, doubt), "seed {seed}: {:?}", late.gaps);
            assert!(!late.was_told(channel, fresh[0]), "seed {seed}: {:?}", late.gaps);
        }
        let mut after = Client::subscribed(&new.broker, channel, Some(fresh[0]));
        after.drain(&new.broker);
        assert_eq!(after.seen(channel), &fresh[1..], "seed {seed}: {channel}");
        assert!(after.gaps.is_empty(), "seed {seed}: {:?}", after.gaps);
    }
}

#[test]
fn what_only_memory_kept_is_told_to_be_gone_after_any_restart() {
    let backlog = Disk::new();
    let old = begin(&backlog, keeping(), 0);
    let (first, last) = (publish(&old.broker, "/memory/a"), publish(&old.broker, "/memory/a"));
    let new = begin(&backlog, keeping(), last);
    let mut client = Client::subscribed(&new.broker, "/memory/a", Some(first));
    let next = publish(&new.broker, "/memory/a");
    client.drain(&new.broker);
    assert_eq!(client.seen("/memory/a"), [next]);
    assert!(next > last && client.was_told("/memory/a", last));
}

#[test]
fn what_memory_let_go_of_before_it_was_stored_is_told_to_a_session_that_is_reading() {
    let backlog = Disk::new();
    let life = begin(&backlog, Options { past: TINY, response_bytes: 1, ..keeping() }, 0);
    let mut all: Vec<i64> = (0..10).map(|_| publish(&life.broker, "/interval/a")).collect();
    life.commit(usize::MAX);
    let mut client = Client::subscribed(&life.broker, "/interval/a", Some(all[0]));
    assert!(client.gaps.is_empty());
    // The store lags behind by far more than memory may keep.
    all.extend((0..1_000).map(|_| publish(&life.broker, "/interval/a")));
    client.drain(&life.broker);
    for &position in &all[1..] {
        let seen = client.seen("/interval/a").contains(&position);
        let told = client.was_told("/interval/a", position);
        assert!(seen || told, "{position} of {:?}: {:?}", (all[0], all.last()), client.gaps);
    }
}
