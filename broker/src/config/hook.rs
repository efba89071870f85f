//! `[hook]`: an HTTP service that decides, and answers calls.

use std::fmt;
use std::path::PathBuf;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, SeqAccess, Visitor},
};
use weft_protocol::{ChannelLimits, Pattern};

use super::check::Problems;
use super::{ByteSize, Config, HumanDuration, Secret};

/// `[hook]`: an HTTP service that decides who may come in and do what, and answers `/service`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hook {
    /// Where it is asked, by POST: an `http://` or `https://` URL. Default empty: nobody is asked.
    pub url: String,
    /// What it decides on. Default all three; `services` is apart from that.
    pub events: Vec<HookEvent>,
    /// Which calls of `/service` it answers: true, false, or a list of patterns below it. Default
    /// true: a call that it does not know it can refuse.
    pub services: HookServices,
    /// How long an answer may take, 10ms to 30s, the wait for one of the `concurrent` places included;
    /// no more than `websocket.pong_timeout`. Default 2s: a client waits for it.
    pub timeout: HumanDuration,
    /// How long a decision may be remembered, up to 24h; the answer may say less. Default 0s, which
    /// remembers none: it would not see what is published then.
    pub cache: HumanDuration,
    /// Most decisions that are remembered. Default 10000, some 3 MB.
    pub cache_entries: u64,
    /// What holds when it cannot be asked. Default `deny`.
    pub on_error: OnError,
    /// Most decisions that are asked for at once, and as many calls of `/service`; further ones wait for
    /// a place. Default 64.
    pub concurrent: u64,
    /// Most calls in flight for one request, and most requests of one session that wait for each other.
    /// Default 16.
    pub per_session: u64,
    /// The key that questions are signed with (HMAC-SHA-256). Default empty: they are not.
    pub secret: Secret,
    /// A file of certificates, in PEM, of which one must have signed its own. Default empty: the
    /// system's.
    pub ca: PathBuf,
    /// The largest answer; no more than `limits.queue_bytes`. Default 64KiB.
    pub body_max: ByteSize,
}

impl Default for Hook {
    fn default() -> Self {
        Self {
            url: String::new(),
            events: vec![HookEvent::Handshake, HookEvent::Subscribe, HookEvent::Publish],
            services: HookServices::All(true),
            timeout: HumanDuration::secs(2),
            cache: HumanDuration::secs(0),
            cache_entries: 10_000,
            on_error: OnError::Deny,
            concurrent: 64,
            per_session: 16,
            secret: Secret::default(),
            ca: PathBuf::new(),
            body_max: ByteSize::kib(64),
        }
    }
}

impl Hook {
    /// Whether it decides who may come in.
    pub(super) fn judges(&self) -> bool {
        !self.url.is_empty() && self.events.contains(&HookEvent::Handshake)
    }
}

/// What a hook may decide on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HookEvent {
    /// Who may come in, and as whom.
    Handshake,
    /// Who may subscribe to what, and read what was published there.
    Subscribe,
    /// Who may publish what where.
    Publish,
}

/// What holds when the hook cannot be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// Nothing is allowed.
    Deny,
    /// Everything is, but for calls, which fail.
    Allow,
}

/// Which calls of `/service` the hook answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookServices {
    /// All, or none.
    All(bool),
    /// Those that one of these patterns means.
    Some(Vec<String>),
}

impl Serialize for HookServices {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::All(all) => serializer.serialize_bool(*all),
            Self::Some(patterns) => patterns.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for HookServices {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = HookServices;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false, or a list of patterns such as \"/service/orders/**\"")
            }

            fn visit_bool<E: Error>(self, all: bool) -> Result<HookServices, E> {
                Ok(HookServices::All(all))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<HookServices, A::Error> {
                let mut patterns = Vec::new();
                while let Some(pattern) = list.next_element()? {
                    patterns.push(pattern);
                }
                Ok(HookServices::Some(patterns))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// What no key's own type can hold.
pub(super) fn check(config: &Config, problems: &mut Problems) {
    let hook = &config.hook;
    let scheme = ["http://", "https://"].iter().any(|start| hook.url.starts_with(start));
    problems.unless(
        hook.url.is_empty() || scheme,
        &["hook.url"],
        "not an http:// or https:// URL; hook.url = \"\" asks nobody",
    );
    let (short, long) = (HumanDuration::millis(10), HumanDuration::secs(30));
    problems.range("hook.timeout", hook.timeout, (short, long));
    let unread = config.bayeux.websocket && hook.timeout > config.websocket.pong_timeout;
    problems.unless(
        hook.url.is_empty() || !unread,
        &["hook.timeout", "websocket.pong_timeout"],
        format!(
            "hook.timeout ({}) is more than websocket.pong_timeout ({}): while the hook is asked, \
             nothing is read of the socket that asks",
            hook.timeout, config.websocket.pong_timeout
        ),
    );
    let (none, day) = (HumanDuration::secs(0), HumanDuration::secs(24 * 3_600));
    problems.range("hook.cache", hook.cache, (none, day));
    problems.positive("hook.cache_entries", hook.cache_entries);
    problems.range("hook.concurrent", hook.concurrent, (1, 65_536));
    problems.range("hook.per_session", hook.per_session, (1, 1_024));
    problems.positive("hook.body_max", hook.body_max.get());
    problems.unless(
        hook.url.is_empty() || hook.body_max <= config.limits.queue_bytes,
        &["hook.body_max", "limits.queue_bytes"],
        format!(
            "hook.body_max ({}) is more than limits.queue_bytes ({}): an answer to a call must fit \
             an empty queue",
            hook.body_max, config.limits.queue_bytes
        ),
    );
    if let HookServices::Some(patterns) = &hook.services {
        for text in patterns {
            let any = ChannelLimits { bytes: usize::MAX, segments: usize::MAX };
            let pattern = Pattern::parse(text, &any).ok();
            problems.unless(
                pattern.is_some_and(|pattern| pattern.is_service()),
                &["hook.services"],
                format!("{text:?} is not a channel or a pattern below /service"),
            );
        }
    }
}
