//! Who asks, and whether they may: the one place that every way in asks, be it Bayeux, a socket, a
//! stream or plain HTTP (promise P7). Where nobody has to say who they are, everything is allowed.

mod hooked;

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use weft_protocol::{ChannelLimits, Error, Pattern, Replay};

use crate::audit::Audit;
use crate::auth::{Access, Unidentified};
use crate::core::clock::Clock;
use crate::core::policy::{Action, Policy};
use crate::core::principal::Principal;
use crate::hook::Hook;

pub use self::hooked::Newcomer;

/// What is known of whoever asks, before anything is asked of a session.
#[derive(Debug, Clone, Default)]
pub enum Who {
    /// They did not say.
    #[default]
    Unsaid,
    /// Somebody.
    Known(Arc<Principal>),
    /// They showed these credentials, which only the hook can judge.
    Claimed(Credentials),
    /// They showed credentials that are no good, and this is why.
    Refused(&'static str),
}

/// What somebody showed. Nobody is shown it again but the hook.
#[derive(Clone)]
pub struct Credentials(Arc<str>);

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials")
    }
}

/// Whoever was let in, and from where.
#[derive(Debug, Clone)]
pub struct Asker {
    /// Who it is, where that is asked.
    pub who: Option<Arc<Principal>>,
    /// The address, as far as named proxies tell it.
    pub address: IpAddr,
}

/// Guards every way in.
#[derive(Debug)]
pub struct Guard {
    clock: Arc<dyn Clock>,
    audit: Audit,
    /// Who knows whom, where that is asked.
    access: Option<Access>,
    token_field: Option<String>,
    cookie: Option<String>,
    policy: ArcSwap<Policy>,
    /// Who decides besides, if anybody does.
    hook: Option<Arc<Hook>>,
}

/// Where credentials are looked for besides the usual headers.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// The member of `ext`: a name, or a path with dots.
    pub token_field: String,
    /// The cookie, if any.
    pub cookie: Option<String>,
}

