//! Messages for one session alone: what answers its calls of `/service` (checklist G2).
//!
//! They wait in its queue like all that is published, go out with the next connect reply or on its
//! socket at once, and stay until receipt is proven. No backlog keeps them, and nobody else gets them.

use std::sync::Arc;

use weft_protocol::{Answered, Error};

use super::broker::Broker;
use super::frame::Frame;
use super::gaps::everywhere;
use super::held::{Hold, Wakes};
use super::options::Bounds;
use super::session::{Enqueued, Session, SessionHandle};

impl Broker {
    /// Queues an answer for the session that asked. The poll that it wakes is woken when `wakes` is
    /// dropped.
    ///
    /// # Errors
    /// 402 if the session just ended; 503 when undelivered messages take all the memory they may.
    pub fn answer_alone(
        &self,
        session: &Arc<SessionHandle>,
        answer: &Answered<'_>,
        wakes: &mut Wakes,
    ) -> Result<(), Error> {
        let bounds = self.bounds()?;
        let channel_len = answer.channel.as_str().len();
        let (before, time_us) = (self.positions.last(), self.clock.wall_us());
        let text = answer.spell().into();
        let frame = Frame::private(text, channel_len, before, time_us, &self.alive);
        let queued = session.state.lock().enqueue_alone(frame, bounds);
        if !queued.taken {
            return Err(Error::SessionUnknown);
        }
        if let Some(hold) = queued.wake {
            wakes.push(hold);
        }
        self.stats.dropped.inc_by(queued.dropped as u64);
        if queued.overfull {
            self.overfull.lock().push(Arc::clone(session));
            self.make_room();
        }
        Ok(())
    }
}

impl Session {
    /// Adds a message that no backlog holds, nor will.
    fn enqueue_alone(&mut self, frame: Frame, bounds: Bounds) -> Enqueued {
        if self.ended.is_some() {
            return Enqueued::default();
        }
        if self.overrun {
            // Its client is about to be told that it missed something.
            self.queue.note_gap(everywhere(frame.position() - 1, frame.position()));
            return Enqueued::default();
        }
        let bounds = self.beside_the_past(bounds);
        self.queue.push(frame, false);
        let (overfull, dropped) = self.keep_within(bounds);
        self.lazy_until = None;
        let wake: Option<Arc<Hold>> = self.wake();
        Enqueued { taken: true, wake, dropped, overfull }
    }
}
