//! What of a request is put before the hook, and what comes of that: all is asked first, then all is
//! done at once. A request that asks nothing costs nothing here.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream;
use weft_protocol::{
    Advice, Answered, ChannelLimits, ChannelName, Error, Message, Pattern, RawValue, Reconnect,
    Replay, Request,
};

use super::Exchange;
use super::turn::Turn;
use crate::core::broker::Stranger;
use crate::core::connect::TOKEN_EXPIRED;
use crate::core::id::SessionId;
use crate::core::session::SessionHandle;
use crate::guard::{Asker, Guard};
use crate::hook::{Event, Hook, Place, Served};
use crate::limits::Limited;

const CONNECT: &str = "/meta/connect";
const ANY: ChannelLimits = ChannelLimits { bytes: usize::MAX, segments: usize::MAX };

/// What the hook said of one message.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It is refused.
    Refused(Error),
    /// It is a call, and this is the answer.
    Served(Served),
    /// A limit stops it, so that it was not asked about.
    Stopped(Limited),
}

/// What it said of a request's messages, by their places.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    by_place: HashMap<usize, Verdict>,
    /// Limits were asked first, and are not to be asked again.
    counted: bool,
}

impl Verdicts {
    /// What is to be heeded at this place, if anything.
    pub(super) fn take(&mut self, place: usize) -> Option<Verdict> {
        if self.by_place.is_empty() { None } else { self.by_place.remove(&place) }
    }

    /// Whether limits let the message at this place through, if they were asked.
    pub(super) fn allowed(&self, place: usize) -> Option<Result<(), Limited>> {
        self.counted.then(|| match self.by_place.get(&place) {
            Some(Verdict::Stopped(limited)) => Err(*limited),
            _ => Ok(()),
        })
    }
}

/// A question.
enum Matter<'m> {
    Subscribe { patterns: Vec<&'m str>, history: bool },
    Publish { channel: &'m str, data: &'m str },
    Call { channel: &'m str, data: &'m str },
}