impl Guard {
    /// Lets everybody do everything.
    #[must_use]
    pub fn open(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            audit: Audit::default(),
            access: None,
            token_field: None,
            cookie: None,
            policy: ArcSwap::default(),
            hook: None,
        }
    }

    /// Asks everybody who they are.
    #[must_use]
    pub fn asking(access: Access, places: Places, policy: Policy, clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            audit: Audit::default(),
            access: Some(access),
            token_field: Some(places.token_field),
            cookie: places.cookie,
            policy: ArcSwap::from_pointee(policy),
            hook: None,
        }
    }

    /// Takes other rules, for all that is asked from now on.
    pub fn follow(&self, policy: Policy) {
        self.policy.store(Arc::new(policy));
    }

    /// Notes that what is configured has changed, and how many sessions ended for it.
    pub fn changed(&self, what: &str, ended: usize) {
        self.audit.changed(what, ended);
    }

    /// Whether anybody is asked anything.
    #[must_use]
    pub fn asks(&self) -> bool {
        self.access.is_some()
    }

    /// Where in `ext` credentials stand, where they are asked for.
    #[must_use]
    pub fn token_field(&self) -> Option<&str> {
        self.token_field.as_deref()
    }

    /// The cookie that may hold credentials, where they are asked for.
    #[must_use]
    pub fn cookie(&self) -> Option<&str> {
        self.cookie.as_deref()
    }

    /// Whose credentials these are.
    pub async fn identify(&self, credentials: &str) -> Who {
        if self.hook_judges() {
            return Who::Claimed(Credentials(Arc::from(credentials)));
        }
        let Some(access) = &self.access else { return Who::Unsaid };
        match Box::pin(access.identify(credentials)).await {
            Ok(who) => Who::Known(who),
            Err(why) => Who::Refused(told(why)),
        }
    }

    /// Whether somebody who was let in still would be, for all that is known of them.
    #[must_use]
    pub fn holds(&self, who: &Principal) -> bool {
        let expired = who.expires.is_some_and(|expires| self.wall_s() >= expires);
        !expired && self.vouches(who)
    }

    /// Whether somebody would be let in anew, by the options as they are now.
    #[must_use]
    pub fn would_admit(&self, who: &Principal) -> bool {
        self.access.as_ref().is_none_or(|access| access.would_admit(who))
    }

    /// Whether what vouched for somebody still does; whether that has expired is another question.
    #[must_use]
    pub fn vouches(&self, who: &Principal) -> bool {
        self.access.as_ref().is_none_or(|access| access.still_valid(who))
    }

    /// The time by the broker's clock, in seconds since 1970.
    #[must_use]
    pub fn wall_s(&self) -> i64 {
        self.clock.wall_us().div_euclid(1_000_000)
    }

    /// Who somebody is who shows nothing, if such are let in.
    fn nobody(&self) -> Option<Arc<Principal>> {
        self.access.as_ref().and_then(Access::anonymous)
    }

    /// Lets somebody begin something, `what`, as far as that hangs on their credentials.
    ///
    /// # Errors
    /// 401 without good ones, unless none are needed.
    fn admit(&self, said: &Who, address: IpAddr, what: &str) -> Result<Asker, Error> {
        let who = match said {
            _ if !self.asks() => Ok(None),
            Who::Known(who) if who.expires.is_some_and(|expires| self.wall_s() >= expires) => {
                Err("token_expired")
            }
            Who::Known(who) => Ok(Some(Arc::clone(who))),
            Who::Refused(why) => Err(*why),
            Who::Unsaid | Who::Claimed(_) => self.nobody().map(Some).ok_or("token_missing"),
        };
        who.map(|who| Asker { who, address }).map_err(|why| {
            self.audit.refused(self.clock.now(), address, what, why);
            Error::Unauthorized(why)
        })
    }

    /// Notes that somebody opened a session.
    pub fn opened(&self, asker: &Asker, session: &dyn std::fmt::Debug) {
        if let Some(who) = &asker.who {
            self.audit.opened(self.clock.now(), who, asker.address, session);
        }
    }

    fn denied(&self, asker: &Asker, action: Action, channels: &[String]) {
        let whom = (asker.who.as_deref(), asker.address);
        self.audit.denied(self.clock.now(), whom, action.name(), channels);
    }

    /// Whether somebody may do that with a channel, or with all that a pattern means. Nobody may who
    /// would not be let in any more.
    #[must_use]
    pub fn may(&self, who: Option<&Principal>, action: Action, pattern: &str) -> bool {
        if !self.asks() {
            return true;
        }
        // They were let in with a request's head: its body may have taken its time, or go on for long.
        let who = who.filter(|who| self.holds(who));
        let policy = self.policy.load();
        if policy.is_empty() && self.hook_decides(action) {
            return who.is_some();
        }
        who.is_some_and(|who| policy.decide(who, action, pattern).allowed)
    }

    /// Whether somebody may publish there.
    ///
    /// # Errors
    /// 403 if not.
    pub fn may_publish(&self, asker: &Asker, channel: &str) -> Result<(), Error> {
        if self.may(asker.who.as_deref(), Action::Publish, channel) {
            return Ok(());
        }
        self.denied(asker, Action::Publish, &[channel.to_owned()]);
        Err(Error::PublishDenied(channel.to_owned()))
    }

    /// Whether somebody may read what was published there before.
    ///
    /// # Errors
    /// 403 naming all that they may not.
    pub fn may_look_back(&self, asker: &Asker, patterns: &[&str]) -> Result<(), Error> {
        let may = |pattern: &str| self.may(asker.who.as_deref(), Action::History, pattern);
        let denied = patterns.iter().filter(|pattern| !may(pattern));
        let denied: Vec<String> = denied.map(|&text| text.to_owned()).collect();
        if denied.is_empty() {
            return Ok(());
        }
        self.denied(asker, Action::History, &denied);
        Err(Error::HistoryDenied(denied))
    }

    /// Whether somebody may subscribe to all of these, and have what was published before of those for
    /// which that is asked.
    ///
    /// # Errors
    /// 403 naming all that they may not.
    pub fn may_subscribe(
        &self,
        asker: &Asker,
        patterns: &[Cow<'_, str>],
        replay: Option<&Replay<'_>>,
    ) -> Result<(), Error> {
        const ANY: ChannelLimits = ChannelLimits { bytes: usize::MAX, segments: usize::MAX };
        if !self.asks() {
            return Ok(());
        }
        let who = asker.who.as_deref();
        let parsed = || patterns.iter().filter_map(|text| Pattern::parse(text, &ANY).ok());
        // Calls are nobody's subscriptions; below /meta nobody may subscribe.
        let denied: Vec<String> = parsed()
            .filter(|pattern| !pattern.is_service())
            .filter(|pattern| {
                pattern.is_meta() || !self.may(who, Action::Subscribe, pattern.as_str())
            })
            .map(|pattern| pattern.as_str().to_owned())
            .collect();
        if !denied.is_empty() {
            self.denied(asker, Action::Subscribe, &denied);
            return Err(Error::SubscribeDenied(denied));
        }
        let is_asked_for = |name: &str| parsed().any(|pattern| concerns(pattern, name));
        let past = replay.into_iter().flat_map(Replay::past).filter(|name| is_asked_for(name));
        self.may_look_back(asker, &past.collect::<Vec<_>>())
    }
}

/// What somebody is told whose credentials are no good: enough to get others, and no more.
fn told(why: Unidentified) -> &'static str {
    match why {
        Unidentified::Expired => "token_expired",
        Unidentified::NotYet => "token_not_valid_yet",
        Unidentified::WrongIssuer => "token_issuer_unknown",
        Unidentified::WrongAudience => "token_audience_unknown",
        Unidentified::Denied => "token_denied",
        Unidentified::Unavailable => "token_keys_unavailable",
        Unidentified::Malformed | Unidentified::BadSignature | Unidentified::UnknownKey => {
            "token_invalid"
        }
    }
}

/// Whether a name in a replay is about a pattern: the pattern itself, or a channel that it means.
fn concerns(pattern: Pattern<'_>, name: &str) -> bool {
    const ANY: ChannelLimits = ChannelLimits { bytes: usize::MAX, segments: usize::MAX };
    pattern.as_str() == name
        || weft_protocol::ChannelName::parse(name, &ANY).is_ok_and(|name| pattern.matches(name))
}
