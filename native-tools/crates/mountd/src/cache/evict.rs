use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{FlockOperation, flock};

use super::age::believed;
use super::listing::PIN;
use super::{Cache, archives};

/// What was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Evicted {
    /// Bytes on disk.
    pub bytes: u64,
    /// Layers.
    pub layers: u32,
    /// Archives.
    pub archives: u32,
    /// Bytes of layers and archives that stay.
    pub left_bytes: u64,
}

/// Something that a cache holds.
struct Held {
    path: PathBuf,
    used: SystemTime,
    bytes: u64,
    is_free: bool,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    Layer,
    Archive,
}

/// Removes, or with `dry_run` only counts, what nobody uses and nobody pinned.
pub(super) fn evict(cache: &Cache, keep_bytes: u64, dry_run: bool) -> io::Result<Evicted> {
    let held = held_by(cache)?;
    let mut evicted = Evicted {
        left_bytes: held.iter().map(|one| one.bytes).sum(),
        ..Evicted::default()
    };
    for one in held {
        if evicted.left_bytes <= keep_bytes {
            break;
        }
        if !one.is_free || !(dry_run || one.remove_unused()?) {
            continue;
        }
        evicted.left_bytes -= one.bytes;
        evicted.bytes += one.bytes;
        match one.kind {
            Kind::Layer => evicted.layers += 1,
            Kind::Archive => evicted.archives += 1,
        }
    }
    Ok(evicted)
}

/// Layers and archives together, the longest unused first.
fn held_by(cache: &Cache) -> io::Result<Vec<Held>> {
    let layers = cache.list()?.into_iter().map(|layer| Held {
        is_free: !layer.in_use && !layer.pinned,
        path: layer.path,
        used: layer.used,
        bytes: layer.bytes,
        kind: Kind::Layer,
    });
    let archives = cache.list_archives()?.into_iter().map(|archive| Held {
        is_free: archive.is_free(),
        path: archive.path,
        used: archive.used,
        bytes: archive.bytes,
        kind: Kind::Archive,
    });
    let mut held: Vec<_> = layers.chain(archives).collect();
    let now = SystemTime::now();
    held.sort_by_key(|one| believed(one.used, now));
    Ok(held)
}

impl Held {
    fn remove_unused(&self) -> io::Result<bool> {
        match self.kind {
            Kind::Layer => remove_unused_layer(&self.path),
            Kind::Archive => archives::remove_unused(&self.path),
        }
    }
}

/// Whoever opens the directory takes its lock first, and looks whether the lock is still the one in the directory.
fn remove_unused_layer(path: &Path) -> io::Result<bool> {
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
