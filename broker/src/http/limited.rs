//! Limits over plain HTTP: a real 429, and when to come again (decisions 3.6, 3.19).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderValue, Response, StatusCode};
use weft_protocol::Error;

use super::api::{Api, Refusal};
use super::bayeux::Head;
use super::headers;
use crate::guard::Asker;
use crate::limits::{Limited, Payer, What};

impl From<Limited> for Refusal {
    fn from(limited: Limited) -> Self {
        match limited.after {
            Some(_) => Self {
                retry_after: Some(limited.retry_after()),
                ..Self::new(429, Error::RateLimited.to_string())
            },
            // To wait is no help.
            None => Self::new(413, "more at once than the limits ever allow"),
        }
    }
}

/// 429, for people.
#[must_use]
pub fn refuse(limited: Limited) -> Response<Bytes> {
    let text = Error::RateLimited.to_string();
    let mut response = headers::text(StatusCode::TOO_MANY_REQUESTS, &text);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(limited.retry_after()));
    response
}

impl Api {
    /// Whom a request counts for.
    #[must_use]
    pub fn payer(&self, head: &Head, asker: &Asker) -> Payer {
        self.broker.payer(self.endpoint.payer(head), asker.who.as_deref())
    }

    /// Lets `n` of something through.
    ///
    /// # Errors
    /// 429 past a limit, with when to come again; 413 if so many at once never pass.
    pub fn take(&self, what: What, payer: Payer, n: usize) -> Result<(), Refusal> {
        Ok(self.try_take(what, payer, n)?)
    }

    fn try_take(&self, what: What, payer: Payer, n: usize) -> Result<(), Limited> {
        let limits = self.broker.limits();
        if limits.is_off() {
            return Ok(());
        }
        limits.take(what, payer, None, n as u64, self.broker.clock().now())
    }
}

/// The limits of a body without an end: it is read no faster than they allow.
#[derive(Debug)]
pub struct Pace {
    payer: Payer,
    owed: usize,
    /// How much of it is counted at a time: no more than a burst.
    part: usize,
}

/// Nothing is waited for longer without another look.
const LOOK: Duration = Duration::from_secs(1);

impl Pace {
    /// For what one request brings.
    #[must_use]
    pub fn new(api: &Arc<Api>, head: &Head, asker: &Asker) -> Self {
        Self { payer: api.payer(head, asker), owed: 0, part: usize::MAX }
    }

    /// So many bytes came.
    pub fn owe(&mut self, bytes: usize) {
        self.owed += bytes;
    }

    /// Counts the bytes that came.
    ///
    /// # Errors
    /// How long to wait before more of them is worked off.
    pub fn pay(&mut self, api: &Api) -> Result<(), Duration> {
        while self.owed > 0 {
            let part = self.part.min(self.owed);
            match api.try_take(What::Bytes, self.payer, part) {
                Ok(()) => self.owed -= part,
                Err(Limited { after: Some(after), .. }) => return Err(after.min(LOOK)),
                Err(_) if part > 1 => self.part = part / 2,
                Err(_) => return Err(LOOK),
            }
        }
        Ok(())
    }

    /// Counts a line.
    ///
    /// # Errors
    /// How long to wait before it is worked off.
    pub fn line(&self, api: &Api) -> Result<(), Duration> {
        let taken = api.try_take(What::Messages, self.payer, 1);
        taken.map_err(|limited| limited.after.unwrap_or(LOOK).min(LOOK))
    }
}
