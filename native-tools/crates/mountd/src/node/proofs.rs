//! What this daemon proved of complete cache files, for mounts that come when nobody has the layer any more.

use std::collections::HashMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Longer than the clock of a filesystem stands still: a change after it shows in the file's times.
pub(super) const CLOCK_TICK: Duration = Duration::from_millis(20);

/// Files that were proven and sealed, as they were then. Every write changes a file's ctime, which nobody can set back. It
/// dies with the process: what an earlier start proved counts for nothing (`docs/formats/cache.md`).
#[derive(Debug, Default)]
pub(super) struct Proofs(Mutex<HashMap<(u64, u64), Facts>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Facts {
    size: u64,
    mode: u32,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Proofs {
    /// A file whose every chunk was proven, at least [`CLOCK_TICK`] after its last change.
    pub(super) fn add(&self, file: &Metadata) {
        let mut proofs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        proofs.insert(name(file), facts(file));
    }

    /// Whether a file is as it was when it was proven.
    pub(super) fn has(&self, file: &Metadata) -> bool {
        let proofs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        proofs.get(&name(file)) == Some(&facts(file))
    }
}

fn name(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

fn facts(file: &Metadata) -> Facts {
    Facts {
        size: file.size(),
        mode: file.mode(),
        modified: (file.mtime(), file.mtime_nsec()),
        changed: (file.ctime(), file.ctime_nsec()),
    }
}
