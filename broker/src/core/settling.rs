//! What the store's writer tells the broker, and what the broker does then: messages that awaited the
//! disk go out, and publishers that waited are told.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock, Weak};

use weft_persistence::{BacklogError, Events, Flush, Loss};
use weft_protocol::{ChannelLimits, ChannelName, Error};

use super::broker::Broker;
use super::held::Wakes;
use super::marks::First;
use super::publishing::{Awaited, Commit, Delivery, Published, Waiter};

impl Broker {
    /// What the store has settled.
    fn settle(&self, commit: Commit, outcome: &Result<(), BacklogError>) {
        match commit {
            Commit::Deliver(deliveries) => {
                let mut wakes = Wakes::default();
                for delivery in deliveries {
                    self.deliver(delivery, outcome.is_ok(), &mut wakes);
                }
                self.make_room();
            }
            Commit::Confirm(waiters) => {
                for Waiter { answer, outcome: awaited } in waiters {
                    let known = match awaited {
                        Awaited::Known(published) => Some(published),
                        Awaited::First(key) => self.marks.first(&key).map(|first| Published {
                            position: first.position,
                            durable: true,
                            subscribers: first.subscribers,
                            repeat: true,
                        }),
                    };
                    let known = known.filter(|_| outcome.is_ok());
                    // Whoever asked may be gone.
                    let _ = answer.send(known.ok_or(Error::StoreUnavailable));
                }
            }
        }
    }

    /// Hands out a message that is on disk now, or forgets one that is not.
    fn deliver(&self, delivery: Delivery, stored: bool, wakes: &mut Wakes) {
        const ANY: ChannelLimits = ChannelLimits { bytes: usize::MAX, segments: usize::MAX };
        let Delivery { channel, position, from, mark, answer } = delivery;
        let mut published = None;
        if let Ok(name) = ChannelName::parse(&channel, &ANY) {
            let mut stripe = self.channels.lock(self.channels.stripe_of(&channel));
            let bounds = self.bounds_now();
            if let Some(past) = stripe.pasts.get_mut(&channel)
                && let Some(frame) = self.channels.change(past, |past| past.settled(position))
                && stored
            {
                let rule = Arc::clone(&past.rule);
                let now_us = self.clock.wall_us();
                self.longest_wait.fetch_max(now_us.saturating_sub(position), Ordering::Relaxed);
                self.channels.change(past, |past| past.push(frame.clone(), now_us));
                let subscribers = self.hand_out(name, &frame, &rule, from, bounds, wakes);
                published = Some(Published { position, durable: true, subscribers, repeat: false });
            }
            if let Some(mark) = mark {
                match published {
                    Some(Published { subscribers, .. }) => {
                        self.marks.settle(
                            &mark.key,
                            First { position, subscribers, durable: true, lost: false },
                        );
                    }
                    None => self.marks.release(&mark.key),
                }
            }
        }
        let _ = answer.send(published.ok_or(Error::StoreUnavailable));
    }
}

/// What the store's writer tells the broker.
#[derive(Debug, Clone, Default)]
pub struct Settler {
    broker: Arc<OnceLock<Weak<Broker>>>,
}

impl Settler {
    /// From now on, tells this broker.
    pub fn attach(&self, broker: &Arc<Broker>) {
        let _ = self.broker.set(Arc::downgrade(broker));
    }

    fn broker(&self) -> Option<Arc<Broker>> {
        self.broker.get()?.upgrade()
    }
}

impl Events<Commit> for Settler {
    fn settled(&mut self, tokens: Vec<Commit>, outcome: &Result<(), BacklogError>) {
        // Without a broker nobody waits, and dropping the tokens says so.
        let Some(broker) = self.broker() else { return };
        for token in tokens {
            broker.settle(token, outcome);
        }
    }

    fn flushed(&mut self, flush: &Flush) {
        let Some(broker) = self.broker() else { return };
        broker.stats.store.flushed(flush.records, flush.took, flush.ok);
        // What is on disk now may leave memory.
        broker.channels.relieve();
        broker.settled.notify_waiters();
    }

    fn health(&mut self, trouble: Option<&BacklogError>) {
        match trouble {
            Some(error) => {
                tracing::error!(%error, "the store cannot write; messages stay in memory");
            }
            None => tracing::info!("the store can write again"),
        }
        if let Some(broker) = self.broker() {
            broker.stats.store.trouble(trouble.is_some());
        }
    }

    fn lost(&mut self, loss: &Loss) {
        log_loss(loss);
        if let Some(broker) = self.broker() {
            broker.stats.store.lost(loss);
        }
    }

    fn unmarked(&mut self, keys: &[[u8; 16]]) {
        if let Some(broker) = self.broker() {
            keys.iter().for_each(|key| broker.marks.lose(key));
        }
    }
}

/// Says what the store gave up.
pub fn log_loss(loss: &Loss) {
    match loss {
        Loss::Store(aside) => tracing::error!(
            aside = %aside.display(),
            "the store was damaged and moved aside; an empty one is begun"
        ),
        Loss::End => tracing::error!(
            "the store lost what was written last: clients are told of a gap in every channel"
        ),
        Loss::Channel(name) => tracing::error!(
            channel = %name,
            "the store cannot read a channel and dropped it: clients are told of the gap"
        ),
    }
}
