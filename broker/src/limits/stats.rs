//! What was limited, counted: one handle for each limit and scope, made once.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

use super::{Scope, What};

/// Counters.
#[derive(Debug, Clone)]
pub struct LimitStats {
    by: [[IntCounter; Scope::ALL.len()]; What::ALL.len()],
    /// Keys that found no place in the table of rates, and shared one.
    pub shared: IntCounter,
}

impl LimitStats {
    /// Makes the handles and registers them.
    ///
    /// # Errors
    /// When a name is registered twice.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let help = "What was refused, or made to wait, at a limit.";
        let limited =
            IntCounterVec::new(Opts::new("weft_limited_total", help), &["what", "scope"])?;
        registry.register(Box::new(limited.clone()))?;
        let shared = IntCounter::new(
            "weft_rate_keys_shared_total",
            "Requests counted together with others', since there was no room for their key.",
        )?;
        registry.register(Box::new(shared.clone()))?;
        let counter =
            |what: What, scope: Scope| limited.with_label_values(&[what.label(), scope.label()]);
        let by = What::ALL.map(|what| Scope::ALL.map(|scope| counter(what, scope)));
        Ok(Self { by, shared })
    }

    /// Counts one.
    pub fn limited(&self, what: What, scope: Scope) {
        let counter = self.by.get(what as usize).and_then(|by| by.get(scope as usize));
        if let Some(counter) = counter {
            counter.inc();
        }
    }
}
