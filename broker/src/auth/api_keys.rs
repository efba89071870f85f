//! API keys: compared by their SHA-256, each with every one of them and in the same time, so that
//! nobody learns anything by how long it takes.

use std::sync::Arc;

use serde_json::Map;
use subtle::{ConditionallySelectable, ConstantTimeEq};

use super::Unidentified;
use super::options::KeyOptions;
use crate::core::principal::{Kind, Principal};

/// All that are good.
#[derive(Debug, Default)]
pub(super) struct ApiKeys(Vec<([u8; 32], Arc<Principal>)>);

impl ApiKeys {
    pub(super) fn new(keys: &[KeyOptions]) -> Self {
        let principal = |key: &KeyOptions| {
            let print: String = key.sha256.iter().take(4).map(|b| format!("{b:02x}")).collect();
            Arc::new(Principal {
                kind: Kind::Key,
                subject: key.name.as_str().into(),
                issuer_key: format!("{}~{print}", key.name).into(),
                roles: key.roles.iter().map(|role| role.as_str().into()).collect(),
                claims: Map::new(),
                expires: key.expires,
            })
        };
        Self(keys.iter().map(|key| (key.sha256, principal(key))).collect())
    }

    /// Whose key this is the SHA-256 of.
    pub(super) fn find(
        &self,
        hash: &[u8; 32],
        now: i64,
    ) -> Option<Result<Arc<Principal>, Unidentified>> {
        let mut found = u64::MAX;
        for (index, (known, _)) in (0..).zip(&self.0) {
            found.conditional_assign(&index, known.ct_eq(hash));
        }
        let (_, principal) = self.0.get(usize::try_from(found).ok()?)?;
        if principal.expires.is_some_and(|expires| expires <= now) {
            return Some(Err(Unidentified::Expired));
        }
        Some(Ok(Arc::clone(principal)))
    }

    /// Whether a principal is still who its key makes it, with the same roles.
    pub(super) fn vouch_for(&self, principal: &Principal) -> bool {
        self.0.iter().any(|(_, known)| **known == *principal)
    }
}
