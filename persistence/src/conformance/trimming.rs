//! What goes, and what the floor says of it.

use super::{Make, Outcome, filled, positions, record};
use crate::{BacklogError, Record, Retention, TRIM_MOST};

cases! {
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

    /// So many at a time, and what is not trimmed yet can be read.
    trimming_is_done_in_pieces(make) {
        let most = i64::try_from(TRIM_MOST).unwrap_or(i64::MAX);
        let backlog = filled(make, 3 * most)?;
        let keep = Retention { messages: 10, ..Retention::ALL };
        for round in 1..=2 {
            assert_eq!(backlog.trim("/a", &keep, 0)?, TRIM_MOST);
            assert_eq!(backlog.floor("/a")?, round * most);
            assert_eq!(positions(&*backlog, "/a")?.first(), Some(&(round * most + 1)));
        }
        assert_eq!(backlog.trim("/a", &keep, 0)?, TRIM_MOST - 10);
        assert_eq!(backlog.trim("/a", &keep, 0)?, 0);
        assert_eq!(positions(&*backlog, "/a")?.len(), 10);
    }

    /// Only the newest one; the others go as ever.
    the_last_record_may_be_kept_whatever_its_age_and_size(make) {
        let backlog = filled(make, 10)?;
        let none = Retention { messages: 0, bytes: 0, age_us: 0, keep_last: true };
        assert_eq!(backlog.trim("/a", &none, 1_000)?, 9);
        assert_eq!(positions(&*backlog, "/a")?, [10]);
        assert_eq!(backlog.trim("/a", &none, 1_000)?, 0);
        backlog.append(&[record("/a", 11, "0123456789")])?;
        assert_eq!(backlog.trim("/a", &none, 1_000)?, 1);
        assert_eq!(positions(&*backlog, "/a")?, [11]);
        assert_eq!(backlog.trim("/a", &Retention { keep_last: false, ..none }, 1_000)?, 1);
        assert_eq!(backlog.floor("/a")?, 11);
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

    /// It only rises, also over the head, which stays.
    a_raised_floor_tells_of_a_loss_and_drops_nothing(make) {
        let backlog = filled(make, 5)?;
        for (to, floor) in [(3, 3), (2, 3), (9, 9)] {
            backlog.raise_floor("/a", to)?;
            assert_eq!(backlog.floor("/a")?, floor);
        }
        assert_eq!(positions(&*backlog, "/a")?, [1, 2, 3, 4, 5]);
        assert_eq!(backlog.head("/a")?, Some(5));
        backlog.append(&[record("/a", 10, "")])?;
        assert_eq!(backlog.trim("/a", &Retention { messages: 2, ..Retention::ALL }, 0)?, 4);
        assert_eq!((backlog.floor("/a")?, positions(&*backlog, "/a")?), (9, vec![5, 10]));
        assert_eq!(backlog.floor("/b")?, 0, "no other channel's");
    }

    /// Nothing else is known of the channel, before and after.
    a_floor_raised_for_an_unknown_channel_is_shared(make) {
        let backlog = filled(make, 1)?;
        backlog.raise_floor("/b", 7)?;
        backlog.raise_floor("/b", 6)?;
        assert_eq!((backlog.floor("/b")?, backlog.head("/b")?), (7, None));
        assert_eq!(backlog.floor("/c")?, 7);
        assert_eq!(backlog.floor("/a")?, 0);
        backlog.append(&[record("/b", 10, ""), record("/c", 5, "")])?;
        assert_eq!((backlog.floor("/b")?, backlog.floor("/c")?), (7, 4));
    }
}
