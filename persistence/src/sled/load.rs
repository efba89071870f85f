//! How the catalogue is made of what is stored, when a store is opened.

use std::{panic::AssertUnwindSafe, panic::catch_unwind, sync::Arc};

use super::{
    SledOptions,
    catalogue::{Catalogue, Doomed},
    channel::Channel,
    files::Files,
    of_sled,
    packing::{self, Entry},
    rows::{self, Meta},
};
use crate::BacklogError;

/// Reads rows. Over some kinds of damage, sled panics.
pub(super) fn reading<R>(
    read: impl FnOnce() -> Result<R, BacklogError>,
) -> Result<R, BacklogError> {
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(BacklogError::Damaged("reading it panicked".into())))
}

impl Catalogue {
    /// Reads what is stored of all channels: a row each. Where the store was not closed, what came
    /// after that row was written is counted.
    pub(super) fn load(
        files: &Files,
        shared_floor: i64,
        closed: bool,
        options: &SledOptions,
    ) -> Result<Self, BacklogError> {
        let dead_bytes_most = options.budget_bytes / 8;
        let mut catalogue = Self { shared_floor, dead_bytes_most, ..Self::default() };
        for row in files.tree.range(rows::marks()) {
            let (key, value) = row.map_err(of_sled)?;
            rows::parse_mark(&key, &value)
                .ok_or_else(|| BacklogError::Damaged("a mark cannot be read".into()))?;
            catalogue.marks += 1;
        }
        for row in files.tree.scan_prefix(Meta::all()) {
            let (key, value) = row.map_err(of_sled)?;
            let found = Meta::number(&key).zip(Meta::decode(&value));
            let (number, meta) = found
                .ok_or_else(|| BacklogError::Damaged("a channel's entry makes no sense".into()))?;
            catalogue.next_number = catalogue.next_number.max(number.saturating_add(1));
            if meta.damaged {
                // Its number is taken.
            } else if meta.dropped {
                catalogue.doomed.push_back(Doomed { number, meta, noted: true });
            } else {
                catalogue.add(number, &meta, files, closed, options);
            }
        }
        Ok(catalogue)
    }

    fn add(
        &mut self,
        number: u32,
        meta: &Meta,
        files: &Files,
        closed: bool,
        options: &SledOptions,
    ) {
        let name: Arc<str> = meta.name.as_str().into();
        // Channels are dropped in memory first: if one of that name came back since, this is it.
        self.drop_channel(&name);
        let mut channel = Channel::new(number, Arc::clone(&name), meta);
        let counted = if closed { Ok(()) } else { reading(|| count(&mut channel, files)) };
        self.turn = self.turn.max(channel.turn);
        self.records += channel.records;
        self.bytes += channel.bytes;
        self.dead_bytes += channel.dead_bytes;
        self.channels.insert(Arc::clone(&name), channel);
        if counted.is_err() {
            // Nobody knows how far it came; nothing went beyond what was given out.
            self.raise_shared_floor(options.shared_floor);
            self.give_up(&name, number);
        }
    }
}

/// Counts the rows of a channel that came after its size was last written down.
fn count(channel: &mut Channel, files: &Files) -> Result<(), BacklogError> {
    for row in files.tree.range(packing::between(channel.number, channel.head, i64::MAX)) {
        let (key, value) = row.map_err(of_sled)?;
        for entry in packing::unpack(&key, &value) {
            let Entry { position, time_us, text } = entry?;
            channel.push(position, time_us, text.len() as u64);
            channel.turn = u64::try_from(position).unwrap_or(0);
        }
    }
    Ok(())
}
