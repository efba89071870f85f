//! What a session has subscribed to.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A session's patterns. They have a lock of their own, taken before those of members.
#[derive(Debug, Default)]
pub(crate) struct OwnSubscriptions {
    /// Sorted: for the few that most sessions have, nothing is smaller than a list.
    patterns: Vec<Arc<str>>,
    pub(crate) ended: bool,
}

impl OwnSubscriptions {
    /// Whether this one is among them.
    pub(crate) fn has(&self, pattern: &str) -> bool {
        self.patterns.binary_search_by(|own| (**own).cmp(pattern)).is_ok()
    }

    /// Adds some that are not among them.
    pub(crate) fn add(&mut self, new: impl ExactSizeIterator<Item = Arc<str>>) {
        if self.patterns.is_empty() {
            self.patterns.reserve_exact(new.len());
        }
        self.patterns.extend(new);
        self.patterns.sort_unstable();
        self.patterns.dedup();
    }

    /// Takes those of some out that are among them.
    pub(crate) fn take(&mut self, some: &[Cow<'_, str>]) -> Vec<Arc<str>> {
        let some: BTreeSet<&str> = some.iter().map(|text| &**text).collect();
        self.patterns.extract_if(.., |own| some.contains(&**own)).collect()
    }

    /// Takes all.
    pub(crate) fn take_all(&mut self) -> Vec<Arc<str>> {
        std::mem::take(&mut self.patterns)
    }

    /// All, sorted.
    pub(crate) fn all(&self) -> &[Arc<str>] {
        &self.patterns
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.patterns.len()
    }
}
