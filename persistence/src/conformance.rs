//! The suite that every [`Backlog`] must pass: what the trait's documentation promises, a case each.
//!
//! An implementation calls [`conformance!`](crate::conformance!) with an expression that makes a
//! fresh, empty, ample one; each case becomes a test of its own.

use std::thread;

use crate::{Backlog, BacklogError, Record, Retention, model};

/// What a case says: `Ok`, a panic with what differs, or an error nobody expected.
pub type Outcome = Result<(), BacklogError>;

/// Makes a `#[test]` of each case, for the [`Backlog`] that the expression makes.
#[macro_export]
macro_rules! conformance {
    ($make:expr) => {
        $crate::conformance!($make =>
            records_come_back_as_they_went_in
            reading_starts_after_the_position_and_stops_at_the_maximum
            the_last_records_come_oldest_first
            channels_do_not_mix
            an_unknown_channel_is_empty_and_has_lost_nothing
            a_position_that_does_not_follow_is_refused
            a_refused_batch_leaves_nothing_behind
            an_empty_batch_is_fine
            trimming_by_count_keeps_the_newest
            trimming_by_bytes_counts_the_texts
            trimming_by_age_keeps_what_is_exactly_that_old
            a_younger_record_shelters_older_times_behind_it
            trimming_all_keeps_head_and_floor
            positions_go_on_after_all_was_trimmed
            names_and_texts_may_hold_any_character
            readers_see_batches_whole
            random_operations_agree_with_the_model
            nothing_works_after_closing_but_closing
        );
    };
    ($make:expr => $($case:ident)+) => {
        $(
            #[test]
            fn $case() -> $crate::conformance::Outcome {
                $crate::conformance::$case(&mut || Box::new($make))
            }
        )+
    };
}

/// Makes a fresh backlog.
pub type Make<'a> = &'a mut dyn FnMut() -> Box<dyn Backlog>;

/// A record whose wall time is its position.
#[must_use]
pub fn record(channel: &str, position: i64, value: &str) -> Record {
    Record { channel: channel.into(), position, time_us: position, value: value.into() }
}

/// Records `/a` 1 to `n`, ten bytes of text each.
fn filled(make: Make<'_>, n: i64) -> Result<Box<dyn Backlog>, BacklogError> {
    let backlog = make();
    let batch: Vec<_> = (1..=n).map(|at| record("/a", at, "0123456789")).collect();
    backlog.append(&batch)?;
    Ok(backlog)
}

