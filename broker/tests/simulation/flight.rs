//! A request on its way: at the broker, coming back, or lost.

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use weft_broker::core::session::SessionHandle;
use weft_broker::exchange::{Answer, Exchanged, HeldConnect};
use weft_protocol::BodyError;

use super::client::Request;
use super::doubts::Doubts;
use super::wire::Reply;

/// The request that a client waits for.
#[derive(Debug)]
pub struct Flight {
    pub request: Rc<Request>,
    pub stage: Stage,
    /// When the client has had enough.
    pub give_up: Duration,
}

/// How far a request has come.
#[derive(Debug)]
pub enum Stage {
    /// It never reached the broker, or its socket died; the client finds out when it next acts.
    Failed,
    /// The same, but the client finds out only when it gives up.
    Silent,
    AtBroker(Standing),
    Back(Box<Arrival>),
}

/// A request that the broker has yet to answer.
#[derive(Debug)]
pub struct Standing {
    pub pending: Pending,
    pub facts: Facts,
}

/// What is known of a request that the broker has.
#[derive(Debug, Clone, Copy)]
pub struct Facts {
    pub epoch: u32,
    pub life: u32,
    /// Which connect of its session it is, in the order of their coming, unless it came too late.
    pub heard: Option<u64>,
    /// The id of its connect, if it has one.
    pub connect: Option<u64>,
}

/// An answer on its way.
#[derive(Debug)]
pub struct Arrival {
    pub reply: Reply,
    /// The session whose events it carries, and the broker's number of the reply.
    pub carries: Option<(Arc<SessionHandle>, u64)>,
    pub facts: Facts,
    /// What the broker had cause to doubt when it answered.
    pub doubts: Doubts,
    /// The number of the reply in the books, if it stands there.
    pub serial: Option<u64>,
    /// When the broker gave it.
    pub given: Duration,
    /// The network keeps it until then.
    pub held_up: Option<Duration>,
}

/// How the broker keeps a request.
pub enum Pending {
    /// A held connect that is asked after each step.
    Held(Box<HeldConnect>),
    /// A held connect that is asked only when it says so, as a runtime does. Its timers do not fire:
    /// the client gives up before.
    Watched(Watched<Answer>),
    /// It waits for the disk.
    Settling(Watched<Result<Exchanged, BodyError>>),
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Held(_) => "held",
            Self::Watched(_) => "watched",
            Self::Settling(_) => "settling",
        })
    }
}

impl Pending {
    pub fn poll(&mut self) -> Option<Answer> {
        match self {
            Self::Held(held) => held.poll(),
            Self::Watched(held) => held.poll(),
            Self::Settling(turn) => match turn.poll()?.expect("it was readable") {
                Exchanged::Answer(answer) => Some(answer),
                Exchanged::Hold(held) => {
                    *self = Self::Held(held);
                    self.poll()
                }
            },
        }
    }

    /// Whether the broker counts it as held, after it was polled.
    pub fn is_waiting(&self) -> bool {
        match self {
            Self::Held(held) => held.is_waiting(),
            Self::Watched(_) => true,
            Self::Settling(_) => false,
        }
    }
}

/// A future, and whether its waker was called.
pub struct Watched<T> {
    future: Pin<Box<dyn Future<Output = T>>>,
    flag: Arc<Flag>,
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl<T> Watched<T> {
    pub fn new(future: impl Future<Output = T> + 'static) -> Self {
        Self { future: Box::pin(future), flag: Arc::new(Flag(AtomicBool::new(true))) }
    }

    /// Polls it for as long as it asks for that.
    pub fn poll(&mut self) -> Option<T> {
        while self.flag.0.swap(false, Ordering::Relaxed) {
            let waker = Waker::from(Arc::clone(&self.flag));
            if let Poll::Ready(outcome) =
                self.future.as_mut().poll(&mut Context::from_waker(&waker))
            {
                return Some(outcome);
            }
        }
        None
    }
}

/// A held connect, as a runtime drives it.
pub fn watch(held: Box<HeldConnect>) -> Pending {
    Pending::Watched(Watched::new(async move { held.wait(&|| false).await }))
}

impl Arrival {
    /// Whether it is of the session that its client has now.
    pub fn is_of(&self, epoch: u32) -> bool {
        self.facts.epoch == epoch
    }
}

impl Pending {
    /// Whether it outlives its client's attention: timers of the others do not fire.
    pub fn may_haunt(&self) -> bool {
        !matches!(self, Self::Watched(_))
    }
}
