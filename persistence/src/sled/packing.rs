//! Small records that a channel gets in one append share a row: sled's work is by the row, and most
//! messages are smaller than what it does for one.
//!
//! A row's key names its last position, so a channel's rows stand in order, and none reaches beyond a
//! position that was the channel's head. A record that stands alone is a row as it was in format 1.

use std::{collections::HashMap, iter::from_fn, ops::RangeInclusive, str::from_utf8, sync::Arc};

use sled::IVec;

use super::rows::{KEY_BYTES, Rows, parse_record, position_of, record_key, record_value};
use crate::{BacklogError, Record};

/// Most records of a row.
const RECORDS: usize = 32;
/// No more bytes of values share a row: what is large costs what it weighs, however it is stored.
const BYTES: usize = 4 << 10;
/// Position, time and length stand before each text.
const HEAD: usize = 8 + 8 + 4;
/// What the key of a row of several records has behind that of a lone one.
const SEVERAL: u8 = 1;

/// A record as it stands in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry<'r> {
    pub(super) position: i64,
    pub(super) time_us: i64,
    pub(super) text: &'r str,
}

impl Entry<'_> {
    /// The record, of the channel of this name.
    pub(super) fn record(self, name: &Arc<str>) -> Record {
        let Self { position, time_us, text } = self;
        let channel = Arc::clone(name);
        Record { channel, position, time_us, value: text.into(), mark: None }
    }
}

/// A channel's rows whose last position is above one and not above another.
pub(super) fn between(number: u32, after: i64, up_to: i64) -> RangeInclusive<IVec> {
    let from = record_key(number, after.saturating_add(1));
    let to = [&record_key(number, up_to)[..], &[u8::MAX]].concat();
    IVec::from(&from)..=IVec::from(to)
}

/// The records of a row, in their order. After an error there are none.
pub(super) fn unpack<'r>(
    key: &[u8],
    value: &'r [u8],
) -> impl Iterator<Item = Result<Entry<'r>, BacklogError>> {
    let last = position_of(key);
    let lone = key.len() == KEY_BYTES;
    let mut rest = Some(value);
    from_fn(move || {
        let bytes = rest.take()?;
        let entry = if lone {
            let lone = last.zip(parse_record(bytes));
            lone.map(|(position, (time_us, text))| (Entry { position, time_us, text }, &[][..]))
        } else {
            split_first(bytes)
        };
        let Some((entry, left)) = entry else { return Some(Err(unreadable())) };
        if left.is_empty() {
            return Some(if last == Some(entry.position) { Ok(entry) } else { Err(unreadable()) });
        }
        rest = Some(left);
        Some(Ok(entry))
    })
}

fn unreadable() -> BacklogError {
    BacklogError::Damaged("a record cannot be read".into())
}

/// The first of several records, and the others.
fn split_first(bytes: &[u8]) -> Option<(Entry<'_>, &[u8])> {
    let (position, bytes) = bytes.split_first_chunk()?;
    let (time_us, bytes) = bytes.split_first_chunk()?;
    let (length, bytes) = bytes.split_first_chunk()?;
    let (text, left) = bytes.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    let (position, time_us) = (i64::from_be_bytes(*position), i64::from_be_bytes(*time_us));
    Some((Entry { position, time_us, text: from_utf8(text).ok()? }, left))
}

/// Records on their way into rows.
#[derive(Debug, Default)]
pub(super) struct Packer<'b> {
    /// Of each channel, the row that is not full, and its values' bytes.
    open: HashMap<u32, (Vec<&'b Record>, usize)>,
}

impl<'b> Packer<'b> {
    /// Takes a channel's next record.
    pub(super) fn push(&mut self, number: u32, record: &'b Record, rows: &mut Rows) {
        let (row, bytes) = self.open.entry(number).or_default();
        if row.len() == RECORDS || *bytes + record.value.len() > BYTES {
            write(number, row, rows);
            row.clear();
            *bytes = 0;
        }
        row.push(record);
        *bytes += record.value.len();
    }

    /// Writes the rows that are not full.
    pub(super) fn finish(self, rows: &mut Rows) {
        self.open.iter().for_each(|(number, (row, _))| write(*number, row, rows));
    }
}

fn write(number: u32, row: &[&Record], rows: &mut Rows) {
    let Some(last) = row.last() else { return };
    let key = record_key(number, last.position);
    if let [lone] = row {
        return rows.insert(&key, record_value(lone.time_us, &lone.value));
    }
    let mut value = Vec::with_capacity(row.iter().map(|record| HEAD + record.value.len()).sum());
    for record in row {
        value.extend_from_slice(&record.position.to_be_bytes());
        value.extend_from_slice(&record.time_us.to_be_bytes());
        // Of several, none is larger than what a row holds.
        value.extend_from_slice(&(record.value.len() as u32).to_be_bytes());
        value.extend_from_slice(record.value.as_bytes());
    }
    rows.insert(&[&key[..], &[SEVERAL]].concat(), value);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn records(lengths: &[usize]) -> Vec<Record> {
        let record = |(at, length): (usize, &usize)| Record {
            channel: "/a".into(),
            position: at as i64 * 3 + 1,
            time_us: -(at as i64),
            value: "ö".repeat(*length).into(),
            mark: None,
        };
        lengths.iter().enumerate().map(record).collect()
    }

    proptest! {
        #[test]
        fn rows_hold_what_was_put_into_them_in_order(
            lengths in proptest::collection::vec(prop_oneof![9 => 0..100usize, 1 => 0..5_000usize], 0..200),
        ) {
            let records = records(&lengths);
            let mut rows = Rows::default();
            let mut packer = Packer::default();
            records.iter().for_each(|record| packer.push(7, record, &mut rows));
            packer.finish(&mut rows);
            let tree = sled::Config::new().temporary(true).open().unwrap();
            rows.into_batches().for_each(|batch| tree.apply_batch(batch).unwrap());
            let mut found = Vec::new();
            for row in tree.range(between(7, 0, i64::MAX)) {
                let (key, value) = row.unwrap();
                for entry in unpack(&key, &value) {
                    found.push(entry.unwrap().record(&"/a".into()));
                }
            }
            prop_assert_eq!(&found, &records);
            // A range ends with the row whose last position it names, and begins behind it.
            for row in tree.iter() {
                let last = position_of(&row.unwrap().0).unwrap();
                let up_to = tree.range(between(7, 0, last)).count();
                prop_assert_eq!(up_to + tree.range(between(7, last, i64::MAX)).count(), tree.len());
            }
        }

        #[test]
        fn a_row_that_makes_no_sense_is_an_error_and_never_a_panic(
            key in proptest::collection::vec(any::<u8>(), 0..16),
            value in proptest::collection::vec(any::<u8>(), 0..100),
        ) {
            let found: Vec<_> = unpack(&key, &value).collect();
            let errors = found.iter().filter(|entry| entry.is_err()).count();
            prop_assert!(errors <= 1 && (errors == 0 || found.last().is_some_and(Result::is_err)));
        }
    }

    #[test]
    fn small_ones_share_a_row_and_large_ones_stand_alone() {
        let count = |lengths: &[usize]| {
            let records = records(lengths);
            let (mut rows, mut packer) = (Rows::default(), Packer::default());
            records.iter().for_each(|record| packer.push(7, record, &mut rows));
            packer.finish(&mut rows);
            500 - rows.room()
        };
        assert_eq!(count(&[]), 0);
        assert_eq!(count(&[10; 32]), 1);
        assert_eq!(count(&[10; 33]), 2);
        assert_eq!(count(&[10, 3_000, 3_000, 10, 10]), 4);
    }
}
