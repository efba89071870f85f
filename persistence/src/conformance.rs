//! The suite that every [`Backlog`] must pass: what the trait's documentation promises, a case each.
//!
//! An implementation calls [`conformance!`](crate::conformance!) with an expression that makes a
//! fresh, empty, ample one, paired with whatever has to live as long (its directory, or `()`); each
//! case becomes a test of its own.

use std::{any::Any, fmt, ops::Deref};

use crate::{Backlog, BacklogError, Page, Record};

/// What a case says: `Ok`, a panic with what differs, or an error nobody expected.
pub type Outcome = Result<(), BacklogError>;

/// Makes a `#[test]` of each case, for the [`Backlog`] that the expression makes.
#[macro_export]
macro_rules! conformance {
    ($make:expr) => {
        $crate::conformance!($make =>
            records_come_back_as_they_went_in
            reading_starts_after_the_position_and_stops_at_the_maximum
            a_page_ends_before_its_bytes_are_passed_but_holds_the_first_record
            the_last_records_come_oldest_first
            channels_do_not_mix
            an_unknown_channel_is_empty_and_has_lost_nothing
            a_position_that_does_not_follow_is_refused
            a_refused_batch_leaves_nothing_behind
            a_large_batch_is_stored_whole
            an_empty_batch_is_fine
            trimming_by_count_keeps_the_newest
            trimming_by_bytes_counts_the_texts
            trimming_by_age_keeps_what_is_exactly_that_old
            a_younger_record_shelters_older_times_behind_it
            trimming_all_keeps_head_and_floor
            trimming_is_done_in_pieces
            the_last_record_may_be_kept_whatever_its_age_and_size
            positions_go_on_after_all_was_trimmed
            names_and_texts_may_hold_any_character
            a_raised_floor_tells_of_a_loss_and_drops_nothing
            a_floor_raised_for_an_unknown_channel_is_shared
            names_are_those_with_a_head_in_order
            marks_come_back_in_the_order_of_their_times
            marks_are_kept_apart_from_records
            a_refused_batch_leaves_no_mark
            marks_are_forgotten_by_age_and_by_number
            marks_are_forgotten_in_pieces
            usage_counts_what_can_be_read
            tidying_comes_to_an_end_and_changes_nothing
            readers_see_batches_whole
            random_operations_agree_with_the_model
            nothing_works_after_closing_but_closing
        );
    };
    ($make:expr => $($case:ident)+) => {
        $(
            #[test]
            fn $case() -> $crate::conformance::Outcome {
                $crate::conformance::$case(&mut || $crate::conformance::Fixture::from($make))
            }
        )+
    };
}

/// A backlog and what it needs to live, dropped after it.
pub struct Fixture {
    backlog: Box<dyn Backlog>,
    _needed: Box<dyn Any + Send + Sync>,
}

impl<B: Backlog + 'static, N: Send + Sync + 'static> From<(B, N)> for Fixture {
    fn from((backlog, needed): (B, N)) -> Self {
        Self { backlog: Box::new(backlog), _needed: Box::new(needed) }
    }
}

impl Deref for Fixture {
    type Target = dyn Backlog;

    fn deref(&self) -> &Self::Target {
        &*self.backlog
    }
}

impl fmt::Debug for Fixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.backlog.fmt(f)
    }
}

/// Makes a fresh backlog.
pub type Make<'a> = &'a mut dyn FnMut() -> Fixture;

/// A record whose wall time is its position.
#[must_use]
pub fn record(channel: &str, position: i64, value: &str) -> Record {
    Record { channel: channel.into(), position, time_us: position, value: value.into(), mark: None }
}

/// Records `/a` 1 to `n`, ten bytes of text each.
fn filled(make: Make<'_>, n: i64) -> Result<Fixture, BacklogError> {
    let backlog = make();
    let batch: Vec<_> = (1..=n).map(|at| record("/a", at, "0123456789")).collect();
    backlog.append(&batch)?;
    Ok(backlog)
}

fn positions(backlog: &dyn Backlog, channel: &str) -> Result<Vec<i64>, BacklogError> {
    let records = backlog.read_after(channel, 0, Page::ALL)?;
    Ok(records.iter().map(|record| record.position).collect())
}

/// A page of so many records, of any size.
fn page(records: usize) -> Page {
    Page { records, ..Page::ALL }
}

macro_rules! cases {
    ($($(#[doc = $doc:literal])+ $case:ident($make:ident) $body:block)+) => {
        $(
            $(#[doc = $doc])+
            ///
            /// # Errors
            /// Those of the backlog that the case does not expect.
            pub fn $case($make: Make<'_>) -> Outcome {
                $body;
                Ok(())
            }
        )+
    };
}

mod marks;
mod reading;
mod trimming;
mod whole;

pub use {marks::*, reading::*, trimming::*, whole::*};
