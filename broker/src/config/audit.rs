//! `[audit]`: the log of who was let in and what was changed.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// `[audit]`: the log of who was let in, who was not, and what was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Audit {
    /// Whether it is written. Default true: lines come only where `auth.mode = "token"`, and when what
    /// is configured changes.
    pub enabled: bool,
    /// The file that its lines go to, one JSON object each; it is appended to. Default "", which is
    /// where the log goes, whatever `log.level` is.
    pub file: PathBuf,
}

impl Default for Audit {
    fn default() -> Self {
        Self { enabled: true, file: PathBuf::new() }
    }
}
