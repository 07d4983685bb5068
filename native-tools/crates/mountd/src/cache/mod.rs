//! The chunk cache on disk. `docs/formats/cache.md`.

mod age;
#[cfg(test)]
mod archive_tests;
mod archives;
mod evict;
mod key;
mod layer_cache;
mod listing;
mod readers;
mod seal;
mod tend;
#[cfg(test)]
mod tests;
mod verify;

pub use archives::{CachedArchive, hold_archive};
pub use evict::Evicted;
pub use key::layer_name;
pub use layer_cache::LayerCache;
pub use listing::CachedLayer;
pub use readers::{Reader, ReaderKey, Readers};
pub use seal::is_sealed;
pub use tend::{Free, Limits, Tended};
pub use verify::Verified;

use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use archive_format::tables::LayerTable;

/// A cache directory, shared by any number of processes.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
    /// Nothing more is kept.
    full: Arc<AtomicBool>,
}

impl Cache {
    /// Opens the directory and makes it where it is missing. Only its owner may look in: layers may be private.
    ///
    /// # Errors
    /// The system's.
    pub fn open(root: &Path) -> io::Result<Self> {
        make_directory(root)?;
        make_directory(&root.join("layers"))?;
        Ok(Self {
            root: root.to_owned(),
            full: Arc::default(),
        })
    }

    /// The cache of one layer, in the directory that [`layer_name`] names.
    ///
    /// # Errors
    /// The system's.
    pub fn layer(&self, table: &LayerTable) -> io::Result<LayerCache> {
        let directory = self.directory(table);
        make_directory(&directory)?;
        let layer = LayerCache::open(&directory, table)?;
        Ok(layer.kept_by(Arc::clone(&self.full)))
    }

    fn directory(&self, table: &LayerTable) -> PathBuf {
        self.root.join("layers").join(layer_name(table))
    }

    /// Whether bytes of a layer may be there.
    #[must_use]
    pub fn has_some_of(&self, table: &LayerTable) -> bool {
        fs::read(self.directory(table).join("map"))
            .is_ok_and(|map| map.contains(&layer_cache::WRITTEN))
    }

    /// The key that readers are named with.
    #[must_use]
    pub fn reader_key(&self) -> ReaderKey {
        ReaderKey::of(&self.root)
    }

    /// Who was proven to be allowed to read a layer.
    #[must_use]
    pub fn readers(&self, table: &LayerTable) -> Readers {
        Readers::of(&self.directory(table))
    }

    /// Removes layers and archives that nobody uses and nobody pinned, those first that were used longest ago, until at most
    /// `keep_bytes` are on disk; with `dry_run` it only says what would go. What dead processes left half-made goes in any case.
    ///
    /// # Errors
    /// The system's.
    pub fn evict(&self, keep_bytes: u64, dry_run: bool) -> io::Result<Evicted> {
        if !dry_run && let Err(error) = self.reap() {
            tracing::warn!(%error, "what dead processes left in the cache stays");
        }
        evict::evict(self, keep_bytes, dry_run)
    }

    /// Removes what processes that are dead left half-made.
    ///
    /// # Errors
    /// The system's.
    pub fn reap(&self) -> io::Result<u32> {
        archives::reap(&self.archives())
    }

    /// The archives, those first that were handed out longest ago.
    ///
    /// # Errors
    /// The system's.
    pub fn list_archives(&self) -> io::Result<Vec<CachedArchive>> {
        archives::list(&self.archives())
    }

    fn archives(&self) -> PathBuf {
        self.root.join("archives")
    }

    /// Bytes on disk of everything that can be evicted.
    ///
    /// # Errors
    /// The system's.
    pub fn held_bytes(&self) -> io::Result<u64> {
        let layers = self.list()?;
        let archives = self.list_archives()?;
        let bytes = layers.iter().map(|layer| layer.bytes);
        Ok(bytes
            .chain(archives.iter().map(|archive| archive.bytes))
            .sum())
    }

    /// The layers, those first that were opened longest ago.
    ///
    /// # Errors
    /// The system's.
    pub fn list(&self) -> io::Result<Vec<CachedLayer>> {
        listing::list(&self.root.join("layers"))
    }

    /// Pins the layers whose names begin with `prefix` (the hex of a diffID), or lets them go. Gives how many there are.
    ///
    /// # Errors
    /// The system's.
    pub fn pin(&self, prefix: &str, pinned: bool) -> io::Result<usize> {
        let mut layers = self.list()?;
        layers.retain(|layer| {
            let name = layer.path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name.starts_with(prefix))
        });
        for layer in &layers {
            let pin = layer.path.join(listing::PIN);
            match pinned {
                true => drop(open_file(&pin)?),
                false if layer.pinned => fs::remove_file(&pin)?,
                false => (),
            }
        }
        Ok(layers.len())
    }

    /// Pins one layer; true when it was not pinned before.
    ///
    /// # Errors
    /// The system's.
    pub fn pin_layer(&self, table: &LayerTable) -> io::Result<bool> {
        let pin = self.directory(table).join(listing::PIN);
        let is_new = !pin.exists();
        open_file(&pin)?;
        Ok(is_new)
    }

    /// Lets a layer go again.
    pub fn unpin_layer(&self, table: &LayerTable) {
        let _ = fs::remove_file(self.directory(table).join(listing::PIN));
    }

    fn set_full(&self, is_full: bool) {
        self.full.store(is_full, Ordering::Relaxed);
    }

    /// Where files that belong to one mount may lie.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }
}

fn make_directory(path: &Path) -> io::Result<()> {
    match DirBuilder::new().recursive(true).mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        other => other,
    }
}

/// Opens a file of the cache for reading and writing, made private where it is missing.
fn open_file(path: &Path) -> io::Result<fs::File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}
