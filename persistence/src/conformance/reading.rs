//! What is read: records, their order, their pages, and whose they are.

use std::sync::Arc;

use super::{Make, Outcome, filled, page, positions, record};
use crate::{BacklogError, Page, Record, Retention, Usage};

cases! {
    /// Every field survives.
    records_come_back_as_they_went_in(make) {
        let backlog = make();
        let one = Record {
            channel: "/a".into(),
            position: 1 << 50,
            time_us: -5,
            value: r#"{"data":1}"#.into(),
            mark: None,
        };
        backlog.append(std::slice::from_ref(&one))?;
        assert_eq!(backlog.read_after("/a", 0, Page::ALL)?, [one]);
    }

    /// `after` is exclusive; positions below the first and above the last are fine to ask for.
    reading_starts_after_the_position_and_stops_at_the_maximum(make) {
        let backlog = make();
        backlog.append(&[record("/a", 10, ""), record("/a", 20, ""), record("/a", 30, "")])?;
        let read = |after, max| -> Result<Vec<i64>, BacklogError> {
            let records = backlog.read_after("/a", after, page(max))?;
            Ok(records.iter().map(|record| record.position).collect())
        };
        assert_eq!(read(-2, 10)?, [10, 20, 30]);
        assert_eq!(read(10, 10)?, [20, 30]);
        assert_eq!(read(11, 1)?, [20]);
        assert_eq!(read(30, 10)?, []);
        assert_eq!(read(i64::MAX, 10)?, []);
        assert_eq!(read(0, 0)?, []);
    }

    /// Reading page by page never stands still, however small the page.
    a_page_ends_before_its_bytes_are_passed_but_holds_the_first_record(make) {
        let backlog = filled(make, 5)?;
        let read = |after, records, bytes| -> Result<Vec<i64>, BacklogError> {
            let records = backlog.read_after("/a", after, Page { records, bytes })?;
            Ok(records.iter().map(|record| record.position).collect())
        };
        assert_eq!(read(0, 9, 0)?, [1]);
        assert_eq!(read(1, 9, 9)?, [2]);
        assert_eq!(read(0, 9, 19)?, [1]);
        assert_eq!(read(0, 9, 20)?, [1, 2]);
        assert_eq!(read(3, 9, 99)?, [4, 5]);
        assert_eq!(read(0, 2, 99)?, [1, 2]);
        assert_eq!(read(0, 0, 99)?, []);
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
        assert_eq!(backlog.read_after("/b", 0, Page::ALL)?, []);
        assert_eq!(backlog.last("/b", 10)?, []);
        assert_eq!(backlog.head("/b")?, None);
        assert_eq!(backlog.floor("/b")?, 0);
        assert_eq!(backlog.trim("/b", &Retention { messages: 0, ..Retention::ALL }, 0)?, 0);
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

    /// Also of a channel whose records are all gone, but not of one that was only asked for.
    names_are_those_with_a_head_in_order(make) {
        let backlog = make();
        assert_eq!(backlog.names("")?, []);
        let names = ["/b", "/a/c", "/a", "/a/b", "/é"];
        backlog.append(&names.map(|name| record(name, 1, "")))?;
        backlog.trim("/b", &Retention { messages: 0, ..Retention::ALL }, 0)?;
        backlog.floor("/x")?;
        backlog.raise_floor("/y", 1)?;
        let names = |prefix| backlog.names(prefix);
        assert_eq!(names("")?, ["/a", "/a/b", "/a/c", "/b", "/é"].map(Arc::from));
        assert_eq!(names("/a")?, ["/a", "/a/b", "/a/c"].map(Arc::from));
        assert_eq!(names("/a/")?, ["/a/b", "/a/c"].map(Arc::from));
        assert_eq!(names("/z")?, []);
    }

    /// Trimmed records do not count, their channel does.
    usage_counts_what_can_be_read(make) {
        let backlog = filled(make, 10)?;
        backlog.append(&[record("/b", 1, "x")])?;
        backlog.trim("/a", &Retention { messages: 3, ..Retention::ALL }, 0)?;
        backlog.trim("/b", &Retention { messages: 0, ..Retention::ALL }, 0)?;
        let usage = backlog.usage()?;
        assert_eq!((usage.channels, usage.records, usage.bytes, usage.marks), (2, 3, 30, 0));
    }

    /// Whatever it removes is nothing that anybody sees.
    tidying_comes_to_an_end_and_changes_nothing(make) {
        let backlog = filled(make, 400)?;
        backlog.trim("/a", &Retention { messages: 30, ..Retention::ALL }, 0)?;
        let before = Usage { disk_bytes: 0, ..backlog.usage()? };
        for _ in 0..100 {
            if !backlog.tidy()? {
                break;
            }
        }
        assert!(!backlog.tidy()?);
        assert_eq!(Usage { disk_bytes: 0, ..backlog.usage()? }, before);
        assert_eq!(positions(&*backlog, "/a")?, (371..=400).collect::<Vec<_>>());
        assert_eq!(backlog.floor("/a")?, 370);
        assert_eq!(backlog.losses(), []);
    }
}
