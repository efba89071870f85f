//! From the configuration to what is kept of channels' pasts, and how.

use std::time::Duration;

use weft_persistence::{Retention, WriterOptions};

use crate::config::{self, Config, StoreKind};
use crate::core::options::Options;
use crate::core::rules::{Durability, Rule, Rules};
use crate::storage::{StorageOptions, sled_options};

/// What may wait for the disk: some seconds of a fast publisher, and what a full disk leaves waiting.
const STORE_QUEUE_RECORDS: usize = 100_000;
const STORE_QUEUE_BYTES: usize = 64 << 20;

/// The channel rules. Without a store, memory is all there is.
pub(crate) fn rules(config: &Config) -> Rules {
    let durability = |asked: config::Durability| match (config.store.kind, asked) {
        (StoreKind::Memory, _) | (_, config::Durability::Memory) => Durability::Memory,
        (_, config::Durability::Interval) => Durability::Interval,
        (_, config::Durability::Sync) => Durability::Sync,
    };
    let rule = |channel: &config::Channel| Rule {
        keep: Retention {
            messages: channel.backlog.messages,
            bytes: channel.backlog.bytes.get(),
            age_us: micros(channel.backlog.age.get()),
            keep_last: channel.retain_last,
        },
        durability: durability(channel.durability),
        replay: channel.replay,
        retain_last: channel.retain_last,
        broadcast_to_publisher: channel.broadcast_to_publisher,
        salesforce: channel.salesforce,
        lazy: Some(channel.lazy.get()).filter(|lazy| !lazy.is_zero()),
    };
    let list = config.channels.iter().map(|channel| (channel.pattern.clone(), rule(channel)));
    Rules::new(list, rule(&config::Channel::default()))
}

pub(crate) fn storage_options(config: &Config, core: &Options) -> StorageOptions {
    let store = &config.store;
    let sled = sled_options(config);
    StorageOptions {
        sled: (store.kind == StoreKind::Sled).then_some(sled),
        writer: WriterOptions {
            interval: store.interval.get(),
            batch_records: 500,
            queue_records: STORE_QUEUE_RECORDS,
            queue_bytes: STORE_QUEUE_BYTES,
            kept_records: STORE_QUEUE_RECORDS,
            kept_bytes: STORE_QUEUE_BYTES,
            retry: Duration::from_secs(1),
            marks_window: core.repeat_window,
            marks_max: config.publish.repeat_keys,
        },
        rules: core.rules.clone(),
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
