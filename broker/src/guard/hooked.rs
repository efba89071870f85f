//! What the guard leaves to the hook: it comes last, after credentials and rules, and both must allow.
//! Where no keys are known, the hook judges credentials, too.

use std::net::IpAddr;
use std::sync::Arc;

use weft_protocol::Error;

use super::{Asker, Guard, Places, Who};
use crate::core::id::SessionId;
use crate::core::policy::Action;
use crate::core::principal::{Kind, Principal};
use crate::hook::{Event, Hook, Identity, Party, Served};

/// What vouches for somebody of whom the hook says who they are.
const VOUCHER: &str = "hook";

/// Where somebody comes from, what for, and what else they say when they come.
#[derive(Debug, Clone, Copy)]
pub struct Newcomer<'a> {
    /// The address.
    pub address: IpAddr,
    /// What they begin.
    pub what: &'a str,
    /// A handshake's `ext`, without credentials.
    pub ext: Option<&'a str>,
}

impl Guard {
    /// The same guard, with a hook to ask besides. `places` is where credentials stand if it is the
    /// hook alone that asks for them.
    #[must_use]
    pub fn with_hook(mut self, hook: Option<Arc<Hook>>, places: Places) -> Self {
        self.hook = hook;
        if self.asks_hook(Event::Handshake) && !self.asks() {
            self.token_field = Some(places.token_field);
            self.cookie = places.cookie;
        }
        self
    }

    /// The hook, if there is one.
    #[must_use]
    pub fn hook(&self) -> Option<&Arc<Hook>> {
        self.hook.as_ref()
    }

    /// Whether the hook decides on these.
    #[must_use]
    pub fn asks_hook(&self, event: Event) -> bool {
        self.hook.as_ref().is_some_and(|hook| hook.decides(event))
    }

    /// Whether the hook decides where there are no rules at all.
    pub(super) fn hook_decides(&self, action: Action) -> bool {
        self.asks_hook(match action {
            Action::Subscribe | Action::History => Event::Subscribe,
            Action::Publish => Event::Publish,
        })
    }

    /// Whether anybody cares for credentials.
    #[must_use]
    pub fn wants_credentials(&self) -> bool {
        self.asks() || self.asks_hook(Event::Handshake)
    }

    /// Whether it is the hook that says whose credentials are whose.
    pub(super) fn hook_judges(&self) -> bool {
        self.asks_hook(Event::Handshake) && self.access.as_ref().is_none_or(|it| !it.has_keys())
    }

    /// Lets somebody begin something: a session, a request without one.
    ///
    /// # Errors
    /// 401 without good credentials, unless none are needed; 403 if the hook says no, and 503 if it
    /// cannot be asked.
    pub async fn let_in(&self, said: &Who, from: Newcomer<'_>) -> Result<Asker, Error> {
        let Newcomer { address, what, ext } = from;
        let Some(hook) = self.hook.as_ref().filter(|hook| hook.decides(Event::Handshake)) else {
            return self.admit(said, address, what);
        };
        let outcome = if self.hook_judges() {
            match said {
                Who::Refused(why) => Err(Error::Unauthorized(why)),
                // On the heap, like all that asks somebody else: most requests ask nobody.
                _ => Box::pin(self.judge(hook, said, from)).await.map(Some),
            }
        } else {
            let Asker { who, .. } = self.admit(said, address, what)?;
            let party = Party { principal: who.as_deref(), address, session: None };
            Box::pin(hook.admit(&party, None, ext)).await.map(|_| who)
        };
        outcome.map(|who| Asker { who, address }).inspect_err(|error| {
            self.audit.refused(self.clock.now(), address, what, &error.to_string());
        })
    }

    /// Whom the hook takes somebody for.
    async fn judge(
        &self,
        hook: &Hook,
        said: &Who,
        from: Newcomer<'_>,
    ) -> Result<Arc<Principal>, Error> {
        let token = if let Who::Claimed(token) = said { Some(&*token.0) } else { None };
        let party = Party { principal: None, address: from.address, session: None };
        let identity = hook.admit(&party, token, from.ext).await?;
        let who = match identity {
            Some(identity) => principal(&identity),
            None if self.asks() && self.nobody().is_none() => unnamed(),
            None => Principal::anonymous(),
        };
        if !self.vouches(&who) {
            return Err(Error::Unauthorized("token_denied"));
        }
        Ok(Arc::new(who))
    }

    /// Fresh credentials of somebody whose time is almost up, if it is the hook that judges them.
    pub async fn renewed(&self, said: &Who, from: Newcomer<'_>) -> Who {
        let Some(hook) = self.hook.as_ref().filter(|_| self.hook_judges()) else {
            return Who::Unsaid;
        };
        // What it had holds as long as it does.
        Box::pin(self.judge(hook, said, from)).await.map_or(Who::Unsaid, Who::Known)
    }

    /// Whether the hook lets somebody publish this; who may not by the rules does not get so far.
    ///
    /// # Errors
    /// 403 if not; 503 if the hook cannot be asked.
    pub async fn hook_may_publish(
        &self,
        asker: &Asker,
        session: Option<SessionId>,
        (channel, data): (&str, &str),
    ) -> Result<(), Error> {
        let Some(hook) = &self.hook else { return Ok(()) };
        let may = hook.may_publish(&asker.party(session), channel, data).await;
        if may.is_err() {
            self.denied(asker, Action::Publish, &[channel.to_owned()]);
        }
        may
    }

    /// The same for reading these, what was published to them before included if `history`.
    ///
    /// # Errors
    /// 403 naming what is denied; 503 if the hook cannot be asked.
    pub async fn hook_may_read(
        &self,
        asker: &Asker,
        session: Option<SessionId>,
        (patterns, history): (&[&str], bool),
    ) -> Result<(), Error> {
        let Some(hook) = &self.hook else { return Ok(()) };
        let may = hook.may_read(&asker.party(session), patterns, history).await;
        if may.is_err() {
            let names: Vec<String> = patterns.iter().map(|&name| name.to_owned()).collect();
            self.denied(asker, Action::Subscribe, &names);
        }
        may
    }

    /// The answer to a call. The hook says itself what it answers to whom; rules are not about calls.
    ///
    /// # Errors
    /// 404 if nobody answers; 403 if the hook refuses; 503 if it cannot be asked.
    pub async fn hook_serve(
        &self,
        asker: &Asker,
        session: SessionId,
        (channel, data): (&str, &str),
    ) -> Result<Served, Error> {
        match &self.hook {
            Some(hook) => hook.serve(&asker.party(Some(session)), channel, data).await,
            None => Err(Error::ServiceUnknown(channel.to_owned())),
        }
    }
}

impl Asker {
    fn party(&self, session: Option<SessionId>) -> Party<'_> {
        Party { principal: self.who.as_deref(), address: self.address, session }
    }
}

fn principal(identity: &Identity) -> Principal {
    Principal {
        kind: Kind::Hook,
        subject: Arc::clone(&identity.subject),
        issuer_key: Arc::from(VOUCHER),
        roles: identity.roles.clone(),
        claims: identity.claims.clone(),
        expires: identity.expires,
    }
}

/// Somebody of whom the hook does not say who they are, where nobody is let in unless somebody says so.
fn unnamed() -> Principal {
    let (subject, issuer_key) = (Arc::from(""), Arc::from(VOUCHER));
    Principal { kind: Kind::Hook, subject, issuer_key, roles: Vec::new(), ..Principal::anonymous() }
}
