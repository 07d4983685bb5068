use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use super::listing::{PIN, list};

/// What was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Evicted {
    /// Bytes on disk.
    pub bytes: u64,
    /// Layers.
    pub layers: u32,
    /// Bytes of layers that stay.
    pub left_bytes: u64,
}

/// Removes, or with `dry_run` only counts, what nobody uses and nobody pinned.
pub(super) fn evict(layers: &Path, keep_bytes: u64, dry_run: bool) -> io::Result<Evicted> {
    let cached = list(layers)?;
    let mut evicted = Evicted {
        left_bytes: cached.iter().map(|layer| layer.bytes).sum(),
        ..Evicted::default()
    };
    for layer in cached {
        if evicted.left_bytes <= keep_bytes {
            break;
        }
        let free = !layer.in_use && !layer.pinned;
        if free && (dry_run || remove_unused(&layer.path)?) {
            evicted.left_bytes -= layer.bytes;
            evicted.bytes += layer.bytes;
            evicted.layers += 1;
        }
    }
    Ok(evicted)
}

/// Whoever opens the directory takes its lock first, and looks whether the lock is still the one in the directory.
fn remove_unused(path: &Path) -> io::Result<bool> {
    let lock = match OpenOptions::new().write(true).open(path.join("lock")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => other?,
    };
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Err(rustix::io::Errno::WOULDBLOCK) => return Ok(false),
        other => other?,
    }
    // Pinned or evicted since it was looked at.
    if path.join(PIN).exists() || !path.join("lock").exists() {
        return Ok(false);
    }
    // The map first: bytes without their digests' word are worth nothing. The lock last: it is what others wait at.
    for name in ["map", "data", "readers", "table", "lock"] {
        match fs::remove_file(path.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => (),
        }
    }
    // Somebody may be making it anew already.
    let _ = fs::remove_dir(path);
    Ok(true)
}
