//! Who asks, and whether they may: the one place that every way in asks, be it Bayeux, a socket, a
//! stream or plain HTTP (promise P7). Where nobody has to say who they are, everything is allowed.

use std::borrow::Cow;
use std::sync::Arc;

use arc_swap::ArcSwap;
use weft_protocol::{ChannelLimits, Error, Pattern, Replay};

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

/// Guards every way in.
#[derive(Debug)]
pub struct Guard {
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
    pub fn open() -> Self {
        let policy = ArcSwap::default();
        Self { asks: false, anonymous: None, token_field: None, cookie: None, policy }
    }

    /// Asks everybody who they are.
    #[must_use]
    pub fn asking(options: GuardOptions) -> Self {
        let GuardOptions { anonymous, token_field, cookie, policy } = options;
        Self {
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

    /// Who somebody is that may begin something: a session, a request without one.
    ///
    /// # Errors
    /// 401 without good credentials, unless none are needed.
    pub fn admit(&self, who: &Who, now_s: i64) -> Result<Option<Arc<Principal>>, Error> {
        match who {
            _ if !self.asks => Ok(None),
            Who::Known(who) if who.expires.is_some_and(|expires| now_s >= expires) => {
                Err(Error::Unauthorized("token_expired"))
            }
            Who::Known(who) => Ok(Some(Arc::clone(who))),
            Who::Refused(why) => Err(Error::Unauthorized(why)),
            Who::Unsaid => match &self.anonymous {
                Some(nobody) => Ok(Some(Arc::clone(nobody))),
                None => Err(Error::Unauthorized("token_missing")),
            },
        }
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
    pub fn may_publish(&self, who: Option<&Principal>, channel: &str) -> Result<(), Error> {
        let may = self.may(who, Action::Publish, channel);
        if may { Ok(()) } else { Err(Error::PublishDenied(channel.to_owned())) }
    }

    /// Whether somebody may read what was published there before.
    ///
    /// # Errors
    /// 403 if not.
    pub fn may_look_back(&self, who: Option<&Principal>, pattern: &str) -> Result<(), Error> {
        let may = self.may(who, Action::History, pattern);
        if may { Ok(()) } else { Err(Error::HistoryDenied(vec![pattern.to_owned()])) }
    }

    /// Whether somebody may subscribe to all of these, and have what was published before of those for
    /// which that is asked.
    ///
    /// # Errors
    /// 403 naming all that they may not.
    pub fn may_subscribe(
        &self,
        who: Option<&Principal>,
        patterns: &[Cow<'_, str>],
        replay: Option<&Replay<'_>>,
    ) -> Result<(), Error> {
        const ANY: ChannelLimits = ChannelLimits { bytes: usize::MAX, segments: usize::MAX };
        if !self.asks {
            return Ok(());
        }
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
            return Err(Error::SubscribeDenied(denied));
        }
        let is_asked_for = |name: &str| parsed().any(|pattern| concerns(pattern, name));
        let past = replay.into_iter().flat_map(Replay::past).filter(|name| is_asked_for(name));
        let denied: Vec<String> =
            past.filter(|name| !self.may(who, Action::History, name)).map(str::to_owned).collect();
        if denied.is_empty() { Ok(()) } else { Err(Error::HistoryDenied(denied)) }
    }
}

/// Whether a name in a replay is about a pattern: the pattern itself, or a channel that it means.
fn concerns(pattern: Pattern<'_>, name: &str) -> bool {
    const ANY: ChannelLimits = ChannelLimits { bytes: usize::MAX, segments: usize::MAX };
    pattern.as_str() == name
        || weft_protocol::ChannelName::parse(name, &ANY).is_ok_and(|name| pattern.matches(name))
}
