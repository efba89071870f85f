//! How often who was let in, and why not.

use std::sync::Arc;

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

use super::Unidentified;
use crate::core::principal::Principal;

/// How somebody was known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// By a token.
    ByToken,
    /// By a token that was seen before.
    Before,
    /// By an API key.
    ByKey,
}

/// Counters.
#[derive(Debug, Clone)]
pub struct AuthStats {
    results: IntCounterVec,
    pub(super) file_failures: IntCounter,
    pub(super) fetch_failures: IntCounter,
}

impl AuthStats {
    /// Makes the handles and registers them.
    ///
    /// # Errors
    /// When a name is registered twice.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let (results, failures) = Self::vectors()?;
        registry.register(Box::new(results.clone()))?;
        registry.register(Box::new(failures.clone()))?;
        Ok(Self::of(results, &failures))
    }

    /// Handles that nobody looks at.
    ///
    /// # Errors
    /// None that can happen.
    pub fn unregistered() -> Result<Self, prometheus::Error> {
        let (results, failures) = Self::vectors()?;
        Ok(Self::of(results, &failures))
    }

    fn vectors() -> Result<(IntCounterVec, IntCounterVec), prometheus::Error> {
        let results =
            Opts::new("weft_auth_total", "Tokens and API keys shown, by what came of it.");
        let text = "Keys that could not be read or fetched: the last ones hold.";
        let failures = Opts::new("weft_auth_keys_failed_total", text);
        Ok((IntCounterVec::new(results, &["result"])?, IntCounterVec::new(failures, &["from"])?))
    }

    fn of(results: IntCounterVec, failures: &IntCounterVec) -> Self {
        for result in ["ok", "cached", "key"] {
            let _ = results.with_label_values(&[result]);
        }
        for why in Unidentified::ALL {
            let _ = results.with_label_values(&[why.as_str()]);
        }
        Self {
            results,
            file_failures: failures.with_label_values(&["file"]),
            fetch_failures: failures.with_label_values(&["url"]),
        }
    }

    pub(super) fn count(&self, answer: &Result<(Known, Arc<Principal>), Unidentified>) {
        let result = match answer {
            Ok((Known::ByToken, _)) => "ok",
            Ok((Known::Before, _)) => "cached",
            Ok((Known::ByKey, _)) => "key",
            Err(why) => why.as_str(),
        };
        self.results.with_label_values(&[result]).inc();
    }
}
