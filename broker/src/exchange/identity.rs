//! Who speaks: by the head of a request, or by credentials in a message's `ext` (checklist K1, K2).

use std::time::Duration;

use weft_protocol::{Error, Message, shown_ext, token};

use super::{Caller, Exchange};
use crate::guard::{Asker, Newcomer, Who};

/// How long before its end a grant of the hook's may be renewed.
const RENEWAL: Duration = Duration::from_secs(60);
/// What is begun by a handshake.
const HANDSHAKE: &str = "handshake";

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
        let said = self.shown(caller, std::slice::from_ref(message)).await;
        let field = self.guard.token_field().unwrap_or_default();
        let ext = message.ext.and_then(|ext| shown_ext(ext, field));
        let ext = ext.as_deref();
        self.guard.let_in(&said, Newcomer { address: caller.address, what: HANDSHAKE, ext }).await
    }

    /// Who speaks in a request: whoever the credentials in its messages name, of which the last
    /// count, else those in its head.
    pub(super) async fn speaker(&self, caller: &Caller, messages: &[Message<'_>]) -> Who {
        let said = self.shown(caller, messages).await;
        if !matches!(said, Who::Claimed(_)) {
            return said;
        }
        // Whom a session speaks for was asked when it began, and is asked again when that ends.
        let client_id = messages.iter().find_map(|message| message.client_id.as_deref());
        if !self.broker.ends_within(client_id, RENEWAL) {
            return Who::Unsaid;
        }
        let address = caller.address;
        self.guard.renewed(&said, Newcomer { address, what: HANDSHAKE, ext: None }).await
    }

    /// The same, as far as it can be told by looking at credentials.
    async fn shown(&self, caller: &Caller, messages: &[Message<'_>]) -> Who {
        let Some(field) = self.guard.token_field() else { return Who::Unsaid };
        let said = messages.iter().rev().filter_map(|message| message.ext);
        let said = said.map(|ext| token(ext, field)).find(|said| *said != Ok(None));
        let who = match said {
            Some(Ok(Some(credentials))) => self.guard.identify(&credentials).await,
            Some(_) => return Who::Refused("token_invalid"),
            None => caller.who.clone(),
        };
        match who {
            // A socket's head was read long ago: its token may have expired, its key may be gone. That
            // says nothing of a session that has others; who begins one must show better.
            Who::Known(who) if !self.guard.holds(&who) => match messages {
                [only] if only.is_to("/meta/handshake") => Who::Known(who),
                _ => Who::Unsaid,
            },
            who => who,
        }
    }
}
