use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{FlockOperation, flock};

/// What was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Evicted {
    /// Bytes on disk.
    pub bytes: u64,
    /// Layers.
    pub layers: u32,
}

struct Cached {
    path: PathBuf,
    used: SystemTime,
    bytes: u64,
}

pub(super) fn evict(layers: &Path, keep_bytes: u64) -> io::Result<Evicted> {
    let mut cached = vec![];
    for entry in fs::read_dir(layers)? {
        let path = entry?.path();
        // One that is being made or removed right now is nothing to look at.
        let lock = fs::metadata(path.join("lock")).and_then(|lock| lock.modified());
        if let Ok(used) = lock {
            let bytes = fs::metadata(path.join("data")).map_or(0, |data| data.blocks() * 512);
            cached.push(Cached { path, used, bytes });
        }
    }
    cached.sort_by_key(|layer| layer.used);
    let mut left: u64 = cached.iter().map(|layer| layer.bytes).sum();
    let mut evicted = Evicted::default();
    for layer in cached {
        if left <= keep_bytes {
            break;
        }
        if remove_unused(&layer.path)? {
            left -= layer.bytes;
            evicted.bytes += layer.bytes;
            evicted.layers += 1;
        }
    }
    Ok(evicted)
}

/// Whoever opens the directory takes its lock first, and looks whether the lock is still the one in the directory.
fn remove_unused(path: &Path) -> io::Result<bool> {
    let lock = OpenOptions::new().write(true).open(path.join("lock"))?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Err(rustix::io::Errno::WOULDBLOCK) => return Ok(false),
        other => other?,
    }
    for name in ["map", "data", "lock"] {
        match fs::remove_file(path.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => (),
        }
    }
    // Somebody may be making it anew already.
    let _ = fs::remove_dir(path);
    Ok(true)
}
