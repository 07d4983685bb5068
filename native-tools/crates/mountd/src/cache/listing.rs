//! What a cache directory holds.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{FlockOperation, flock};

/// A layer in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedLayer {
    /// Its directory.
    pub path: PathBuf,
    /// When it was opened last.
    pub used: SystemTime,
    /// Bytes on disk.
    pub bytes: u64,
    /// Length of its plain stream.
    pub plain_bytes: u64,
    /// A process has it open.
    pub in_use: bool,
    /// It is never evicted.
    pub pinned: bool,
}

/// Name of the file that pins a layer.
pub(super) const PIN: &str = "pin";

/// The layers, those first that were opened longest ago.
pub(super) fn list(layers: &Path) -> io::Result<Vec<CachedLayer>> {
    let mut found = vec![];
    for entry in fs::read_dir(layers)? {
        let path = entry?.path();
        // One that is being made or removed right now is nothing to look at.
        let Ok(lock) = File::open(path.join("lock")) else {
            continue;
        };
        let data = fs::metadata(path.join("data"));
        found.push(CachedLayer {
            used: lock.metadata()?.modified()?,
            bytes: data.as_ref().map_or(0, |data| data.blocks() * 512),
            plain_bytes: data.map_or(0, |data| data.len()),
            in_use: flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err(),
            pinned: path.join(PIN).exists(),
            path,
        });
    }
    found.sort_by_key(|layer| layer.used);
    Ok(found)
}
