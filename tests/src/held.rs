//! A request that waits for its answer, on a socket of its own.

use std::time::Duration;

use serde_json::Value;

use crate::http::{Connection, Response};
use crate::wait::A_WHILE;

/// A request that was sent and may be held. Drop it to abort the request: the socket closes.
#[derive(Debug)]
pub struct Held(pub Connection);

impl Held {
    /// The whole answer.
    #[must_use]
    pub fn response(&mut self) -> Response {
        self.0.read().expect("an answer to a held request")
    }

    /// The answer's messages; waits for them as long as it takes, within reason.
    #[must_use]
    pub fn answer(&mut self) -> Vec<Value> {
        self.response().messages()
    }

    /// Whether no answer comes for a short while.
    #[must_use]
    pub fn is_waiting(&mut self) -> bool {
        self.is_waiting_for(A_WHILE)
    }

    /// Whether no answer comes for so long.
    #[must_use]
    pub fn is_waiting_for(&mut self, time: Duration) -> bool {
        self.0.is_silent(time)
    }

    /// Gives up: closes the socket.
    pub fn abort(self) {}
}
