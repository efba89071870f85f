//! What a limit or an expired token stops: it costs a reply, and changes nothing (decisions 3.6).

use weft_protocol::{Error, Message, Reconnect, Request, acknowledged};

use super::meter;
use super::turn::{Turn, carrier_of};
use crate::core::connect::TOKEN_EXPIRED;
use crate::limits::Limited;

impl<'m> Turn<'_, 'm> {
    /// Lets a message through, as far as limits are concerned.
    pub(super) fn allow(&mut self, message: &Message<'_>) -> Result<(), Limited> {
        let Some(meter) = &mut self.meter else { return Ok(()) };
        meter.allow(message, self.speaker.as_ref().ok().map(|session| &**session))
    }

    /// Answers 429, and when to come again.
    pub(super) fn stop(&mut self, message: &'m Message<'m>, limited: Limited) {
        self.bar(message, meter::error(limited));
        if message.is_to("/meta/connect") {
            return self.stop_connect(message, limited);
        }
        let session = self.speaker.as_ref().ok();
        let advice = self.broker.advice_limited(Reconnect::Retry, limited, session);
        if let Some(reply) = self.replies.last_mut() {
            reply.advice = Some(advice);
        }
    }

    /// Answers 401, since whoever speaks must show good credentials first.
    pub(super) fn bar_out(&mut self, message: &'m Message<'m>, error: Error) {
        let lapsed = error == TOKEN_EXPIRED;
        self.bar(message, error);
        if lapsed && message.is_to("/meta/connect") {
            self.hear_connect(message);
        }
    }

    fn stop_connect(&mut self, message: &'m Message<'m>, limited: Limited) {
        if let Some(pending) = self.connects.last_mut() {
            pending.limited = Some(limited);
        }
        if self.barred.is_none() {
            self.hear_connect(message);
        }
    }

    /// What a refused connect says of the reply before it is heard all the same: clients say of the
    /// next one that this one failed, which must not be taken for a loss of what had arrived by then.
    fn hear_connect(&mut self, message: &'m Message<'m>) {
        let speaker = self.speaker_of(message).ok();
        let Some(pending) = self.connects.last_mut() else { return };
        if let (Some(session), Ok(Request::Connect { advice, by })) = (speaker, &message.request) {
            pending.advice = *advice;
            pending.ack = message.ext.and_then(acknowledged);
            pending.carrier = carrier_of(*by);
            self.broker.hear_refused(&session, &pending.request());
        }
    }
}
