//! What changes the files: appending, removing what is dead, and closing. One at a time.

use std::sync::Arc;

use sled::IVec;

use super::{
    LONE_CUTS, SWEEP_ROWS, Sled,
    catalogue::{Doomed, Gone, some_less},
    files::Files,
    load::reading,
    of_sled,
    packing::{self, Packer},
    rows::{self, Meta, Rows},
};
use crate::{BacklogError, Record, Retention, TRIM_MOST};

/// So many rows, at the most, are made of records at a time. If they turn out to be few, the next ones go
/// into the same batch.
pub(super) const AT_A_TIME: usize = SWEEP_ROWS / 2;

impl Sled {
    pub(super) fn commit(&self, batch: &[Record], files: &Files) -> Result<(), BacklogError> {
        let mut rows = Rows::default();
        let mut numbers = Vec::with_capacity(batch.len());
        {
            let mut catalogue = self.catalogue.lock();
            catalogue.check(batch)?;
            // What may share rows is written all or none: else those of one channel could be found without
            // those of another that came before.
            let mut rest = batch;
            while !rest.is_empty() {
                let (some, later) = rest.split_at(catalogue.together(rest));
                rest = later;
                rows.together(AT_A_TIME);
                let mut packer = Packer::default();
                for record in some {
                    let number = catalogue.number(&record.channel, record.position, &mut rows)?;
                    packer.push(number, record, &mut rows);
                    if let Some(mark) = &record.mark {
                        let key = rows::mark_key(record.time_us, record.position, &mark.key);
                        rows.insert(&key, rows::mark_value(mark));
                    }
                    numbers.push(number);
                }
                packer.finish(&mut rows);
            }
            catalogue.note_sizes(batch, &mut rows);
            catalogue.note_floors(&mut rows);
        }
        files.write(rows)?;
        let lone = {
            let mut catalogue = self.catalogue.lock();
            catalogue.appended(batch, &numbers);
            catalogue.shrink(&self.options)
        };
        lone.map_or(Ok(()), |name| self.shorten(&name, files))
    }

    /// Makes the only channel there is lose its oldest records.
    fn shorten(&self, name: &Arc<str>, files: &Files) -> Result<(), BacklogError> {
        let most = self.options.budget_bytes;
        let keep = Retention { bytes: some_less(most), ..Retention::ALL };
        for _ in 0..LONE_CUTS {
            let cut = self.cut(name, &keep, i64::MIN, files)?;
            if cut == 0 || self.catalogue.lock().bytes <= most {
                break;
            }
        }
        Ok(())
    }

    /// Removes a batch of rows that are dead. Says whether there are more.
    pub(super) fn sweep(&self, files: &Files) -> Result<bool, BacklogError> {
        let mut rows = Rows::default();
        self.catalogue.lock().note_floors(&mut rows);
        // Each needs a row for what is written down of it.
        while rows.room() > 1 && (self.unmake(files, &mut rows)? || self.bury(files, &mut rows)?) {}
        let more = rows.room() <= 1;
        if !rows.is_empty() {
            files.write(rows)?;
        }
        Ok(more)
    }

    /// Removes rows of the channel that was dropped first. False if there is none.
    fn unmake(&self, files: &Files, rows: &mut Rows) -> Result<bool, BacklogError> {
        let Some(mut doomed) = self.catalogue.lock().doomed.pop_front() else {
            return Ok(false);
        };
        let Doomed { number, ref mut meta, noted } = doomed;
        let most = rows.room() - 1;
        let mut keys = Vec::new();
        if !meta.damaged {
            let found = reading(|| {
                let found = files.tree.scan_prefix(rows::prefix(number)).keys().take(most);
                found.collect::<Result<Vec<_>, _>>().map_err(of_sled)
            });
            match found {
                Ok(found) => keys = found,
                // Nobody misses it any more.
                Err(BacklogError::Damaged(_)) => meta.damaged = true,
                Err(error) => {
                    self.catalogue.lock().doomed.push_front(doomed);
                    return Err(error);
                }
            }
        }
        keys.iter().for_each(|key| rows.remove(key));
        let all = keys.len() < most;
        if all && !meta.damaged {
            rows.remove(&Meta::key(number));
        } else if !noted || meta.damaged {
            rows.insert(&Meta::key(number), meta.encode());
        }
        if !all {
            doomed.noted = true;
            self.catalogue.lock().doomed.push_front(doomed);
        }
        Ok(true)
    }

    /// Removes rows of a channel that its floor has passed. False if there is none.
    fn bury(&self, files: &Files, rows: &mut Rows) -> Result<bool, BacklogError> {
        let Some((name, number, from, to)) = self.catalogue.lock().grave() else {
            return Ok(false);
        };
        let most = rows.room() - 1;
        let found = reading(|| {
            let found = files.tree.range(packing::between(number, from, to)).take(most);
            found.map(|row| row.map(Dead::of).map_err(of_sled)).collect::<Result<Vec<_>, _>>()
        });
        let mut gone = Gone { up_to: from, ..Gone::default() };
        match found {
            Ok(dead) => {
                gone.searched = (dead.len() < most).then_some(to);
                for Dead { key, records, bytes } in &dead {
                    gone.up_to = rows::position_of(key).unwrap_or(to);
                    gone.records += records;
                    gone.bytes += bytes;
                    rows.remove(key);
                }
            }
            // They stay where they are.
            Err(BacklogError::Damaged(_)) => (gone.up_to, gone.searched) = (to, Some(to)),
            Err(error) => return Err(error),
        }
        self.catalogue.lock().buried(&name, &gone, rows);
        Ok(true)
    }

    /// Forgets the marks that are too old or too many, as far as one batch goes.
    pub(super) fn forget(
        &self,
        before_us: i64,
        max: u64,
        files: &Files,
    ) -> Result<u64, BacklogError> {
        let mut rows = Rows::default();
        let excess = self.catalogue.lock().marks.saturating_sub(max);
        let mut forgotten = 0;
        for row in files.tree.range(rows::marks()) {
            let (key, value) = row.map_err(of_sled)?;
            let old = rows::parse_mark(&key, &value).is_none_or(|mark| mark.time_us < before_us);
            if forgotten == TRIM_MOST || (!old && forgotten >= excess) {
                break;
            }
            rows.remove(&key);
            forgotten += 1;
        }
        if forgotten > 0 {
            files.write(rows)?;
            let mut catalogue = self.catalogue.lock();
            catalogue.marks = catalogue.marks.saturating_sub(forgotten);
        }
        Ok(forgotten)
    }

    /// Writes down what is known, and that the store was closed.
    pub(super) fn finish(&self, files: &Files) -> Result<(), BacklogError> {
        let mut catalogue = self.catalogue.lock();
        let mut rows = Rows::default();
        catalogue.note_all(&mut rows);
        let highest = catalogue.highest();
        drop(catalogue);
        if !rows.is_empty() {
            files.write(rows)?;
        }
        files.seal(highest)
    }
}

/// A row of which all records are dead.
struct Dead {
    key: IVec,
    records: u64,
    bytes: u64,
}

impl Dead {
    /// What cannot be read of it goes as well as the rest, uncounted.
    fn of((key, value): (IVec, IVec)) -> Self {
        let (mut records, mut bytes) = (0, 0);
        for entry in packing::unpack(&key, &value).flatten() {
            records += 1;
            bytes += entry.text.len() as u64;
        }
        Self { key, records, bytes }
    }
}
