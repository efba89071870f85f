//! Whether a token is good: which keys are asked, and what the claims must say.

use std::sync::Arc;

use super::Unidentified;
use super::claims;
use super::source::Source;
use super::state::State;
use super::token::Token;
use crate::core::principal::{Kind, Principal};

/// The most signatures that are computed for one token.
const TRIES_MAX: usize = 8;

/// Why a token is not good, and whose keys may have changed since they were had.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) why: Unidentified,
    pub(super) stale: Vec<Source>,
}

impl Refusal {
    /// Of several reasons the one that came nearest to a yes.
    fn add(&mut self, why: Unidentified) {
        let rank = |why| match why {
            Unidentified::UnknownKey => 0,
            Unidentified::WrongIssuer => 1,
            Unidentified::BadSignature => 2,
            Unidentified::Unavailable => 3,
            _ => 4,
        };
        if rank(why) >= rank(self.why) {
            self.why = why;
        }
    }
}

/// Asks every key that could have signed the token. The sources decide which those are: a key is bound
/// to its algorithms, and the token's header only says which of them.
pub(super) fn verify(state: &State, token: Token<'_>, now: i64) -> Result<Principal, Refusal> {
    let mut refusal = Refusal { why: Unidentified::UnknownKey, stale: Vec::new() };
    let Some(algorithm) = token.algorithm else { return Err(refusal) };
    let options = &state.settings.options;
    let mut tries = 0;
    for source in &state.sources {
        if !source.options.algorithms.contains(&algorithm) {
            continue;
        }
        // Unsigned as yet: a wrong one spares the work, a right one proves nothing.
        if !claims::issuer_fits(&source.options, &token.claims) {
            refusal.add(Unidentified::WrongIssuer);
            continue;
        }
        let Some(keys) = &source.keys else {
            refusal.add(Unidentified::Unavailable);
            refusal.stale.push(source.clone());
            continue;
        };
        let mut known = false;
        let kid = token.kid.as_deref();
        for key in keys.iter().filter(|key| key.fits(algorithm, kid)) {
            known |= kid.is_some() && key.kid.is_some();
            if tries == TRIES_MAX {
                break;
            }
            tries += 1;
            if !key.verifies(algorithm, token.message, &token.signature) {
                refusal.add(Unidentified::BadSignature);
                continue;
            }
            if !claims::audience_fits(&source.options, &token.claims) {
                // Another source may have the same keys for another audience.
                refusal.add(Unidentified::WrongAudience);
                break;
            }
            return match claims::times(&source.options, &token.claims, options.leeway, now)
                .and_then(|expires| {
                    let subject = claims::subject(&token.claims, &options.subject_claim)?;
                    Ok((expires, subject))
                }) {
                Ok((_, subject)) if state.denies(&subject) => {
                    Err(Refusal { why: Unidentified::Denied, stale: Vec::new() })
                }
                Ok((expires, subject)) => Ok(Principal {
                    kind: Kind::Token,
                    subject,
                    issuer_key: Arc::clone(&key.id),
                    roles: claims::roles(&token.claims, &options.roles_claim),
                    claims: token.claims,
                    expires,
                }),
                Err(why) => Err(Refusal { why, stale: Vec::new() }),
            };
        }
        if source.remote.is_some() && !known {
            refusal.stale.push(source.clone());
        }
    }
    Err(refusal)
}
