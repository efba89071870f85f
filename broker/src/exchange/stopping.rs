//! What a limit stops: it costs a reply, and changes nothing (decisions 3.6).

use weft_protocol::{Message, Reconnect, Request, acknowledged};

use super::meter;
use super::turn::{Turn, carrier_of};
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

    /// What a connect says of the reply before it is heard all the same: clients say of the next one
    /// that this one failed, which must not be taken for a loss of what had arrived by then.
    fn stop_connect(&mut self, message: &'m Message<'m>, limited: Limited) {
        let speaker = self.speaker_of(message).ok().filter(|_| self.barred.is_none());
        let Some(pending) = self.connects.last_mut() else { return };
        pending.limited = Some(limited);
        if let (Some(session), Ok(Request::Connect { advice, by })) = (speaker, &message.request) {
            pending.advice = *advice;
            pending.ack = message.ext.and_then(acknowledged);
            pending.carrier = carrier_of(*by);
            self.broker.hear_refused(&session, &pending.request());
        }
    }
}
