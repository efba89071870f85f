//! Limits over plain HTTP: a real 429, and when to come again (decisions 3.6, 3.19).

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderValue, Response, StatusCode};
use weft_protocol::Error;

use super::api::{Api, Refusal};
use super::bayeux::Head;
use super::headers;
use crate::limits::{Limited, What, Who};

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
    pub fn who(&self, head: &Head) -> Who {
        self.endpoint.who(&head.peer)
    }

    /// Lets `n` of something through, or says when to come again.
    ///
    /// # Errors
    /// 429 past a limit; 413 if so many at once never pass.
    pub fn take(&self, what: What, who: Who, n: usize) -> Result<(), Refusal> {
        let limits = self.broker.limits();
        if limits.is_off() {
            return Ok(());
        }
        let now = self.broker.clock().now();
        limits.take(what, who, None, n as u64, now).map_err(Refusal::from)
    }
}
