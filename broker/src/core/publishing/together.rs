//! Several messages at once: all of them or none.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::MutexGuard;
use weft_persistence::Mark;
use weft_protocol::Error;

use super::{Batch, Publication, Publishing};
use crate::core::broker::Broker;
use crate::core::channels::{Stripe, blocking};
use crate::core::held::Wakes;
use crate::core::marks::Seen;
use crate::core::options::Bounds;
use crate::core::rules::Durability;

/// No channels are locked for longer at a time: whoever publishes to one of them waits, and keeps a
/// worker of the runtime waiting.
const TURN: Duration = Duration::from_millis(2);

/// How many channels are locked at a time where nothing needs more: there are 256 locks.
const AT_ONCE: usize = 16;

impl Broker {
    /// Publishes all messages or none: each keeps its own outcome. Those of a call that takes long,
    /// since very many subscribe, go in turns: then a key that somebody else uses for other data
    /// between two of them refuses only what is left.
    ///
    /// # Errors
    /// As [`Broker::publish`], with the index of the message that is refused.
    pub fn publish_all(
        &self,
        publications: &[Publication<'_>],
        wakes: &mut Wakes,
    ) -> Result<Vec<Publishing>, (usize, Error)> {
        let marks: Vec<Option<Mark>> =
            publications.iter().map(|publication| self.mark_of(publication)).collect();
        let mut bounds = self.bounds_now();
        for (index, (publication, mark)) in publications.iter().zip(&marks).enumerate() {
            let admitted = self.admit(publication, mark.as_ref());
            bounds = admitted.map_err(|error| (index, error))?;
        }
        let at_once = self.at_once(publications, &marks);
        let mut outcomes = Vec::with_capacity(publications.len());
        let mut turn = || {
            let done = outcomes.len();
            let end = publications.len().min(done + at_once);
            let some = (&publications[done..end], &marks[done..end]);
            let turn = self.publish_some(some, bounds, wakes, &mut outcomes);
            turn.map_err(|(index, error)| (done + index, error))?;
            Ok(outcomes.len() < publications.len())
        };
        let begun = self.clock.now();
        let refused = loop {
            match turn() {
                Ok(true) => {}
                last => break last.map(|_| ()),
            }
            // What takes longer is not to keep the runtime from its work.
            if self.clock.now().saturating_duration_since(begun) > TURN {
                break blocking(|| {
                    while turn()? {}
                    Ok(())
                });
            }
        };
        self.channels.relieve();
        self.make_room();
        refused?;
        let with_index = |(index, outcome): (usize, Result<Publishing, Error>)| {
            outcome.map_err(|error| (index, error))
        };
        outcomes.into_iter().enumerate().map(with_index).collect()
    }

    /// How many messages need the locks of their channels at the same time: few, unless one may yet
    /// refuse the others.
    fn at_once(&self, publications: &[Publication<'_>], marks: &[Option<Mark>]) -> usize {
        let free = |publication: &Publication<'_>| {
            self.channels.rules.of(publication.channel).durability != Durability::Sync
        };
        let all_free = marks.iter().all(Option::is_none) && publications.iter().all(free);
        if all_free { AT_ONCE } else { publications.len().max(1) }
    }

    /// Publishes under the locks of all these messages' channels, as many as there is time for.
    fn publish_some(
        &self,
        (publications, marks): (&[Publication<'_>], &[Option<Mark>]),
        bounds: Bounds,
        wakes: &mut Wakes,
        outcomes: &mut Vec<Result<Publishing, Error>>,
    ) -> Result<(), (usize, Error)> {
        let mut batch = Batch::default();
        let mut stripes = self.lock_all(publications);
        let begun = self.clock.now();
        self.no_key_is_used_otherwise(marks)?;
        let mut place = |publication: &Publication<'_>, mark: &Option<Mark>, batch: &mut Batch| {
            match self.seen(mark.as_ref(), publication.durable) {
                Seen::New => {}
                seen => return self.repeat(publication, mark.as_ref(), seen, batch),
            }
            let at = self.channels.stripe_of(publication.channel.as_str());
            let Ok(found) = stripes.binary_search_by_key(&at, |(stripe, _)| *stripe) else {
                return Err(Error::Overloaded);
            };
            let stripe = &mut stripes[found].1;
            self.place(stripe, publication, *mark, bounds, wakes, batch)
        };
        for (publication, mark) in publications.iter().zip(marks) {
            outcomes.push(place(publication, mark, &mut batch));
            // What awaits the disk stays together: it is on it as a whole, or refused.
            let late = self.clock.now().saturating_duration_since(begun) > TURN;
            if late && batch.awaited.is_empty() {
                break;
            }
        }
        batch.submit(self.channels.store.as_ref());
        Ok(())
    }

    /// Whether all keys may be used, each for what it comes with: before any message is placed.
    fn no_key_is_used_otherwise(&self, marks: &[Option<Mark>]) -> Result<(), (usize, Error)> {
        let mut prints = HashMap::new();
        for (index, mark) in marks.iter().enumerate() {
            let Some(mark) = mark else { continue };
            let print = prints.entry(mark.key).or_insert(mark.print);
            if *print != mark.print || self.seen(Some(mark), false) == Seen::Reused {
                return Err((index, Error::KeyReused));
            }
        }
        Ok(())
    }

    /// The stripes of all these channels, locked in their order, so that two callers never wait for
    /// each other.
    fn lock_all(&self, publications: &[Publication<'_>]) -> Vec<(usize, MutexGuard<'_, Stripe>)> {
        let mut stripes: Vec<usize> = publications
            .iter()
            .map(|publication| self.channels.stripe_of(publication.channel.as_str()))
            .collect();
        stripes.sort_unstable();
        stripes.dedup();
        stripes.into_iter().map(|stripe| (stripe, self.channels.lock(stripe))).collect()
    }
}
