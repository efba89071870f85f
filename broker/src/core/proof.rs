//! What a connect says of the replies before it: that they arrived, or that the last was lost
//! (decisions section 4; checklist L12, X1).

use std::sync::Arc;
use std::time::Instant;

use weft_protocol::ClientAdvice;

use super::receipts::{Reach, Receipts};
use crate::limits::Payer;

/// One connect, as far as sessions are concerned.
#[derive(Debug, Clone, Copy)]
pub struct ConnectRequest<'a> {
    /// When its head had come.
    pub arrived: Instant,
    /// The message's id as sent.
    pub id: Option<&'a str>,
    /// Whether it was the only message of its request.
    pub alone: bool,
    /// The client's `advice`, if it sent an object.
    pub advice: Option<ClientAdvice>,
    /// The number of the last reply that the client has seen, if it says (`ext.ack`).
    pub ack: Option<u64>,
    /// How it came.
    pub carrier: Carrier,
    /// Whether, while it is held, it holds up other requests of its browser: not by HTTP/2.
    pub holds_up: bool,
    /// Whom it counts for.
    pub payer: Payer,
}

/// By what a connect came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// A request whose reply carries the events; whatever else carried them gives way.
    Poll,
    /// What carries the session's events already, or a request beside it.
    Outlet,
}

impl ConnectRequest<'_> {
    /// Whether the client wants an answer at once.
    #[must_use]
    pub fn wants_answer_now(&self) -> bool {
        self.advice.is_some_and(|advice| advice.timeout_ms == Some(0))
    }
}

/// What became of the replies that a session has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// All of them arrived.
    Arrived,
    /// The last was lost, or may have been: what is not proven goes again.
    Lost,
}

/// What a session remembers of its connects, to judge the next.
#[derive(Debug, Default)]
pub(crate) struct Proof {
    /// The client acknowledges replies by their numbers; nothing else counts then.
    receipts: Option<Box<Receipts>>,
    write_failed: bool,
    /// Whether a connect without `timeout:0` has come: `timeout:0` then signals a failure.
    polled: bool,
    last_id: Option<Arc<str>>,
    /// As a rule the same.
    answered_id: Option<Arc<str>>,
    ids_differ: bool,
}

impl Proof {
    /// The client acknowledges replies from now on.
    pub(crate) fn number_replies(&mut self) {
        self.receipts.get_or_insert_default();
    }

    /// Whether the client acknowledges replies.
    pub(crate) fn has_numbers(&self) -> bool {
        self.receipts.is_some()
    }

    /// How far the reply went that a connect acknowledges, if that was not known yet. True at any
    /// time, whatever overtook the connect on its way.
    pub(crate) fn acknowledged(&mut self, connect: &ConnectRequest<'_>) -> Option<Reach> {
        self.receipts.as_mut()?.acknowledge(connect.ack?)
    }

    /// Judges a connect that nothing has overtaken.
    pub(crate) fn judge(&mut self, connect: &ConnectRequest<'_>) -> Verdict {
        if let Some(receipts) = &self.receipts {
            let all = connect.ack.is_some_and(|number| receipts.is_last(number));
            return if all { Verdict::Arrived } else { Verdict::Lost };
        }
        let repeats = connect.id.is_some() && connect.id == self.answered_id.as_deref();
        let signals_failure = connect.alone && connect.wants_answer_now() && self.polled;
        let lost = self.write_failed || signals_failure || (repeats && self.ids_differ);
        self.write_failed = false;
        self.polled |= !connect.wants_answer_now();
        if let Some(id) = connect.id {
            self.ids_differ |= self.last_id.as_deref().is_some_and(|last| last != id);
            if self.last_id.as_deref() != Some(id) {
                self.last_id = Some(Arc::from(id));
            }
        }
        if lost { Verdict::Lost } else { Verdict::Arrived }
    }

    /// A connect's id, to be kept: the last one's is kept already.
    pub(crate) fn kept(&self, id: &str) -> Arc<str> {
        let last = self.last_id.as_ref().filter(|last| ***last == *id);
        last.map_or_else(|| Arc::from(id), Arc::clone)
    }

    /// A connect of this id is answered, and all replies go so far now. Returns the reply's number if
    /// the client wants one.
    pub(crate) fn answered(&mut self, id: Option<&str>, reach: Reach) -> Option<u64> {
        if let Some(receipts) = &mut self.receipts {
            return Some(receipts.number(reach));
        }
        if self.answered_id.as_deref() != id {
            self.answered_id = id.map(|id| self.kept(id));
        }
        None
    }

    /// The last reply is known not to have been written.
    pub(crate) fn write_failed(&mut self) {
        self.write_failed = true;
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test needs some instant to start from")]
mod tests {
    use super::*;

    fn connect(id: &str, alone: bool, timeout_ms: Option<u64>) -> ConnectRequest<'_> {
        let advice = timeout_ms.map(|ms| ClientAdvice { timeout_ms: Some(ms), interval_ms: None });
        ConnectRequest {
            arrived: Instant::now(),
            id: Some(id),
            alone,
            advice,
            ack: None,
            carrier: Carrier::Poll,
            holds_up: true,
            payer: Payer::default(),
        }
    }

    /// Sends connects, each of which is answered, and says which of them found the last lost.
    fn losses(connects: &[(&str, bool, Option<u64>)]) -> Vec<bool> {
        let mut proof = Proof::default();
        connects
            .iter()
            .map(|&(id, alone, timeout)| {
                let verdict = proof.judge(&connect(id, alone, timeout));
                proof.answered(Some(id), Reach::default());
                verdict == Verdict::Lost
            })
            .collect()
    }

    #[test]
    fn l12_a_lone_timeout_0_tells_of_a_loss_once_the_session_has_polled() {
        let zero = Some(0);
        let cometd = [("1", true, zero), ("2", true, zero), ("3", true, None), ("4", true, zero)];
        assert_eq!(losses(&cometd), [false, false, false, true]);
        let in_a_batch = [("1", true, None), ("2", true, None), ("3", false, zero)];
        assert_eq!(losses(&in_a_batch), [false; 3]);
        let half_a_second = [("1", true, None), ("2", true, Some(500))];
        assert_eq!(losses(&half_a_second), [false; 2]);
    }

    #[test]
    fn l12_t1_a_repeated_id_tells_of_a_loss_if_ids_differ_at_all() {
        let faye = [("1", true, None), ("2", true, None), ("2", true, None), ("2", false, Some(0))];
        assert_eq!(losses(&faye), [false, false, true, true]);
        let constant = [("7", true, None), ("7", true, None), ("7", true, None)];
        assert_eq!(losses(&constant), [false; 3]);
        let of_long_ago = [("1", true, None), ("2", true, None), ("1", true, None)];
        assert_eq!(losses(&of_long_ago), [false; 3]);
    }

    #[test]
    fn x1_where_replies_are_acknowledged_nothing_else_counts() {
        let mut proof = Proof::default();
        proof.number_replies();
        let with = |ack| ConnectRequest { ack, ..connect("1", true, Some(0)) };
        for (ack, verdict) in [
            (Some(0), Verdict::Lost),
            (Some(1), Verdict::Lost),
            (None, Verdict::Lost),
            (Some(9), Verdict::Lost),
            (Some(5), Verdict::Arrived),
        ] {
            let number = proof.answered(Some("1"), Reach::default());
            proof.write_failed();
            assert_eq!(proof.judge(&with(ack)), verdict, "{ack:?} after {number:?}");
        }
    }
}
