//! A store that is being made beside the place that it is for.

use std::fs;
use std::path::{Path, PathBuf};

use weft_persistence::{Backlog, BacklogError, Mark, Marked, Restore, SledOptions};

use super::about;
use super::format::{Counts, Line};
use super::judge::Judge;
use super::place::{self, Lock, Place};
use super::source::{everything, read};
use crate::swap;

/// Removed again unless it takes its place.
#[derive(Debug)]
pub(super) struct Draft {
    path: PathBuf,
    restore: Option<Restore>,
    /// Whether the directory is there to stay.
    stays: bool,
}

impl Draft {
    /// Begins one. What an interrupted run left in its way is removed.
    pub(super) fn begin(place: &Place, floor: i64) -> Result<Self, String> {
        let path = swap::beside(&place.directory, "new");
        if path.exists() {
            if place::file(&path).exists() {
                drop(place::lock(&path)?);
            }
            fs::remove_dir_all(&path).map_err(about(&path))?;
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(about(parent))?;
        }
        let mut draft = Self { path, restore: None, stays: false };
        let options = SledOptions { shared_floor: floor, ..place.options.clone() };
        draft.restore = Some(draft.said(|path| Restore::begin(path, &options))?);
        Ok(draft)
    }

    /// Takes a line of an export, whatever it says: others judge.
    pub(super) fn put(&mut self, line: &Line<'_>) -> Result<(), String> {
        let Some(restore) = &mut self.restore else { return Ok(()) };
        let done = read(|| match line {
            Line::Channel { name, floor, head } => restore.channel(name, *floor, *head),
            Line::Record { position, time_us, value, .. } => {
                restore.record(*position, *time_us, value.get())
            }
            Line::Mark { key, print, subscribers, position, time_us } => {
                let mark = Mark { key: *key, print: *print, subscribers: *subscribers };
                restore.mark(&Marked { mark, position: *position, time_us: *time_us })
            }
            Line::Store { .. } | Line::End(_) => Ok(()),
        });
        done.map_err(about(&self.path))
    }

    /// Puts it into its place, once all is found in it that was put there; how large its files are.
    /// A store that is there already must be locked.
    pub(super) fn settle(
        mut self,
        place: &Place,
        locked: Option<&Lock>,
        counts: Counts,
    ) -> Result<u64, String> {
        if let Some(restore) = self.restore.take() {
            self.said(|_| restore.finish())?;
            drop(place::lock(&self.path)?);
        }
        let (found, disk_bytes) = self.look(&place.options)?;
        if found != counts {
            return Err(format!("{}: {found}, not {counts}", self.path.display()));
        }
        let _closed = place::lock(&self.path)?;
        let there = || about(&place.directory);
        let old = match locked {
            Some(_) => Some(swap::replace(&self.path, &place.directory).map_err(there())?),
            None => swap::fill(&self.path, &place.directory).map(|()| None).map_err(there())?,
        };
        // From here on its name is not that of a draft: it may be that of the store before it.
        self.stays = true;
        swap::sync_above(&place.directory).map_err(there())?;
        if let Some(old) = old {
            let left = |error| format!("it is done, but {}: {error}", old.display());
            fs::remove_dir_all(&old).map_err(left)?;
        }
        Ok(disk_bytes)
    }

    fn look(&self, options: &SledOptions) -> Result<(Counts, u64), String> {
        let store = place::open(&self.path, options)?;
        let mut judge = Judge::default();
        everything(&store, &mut |line| judge.see(line)).map_err(about(&self.path))?;
        let usage = self.said(|_| store.usage())?;
        Ok((judge.counts(), usage.disk_bytes))
    }

    fn said<R>(&self, work: impl FnOnce(&Path) -> Result<R, BacklogError>) -> Result<R, String> {
        read(|| work(&self.path)).map_err(about(&self.path))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        drop(self.restore.take());
        if !self.stays {
            // The database must be closed first: it may write once more.
            let _closed = place::lock(&self.path);
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}