fn positions(backlog: &dyn Backlog, channel: &str) -> Result<Vec<i64>, BacklogError> {
    let records = backlog.read_after(channel, 0, usize::MAX)?;
    Ok(records.iter().map(|record| record.position).collect())
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

cases! {
    /// Every field survives.
    records_come_back_as_they_went_in(make) {
        let backlog = make();
        let one = Record {
            channel: "/a".into(),
            position: 1 << 50,
            time_us: -5,
            value: r#"{"data":1}"#.into(),
        };
        backlog.append(std::slice::from_ref(&one))?;
        assert_eq!(backlog.read_after("/a", 0, 10)?, [one]);
    }

    /// `after` is exclusive; positions below the first and above the last are fine to ask for.
    reading_starts_after_the_position_and_stops_at_the_maximum(make) {
        let backlog = make();
        backlog.append(&[record("/a", 10, ""), record("/a", 20, ""), record("/a", 30, "")])?;
        let read = |after, max| -> Result<Vec<i64>, BacklogError> {
            let records = backlog.read_after("/a", after, max)?;
            Ok(records.iter().map(|record| record.position).collect())
        };
        assert_eq!(read(-2, 10)?, [10, 20, 30]);
        assert_eq!(read(10, 10)?, [20, 30]);
        assert_eq!(read(11, 1)?, [20]);
        assert_eq!(read(30, 10)?, []);
        assert_eq!(read(i64::MAX, 10)?, []);
        assert_eq!(read(0, 0)?, []);
    }

    /// `last` is the end of the channel, in its order.
    the_last_records_come_oldest_first(make) {
        let backlog = filled(make, 5)?;
        let last = |n| -> Result<Vec<i64>, BacklogError> {
            Ok(backlog.last("/a", n)?.iter().map(|record| record.position).collect())
        };
        assert_eq!(last(2)?, [4, 5]);
        assert_eq!(last(99)?, [1, 2, 3, 4, 5]);
        assert_eq!(last(0)?, []);
    }

    /// Each channel has its own positions, also where one name begins with the other.
    channels_do_not_mix(make) {
        let backlog = make();
        backlog.append(&[record("/a", 5, "a"), record("/a/b", 3, "b"), record("/a", 6, "c")])?;
        assert_eq!(positions(&*backlog, "/a")?, [5, 6]);
        assert_eq!(positions(&*backlog, "/a/b")?, [3]);
        assert_eq!(backlog.trim("/a", &Retention { messages: 0, ..Retention::ALL }, 0)?, 2);
        assert_eq!(positions(&*backlog, "/a/b")?, [3]);
    }

    /// No record, no head, no floor, nothing to trim.
    an_unknown_channel_is_empty_and_has_lost_nothing(make) {
        let backlog = filled(make, 1)?;
        assert_eq!(backlog.read_after("/b", 0, 10)?, []);
        assert_eq!(backlog.last("/b", 10)?, []);
        assert_eq!(backlog.head("/b")?, None);
        assert_eq!(backlog.floor("/b")?, 0);
        assert_eq!(backlog.trim("/b", &Retention { messages: 0, ..Retention::ALL }, 0)?, 0);
    }

    /// The same, a lower, zero and a negative position are out of order, and the error says where.
    a_position_that_does_not_follow_is_refused(make) {
        let backlog = filled(make, 5)?;
        for position in [5, 4, 0, -1, i64::MIN] {
            let refused = BacklogError::OutOfOrder { channel: "/a".into(), position, head: 5 };
            assert_eq!(backlog.append(&[record("/a", position, "")]), Err(refused));
        }
        for position in [0, -1] {
            let refused = BacklogError::OutOfOrder { channel: "/b".into(), position, head: 0 };
            assert_eq!(backlog.append(&[record("/b", position, "")]), Err(refused));
        }
    }

    /// All or none: also not the good records before the bad one, nor a head.
    a_refused_batch_leaves_nothing_behind(make) {
        let backlog = filled(make, 1)?;
        let batch = [record("/a", 2, ""), record("/b", 7, ""), record("/b", 7, "")];
        let refused = BacklogError::OutOfOrder { channel: "/b".into(), position: 7, head: 7 };
        assert_eq!(backlog.append(&batch), Err(refused));
        assert_eq!(positions(&*backlog, "/a")?, [1]);
        assert_eq!(backlog.head("/a")?, Some(1));
        assert_eq!(backlog.head("/b")?, None);
        backlog.append(&batch[..2])?;
        assert_eq!(positions(&*backlog, "/b")?, [7]);
    }

    /// Nothing happens, without an error.
    an_empty_batch_is_fine(make) {
        let backlog = make();
        backlog.append(&[])?;
        backlog.health()?;
    }

    /// The floor is the newest that went.
    trimming_by_count_keeps_the_newest(make) {
        let backlog = filled(make, 10)?;
        let keep = Retention { messages: 3, ..Retention::ALL };
        assert_eq!(backlog.trim("/a", &keep, 0)?, 7);
        assert_eq!(positions(&*backlog, "/a")?, [8, 9, 10]);
        assert_eq!(backlog.floor("/a")?, 7);
        assert_eq!(backlog.trim("/a", &keep, 0)?, 0);
    }

    /// Exactly the bound may stay.
    trimming_by_bytes_counts_the_texts(make) {
        let backlog = filled(make, 10)?;
        assert_eq!(backlog.trim("/a", &Retention { bytes: 30, ..Retention::ALL }, 0)?, 7);
        assert_eq!(backlog.trim("/a", &Retention { bytes: 29, ..Retention::ALL }, 0)?, 1);
        assert_eq!(positions(&*backlog, "/a")?, [9, 10]);
    }

    /// Age is counted from the record's own time to the time given.
    trimming_by_age_keeps_what_is_exactly_that_old(make) {
        let backlog = filled(make, 10)?;
        let keep = Retention { age_us: 100, ..Retention::ALL };
        assert_eq!(backlog.trim("/a", &keep, 105)?, 4);
        assert_eq!(positions(&*backlog, "/a")?, [5, 6, 7, 8, 9, 10]);
        assert_eq!(backlog.trim("/a", &keep, i64::MIN)?, 0, "a clock set back trims nothing");
    }

    /// Trimming never makes a hole: order is by position, not by time.
    a_younger_record_shelters_older_times_behind_it(make) {
        let backlog = make();
        let young = Record { time_us: 1_000, ..record("/a", 1, "") };
        backlog.append(&[young, record("/a", 2, "")])?;
        let keep = Retention { age_us: 100, ..Retention::ALL };
        assert_eq!(backlog.trim("/a", &keep, 1_050)?, 0);
        assert_eq!(backlog.trim("/a", &keep, 1_101)?, 2);
    }

    /// An empty channel still knows where it stood.
    trimming_all_keeps_head_and_floor(make) {
        let backlog = filled(make, 10)?;
        assert_eq!(backlog.trim("/a", &Retention { messages: 0, ..Retention::ALL }, 0)?, 10);
        assert_eq!(positions(&*backlog, "/a")?, []);
        assert_eq!((backlog.floor("/a")?, backlog.head("/a")?), (10, Some(10)));
    }

    /// Numbers are never used twice.
    positions_go_on_after_all_was_trimmed(make) {
        let backlog = filled(make, 10)?;
        backlog.trim("/a", &Retention { messages: 0, ..Retention::ALL }, 0)?;
        let refused = BacklogError::OutOfOrder { channel: "/a".into(), position: 10, head: 10 };
        assert_eq!(backlog.append(&[record("/a", 10, "")]), Err(refused));
        backlog.append(&[record("/a", 11, "")])?;
        assert_eq!(positions(&*backlog, "/a")?, [11]);
        assert_eq!(backlog.floor("/a")?, 10);
    }

    /// The store's own keys must not be confused by zero bytes, separators or length.
    names_and_texts_may_hold_any_character(make) {
        let backlog = make();
        let long = "/é".repeat(300);
        let names = ["", "/", "/a\0", "/a\0b", "/a\u{ff}", "/𝄞", &long];
        for (at, name) in (1..).zip(names) {
            backlog.append(&[record(name, at, name)])?;
        }
        for (at, name) in (1..).zip(names) {
            assert_eq!(backlog.last(name, 9)?, [record(name, at, name)]);
        }
    }

    /// While one thread appends pairs, another never sees half of one.
    readers_see_batches_whole(make) {
        let backlog = make();
        thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut seen = 0;
                while seen < 400 {
                    let now = backlog.read_after("/a", 0, usize::MAX)?.len();
                    assert!(now >= seen && now % 2 == 0, "{now} after {seen}");
                    seen = now;
                }
                Outcome::Ok(())
            });
            for at in (1..400).step_by(2) {
                backlog.append(&[record("/a", at, ""), record("/a", at + 1, "")])?;
            }
            reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })?;
    }

    /// A hundred seeds of three hundred operations, every answer compared.
    random_operations_agree_with_the_model(make) {
        for seed in 0..100 {
            model::compare(&*make(), seed)?;
        }
    }

    /// Every other call says so, and closing again is no mistake.
    nothing_works_after_closing_but_closing(make) {
        let backlog = filled(make, 1)?;
        backlog.close()?;
        let closed = BacklogError::Closed;
        assert_eq!(backlog.append(&[record("/a", 2, "")]), Err(closed.clone()));
        assert_eq!(backlog.read_after("/a", 0, 1), Err(closed.clone()));
        assert_eq!(backlog.last("/a", 1), Err(closed.clone()));
        assert_eq!(backlog.floor("/a"), Err(closed.clone()));
        assert_eq!(backlog.head("/a"), Err(closed.clone()));
        assert_eq!(backlog.trim("/a", &Retention::ALL, 0), Err(closed.clone()));
        assert_eq!(backlog.health(), Err(closed));
        backlog.close()?;
    }
}
