//! What somebody may do in a time, and have at once: per address, principal and session, and in all
//! (checklist R33, R35; decisions 3.19).
//!
//! Plain data: nothing here waits, and `now` is an argument. A limit that is not configured costs a
//! branch. Of several limits that hold for one thing the narrowest is asked first, and what it gave is
//! given back when a wider one refuses: who is refused for another's sake has lost nothing.

pub mod key;
mod limited;
mod options;
pub mod rate;
mod scope;
pub mod stats;
pub mod table;
pub mod tally;

use std::hash::RandomState;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use self::key::Key;
pub use self::limited::Limited;
pub use self::options::{LimitOptions, Rates};
use self::rate::{Bucket, Quota, Rate, Shortage, ticks};
pub use self::scope::{Payer, Scope, What};
use self::stats::LimitStats;
use self::table::{Quotas, RATES, Table};
use self::tally::{Bounds, Place, Tally};

/// A session's own buckets; they live and end with it.
#[derive(Debug, Default)]
pub struct SessionBuckets([Bucket; RATES]);

/// All limits.
#[derive(Debug)]
pub struct Limits {
    off: bool,
    /// Whether there is any rate for a thing.
    any: [bool; RATES],
    by_address: Quotas,
    by_principal: Quotas,
    by_session: Quotas,
    in_all: Quotas,
    all: [Bucket; RATES],
    table: Option<Table>,
    held: Arc<Tally>,
    sessions: Arc<Tally>,
    knows_addresses: bool,
    knows_principals: bool,
    loopback: bool,
    hasher: RandomState,
    began: Instant,
    refused: AtomicU64,
    stats: LimitStats,
}

impl Limits {
    /// Limits from now on.
    #[must_use]
    pub fn new(options: &LimitOptions, stats: LimitStats, now: Instant) -> Self {
        let quotas =
            |of: fn(&Rates) -> Option<Rate>| options.rates.map(|rates| of(&rates).map(Quota::new));
        let by_address = quotas(|rates| rates.address);
        let by_principal = quotas(|rates| rates.principal);
        let (by_session, in_all) = (quotas(|rates| rates.session), quotas(|rates| rates.all));
        let any = |index: usize| {
            [&by_address, &by_principal, &by_session, &in_all]
                .iter()
                .any(|quotas| quotas[index].is_some())
        };
        let keyed = |quotas: &Quotas, of: fn(&Bounds) -> usize| {
            let counted = [options.held, options.sessions].iter().any(|b| of(b) < usize::MAX);
            (quotas.iter().any(Option::is_some), counted)
        };
        let (address_rates, address_counts) = keyed(&by_address, |bounds| bounds.per_address);
        let (principal_rates, principal_counts) =
            keyed(&by_principal, |bounds| bounds.per_principal);
        let any = std::array::from_fn(any);
        let counts = [options.held, options.sessions].iter().any(|bounds| *bounds != Bounds::NONE);
        Self {
            off: !counts && !any.contains(&true),
            any,
            by_address,
            by_principal,
            by_session,
            in_all,
            all: Default::default(),
            table: (address_rates || principal_rates).then(|| Table::new(options.keys)),
            held: Tally::new(options.held),
            sessions: Tally::new(options.sessions),
            knows_addresses: address_rates || address_counts,
            knows_principals: principal_rates || principal_counts,
            loopback: options.loopback,
            hasher: RandomState::new(),
            began: now,
            refused: AtomicU64::new(0),
            stats,
        }
    }

