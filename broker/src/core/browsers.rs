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
        let holders = slots.entry(browser).or_insert_with(|| Vec::with_capacity(1));
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

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test needs some instant to start from")]
mod tests {
    use super::super::id::SessionId;
    use super::*;
    use crate::core::granting::Grant;

    const BROWSER: BrowserId = BrowserId([7; 16]);

    fn tab(key: u64, now: Instant) -> Arc<SessionHandle> {
        Arc::new(SessionHandle::new(
            SessionId::from_entropy([0; 32]),
            key,
            now,
            now,
            Grant::default(),
        ))
    }

    /// `held`, `held for N`, or `polls`.
    fn claim(browsers: &Browsers, tab: &Arc<SessionHandle>, demoted: bool, now: Instant) -> String {
        match browsers.claim(BROWSER, tab, demoted, now) {
            Claim::Hold(None) => "held".to_owned(),
            Claim::Hold(Some(other)) => format!("held for {}", other.key),
            Claim::Poll => "polls".to_owned(),
        }
    }

    #[test]
    fn r5_r6_r6a_the_newest_tab_holds_and_the_older_does_not_take_it_back() {
        let now = Instant::now();
        let browsers = Browsers::new(Some(1));
        let (one, two) = (tab(1, now), tab(2, now));
        assert_eq!(claim(&browsers, &one, false, now), "held");
        assert_eq!(claim(&browsers, &one, false, now), "held");
        assert_eq!(claim(&browsers, &two, false, now), "held for 1");
        for _ in 0..3 {
            assert_eq!(claim(&browsers, &one, true, now), "polls");
            browsers.answered(BROWSER, 2, now);
            assert_eq!(claim(&browsers, &one, true, now), "polls", "it is about to be back");
            assert_eq!(claim(&browsers, &two, false, now), "held");
        }
    }

    #[test]
    fn r6a_the_place_comes_back_when_its_holder_leaves_or_stays_away() {
        let now = Instant::now();
        let browsers = Browsers::new(Some(1));
        let (one, two) = (tab(1, now), tab(2, now));
        claim(&browsers, &one, false, now);
        claim(&browsers, &two, false, now);
        browsers.leave(BROWSER, 2);
        assert_eq!(claim(&browsers, &one, true, now), "held");
        browsers.answered(BROWSER, 1, now);
        let later = now + AWAY_MAX + Duration::from_millis(1);
        assert_eq!(claim(&browsers, &two, true, later), "held");
        browsers.leave(BROWSER, 2);
        assert!(browsers.is_empty());
    }

    #[test]
    fn more_places_and_no_rule() {
        let now = Instant::now();
        let two_places = Browsers::new(Some(2));
        let tabs = [tab(1, now), tab(2, now), tab(3, now)];
        let answers = tabs.each_ref().map(|tab| claim(&two_places, tab, false, now));
        assert_eq!(answers, ["held", "held", "held for 1"]);
        let no_rule = Browsers::new(None);
        assert!(tabs.iter().all(|tab| claim(&no_rule, tab, false, now) == "held"));
        assert!(no_rule.is_empty());
    }
}
