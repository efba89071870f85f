//! JWK Sets at an address.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use reqwest::header::ACCEPT;
use reqwest::{Client, Url, redirect};
use tokio::time::Instant;

use super::files::KEYS_BYTES;

/// How long an answer may take, all of it.
const TIME_MAX: Duration = Duration::from_secs(5);
/// How long it takes at most until what could not be had is tried again.
const RETRY_MAX: Duration = Duration::from_secs(60);

/// Somebody else's set of keys.
#[derive(Debug)]
pub(super) struct Remote {
    client: Client,
    url: Url,
    /// How often it is asked.
    pub(super) refresh: Duration,
    /// When it was last asked because of a token; locked while it is being asked for whatever reason,
    /// so that one question is under way at a time.
    pub(super) asked: Arc<tokio::sync::Mutex<Option<Instant>>>,
    schedule: Mutex<Schedule>,
}

#[derive(Debug)]
struct Schedule {
    due: Instant,
    failures: u32,
}

impl Remote {
    /// # Errors
    /// When the address is none, or when no TLS can be spoken.
    pub(super) fn new(url: &str, refresh: Duration) -> Result<Self, String> {
        let url = Url::parse(url).map_err(|error| format!("is no address: {error}"))?;
        let agent = concat!("weft/", env!("CARGO_PKG_VERSION"));
        // Who answers is who was named: nobody is sent on to other hosts.
        let builder = Client::builder().redirect(redirect::Policy::none()).user_agent(agent);
        let client = builder.timeout(TIME_MAX).build().map_err(|error| error.to_string())?;
        let schedule = Schedule { due: Instant::now(), failures: 0 };
        Ok(Self { client, url, refresh, asked: Arc::default(), schedule: schedule.into() })
    }

    /// Whether nothing keeps those on the way from changing what is said.
    pub(super) fn is_plain(&self) -> bool {
        let loopback = ["localhost", "127.0.0.1", "[::1]"];
        self.url.scheme() == "http" && !self.url.host_str().is_some_and(|h| loopback.contains(&h))
    }

    /// Whether it is time to ask again. If so, the next time is after the usual while.
    pub(super) fn take_turn(&self) -> bool {
        let mut schedule = self.schedule.lock();
        let now = Instant::now();
        let due = schedule.due <= now;
        if due {
            schedule.due = now + self.refresh;
        }
        due
    }

    /// Notes how asking went: what failed is tried again sooner, less and less so.
    fn note(&self, fine: bool) {
        let mut schedule = self.schedule.lock();
        schedule.failures = if fine { 0 } else { schedule.failures.saturating_add(1) };
        let wait = if fine {
            self.refresh
        } else {
            let doubled = Duration::from_secs(1 << (schedule.failures - 1).min(6));
            doubled.min(RETRY_MAX).min(self.refresh)
        };
        schedule.due = Instant::now() + wait;
    }

    /// Asks, and gives what `read` makes of the answer.
    ///
    /// # Errors
    /// A text without the address, which may hold what nobody should read.
    pub(super) async fn ask<T>(
        &self,
        read: impl FnOnce(&[u8]) -> Result<T, String>,
    ) -> Result<T, String> {
        let answer = self.answer().await.and_then(|body| read(&body));
        self.note(answer.is_ok());
        answer
    }

    async fn answer(&self) -> Result<Vec<u8>, String> {
        let wrong = |error: reqwest::Error| chain(&error.without_url());
        let accepted = "application/jwk-set+json, application/json";
        let request = self.client.get(self.url.clone()).header(ACCEPT, accepted);
        let mut response = request.send().await.map_err(wrong)?;
        if response.status() != 200 {
            return Err(format!("the answer's status is {}", response.status().as_u16()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(wrong)? {
            if body.len() + chunk.len() > KEYS_BYTES {
                return Err(format!("the answer is larger than {KEYS_BYTES} bytes"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

/// An error with its causes: the first alone says little.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
