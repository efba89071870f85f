//! Somebody who makes tokens, with the keys that verify them as they are now.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::fetch::Remote;
use super::files::{self, Stamp};
use super::jwk;
use super::key::{Key, Material, spki_of_pem};
use super::options::{KeyPlace, SourceOptions};

/// A source. Cheap to clone: all of it is shared.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) options: Arc<SourceOptions>,
    /// `None` until an address has given some.
    pub(super) keys: Option<Arc<[Key]>>,
    pub(super) remote: Option<Arc<Remote>>,
    /// Of the file they came from.
    pub(super) stamp: Option<Stamp>,
    /// The SHA-256 of what they were read from.
    hash: [u8; 32],
}

/// Keys, newly read.
#[derive(Debug)]
pub(super) struct Fresh {
    keys: Arc<[Key]>,
    hash: [u8; 32],
    stamp: Option<Stamp>,
}

impl Source {
    /// Reads keys that are here or in a file; those at an address are asked for later. What was at the
    /// same address before stays.
    ///
    /// # Errors
    /// A text that names the source.
    pub(super) fn open(options: &SourceOptions, before: &[Self]) -> Result<Self, String> {
        let about = |error| format!("[[auth.tokens]] {:?}: {error}", options.name);
        let mut source = Self {
            options: Arc::new(options.clone()),
            keys: None,
            remote: None,
            stamp: None,
            hash: [0; 32],
        };
        match &options.place {
            KeyPlace::SetUrl(url, refresh) => {
                if let Some(same) = before.iter().find(|before| before.has_keys_for(options)) {
                    (source.keys, source.hash) = (same.keys.clone(), same.hash);
                    source.remote.clone_from(&same.remote);
                }
                let rhythm = |remote: &Arc<Remote>| remote.refresh == *refresh;
                if !source.remote.as_ref().is_some_and(rhythm) {
                    source.remote = Some(Arc::new(remote(options, url, *refresh).map_err(about)?));
                }
            }
            KeyPlace::Secret(secret) => {
                source.take(source.read(secret, None).map_err(about)?);
            }
            KeyPlace::SecretFile(_) | KeyPlace::Pem(_) | KeyPlace::SetFile(_) => {
                source.take(source.read_file().map_err(about)?);
            }
        }
        Ok(source)
    }

    /// Whether its keys would be the same with these options: what is asked of claims may differ.
    fn has_keys_for(&self, options: &SourceOptions) -> bool {
        let same_place = match (&self.options.place, &options.place) {
            (KeyPlace::SetUrl(own, _), KeyPlace::SetUrl(other, _)) => own == other,
            _ => false,
        };
        same_place
            && self.options.name == options.name
            && self.options.algorithms == options.algorithms
    }

    /// The file with its keys.
    pub(super) fn file(&self) -> Option<&Path> {
        match &self.options.place {
            KeyPlace::SecretFile(path) | KeyPlace::Pem(path) | KeyPlace::SetFile(path) => {
                Some(path)
            }
            KeyPlace::Secret(_) | KeyPlace::SetUrl(..) => None,
        }
    }

    /// # Errors
    /// When it cannot be read, or does not hold what it should.
    pub(super) fn read_file(&self) -> Result<Fresh, String> {
        let path = self.file().ok_or("has no file")?;
        let (bytes, stamp) = files::read(path)?;
        self.read(&bytes, Some(stamp)).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// # Errors
    /// When the bytes do not hold what they should.
    pub(super) fn read(&self, bytes: &[u8], stamp: Option<Stamp>) -> Result<Fresh, String> {
        let SourceOptions { name, algorithms, place, .. } = &*self.options;
        let one = |material: &Material<'_>| Key::of(name, None, material, algorithms);
        let keys = match place {
            KeyPlace::Secret(_) => vec![one(&Material::Secret(bytes))?],
            KeyPlace::SecretFile(_) => {
                let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
                let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
                vec![one(&Material::Secret(bytes))?]
            }
            KeyPlace::Pem(_) => vec![one(&Material::Spki(&spki_of_pem(bytes)?))?],
            KeyPlace::SetFile(_) | KeyPlace::SetUrl(..) => jwk::keys(name, bytes, algorithms)?,
        };
        Ok(Fresh { keys: keys.into(), hash: Sha256::digest(bytes).into(), stamp })
    }

    /// Takes what was read; true if it is something else than before.
    pub(super) fn take(&mut self, fresh: Fresh) -> bool {
        self.stamp = fresh.stamp;
        let other = self.keys.is_none() || self.hash != fresh.hash;
        if other {
            (self.keys, self.hash) = (Some(fresh.keys), fresh.hash);
        }
        other
    }

    /// Whether this is the same source with the same keys.
    pub(super) fn is_as(&self, other: &Self) -> bool {
        let keys = match (&self.keys, &other.keys) {
            (Some(own), Some(other)) => Arc::ptr_eq(own, other),
            (None, None) => true,
            _ => false,
        };
        keys && Arc::ptr_eq(&self.options, &other.options)
    }
}

fn remote(options: &SourceOptions, url: &str, refresh: Duration) -> Result<Remote, String> {
    let remote = Remote::new(url, refresh)?;
    if remote.is_plain() {
        tracing::warn!(
            source = options.name,
            "the keys of a source are fetched by http: whoever is on the way can put in others"
        );
    }
    Ok(remote)
}
