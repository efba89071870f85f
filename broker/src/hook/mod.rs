//! The hook: somebody else's HTTP service, which says who may come in and do what, and which answers
//! calls of `/service`.
//!
//! Every question is a POST of JSON, every answer JSON. Questions have a deadline, calls in flight a
//! bound, answers a size; decisions may be remembered for a while. What cannot be answered is denied
//! (or allowed, where the operator wants that). The requests of one session that ask anything wait
//! for each other, so that what a client says is done in the order in which it said it.

mod answer;
mod cache;
mod client;
mod order;
mod question;
mod services;
mod stats;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::time::timeout_at;
use weft_protocol::Error;

use self::answer::Answer;
pub use self::answer::Identity;
use self::cache::{Cache, Key, Known};
pub use self::client::InvalidHook;
use self::client::{Client, Trouble};
use self::order::Lines;
pub use self::order::Place;
pub use self::question::{Event, Party};
use self::question::{Matter, Question};
pub use self::services::Services;
pub use self::stats::HookStats;
use self::stats::Outcome;
use crate::core::clock::Clock;

/// What an operator may set. The defaults stand in `config`, the reasons too.
#[derive(Debug, Clone)]
pub struct HookOptions {
    /// Where it is asked.
    pub url: String,
    /// What it decides on.
    pub events: Vec<Event>,
    /// Which calls of `/service` it answers.
    pub services: Services,
    /// How long an answer may take, the wait for a free place included.
    pub timeout: Duration,
    /// How long a decision may be remembered.
    pub cache: Duration,
    /// Most decisions that are remembered.
    pub cache_entries: usize,
    /// Whether what cannot be asked is allowed.
    pub allows_on_error: bool,
    /// Most decisions in flight, and most calls of services.
    pub concurrent: usize,
    /// Most calls in flight of one request, and most requests of one session that wait for each other.
    pub per_session: usize,
    /// The key that questions are signed with.
    pub secret: Option<String>,
    /// Certificates, in PEM, that its own may be signed by; without any, the system's.
    pub certificates: Option<Vec<u8>>,
    /// The largest answer, in bytes.
    pub body_max: usize,
}

/// The answer to a call of `/service`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// Whether the call succeeded.
    pub successful: bool,
    /// What the caller is told, a JSON text; nothing if that is all.
    pub data: Option<Box<str>>,
}

/// What the hook has decided.
type Decision = Result<Option<Arc<Identity>>, Denial>;

/// The hook says no.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Denial {
    /// 401 or 403.
    code: u16,
    /// Why, in its own words.
    text: Option<Box<str>>,
}

/// The hook, as those know it who ask.
#[derive(Debug)]
pub struct Hook {
    options: HookOptions,
    client: Client,
    cache: Cache,
    /// Places for decisions, and for calls: these take as long as they please, and must not keep
    /// anybody from coming in.
    decisions: Semaphore,
    calls: Semaphore,
    lines: Lines,
    stats: HookStats,
    clock: Arc<dyn Clock>,
}

impl Hook {
    /// Makes ready to ask; asks nothing yet.
    ///
    /// # Errors
    /// When the URL or the certificates are none.
    pub fn new(
        options: HookOptions,
        stats: HookStats,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, InvalidHook> {
        let places = options.concurrent.min(Semaphore::MAX_PERMITS);
        Ok(Self {
            client: Client::new(&options)?,
            cache: Cache::new(options.cache_entries),
            decisions: Semaphore::new(places),
            calls: Semaphore::new(places),
            lines: Lines::new(options.per_session),
            options,
            stats,
            clock,
        })
    }

    /// Whether it decides on these.
    #[must_use]
    pub fn decides(&self, event: Event) -> bool {
        self.options.events.contains(&event)
    }

    /// Whether it answers calls of this channel.
    #[must_use]
    pub fn serves(&self, channel: &str) -> bool {
        self.options.services.have(channel)
    }

    /// Most calls of one request that are in flight at once.
    #[must_use]
    pub fn at_once(&self) -> usize {
        self.options.per_session.max(1)
    }

    /// A place among the requests of a session, by its key: whoever came before has gone on once this
    /// is there. `None` where nobody else is there and `asks` says that this request does not ask
    /// either.
    ///
    /// # Errors
    /// 503 if too many wait already.
    pub async fn line_up(&self, session: u64, asks: bool) -> Result<Option<Place<'_>>, Error> {
        self.lines.join(session, asks).await.map_err(|_| Error::HookUnavailable(Vec::new()))
    }

