//! Marks: in and out with their records, and on their own from then on.

use super::{Make, Outcome, record};
use crate::{Backlog, BacklogError, Mark, Marked, Page, Record, Retention, TRIM_MOST};

/// A mark that its number tells apart.
fn mark(number: u8) -> Mark {
    Mark { key: [number; 16], print: [!number; 16], subscribers: u32::from(number) << 20 }
}

/// A record with a mark, at a time.
fn marked(channel: &str, position: i64, time_us: i64, number: u8) -> Record {
    Record { time_us, mark: Some(mark(number)), ..record(channel, position, "") }
}

/// The times of the marks left.
fn times(backlog: &dyn Backlog) -> Result<Vec<i64>, BacklogError> {
    Ok(backlog.marks(i64::MIN)?.iter().map(|marked| marked.time_us).collect())
}

cases! {
    /// Whatever the order of the records; of one time, in the order of their positions.
    marks_come_back_in_the_order_of_their_times(make) {
        let backlog = make();
        backlog.append(&[marked("/b", 9, 300, 1), marked("/a", 7, -5, 2), record("/a", 8, "")])?;
        backlog.append(&[marked("/a", 9, 200, 3), marked("/b", 10, 200, 255)])?;
        let expect = |number, position, time_us| Marked { mark: mark(number), position, time_us };
        let all =
            [expect(2, 7, -5), expect(3, 9, 200), expect(255, 10, 200), expect(1, 9, 300)];
        assert_eq!(backlog.marks(i64::MIN)?, all);
        assert_eq!(backlog.marks(200)?, all[1..]);
        assert_eq!(backlog.marks(201)?, all[3..]);
        assert_eq!(backlog.marks(301)?, []);
    }

    /// Reading never shows them, and trimming leaves them.
    marks_are_kept_apart_from_records(make) {
        let backlog = make();
        backlog.append(&[marked("/a", 1, 1, 1)])?;
        assert_eq!(backlog.read_after("/a", 0, Page::ALL)?, [record("/a", 1, "")]);
        assert_eq!(backlog.last("/a", 9)?, [record("/a", 1, "")]);
        backlog.trim("/a", &Retention { messages: 0, ..Retention::ALL }, 0)?;
        assert_eq!(times(&*backlog)?, [1]);
        assert_eq!(backlog.names("")?.len(), 1);
    }

    /// Both or none.
    a_refused_batch_leaves_no_mark(make) {
        let backlog = make();
        let refused = backlog.append(&[marked("/a", 2, 1, 1), marked("/a", 2, 2, 2)]);
        assert!(refused.is_err());
        assert_eq!(times(&*backlog)?, []);
        assert_eq!(backlog.usage()?.marks, 0);
    }

    /// Exactly as old may stay; past the number, the oldest go.
    marks_are_forgotten_by_age_and_by_number(make) {
        let backlog = make();
        let batch: Vec<_> = (1..=9_u8).map(|n| marked("/a", n.into(), n.into(), n)).collect();
        backlog.append(&batch)?;
        assert_eq!(backlog.forget_marks(3, u64::MAX)?, 2);
        assert_eq!(backlog.forget_marks(3, u64::MAX)?, 0);
        assert_eq!(times(&*backlog)?, [3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(backlog.forget_marks(i64::MIN, 5)?, 2);
        assert_eq!(times(&*backlog)?, [5, 6, 7, 8, 9]);
        assert_eq!(backlog.usage()?.marks, 5);
        assert_eq!(backlog.forget_marks(8, 3)?, 3);
        assert_eq!(backlog.forget_marks(i64::MAX, 0)?, 2);
        assert_eq!(times(&*backlog)?, []);
        assert_eq!(backlog.read_after("/a", 0, Page::ALL)?.len(), 9);
    }

    /// So many at a time, the oldest first.
    marks_are_forgotten_in_pieces(make) {
        let backlog = make();
        let most = i64::try_from(TRIM_MOST).unwrap_or(i64::MAX);
        let batch: Vec<_> = (1..=2 * most).map(|at| marked("/a", at, at, 0)).collect();
        backlog.append(&batch)?;
        assert_eq!(backlog.forget_marks(2 * most, u64::MAX)?, TRIM_MOST);
        assert_eq!(times(&*backlog)?.first(), Some(&(most + 1)));
        assert_eq!(backlog.forget_marks(2 * most, u64::MAX)?, TRIM_MOST - 1);
        assert_eq!(times(&*backlog)?, [2 * most]);
    }
}
