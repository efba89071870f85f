//! All that decides about a credential, as it is at one moment.

use std::collections::HashSet;
use std::sync::Arc;

use super::Unidentified;
use super::api_keys::ApiKeys;
use super::claims;
use super::options::AuthOptions;
use super::source::Source;
use crate::core::principal::{Kind, Principal};

/// A state; swapped as a whole.
#[derive(Debug, Clone)]
pub(super) struct State {
    pub(super) settings: Arc<Settings>,
    pub(super) sources: Vec<Source>,
    /// Another number for every state that decides otherwise.
    pub(super) generation: u64,
}

/// What only a reload changes.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) options: AuthOptions,
    pub(super) api_keys: ApiKeys,
    pub(super) anonymous: Option<Arc<Principal>>,
    pub(super) token_field: Arc<str>,
    pub(super) cookie: Option<Arc<str>>,
    denied: HashSet<String>,
}

impl State {
    /// # Errors
    /// When a file with keys cannot be read, or does not hold what it should.
    pub(super) fn new(options: AuthOptions, before: Option<&Self>) -> Result<Self, String> {
        let (old, generation): (&[Source], u64) =
            before.map_or((&[], 0), |state| (&state.sources, state.generation));
        let sources: Result<_, String> =
            options.sources.iter().map(|source| Source::open(source, old)).collect();
        let settings = Settings {
            api_keys: ApiKeys::new(&options.keys),
            anonymous: options.anonymous.then(|| Arc::new(Principal::anonymous())),
            token_field: options.token_field.as_str().into(),
            cookie: options.cookie.as_deref().map(Arc::from),
            denied: options.denied.iter().cloned().collect(),
            options,
        };
        Ok(Self { settings: settings.into(), sources: sources?, generation: generation + 1 })
    }

    pub(super) fn denies(&self, subject: &str) -> bool {
        self.settings.denied.contains(subject)
    }

    /// Whether somebody would be let in now by what they showed, expired or not.
    pub(super) fn would_admit(&self, who: &Principal, now: i64) -> bool {
        let options = &self.settings.options;
        let says_the_same = || {
            claims::subject(&who.claims, &options.subject_claim).as_ref() == Ok(&who.subject)
                && claims::roles(&who.claims, &options.roles_claim) == who.roles
        };
        let is_fine = |source: &Source| {
            let mut keys = source.keys.iter().flat_map(|keys| keys.iter());
            let times = claims::times(&source.options, &who.claims, options.leeway, now);
            keys.any(|key| key.id == who.issuer_key)
                && !matches!(times, Err(why) if why != Unidentified::Expired)
        };
        self.vouches_for(who)
            && (options.open
                || who.kind != Kind::Token
                || (says_the_same() && self.sources.iter().any(is_fine)))
    }

    /// Whether what vouched for somebody still does.
    pub(super) fn vouches_for(&self, principal: &Principal) -> bool {
        let options = &self.settings.options;
        if options.open {
            return true;
        }
        match principal.kind {
            Kind::Anonymous => options.anonymous,
            // Hooks vouch for whom they want.
            Kind::Hook => !self.denies(&principal.subject),
            Kind::Key => {
                !self.denies(&principal.subject) && self.settings.api_keys.vouch_for(principal)
            }
            Kind::Token => {
                let vouches = |source: &Source| {
                    let mut keys = source.keys.iter().flat_map(|keys| keys.iter());
                    keys.any(|key| key.id == principal.issuer_key)
                        && claims::issuer_fits(&source.options, &principal.claims)
                        && claims::audience_fits(&source.options, &principal.claims)
                };
                !self.denies(&principal.subject) && self.sources.iter().any(vouches)
            }
        }
    }
}
