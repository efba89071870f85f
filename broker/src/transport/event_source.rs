//! `eventsource` (Faye's custom): a session's events by a stream, as server-sent events, while its
//! messages go by POST.
//!
//! The client's connects come by POST, too, as heartbeats that are answered at once. Each event of the
//! stream is numbered: whoever comes again says by `Last-Event-ID` how far it came, and gets the rest
//! (decisions section 4). A client that has no stream for a while, or whose stream is swallowed on the
//! way, is held by its connects as by long-polling.

use std::fmt::Write;
use std::sync::Arc;

use weft_protocol::{Error, Reconnect};

use super::spelling::Spelling;
use super::streaming::{Piece, StreamOptions, a_little_later};
use crate::core::broker::Broker;
use crate::core::connect::TOKEN_EXPIRED;
use crate::core::held::Release;
use crate::core::id::BrowserId;
use crate::core::options::ResponseLimits;
use crate::core::outlet::{Mark, Outlet, OutletKind, Push};
use crate::core::principal::Principal;
use crate::exchange::{Answer, events};

/// How much goes out at a time.
const PIECE: ResponseLimits = ResponseLimits { messages: 100, bytes: 16 << 10 };

/// A session's stream.
#[derive(Debug)]
pub struct EventStream {
    broker: Arc<Broker>,
    outlet: Outlet,
    options: StreamOptions,
    began: bool,
    over: bool,
}

/// What asks for a stream.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The session.
    pub client_id: &'a str,
    /// The browser that its cookie proves.
    pub browser: Option<BrowserId>,
    /// Whose credentials came, where that is asked.
    pub who: Option<&'a Principal>,
    /// How far it came, by the last event that it got; `None` if it has none.
    pub last: Option<u64>,
}

impl EventStream {
    /// Lets a session's events go out by a stream.
    ///
    /// # Errors
    /// 402 if there is no such session, or it is another browser's or somebody else's; 401 if its
    /// credentials are not valid any more.
    pub fn open(
        broker: &Arc<Broker>,
        asked: Asked<'_>,
        options: StreamOptions,
    ) -> Result<Self, Error> {
        let session = broker.find(Some(asked.client_id), asked.browser, asked.who);
        let session = session.map_err(|_| Error::SessionUnknown)?;
        if broker.is_lapsed(&session) {
            return Err(TOKEN_EXPIRED);
        }
        let outlet = broker.attach(&session, OutletKind::EventSource, PIECE);
        if let Some(last) = asked.last {
            outlet.confirm_sent(Mark::of_events(last));
        }
        Ok(Self { broker: Arc::clone(broker), outlet, options, began: false, over: false })
    }

    /// Waits for the next piece; `None` ends the stream.
    pub async fn next(&mut self) -> Option<Piece> {
        if !std::mem::replace(&mut self.began, true) {
            let StreamOptions { padding, retry, .. } = self.options;
            let first = self.outlet.confirmed().events().to_string();
            let mut text = String::new();
            Spelling::Events.begin(padding, retry, &first, &mut text);
            return Some(self.piece(text));
        }
        if self.over {
            return None;
        }
        let clock = Arc::clone(self.broker.clock());
        let push = tokio::time::timeout(self.options.heartbeat, self.outlet.wait(&*clock)).await;
        let mut text = String::new();
        match push {
            Ok(Push::Events(pushed)) => {
                let Answer { text: array, booked, .. } = events(&self.broker, &pushed.batch);
                text.reserve(array.len() + 32);
                let _ = write!(text, "id: {}\ndata: {array}\n\n", pushed.mark.events());
                return Some(Piece { text, booked });
            }
            Ok(Push::Over(why)) => {
                self.over = true;
                match why {
                    Release::Drained => {
                        let spread = self.outlet.session().id.spread();
                        Spelling::Events.retry(a_little_later(spread), &mut text);
                    }
                    Release::Overrun => text = gone(&self.broker),
                    _ => return None,
                }
            }
            Err(_) => Spelling::Events.heartbeat(None, &mut text),
        }
        Some(self.piece(text))
    }

    fn piece(&self, text: String) -> Piece {
        let booked = self.broker.book_reply(text.len());
        Piece { text, booked }
    }
}

/// What a client is told that comes again for a session which is no more: to shake hands. It would
/// hear so at its next connect, which may be far.
#[must_use]
pub fn gone(broker: &Broker) -> String {
    let (error, advice) = (Error::SessionUnknown, broker.advice(Reconnect::Handshake));
    let reconnect = advice.reconnect.wire_name();
    let (interval, timeout) = (advice.interval_ms, advice.timeout_ms);
    format!(
        "data: [{{\"channel\":\"/meta/connect\",\"successful\":false,\"error\":\"{error}\",\
         \"advice\":{{\"reconnect\":\"{reconnect}\",\"interval\":{interval},\"timeout\":{timeout}}}}}]\n\n"
    )
}
