//! All or none, in any order of events, until the end.

use std::thread;

use super::{Make, Outcome, filled, positions, record};
use crate::{BacklogError, Mark, Page, Record, Retention, model};

cases! {
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

    /// However many records, marks and channels it has.
    a_large_batch_is_stored_whole(make) {
        let backlog = make();
        let batch: Vec<_> = (1..=1_000_i64)
            .map(|at| {
                let mark = Mark { key: [7; 16], print: [8; 16], subscribers: 9 };
                Record { mark: Some(mark), ..record(&format!("/{}", at % 700), at, "text") }
            })
            .collect();
        backlog.append(&batch)?;
        let usage = backlog.usage()?;
        assert_eq!((usage.channels, usage.records, usage.marks), (700, 1_000, 1_000));
        assert_eq!(positions(&*backlog, "/5")?, [5, 705]);
        assert_eq!(backlog.marks(i64::MIN)?.len(), 1_000);
    }

    /// Nothing happens, without an error.
    an_empty_batch_is_fine(make) {
        let backlog = make();
        backlog.append(&[])?;
        backlog.health()?;
    }

    /// While one thread appends pairs, another never sees half of one.
    readers_see_batches_whole(make) {
        let backlog = make();
        thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut seen = 0;
                while seen < 400 {
                    let now = backlog.read_after("/a", 0, Page::ALL)?.len();
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
        assert_eq!(backlog.read_after("/a", 0, Page::ALL), Err(closed.clone()));
        assert_eq!(backlog.last("/a", 1), Err(closed.clone()));
        assert_eq!(backlog.floor("/a"), Err(closed.clone()));
        assert_eq!(backlog.head("/a"), Err(closed.clone()));
        assert_eq!(backlog.trim("/a", &Retention::ALL, 0), Err(closed.clone()));
        assert_eq!(backlog.raise_floor("/a", 1), Err(closed.clone()));
        assert_eq!(backlog.names(""), Err(closed.clone()));
        assert_eq!(backlog.marks(0), Err(closed.clone()));
        assert_eq!(backlog.forget_marks(0, 0), Err(closed.clone()));
        assert_eq!(backlog.tidy(), Err(closed.clone()));
        assert_eq!(backlog.usage(), Err(closed.clone()));
        assert_eq!(backlog.health(), Err(closed.clone()));
        assert_eq!(backlog.recover(), Err(closed));
        backlog.close()?;
    }
}
