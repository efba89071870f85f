//! Who asks, and whether they may: the one place that every way in asks, be it Bayeux, a socket, a
//! stream or plain HTTP (promise P7). Where nobody has to say who they are, everything is allowed.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use weft_protocol::{ChannelLimits, Error, Pattern, Replay};

use crate::audit::Audit;
use crate::core::clock::Clock;
use crate::core::policy::{Action, Policy};
use crate::core::principal::Principal;

/// What is known of whoever asks, before anything is asked of a session.
#[derive(Debug, Clone, Default)]
pub enum Who {
    /// They did not say.
    #[default]
    Unsaid,
    /// Somebody.
    Known(Arc<Principal>),
    /// They showed credentials that are no good, and this is why.
    Refused(&'static str),
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
    asks: bool,
    anonymous: Option<Arc<Principal>>,
    token_field: Option<String>,
    cookie: Option<String>,
    policy: ArcSwap<Policy>,
}

/// How a guard goes about it, where it asks at all.
#[derive(Debug, Clone, Default)]
pub struct GuardOptions {
    /// Whether whoever shows no credentials gets in, with the role `anonymous`.
    pub anonymous: bool,
    /// Where in `ext` credentials stand.
    pub token_field: String,
    /// The cookie that may hold them.
    pub cookie: Option<String>,
    /// Who may do what.
    pub policy: Policy,
}

impl Guard {
    /// Lets everybody do everything.
    #[must_use]
    pub fn open(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            audit: Audit::default(),
            asks: false,
            anonymous: None,
            token_field: None,
            cookie: None,
            policy: ArcSwap::default(),
        }
    }

    /// Asks everybody who they are.
    #[must_use]
    pub fn asking(options: GuardOptions, clock: Arc<dyn Clock>) -> Self {
        let GuardOptions { anonymous, token_field, cookie, policy } = options;
        Self {
            clock,
            audit: Audit::default(),
            asks: true,
            anonymous: anonymous.then(|| Arc::new(Principal::anonymous())),
            token_field: Some(token_field),
            cookie,
            policy: ArcSwap::from_pointee(policy),
        }
    }

    /// Whether anybody is asked anything.
    #[must_use]
    pub fn asks(&self) -> bool {
        self.asks
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
    pub async fn identify(&self, _credentials: &str) -> Who {
        Who::Refused("token_invalid")
    }

    /// The time by the broker's clock, in seconds since 1970.
    #[must_use]
    pub fn wall_s(&self) -> i64 {
        self.clock.wall_us().div_euclid(1_000_000)
    }

    /// Lets somebody begin something, `what`: a session, a request without one.
    ///
    /// # Errors
    /// 401 without good credentials, unless none are needed.
    pub fn admit(&self, said: &Who, address: IpAddr, what: &str) -> Result<Asker, Error> {
        let who = match said {
            _ if !self.asks => Ok(None),
            Who::Known(who) if who.expires.is_some_and(|expires| self.wall_s() >= expires) => {
                Err("token_expired")
            }
            Who::Known(who) => Ok(Some(Arc::clone(who))),
            Who::Refused(why) => Err(*why),
            Who::Unsaid => match &self.anonymous {
                Some(nobody) => Ok(Some(Arc::clone(nobody))),
                None => Err("token_missing"),
            },
        };
        who.map(|who| Asker { who, address }).map_err(|why| {
            self.audit.refused(self.clock.now(), address, what, why);
            Error::Unauthorized(why)
        })
    }

    /// Notes that somebody opened a session.
    pub fn opened(&self, asker: &Asker, session: &dyn std::fmt::Debug) {
        if let Some(who) = &asker.who {
            self.audit.opened(who, asker.address, session);
        }
    }

    fn denied(&self, asker: &Asker, action: Action, channels: &[String]) {
        let whom = (asker.who.as_deref(), asker.address);
        self.audit.denied(self.clock.now(), whom, action.name(), &channels.join(","));
    }

    /// Whether somebody may do that with a channel, or with all that a pattern means.
    #[must_use]
    pub fn may(&self, who: Option<&Principal>, action: Action, pattern: &str) -> bool {
        if !self.asks {
            return true;
        }
        who.is_some_and(|who| self.policy.load().decide(who, action, pattern).allowed)
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
        if !self.asks {
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

/// Whether a name in a replay is about a pattern: the pattern itself, or a channel that it means.
fn concerns(pattern: Pattern<'_>, name: &str) -> bool {
    const ANY: ChannelLimits = ChannelLimits { bytes: usize::MAX, segments: usize::MAX };
    pattern.as_str() == name
        || weft_protocol::ChannelName::parse(name, &ANY).is_ok_and(|name| pattern.matches(name))
}