    /// Whether nothing at all is limited here: then nobody need be known.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.off
    }

    /// Whom an address counts for. Loopback peers are many clients behind a proxy, and count only
    /// where that is asked for; an address that a trusted proxy told always counts (decisions 3.19).
    /// This is the one place that decides it.
    #[must_use]
    pub fn at(&self, address: IpAddr, told_by_proxy: bool) -> Payer {
        let counts = self.loopback || told_by_proxy || !address.to_canonical().is_loopback();
        let known = self.knows_addresses && counts;
        Payer { address: known.then(|| Key::address(address)), principal: None }
    }

    /// The same with a principal, by its kind and subject.
    #[must_use]
    pub fn with_principal(&self, payer: Payer, kind: u8, subject: &str) -> Payer {
        let principal = || Key::principal(&self.hasher, kind, subject);
        Payer { principal: self.knows_principals.then(principal), ..payer }
    }

    /// Takes `n` of a thing that has rates.
    ///
    /// # Errors
    /// When there is a limit that does not allow so many now. It is counted.
    #[inline]
    pub fn take(
        &self,
        what: What,
        payer: Payer,
        session: Option<&SessionBuckets>,
        n: u64,
        now: Instant,
    ) -> Result<(), Limited> {
        match self.any.get(what as usize) {
            Some(true) if n > 0 => self.take_each(what, payer, session, n, now),
            _ => Ok(()),
        }
    }

    fn take_each(
        &self,
        what: What,
        payer: Payer,
        session: Option<&SessionBuckets>,
        n: u64,
        now: Instant,
    ) -> Result<(), Limited> {
        let now = ticks(now.saturating_duration_since(self.began));
        let index = what as usize;
        let mut taken = [Scope::All; Scope::ALL.len()];
        for (count, scope) in
            [Scope::Session, Scope::Principal, Scope::Address, Scope::All].into_iter().enumerate()
        {
            if let Err(shortage) = self.take_one(scope, index, payer, session, n, now) {
                for &scope in taken.iter().take(count) {
                    self.give_one_back(scope, index, payer, session, n);
                }
                return Err(self.limited(what, scope, shortage));
            }
            taken[count] = scope;
        }
        Ok(())
    }

    /// Takes `n` from a principal's bucket alone: what became known later of one whose address has paid.
    ///
    /// # Errors
    /// When it does not hold so many now. It is counted.
    pub fn take_of_principal(
        &self,
        what: What,
        payer: Payer,
        n: u64,
        now: Instant,
    ) -> Result<(), Limited> {
        let now = ticks(now.saturating_duration_since(self.began));
        let taken = self.take_one(Scope::Principal, what as usize, payer, None, n, now);
        taken.map_err(|shortage| self.limited(what, Scope::Principal, shortage))
    }

    fn limited(&self, what: What, scope: Scope, shortage: Shortage) -> Limited {
        self.stats.limited(what, scope);
        let after = match shortage {
            Shortage::For(after) => Some(after),
            Shortage::ForEver => None,
        };
        Limited { what, scope, after }
    }

    /// Something that differs from one refusal to the next, for all who are refused at once not to come
    /// again at once.
    #[must_use]
    pub fn spread(&self) -> u64 {
        self.refused.fetch_add(7_919, Ordering::Relaxed)
    }

    fn take_one(
        &self,
        scope: Scope,
        index: usize,
        payer: Payer,
        session: Option<&SessionBuckets>,
        n: u64,
        now: u64,
    ) -> Result<(), Shortage> {
        let quotas = self.quotas(scope);
        let Some(quota) = quotas[index] else { return Ok(()) };
        match (scope, session) {
            (Scope::All, _) => self.all[index].take(quota, now, n),
            (Scope::Session, Some(SessionBuckets(own))) => own[index].take(quota, now, n),
            (Scope::Session, None) => Ok(()),
            (Scope::Address | Scope::Principal, _) => {
                let (Some(table), Some(key)) = (&self.table, payer.of(scope)) else {
                    return Ok(());
                };
                let (place, taken) = table.take(key, quotas, index, now, n);
                self.stats.shared.inc_by(u64::from(place == table::Place::Shared));
                taken
            }
        }
    }

    fn give_one_back(
        &self,
        scope: Scope,
        index: usize,
        payer: Payer,
        session: Option<&SessionBuckets>,
        n: u64,
    ) {
        let Some(quota) = self.quotas(scope)[index] else { return };
        match (scope, session) {
            (Scope::All, _) => self.all[index].give_back(quota, n),
            (Scope::Session, Some(SessionBuckets(own))) => own[index].give_back(quota, n),
            (Scope::Session, None) => {}
            (Scope::Address | Scope::Principal, _) => {
                if let (Some(table), Some(key)) = (&self.table, payer.of(scope)) {
                    table.give_back(key, quota, index, n);
                }
            }
        }
    }

    fn quotas(&self, scope: Scope) -> &Quotas {
        match scope {
            Scope::Address => &self.by_address,
            Scope::Principal => &self.by_principal,
            Scope::Session => &self.by_session,
            Scope::All => &self.in_all,
        }
    }

    /// Whether a thing has a rate for sessions.
    #[must_use]
    pub fn has_session_rate(&self, what: What) -> bool {
        self.by_session.get(what as usize).is_some_and(Option::is_some)
    }

    /// Whether held connects, streams and sockets are counted.
    #[must_use]
    pub fn counts_held(&self) -> bool {
        !self.held.is_open()
    }

    /// Lets a connect, a stream or a socket be held; `None` where none is counted.
    ///
    /// # Errors
    /// When there are as many as there may be. It is counted.
    pub fn hold(&self, payer: Payer) -> Result<Option<Place>, Limited> {
        self.admit(What::Held, &self.held, payer)
    }

    /// Lets a session begin; `None` where none is counted.
    ///
    /// # Errors
    /// When there are as many as there may be. It is counted.
    pub fn begin(&self, payer: Payer) -> Result<Option<Place>, Limited> {
        self.admit(What::Sessions, &self.sessions, payer)
    }

    fn admit(
        &self,
        what: What,
        tally: &Arc<Tally>,
        payer: Payer,
    ) -> Result<Option<Place>, Limited> {
        if tally.is_open() {
            return Ok(None);
        }
        tally.admit(payer).map(Some).map_err(|scope| {
            self.stats.limited(what, scope);
            // Nobody knows when one will go: a moment is worth a try.
            Limited { what, scope, after: Some(Duration::from_secs(1)) }
        })
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test needs some instant to start from")]
mod tests;