impl<'x, 'm> Turn<'x, 'm> {
    /// Asks the hook whatever there is to ask, before anything is done. As long as what comes back is
    /// kept, other requests of the session that are to come after this one wait.
    pub(super) async fn ask(&mut self, messages: &'m [Message<'m>]) -> Option<Place<'x>> {
        let guard = self.guard;
        let hook = guard.hook()?;
        let session = Arc::clone(self.speaker.as_ref().ok()?);
        if self.barred.is_some() || messages.iter().all(|it| it.is_to(CONNECT)) {
            return None;
        }
        self.count(messages);
        let questions: Vec<(usize, Matter<'m>)> = messages
            .iter()
            .enumerate()
            .filter(|(place, message)| {
                let ours = message.client_id.as_deref() == self.client_id;
                ours && !self.verdicts.by_place.contains_key(place)
            })
            .filter_map(|(place, message)| Some((place, self.question(hook, message)?)))
            .collect();
        let line = match hook.line_up(session.key, !questions.is_empty()).await {
            Ok(line) => line?,
            Err(error) => {
                // What asks nothing would overtake what waits.
                let others = messages.iter().enumerate().filter(|(_, it)| !it.is_to(CONNECT));
                for (place, _) in others {
                    let refused = || Verdict::Refused(error.clone());
                    self.verdicts.by_place.entry(place).or_insert_with(refused);
                }
                return None;
            }
        };
        let asker = self.asker.clone();
        let calls: Vec<Call<'_>> =
            questions.into_iter().map(|asked| call(guard, &asker, session.id, asked)).collect();
        let answers = stream::iter(calls).buffer_unordered(hook.at_once());
        let answers: Vec<(usize, Option<Verdict>)> = answers.collect().await;
        let heeded = answers.into_iter().filter_map(|(place, it)| Some((place, it?)));
        self.verdicts.by_place.extend(heeded);
        self.look_again(&session);
        Some(line)
    }

    /// Asks the limits first: nobody makes the hook work beyond them.
    fn count(&mut self, messages: &'m [Message<'m>]) {
        for (place, message) in messages.iter().enumerate() {
            if let Err(limited) = self.allow(message) {
                self.verdicts.by_place.insert(place, Verdict::Stopped(limited));
            }
        }
        self.verdicts.counted = true;
    }

    /// What there is to ask about a message. What the rules refuse is not asked.
    fn question(&self, hook: &Hook, message: &'m Message<'m>) -> Option<Matter<'m>> {
        let asker = &self.asker;
        match message.request.as_ref().ok()? {
            Request::Subscribe { patterns } if hook.decides(Event::Subscribe) => {
                let replay = message.ext.and_then(Replay::read);
                self.guard.may_subscribe(asker, patterns, replay.as_ref()).ok()?;
                let history = replay.is_some_and(|replay| replay.past().next().is_some());
                let patterns = patterns.iter().map(|text| &**text);
                let patterns: Vec<&str> = patterns.filter(|text| is_asked_about(text)).collect();
                (!patterns.is_empty()).then_some(Matter::Subscribe { patterns, history })
            }
            Request::Publish { channel, data } if hook.decides(Event::Publish) => {
                self.guard.may_publish(asker, channel).ok()?;
                Some(Matter::Publish { channel, data })
            }
            Request::Service { channel, data } if hook.serves(channel) => {
                Some(Matter::Call { channel, data })
            }
            _ => None,
        }
    }

    /// While the hook was asked, the session may have ended, or whoever it speaks for lost their grant.
    fn look_again(&mut self, session: &SessionHandle) {
        let found = self.broker.find(self.client_id, self.caller.browser, None);
        match found {
            Ok(_) if self.broker.is_lapsed(session) => self.barred = Some(TOKEN_EXPIRED),
            Ok(_) => {}
            Err(_) => self.speaker = Err(Stranger { exists: false }),
        }
    }

    /// Answers a call: the answer goes to the session that asked, and to nobody else (G1, G2).
    pub(super) fn answer_call(
        &mut self,
        session: &Arc<SessionHandle>,
        message: &Message<'_>,
        channel: &str,
        verdict: Option<Verdict>,
    ) -> Result<(), Error> {
        let Some(Verdict::Served(Served { successful, data })) = verdict else {
            return Err(Error::ServiceUnknown(channel.to_owned()));
        };
        let Some(data) = data else { return Ok(()) };
        let id: Option<&RawValue> = message.id;
        let channel = ChannelName::parse(channel, &ANY).map_err(|_| Error::ChannelInvalid)?;
        let answer = Answered { channel, id, successful, data: &data };
        self.broker.answer_alone(session, &answer, &mut self.wakes)
    }
}

/// Below `/service` subscriptions have no effect, and below `/meta` there are none.
fn is_asked_about(pattern: &str) -> bool {
    Pattern::parse(pattern, &ANY).is_ok_and(|it| !it.is_meta() && !it.is_service())
}

/// A question that is being asked.
type Call<'a> = Pin<Box<dyn Future<Output = (usize, Option<Verdict>)> + Send + 'a>>;

fn call<'a>(
    guard: &'a Guard,
    asker: &'a Asker,
    session: SessionId,
    (place, matter): (usize, Matter<'a>),
) -> Call<'a> {
    Box::pin(async move { (place, put(guard, asker, session, matter).await) })
}

async fn put(
    guard: &Guard,
    asker: &Asker,
    session: SessionId,
    matter: Matter<'_>,
) -> Option<Verdict> {
    let decided = match matter {
        Matter::Subscribe { patterns, history } => {
            guard.hook_may_read(asker, Some(session), (&patterns, history)).await
        }
        Matter::Publish { channel, data } => {
            guard.hook_may_publish(asker, Some(session), (channel, data)).await
        }
        Matter::Call { channel, data } => {
            let served = guard.hook_serve(asker, session, (channel, data)).await;
            return Some(served.map_or_else(Verdict::Refused, Verdict::Served));
        }
    };
    decided.err().map(Verdict::Refused)
}

impl Exchange {
    /// What is advised to somebody who is not let in: to come again where that may help (decisions
    /// 3.6).
    pub(super) fn advice_to_refused(&self, error: &Error) -> Advice {
        match error.code() {
            // A fresh token may be on its way: whoever slept past their session comes here first.
            401 if *error == TOKEN_EXPIRED => self.broker.advice_later(Reconnect::Handshake),
            429 | 503 => self.broker.advice_later(Reconnect::Handshake),
            _ => self.broker.advice(Reconnect::None),
        }
    }
}
