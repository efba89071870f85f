//! The writer's thread: takes batches, appends them, settles them; and what it does instead while
//! the store cannot write.

use std::{mem, sync::Arc, time::Instant};

use super::{
    Events, Flush, Policy, WriterOptions,
    guard::{Guarded, guard},
    kept::Kept,
    now,
    queue::{APPEND_RECORDS, Batch, Next, Pending, Shared},
    upkeep::Upkeep,
};
use crate::{Backlog, BacklogError, Record};

/// See the module.
pub(super) struct Worker<T> {
    shared: Arc<Shared<T>>,
    backlog: Arc<dyn Backlog>,
    options: WriterOptions,
    policy: Arc<dyn Policy>,
    events: Guarded<T>,
    batch: Batch<T>,
    /// Empty while the store can write.
    kept: Kept,
    upkeep: Upkeep,
    trouble: Option<Trouble>,
}

/// The store cannot write.
struct Trouble {
    why: BacklogError,
    /// When to try to recover it.
    retry_at: Instant,
}

impl<T> Worker<T> {
    pub(super) fn new(
        shared: Arc<Shared<T>>,
        backlog: Arc<dyn Backlog>,
        options: WriterOptions,
        policy: Arc<dyn Policy>,
        events: impl Events<T> + 'static,
    ) -> Self {
        Self {
            shared,
            backlog,
            options,
            policy,
            events: Guarded(Box::new(events)),
            batch: Batch::new(&options),
            kept: Kept::new(&options),
            upkeep: Upkeep::new(now()),
            trouble: None,
        }
    }

    /// Looks whether the store can write from the start.
    pub(super) fn look(&mut self) {
        if let Err(why) = guard(|| self.backlog.health()) {
            self.fail(why);
        }
    }

    /// Works until the writer is stopped and nothing is left.
    pub(super) fn run(mut self) -> Result<(), BacklogError> {
        loop {
            let deadline = self
                .trouble
                .as_ref()
                .map_or_else(|| self.upkeep.next(), |trouble| trouble.retry_at);
            match self.shared.next(&mut self.batch, deadline) {
                Next::Batch => self.work_off(),
                Next::Deadline => {}
                Next::Stop => break,
            }
            match &self.trouble {
                None => self.tidy(),
                Some(trouble) if trouble.retry_at <= now() => self.recover(),
                Some(_) => {}
            }
            self.tell_losses();
        }
        if self.trouble.is_some() {
            self.recover();
        }
        let closed = guard(|| self.backlog.close());
        self.tell_losses();
        self.shared.end(self.events).map_or(closed, Err)
    }

    /// Deals with a batch of the queue and settles it.
    fn work_off(&mut self) {
        if let Some(trouble) = &self.trouble {
            for job in &mut self.batch.jobs {
                job.error = Some(trouble.why.clone());
            }
            self.keep_newest();
        } else if let Err(why) = self.write() {
            self.fail(why);
        }
        self.shared.done();
        // Before anybody is told that all before it is stored.
        self.events.unmarked(&self.kept.unmarked());
        self.settle();
    }

    /// Appends the batch. What was refused for good is out of it then, and what could not be
    /// stored is kept where it may be.
    fn write(&mut self) -> Result<(), BacklogError> {
        let Batch { jobs, records, .. } = &mut self.batch;
        let outcome = append(&*self.backlog, &mut self.events, jobs, records);
        if jobs.iter().all(|job| job.error.is_none()) {
            self.upkeep.touch(records);
            records.clear();
            return outcome;
        }
        for job in jobs.iter().rev() {
            let records = records.drain(records.len() - job.records..);
            match &job.error {
                None => self.upkeep.touch(records.as_slice()),
                Some(_) if job.refusable => {}
                Some(BacklogError::OutOfOrder { .. }) => {
                    records.for_each(|record| self.kept.lose(&record));
                }
                Some(_) => self.kept.put_back(records.rev()),
            }
        }
        outcome
    }

