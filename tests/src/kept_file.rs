//! A file of a test's own, removed at its end.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// A file that can be written anew as editors and secret managers do it.
#[derive(Debug)]
pub struct KeptFile(pub PathBuf);

impl KeptFile {
    /// With these bytes in it.
    #[must_use]
    pub fn new(bytes: impl AsRef<[u8]>) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("weft-kept-{}-{number}", std::process::id());
        let file = Self(std::env::temp_dir().join(name));
        file.write(bytes);
        file
    }

    /// Puts another file in its place.
    pub fn write(&self, bytes: impl AsRef<[u8]>) {
        let aside = self.0.with_extension("new");
        fs::write(&aside, bytes).expect("a file");
        fs::rename(&aside, &self.0).expect("a file");
    }

    /// Its path, as it stands in a configuration.
    #[must_use]
    pub fn path(&self) -> String {
        self.0.display().to_string()
    }
}

impl Drop for KeptFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