    /// Whether somebody may come in, and as whom, if the hook says so. `ext` is the handshake's,
    /// without the token, which is asked about by itself.
    ///
    /// # Errors
    /// 401 or 403 if it is denied; 503 if the hook cannot be asked.
    pub async fn admit(
        &self,
        party: &Party<'_>,
        token: Option<&str>,
        ext: Option<&str>,
    ) -> Result<Option<Arc<Identity>>, Error> {
        if !self.decides(Event::Handshake) {
            return Ok(None);
        }
        let matter = Matter::Handshake { token, ext };
        self.decide(party, matter).await.map_err(|refusal| refusal.of_handshake())
    }

    /// Whether somebody may subscribe to all of these, or read what was published to them.
    ///
    /// # Errors
    /// 403 naming those that are denied; 503 if the hook cannot be asked.
    pub async fn may_read(
        &self,
        party: &Party<'_>,
        patterns: &[&str],
        history: bool,
    ) -> Result<(), Error> {
        if !self.decides(Event::Subscribe) || patterns.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        let mut asked = Vec::new();
        for &pattern in patterns {
            match self.recall(party, &one(pattern, history), now) {
                None => asked.push(pattern),
                Some(Ok(_)) => {}
                Some(Err(denial)) => {
                    let names = vec![pattern.to_owned()];
                    return Err(Refusal::Denied(denial).of(names, Error::SubscribeDenied));
                }
            }
        }
        if asked.is_empty() {
            return Ok(());
        }
        let matter = Matter::Subscribe { patterns: asked, history };
        let answer = match self.ask(party, &matter).await {
            Ok(answer) => answer,
            Err(Refusal::Allowed) => return Ok(()),
            Err(refusal) => return Err(refusal.of(matter.names(), Error::SubscribeDenied)),
        };
        let Matter::Subscribe { patterns: asked, .. } = matter else { return Ok(()) };
        let Err(denial) = answer.decision() else {
            asked.iter().for_each(|name| self.remember(party, &one(name, history), &answer));
            return Ok(());
        };
        let named = asked.iter().copied().filter(|name| answer.denies(name));
        let mut refused: Vec<&str> = named.collect();
        // Of several, nobody knows which it would refuse alone, unless it says so.
        if refused.is_empty() && asked.len() == 1 {
            refused.clone_from(&asked);
        }
        refused.iter().for_each(|name| self.remember(party, &one(name, history), &answer));
        if refused.is_empty() {
            refused = asked;
        }
        let refused = refused.into_iter().map(str::to_owned).collect();
        Err(Refusal::Denied(denial).of(refused, Error::SubscribeDenied))
    }

    /// Whether somebody may publish this to a channel.
    ///
    /// # Errors
    /// 403 if it is denied; 503 if the hook cannot be asked.
    pub async fn may_publish(
        &self,
        party: &Party<'_>,
        channel: &str,
        data: &str,
    ) -> Result<(), Error> {
        if !self.decides(Event::Publish) {
            return Ok(());
        }
        match self.decide(party, Matter::Publish { channel, data }).await {
            Ok(_) => Ok(()),
            Err(refusal) => {
                let denied = |names: Vec<String>| Error::PublishDenied(names.concat());
                Err(refusal.of(vec![channel.to_owned()], denied))
            }
        }
    }

    /// Answers a call. Whatever goes wrong is said at once, so that a remote call fails at once.
    ///
    /// # Errors
    /// 404 if nobody answers this channel, 403 if the hook refuses, 503 if it cannot be asked.
    pub async fn serve(
        &self,
        party: &Party<'_>,
        channel: &str,
        data: &str,
    ) -> Result<Served, Error> {
        if !self.serves(channel) {
            return Err(Error::ServiceUnknown(channel.to_owned()));
        }
        let names = vec![channel.to_owned()];
        let answer = match self.ask(party, &Matter::Service { channel, data }).await {
            Ok(answer) => answer,
            // A call that nobody has answered has no answer, whatever is allowed.
            Err(Refusal::Allowed) => return Err(Error::HookUnavailable(names)),
            Err(refusal) => return Err(refusal.of(names, service_denied)),
        };
        match (answer.decision(), answer.data) {
            (Err(denial), None) => Err(Refusal::Denied(denial).of(names, service_denied)),
            (decision, data) => Ok(Served { successful: decision.is_ok(), data }),
        }
    }

