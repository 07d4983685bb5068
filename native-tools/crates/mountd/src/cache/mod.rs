//! The chunk cache on disk. `docs/formats/cache.md`.

mod evict;
mod layer_cache;
mod seal;

pub use evict::Evicted;
pub use layer_cache::LayerCache;
pub use seal::is_sealed;

use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use archive_format::digest::hex;
use archive_format::tables::LayerTable;

/// A cache directory, shared by any number of processes.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
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
        })
    }

    /// The cache of one layer. The key is the diffID together with the digest of the chunk table: an archive that names
    /// other chunk digests for the same layer gets a directory of its own and can spoil nobody else's.
    ///
    /// # Errors
    /// The system's.
    pub fn layer(&self, table: &LayerTable) -> io::Result<LayerCache> {
        let name = format!(
            "{}-{}",
            hex(&table.diff_id),
            hex(&table.chunk_table_digest())
        );
        let directory = self.root.join("layers").join(name);
        make_directory(&directory)?;
        LayerCache::open(&directory, table)
    }

    /// Removes layers that nobody uses, those first that were opened longest ago, until at most `keep_bytes` are on disk.
    ///
    /// # Errors
    /// The system's.
    pub fn evict(&self, keep_bytes: u64) -> io::Result<Evicted> {
        evict::evict(&self.root.join("layers"), keep_bytes)
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
