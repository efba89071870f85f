//! What the guard leaves to the hook: it comes last, after credentials and rules, and both must allow.
//! Where no keys are known, the hook judges credentials, too.

use std::net::IpAddr;
use std::sync::Arc;

use weft_protocol::Error;

use super::{Guard, Who};
use crate::core::policy::Action;
use crate::core::principal::{Kind, Principal};
use crate::hook::{Asker, Event, Hook, Identity};

/// What vouches for somebody of whom the hook says who they are.
const VOUCHER: &str = "hook";

/// Where somebody comes from, and what else they say when they come.
#[derive(Debug, Clone, Copy)]
pub struct Newcomer<'a> {
    /// The address.
    pub address: IpAddr,
    /// A handshake's `ext`, without credentials.
    pub ext: Option<&'a str>,
}

impl Guard {
    /// The same guard, with a hook to ask besides. `token_field` and `cookie` say where credentials
    /// stand if it is the hook alone that asks for them.
    #[must_use]
    pub fn with_hook(
        mut self,
        hook: Option<Arc<Hook>>,
        token_field: &str,
        cookie: Option<&str>,
    ) -> Self {
        self.hook = hook;
        if self.asks_hook(Event::Handshake) && !self.asks {
            self.token_field = Some(token_field.to_owned());
            self.cookie = cookie.map(str::to_owned);
        }
        self
    }

    /// The hook, if there is one.
    #[must_use]
    pub fn hook(&self) -> Option<&Arc<Hook>> {
        self.hook.as_ref()
    }

    fn asks_hook(&self, event: Event) -> bool {
        self.hook.as_ref().is_some_and(|hook| hook.decides(event))
    }

    /// Whether anybody cares for credentials.
    #[must_use]
    pub fn wants_credentials(&self) -> bool {
        self.asks || self.asks_hook(Event::Handshake)
    }

    /// Whether it is the hook that says whose credentials are whose.
    pub(super) fn hook_judges(&self) -> bool {
        !self.knows_keys && self.asks_hook(Event::Handshake)
    }

    /// Who somebody is that may begin something: a session, a request without one.
    ///
    /// # Errors
    /// 401 without good credentials, unless none are needed; 403 if the hook says no, and 503 if it
    /// cannot be asked.
    pub async fn let_in(
        &self,
        who: &Who,
        from: Newcomer<'_>,
        now_s: i64,
    ) -> Result<Option<Arc<Principal>>, Error> {
        let Some(hook) = self.hook.as_ref().filter(|hook| hook.decides(Event::Handshake)) else {
            return self.admit(who, now_s);
        };
        if self.hook_judges() {
            return match who {
                Who::Refused(why) => Err(Error::Unauthorized(why)),
                _ => self.judge(hook, who, from).await.map(Some),
            };
        }
        let known = self.admit(who, now_s)?;
        let asker = Asker { principal: known.as_deref(), address: from.address, session: None };
        hook.admit(&asker, None, from.ext).await?;
        Ok(known)
    }

    /// Whom the hook takes somebody for.
    async fn judge(
        &self,
        hook: &Hook,
        who: &Who,
        from: Newcomer<'_>,
    ) -> Result<Arc<Principal>, Error> {
        let token = if let Who::Claimed(token) = who { Some(&**token) } else { None };
        let asker = Asker { principal: None, address: from.address, session: None };
        let identity = hook.admit(&asker, token, from.ext).await?;
        Ok(Arc::new(identity.map_or_else(Principal::anonymous, |identity| principal(&identity))))
    }

    /// Fresh credentials of somebody whose time is almost up, if it is the hook that judges them.
    pub async fn renewed(&self, who: &Who, from: Newcomer<'_>) -> Who {
        let Some(hook) = self.hook.as_ref().filter(|_| self.hook_judges()) else {
            return Who::Unsaid;
        };
        // What it had holds as long as it does.
        self.judge(hook, who, from).await.map_or(Who::Unsaid, Who::Known)
    }

    /// Whether the hook lets somebody publish this; nobody who may not by the rules gets so far.
    ///
    /// # Errors
    /// 403 if not; 503 if the hook cannot be asked.
    pub async fn hook_may_publish(
        &self,
        asker: &Asker<'_>,
        channel: &str,
        data: &str,
    ) -> Result<(), Error> {
        match &self.hook {
            Some(hook) => hook.may_publish(asker, channel, data).await,
            None => Ok(()),
        }
    }

    /// The same for reading these, what was published to them before included if `history`.
    ///
    /// # Errors
    /// 403 naming what is denied; 503 if the hook cannot be asked.
    pub async fn hook_may_read(
        &self,
        asker: &Asker<'_>,
        patterns: &[&str],
        history: bool,
    ) -> Result<(), Error> {
        match &self.hook {
            Some(hook) => hook.may_read(asker, patterns, history).await,
            None => Ok(()),
        }
    }

    /// Whether publications are asked about, so that whoever publishes has to wait.
    #[must_use]
    pub fn hook_hears_publications(&self) -> bool {
        self.asks_hook(Event::Publish)
    }

    /// Whether a call may be put before the hook. That says itself what it answers to whom, so rules
    /// count only where one is about this channel.
    ///
    /// # Errors
    /// 403 if a rule denies it.
    pub fn may_call(&self, who: Option<&Principal>, channel: &str) -> Result<(), Error> {
        let Some(who) = who.filter(|_| self.asks) else { return Ok(()) };
        let decision = self.policy.load().decide(who, Action::Publish, channel);
        if decision.allowed || decision.rule.is_none() {
            return Ok(());
        }
        Err(Error::ServiceDenied(channel.to_owned()))
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