    /// Keeps what has to be kept of a batch that is newer than all that is kept.
    fn keep_newest(&mut self) {
        let Batch { jobs, records, .. } = &mut self.batch;
        let mut records = records.drain(..);
        for job in jobs {
            let records = records.by_ref().take(job.records);
            if job.refusable {
                records.for_each(drop);
            } else {
                records.for_each(|record| self.kept.push(record));
            }
        }
    }

    /// Settles the tokens of the batch in order, those with the same outcome together, and empties
    /// it.
    fn settle(&mut self) {
        let mut tokens = Vec::new();
        let mut outcome = Ok(());
        for job in self.batch.jobs.drain(..) {
            let Some(token) = job.token else { continue };
            let next = job.error.map_or(Ok(()), Err);
            if next != outcome {
                self.events.settled(mem::take(&mut tokens), &outcome);
                outcome = next;
            }
            tokens.push(token);
        }
        self.events.settled(tokens, &outcome);
        self.batch.clear();
    }

    /// Makes known what was lost, and drops what is too old or too much.
    fn tidy(&mut self) {
        let Self { backlog, kept, upkeep, policy, options, .. } = self;
        let tidied = guard(|| {
            kept.raise_floors(&**backlog)?;
            upkeep.run(&**backlog, &**policy, options, now())
        });
        if let Err(why) = tidied {
            self.fail(why);
        }
    }

    /// What the store had to give up, or will never get.
    fn tell_losses(&mut self) {
        self.events.unmarked(&self.kept.unmarked());
        let losses = guard(|| Ok(self.backlog.losses())).unwrap_or_default();
        losses.iter().for_each(|loss| self.events.lost(loss));
    }

    /// The store cannot write (any more).
    fn fail(&mut self, why: BacklogError) {
        if self.shared.set_trouble(Some(why.clone())) {
            self.events.health(Some(&why));
        }
        self.trouble = Some(Trouble { why, retry_at: now() + self.options.retry });
    }

    /// Tries to be able to write again, and to write what was kept.
    fn recover(&mut self) {
        let Self { backlog, kept, .. } = self;
        let recovered = guard(|| {
            backlog.recover()?;
            // Before the records, so that nobody sees them and does not see the gap, and since
            // floors are durable only with the next append.
            kept.raise_floors(&**backlog)?;
            kept.drop_stored(&**backlog)
        });
        if let Err(why) = recovered.and_then(|()| self.write_kept()) {
            return self.fail(why);
        }
        self.trouble = None;
        if self.shared.set_trouble(None) {
            self.events.health(None);
        }
        self.tidy();
    }

    fn write_kept(&mut self) -> Result<(), BacklogError> {
        while self.kept.take(&mut self.batch) {
            let written = self.write();
            self.batch.clear();
            written?;
        }
        Ok(())
    }
}

/// Appends the records of some jobs, and notes in those that were not stored why. A job that is out
/// of order must not take others with it: it is found by halving. Fails if the store did.
fn append<T>(
    backlog: &dyn Backlog,
    events: &mut Guarded<T>,
    jobs: &mut [Pending<T>],
    records: &[Record],
) -> Result<(), BacklogError> {
    // More than one chunk is a single large job, perhaps after barriers.
    for chunk in records.chunks(APPEND_RECORDS) {
        let start = now();
        let appended = guard(|| backlog.append(chunk));
        let flush = Flush { records: chunk.len(), took: start.elapsed(), ok: appended.is_ok() };
        events.flushed(&flush);
        match appended {
            Ok(()) => {}
            Err(BacklogError::OutOfOrder { .. }) if jobs.len() > 1 => {
                let (left, right) = jobs.split_at_mut(jobs.len() / 2);
                let (of_left, of_right) =
                    records.split_at(left.iter().map(|job| job.records).sum());
                let outcome = append(backlog, events, left, of_left);
                return match outcome {
                    Ok(()) => append(backlog, events, right, of_right),
                    Err(why) => {
                        right.iter_mut().for_each(|job| job.error = Some(why.clone()));
                        Err(why)
                    }
                };
            }
            Err(why) => {
                jobs.iter_mut().for_each(|job| job.error = Some(why.clone()));
                let refused = matches!(why, BacklogError::OutOfOrder { .. });
                return if refused { Ok(()) } else { Err(why) };
            }
        }
    }
    Ok(())
}
