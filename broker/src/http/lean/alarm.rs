//! One timer for all that a connection waits for, one after the other.
//!
//! A deadline that moves away leaves the timer as it is: it rings too early once, instead of being set
//! anew with each request.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::time::{Sleep, sleep_until};

/// The timer.
#[derive(Debug)]
pub(super) struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// One that is not set.
    pub(super) const fn new() -> Self {
        Self(None)
    }

    /// Whether it is that time, or so much later.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        let at = at.into();
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if at < sleep.deadline() {
            sleep.as_mut().reset(at);
        }
        loop {
            ready!(sleep.as_mut().poll(cx));
            if sleep.deadline() >= at {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    async fn rings(alarm: &mut Alarm, at: tokio::time::Instant) {
        poll_fn(|cx| alarm.poll(cx, at.into_std())).await;
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn it_rings_in_time_whether_the_deadline_moves_away_or_nearer() {
        let start = tokio::time::Instant::now();
        let mut alarm = Alarm::new();
        for (at, seconds) in [(5, 5), (6, 6), (6, 6), (2, 6), (30, 30)] {
            rings(&mut alarm, start + SECOND * at).await;
            assert_eq!(start.elapsed().as_secs(), seconds);
        }
        // One that was given up rings for nobody.
        let never = rings(&mut alarm, start + SECOND * 40);
        assert!(tokio::time::timeout(SECOND, never).await.is_err());
        rings(&mut alarm, start + SECOND * 35).await;
        assert_eq!(start.elapsed().as_secs(), 35);
    }
}
