//! One held connect per browser (RFC 6202 §5.1, R4-R6a): browsers have few connections per host, so
//! of several tabs one holds and the others poll at an interval.
//!
//! The newest tab takes the place of the oldest holder; a tab that lost its place never takes it
//! back while the new holder lives, so two tabs cannot throw each other out in turns (R6a). A place
//! becomes free when its holder ends, when its socket closes while held, or when it stays away.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::id::BrowserId;
use super::session::SessionHandle;

/// How long a holder may stay away between two connects before its place is free.
const AWAY_MAX: Duration = Duration::from_secs(4);

/// Which sessions hold, by browser. Bounded by the number of sessions.
#[derive(Debug)]
pub struct Browsers {
    slots: Mutex<HashMap<BrowserId, Vec<Place>>>,
    places: Option<usize>,
}

#[derive(Debug)]
struct Place {
    session: Arc<SessionHandle>,
    away_since: Option<Instant>,
}

/// What a connect may do.
#[derive(Debug)]
pub enum Claim {
    /// Be held; another session may have lost its place for it.
    Hold(Option<Arc<SessionHandle>>),
    /// Be answered at once: other tabs hold.
    Poll,
}

impl Browsers {
    /// `places` held connects per browser; `None` = as many as come.
    #[must_use]
    pub fn new(places: Option<usize>) -> Self {
        Self { slots: Mutex::default(), places }
    }

    /// Asks for a place to hold a connect.
    pub(crate) fn claim(
        &self,
        browser: BrowserId,
        session: &Arc<SessionHandle>,
        demoted: bool,
        now: Instant,
    ) -> Claim {
        let Some(places) = self.places else { return Claim::Hold(None) };
        let mut slots = self.slots.lock();
        let holders = slots.entry(browser).or_default();
        if let Some(mine) = holders.iter_mut().find(|place| place.session.key == session.key) {
            mine.away_since = None;
            return Claim::Hold(None);
        }
        holders.retain(|place| {
            place.away_since.is_none_or(|since| now.duration_since(since) <= AWAY_MAX)
        });
        let place = Place { session: Arc::clone(session), away_since: None };
        if holders.len() < places {
            holders.push(place);
            return Claim::Hold(None);
        }
        if demoted || holders.is_empty() {
            return Claim::Poll;
        }
        let displaced = holders.remove(0);
        holders.push(place);
        Claim::Hold(Some(displaced.session))
    }

    /// The session's held connect was answered; it is expected back.
    pub(crate) fn answered(&self, browser: BrowserId, key: u64, now: Instant) {
        let mut slots = self.slots.lock();
        let place = slots
            .get_mut(&browser)
            .and_then(|holders| holders.iter_mut().find(|place| place.session.key == key));
        if let Some(place) = place {
            place.away_since = Some(now);
        }
    }

    /// The session gives its place up, if it has one.
    pub(crate) fn leave(&self, browser: BrowserId, key: u64) {
        let mut slots = self.slots.lock();
        if let Some(holders) = slots.get_mut(&browser) {
            holders.retain(|place| place.session.key != key);
            if holders.is_empty() {
                slots.remove(&browser);
            }
        }
    }

    /// How many browsers are known here: zero when no session is left.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.lock().len()
    }

    /// Whether none is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