    /// What is decided, from memory or by the hook.
    async fn decide(
        &self,
        party: &Party<'_>,
        matter: Matter<'_>,
    ) -> Result<Option<Arc<Identity>>, Refusal> {
        if let Some(known) = self.recall(party, &matter, self.clock.now()) {
            return known.map_err(Refusal::Denied);
        }
        match self.ask(party, &matter).await {
            Ok(answer) => {
                self.remember(party, &matter, &answer);
                answer.decision().map_err(Refusal::Denied)
            }
            Err(Refusal::Allowed) => Ok(None),
            Err(refusal) => Err(refusal),
        }
    }

    fn recall(&self, party: &Party<'_>, matter: &Matter<'_>, now: Instant) -> Option<Decision> {
        if self.options.cache.is_zero() {
            return None;
        }
        let decision = self.cache.get(&Key::of(party, matter), now)?;
        self.stats.inc(matter.event(), Outcome::Cached);
        Some(decision)
    }

    fn remember(&self, party: &Party<'_>, matter: &Matter<'_>, answer: &Answer) {
        let most = self.options.cache;
        // What is granted for a time is not granted for longer by being remembered.
        let time = most.min(answer.lasts());
        if time.is_zero() || answer.is_large() {
            return;
        }
        let known = Known { decision: answer.decision(), until: self.clock.now() + time };
        self.cache.put(Key::of(party, matter), known);
    }

    /// Asks, within the time that there is.
    async fn ask(&self, party: &Party<'_>, matter: &Matter<'_>) -> Result<Answer, Refusal> {
        let event = matter.event();
        let begun = self.clock.now();
        let wall_us = self.clock.wall_us();
        let deadline = begun + self.options.timeout;
        let call = async {
            let places = if event == Event::Service { &self.calls } else { &self.decisions };
            let free = places.acquire();
            let Ok(Ok(_place)) = timeout_at(deadline.into(), free).await else {
                return Err(Trouble::Busy);
            };
            let question = Question { id: self.client.next_id(), wall_us, party, matter };
            let answered = self.client.ask(&question, event != Event::Service);
            timeout_at(deadline.into(), answered).await.unwrap_or(Err(Trouble::TooSlow))
        };
        let answered = call.await;
        let took = self.clock.now().saturating_duration_since(begun);
        self.stats.took(took);
        match answered {
            Ok(answer) => {
                let outcome = if answer.allow { Outcome::Allowed } else { Outcome::Denied };
                self.stats.inc(event, outcome);
                self.stats.answered(self.client.name(), took, self.options.timeout, begun);
                Ok(answer)
            }
            Err(trouble) => {
                self.stats.inc(event, trouble.outcome());
                self.stats.failed(self.client.name(), event, &trouble, begun);
                let allows = self.options.allows_on_error;
                Err(if allows { Refusal::Allowed } else { Refusal::Unavailable })
            }
        }
    }
}

/// Why there is no yes.
#[derive(Debug)]
enum Refusal {
    Denied(Denial),
    /// The hook cannot be asked.
    Unavailable,
    /// The same, where that means yes.
    Allowed,
}

impl Refusal {
    /// As those are told who asked about these names; `usual` is said where the hook gives no reason.
    fn of(self, names: Vec<String>, usual: impl FnOnce(Vec<String>) -> Error) -> Error {
        match self {
            Self::Denied(Denial { code: 403, text: None }) => usual(names),
            Self::Denied(Denial { code, text }) => {
                let text = text.unwrap_or_else(|| Box::from("unauthorized"));
                Error::Refused { code, names, text }
            }
            Self::Unavailable | Self::Allowed => Error::HookUnavailable(names),
        }
    }

    fn of_handshake(self) -> Error {
        self.of(Vec::new(), |_| Error::HandshakeDenied)
    }
}

fn service_denied(mut names: Vec<String>) -> Error {
    Error::ServiceDenied(names.pop().unwrap_or_default())
}

/// One name of several.
fn one(pattern: &str, history: bool) -> Matter<'_> {
    Matter::Subscribe { patterns: vec![pattern], history }
}
