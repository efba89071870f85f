//! Who speaks: by the head of a request, or by credentials in a message's `ext` (checklist K1, K2).

use weft_protocol::{Error, Message, token};

use super::{Caller, Exchange};
use crate::guard::{Asker, Who};

impl Exchange {
    /// Who shakes hands, where that is asked.
    ///
    /// # Errors
    /// 401 without good credentials.
    pub(super) async fn newcomer(
        &self,
        caller: &Caller,
        message: &Message<'_>,
    ) -> Result<Asker, Error> {
        let who = self.speaker(caller, std::slice::from_ref(message)).await;
        self.guard.admit(&who, caller.address, "handshake")
    }

    /// Who speaks in a request: whoever the credentials in its messages name, of which the last
    /// count, else those in its head.
    pub(super) async fn speaker(&self, caller: &Caller, messages: &[Message<'_>]) -> Who {
        let Some(field) = self.guard.token_field() else { return Who::Unsaid };
        let said = messages.iter().rev().filter_map(|message| message.ext);
        let said = said.map(|ext| token(ext, field)).find(|said| *said != Ok(None));
        let who = match said {
            Some(Ok(Some(credentials))) => self.guard.identify(&credentials).await,
            Some(_) => return Who::Refused("token_invalid"),
            None => caller.who.clone(),
        };
        match who {
            // A socket's head was read long ago.
            Who::Known(who) if who.expires.is_some_and(|at| self.guard.wall_s() >= at) => {
                Who::Unsaid
            }
            who => who,
        }
    }
}
