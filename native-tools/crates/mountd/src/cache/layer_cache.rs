use std::fs::{self, File};
use std::io;
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use archive_format::tables::{LayerTable, encode};
use rustix::fs::{Advice, FlockOperation, fadvise, flock};

use super::seal::{open_again, seal};
use super::{make_directory, open_file};

/// A byte of the map: the chunk was written. Any other value: it was not.
pub(super) const WRITTEN: u8 = 1;

/// The cached chunks of one layer: `data` as long as the plain stream, `map` with a byte a chunk, `lock`.
///
/// The map is a hint. It says which chunks are worth reading from disk; whoever reads one proves it by its digest before
/// its first use. So no order of writes, no crash and no damage can make it lie to a reader.
#[derive(Debug)]
pub struct LayerCache {
    data: File,
    map: File,
    /// Held shared for as long as the layer is in use; who wants to take data away needs it exclusively.
    _lock: File,
    chunks: usize,
    plain_bytes: u64,
    /// The cache takes no more for now.
    full: Arc<AtomicBool>,
}

impl LayerCache {
    pub(super) fn open(directory: &Path, table: &LayerTable) -> io::Result<Self> {
        let lock = lock_shared(directory)?;
        let data = open_data(&directory.join("data"))?;
        let map = open_file(&directory.join("map"))?;
        leave_table(directory, table);
        let chunks = table.chunks.len();
        // Growing is all that ever happens here, and to the same length by everybody: no lock is needed.
        if data.metadata()?.len() < table.plain_bytes {
            data.set_len(table.plain_bytes)?;
        }
        if map.metadata()?.len() < chunks as u64 {
            map.set_len(chunks as u64)?;
        }
        Ok(Self {
            data,
            map,
            _lock: lock,
            chunks,
            plain_bytes: table.plain_bytes,
            full: Arc::default(),
        })
    }

    /// Whoever looks after the cache says by this when nothing more is to be kept.
    pub(super) fn kept_by(mut self, full: Arc<AtomicBool>) -> Self {
        self.full = full;
        self
    }

    /// Which chunks the map says are there, one a chunk.
    ///
    /// # Errors
    /// The system's.
    pub fn written(&self) -> io::Result<Vec<bool>> {
        let mut bytes = vec![0; self.chunks];
        self.map.read_exact_at(&mut bytes, 0)?;
        Ok(bytes.iter().map(|byte| *byte == WRITTEN).collect())
    }

    /// Whether the map says that a chunk is there now; another process may have written it since.
    #[must_use]
    pub fn is_written(&self, chunk: u32) -> bool {
        let mut byte = [0];
        self.map.read_exact_at(&mut byte, u64::from(chunk)).is_ok() && byte == [WRITTEN]
    }

    /// Reads bytes of the plain stream as they lie in the cache, proven or not.
    ///
    /// # Errors
    /// The system's; also when the file was cut short.
    pub fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.data.read_exact_at(buffer, offset)
    }

    /// Keeps a chunk whose digest was checked. Processes that keep the same chunk write the same bytes.
    ///
    /// # Errors
    /// The system's, a full disk among them; the map then does not name the chunk.
    pub fn keep(&self, chunk: u32, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if self.full.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.data.write_all_at(bytes, offset)?;
        self.map.write_all_at(&[WRITTEN], u64::from(chunk))
    }

    /// Whether somebody cut the file. Writing behind the cut would turn what was there into zeros.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.data
            .metadata()
            .is_ok_and(|data| data.len() < self.plain_bytes)
    }

    /// Gives a file that was cut its length again; the map says which chunks to look at, and each is proven anew.
    pub fn restore_length(&self) {
        if let Err(error) = self.data.set_len(self.plain_bytes) {
            tracing::warn!(%error, "a cache file that was cut stays short");
        }
    }

    /// Seals the data for a reader that asks nobody: it is on the disk and is marked as never to be cut. Call it when
    /// every chunk is proven. Gives it for reading.
    ///
    /// # Errors
    /// The system's, when not all of it reaches the disk.
    pub fn seal(&self) -> io::Result<File> {
        seal(&self.data)
    }

    /// The data once more, for reading.
    ///
    /// # Errors
    /// The system's.
    pub fn open_again(&self) -> io::Result<File> {
        open_again(&self.data)
    }

    /// Lets the kernel forget its copy of a part of the data, where it is on the disk already.
    pub fn drop_pages(&self, range: Range<u64>) {
        let length = NonZeroU64::new(range.end.saturating_sub(range.start));
        if length.is_some() {
            // Advice: what comes of it shows nowhere.
            let _ = fadvise(&self.data, range.start, length, Advice::DontNeed);
        }
    }

    /// Makes every write fail from now on.
    #[cfg(test)]
    pub(crate) fn break_for_test(&mut self) {
        self.data = File::open("/dev/null").unwrap();
    }

    /// Forgets a chunk that turned out to be damaged.
    pub fn forget(&self, chunk: u32) {
        if let Err(error) = self.map.write_all_at(&[0], u64::from(chunk)) {
            tracing::warn!(%error, chunk, "a damaged chunk stays on the cache's map");
        }
    }
}

/// Leaves the layer's record beside its chunks, for those who check them without an archive. Not having it costs that alone.
fn leave_table(directory: &Path, table: &LayerTable) {
    let path = directory.join("table");
    if path.exists() {
        return;
    }
    let temporary = directory.join(format!("table.{}", std::process::id()));
    let left = encode(std::slice::from_ref(table))
        .map_err(io::Error::other)
        .and_then(|bytes| open_file(&temporary)?.write_all_at(&bytes, 0))
        .and_then(|()| fs::rename(&temporary, &path));
    if let Err(error) = left {
        let _ = fs::remove_file(&temporary);
        tracing::debug!(%error, "a cached layer's table is not left beside it");
    }
}

/// A sealed file can be written by root alone, which does so only to put a damaged chunk right.
fn open_data(path: &Path) -> io::Result<File> {
    match open_file(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => File::open(path),
        other => other,
    }
}

/// The lock of a layer's directory, held shared. Its time says when the layer was used last.
fn lock_shared(directory: &Path) -> io::Result<File> {
    loop {
        make_directory(directory)?;
        let lock = match open_file(&directory.join("lock")) {
            // It was evicted in between.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other?,
        };
        flock(&lock, FlockOperation::LockShared)?;
        let metadata = lock.metadata()?;
        if metadata.nlink() > 0 {
            let _ = lock.set_modified(SystemTime::now());
            return Ok(lock);
        }
    }
}
