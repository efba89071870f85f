//! Panics of a store, or of those who are told about it, end here: they become errors, and the
//! writer's thread goes on.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};

use super::{Events, Flush};
use crate::{BacklogError, Loss};

/// Asks the store something. What it left half done when it panicked is its own to recover.
pub(super) fn guard<R>(ask: impl FnOnce() -> Result<R, BacklogError>) -> Result<R, BacklogError> {
    catch_unwind(AssertUnwindSafe(ask)).unwrap_or_else(|panic| Err(failed(&*panic)))
}

/// A panic as an error of the store.
pub(super) fn failed(panic: &(dyn Any + Send)) -> BacklogError {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    BacklogError::Failed(format!("panic: {}", text.unwrap_or("without a text")).into())
}

/// Events whose panics are their own.
pub(super) struct Guarded<T>(pub(super) Box<dyn Events<T>>);

impl<T> Guarded<T> {
    /// See [`Events::settled`].
    pub(super) fn settled(&mut self, tokens: Vec<T>, outcome: &Result<(), BacklogError>) {
        if !tokens.is_empty() {
            self.tell(|events| events.settled(tokens, outcome));
        }
    }

    /// See [`Events::flushed`].
    pub(super) fn flushed(&mut self, flush: &Flush) {
        self.tell(|events| events.flushed(flush));
    }

    /// See [`Events::health`].
    pub(super) fn health(&mut self, trouble: Option<&BacklogError>) {
        self.tell(|events| events.health(trouble));
    }

    /// See [`Events::lost`].
    pub(super) fn lost(&mut self, loss: &Loss) {
        self.tell(|events| events.lost(loss));
    }

    /// See [`Events::unmarked`].
    pub(super) fn unmarked(&mut self, keys: &[[u8; 16]]) {
        if !keys.is_empty() {
            self.tell(|events| events.unmarked(keys));
        }
    }

    fn tell(&mut self, tell: impl FnOnce(&mut dyn Events<T>)) {
        // The panic hook has said it; nobody here could do more.
        let _ = catch_unwind(AssertUnwindSafe(|| tell(&mut *self.0)));
    }
}
