//! The one who knows who is let in.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::cache::Cache;
use super::options::AuthOptions;
use super::source::{Fresh, Source};
use super::state::State;
use super::stats::{AuthStats, Known};
use super::{Unidentified, token, upkeep, verify};
use crate::core::clock::{Clock, SystemClock};
use crate::core::principal::Principal;

/// Tells who somebody is by what they show. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Access {
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) state: ArcSwap<State>,
    /// Held by whoever makes the next state of the current one.
    writing: Mutex<()>,
    pub(super) cache: Cache,
    changed: watch::Sender<u64>,
    pub(super) stats: AuthStats,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").finish_non_exhaustive()
    }
}

impl Access {
    /// Reads the keys that are in files; those at an address are asked for by [`Self::keep`], or by
    /// the first token that needs them.
    ///
    /// # Errors
    /// When a file with keys cannot be read, or does not hold what it should.
    pub fn new(
        options: AuthOptions,
        stats: AuthStats,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, String> {
        let state = State::new(options, None)?;
        let shared = Shared {
            state: ArcSwap::from_pointee(state),
            writing: Mutex::default(),
            cache: Cache::default(),
            changed: watch::Sender::new(0),
            stats,
            clock,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Without a server around it.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn from_options(options: AuthOptions) -> Result<Self, String> {
        let stats = AuthStats::unregistered().map_err(|error| error.to_string())?;
        Self::new(options, stats, Arc::new(SystemClock))
    }

    /// Whether nobody is asked for anything.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.shared.state.load().settings.options.open
    }

    /// Who somebody is who shows nothing, if such are let in.
    #[must_use]
    pub fn anonymous(&self) -> Option<Arc<Principal>> {
        self.shared.state.load().settings.anonymous.clone()
    }

    /// Whether there is anything that credentials could be held against.
    #[must_use]
    pub fn has_keys(&self) -> bool {
        let state = self.shared.state.load();
        let options = &state.settings.options;
        !options.sources.is_empty() || !options.keys.is_empty()
    }

    /// The member of a message's `ext` that holds a token: a name, or a path with dots.
    #[must_use]
    pub fn token_field(&self) -> Arc<str> {
        Arc::clone(&self.shared.state.load().settings.token_field)
    }

    /// The cookie that may hold a token.
    #[must_use]
    pub fn cookie(&self) -> Option<Arc<str>> {
        self.shared.state.load().settings.cookie.clone()
    }

    /// Who shows this: a token or an API key.
    ///
    /// # Errors
    /// When they are not let in by it.
    pub async fn identify(&self, credential: &str) -> Result<Arc<Principal>, Unidentified> {
        let answer = self.shared.identify(credential).await;
        self.shared.stats.count(&answer);
        answer.map(|(_, principal)| principal)
    }

    /// Whether what vouched for somebody still does: its key is there, and nobody said that they are
    /// not let in. Whether it has expired is another question.
    #[must_use]
    pub fn still_valid(&self, principal: &Principal) -> bool {
        self.shared.state.load().vouches_for(principal)
    }

    /// The same, for all that the options ask of credentials: what a review of sessions asks. That may
    /// have expired in the meantime.
    #[must_use]
    pub fn would_admit(&self, principal: &Principal) -> bool {
        self.shared.state.load().would_admit(principal, self.shared.now())
    }

    /// Takes other options, for all who come from now on.
    ///
    /// # Errors
    /// As [`Self::new`]; then everything stays as it is.
    pub fn reload(&self, options: AuthOptions) -> Result<(), String> {
        let shared = &self.shared;
        {
            let _writing = shared.writing.lock();
            let before = shared.state.load_full();
            shared.state.store(Arc::new(State::new(options, Some(&before))?));
        }
        shared.tell();
        Ok(())
    }

    /// Changes whenever somebody who was let in may not be any longer: see [`Self::still_valid`].
    #[must_use]
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.shared.changed.subscribe()
    }

    /// Looks after keys in files and at addresses, until `stop`.
    pub async fn keep(self, stop: CancellationToken) {
        upkeep::keep(self.shared, stop).await;
    }
}

impl Shared {
    async fn identify(
        self: &Arc<Self>,
        credential: &str,
    ) -> Result<(Known, Arc<Principal>), Unidentified> {
        if credential.len() > token::CREDENTIAL_BYTES {
            return Err(Unidentified::Malformed);
        }
        let hash: [u8; 32] = Sha256::digest(credential).into();
        let mut state = self.state.load_full();
        if let Some(principal) = self.cache.get(&hash, state.generation) {
            if principal.expires.is_some_and(|expires| expires <= self.now()) {
                self.cache.forget(&hash);
                return Err(Unidentified::Expired);
            }
            return Ok((Known::Before, principal));
        }
        if let Some(found) = state.settings.api_keys.find(&hash, self.now()) {
            let principal = found?;
            if state.denies(&principal.subject) {
                return Err(Unidentified::Denied);
            }
            return Ok((Known::ByKey, principal));
        }
        let mut asked = false;
        loop {
            let token = token::peek(credential)?;
            match verify::verify(&state, token, self.now()) {
                Ok(principal) => {
                    let principal = Arc::new(principal);
                    self.cache.put(hash, state.generation, credential.len(), &principal);
                    return Ok((Known::ByToken, principal));
                }
                Err(refusal) => {
                    let mut changed = false;
                    for source in refusal.stale.iter().filter(|_| !asked) {
                        changed |= upkeep::ask_again(self, source).await;
                    }
                    if !changed {
                        return Err(refusal.why);
                    }
                    (asked, state) = (true, self.state.load_full());
                }
            }
        }
    }

    fn now(&self) -> i64 {
        self.clock.wall_us().div_euclid(1_000_000)
    }

    /// Gives a source the keys that were read for it, if it is still there; true if they are others.
    pub(super) fn swap(&self, source: &Source, fresh: Fresh) -> bool {
        let other = {
            let _writing = self.writing.lock();
            let mut state = State::clone(&self.state.load());
            let mut sources = state.sources.iter_mut();
            let Some(own) = sources.find(|own| Arc::ptr_eq(&own.options, &source.options)) else {
                return false;
            };
            let other = own.take(fresh);
            state.generation += u64::from(other);
            self.state.store(Arc::new(state));
            other
        };
        if other {
            tracing::info!(source = source.options.name, "the keys of a source are others now");
            self.tell();
        }
        other
    }

    /// Whether a source's keys are others than they were, or it is gone.
    pub(super) fn has_changed(&self, source: &Source) -> bool {
        !self.state.load().sources.iter().any(|own| own.is_as(source))
    }

    fn tell(&self) {
        self.changed.send_modify(|count| *count += 1);
    }
}
