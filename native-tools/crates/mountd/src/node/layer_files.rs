//! The flat directory in which each layer of the node is one file: what every EROFS of the node takes as its devices.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{
    Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak,
};

use archive_format::digest::{hex, sha256};
use archive_format::tables::{LayerTable, RecordKind};

use super::shared_source::SharedSource;
use super::trace::Trace;
use crate::error::Error;
use crate::fuse::{Attributes, Entry, FileKind, FileSystem, FsError, Handle, NodeId, ROOT, Usage};
use crate::layer::Layer;
use crate::source::BlobSource;
use crate::stats::{Counter, Stats};

/// Devices are whole blocks of the metadata image.
const BLOCK: u64 = 512;

/// A layer that mounts have.
#[derive(Debug)]
pub(super) struct LayerFile {
    pub(super) name: String,
    node: NodeId,
    size: u64,
    pub(super) layer: Arc<Layer>,
    pub(super) sources: Arc<SharedSource>,
    pub(super) stats: Arc<Stats>,
}

/// What one mount does with the files. The kernel tells with every read which open file it is for.
#[derive(Debug, Default)]
pub(super) struct MountUse {
    pub(super) id: String,
    pub(super) wanted_bytes: Counter,
    pub(super) reads: Counter,
    /// What it touches; set when the mount has its place.
    pub(super) trace: OnceLock<Trace>,
    /// Empty again when the kernel's filesystem is gone: nobody uses the mount any more, wherever.
    pub(super) open_files: Mutex<BTreeMap<Handle, NodeId>>,
}

/// Who is told that a mount closed a file.
pub(super) trait Closed: Send + Sync {
    fn closed(&self, user: &Arc<MountUse>);
}

/// All layers in use.
#[derive(Debug, Default)]
pub(super) struct LayerFiles {
    /// Held for a look-up only, never while anything waits.
    table: RwLock<Table>,
    /// The mount that the kernel is opening files for.
    opening: Mutex<Option<Arc<MountUse>>>,
    closed: OnceLock<Weak<dyn Closed>>,
}

#[derive(Debug, Default)]
struct Table {
    /// Every name that was ever looked up: the kernel keeps names and numbers, and the pages that go with them.
    nodes: BTreeMap<String, NodeId>,
    files: HashMap<NodeId, Arc<LayerFile>>,
    users: HashMap<Handle, Arc<MountUse>>,
    last_handle: Handle,
}

impl LayerFiles {
    pub(super) fn tell(&self, closed: Weak<dyn Closed>) {
        let _ = self.closed.set(closed);
    }

    /// Names that were given out by the processes before this one, and which process this is.
    pub(super) fn restore(&self, nodes: BTreeMap<String, NodeId>, server: u32) {
        let mut table = self.write();
        table.nodes = nodes;
        // Handles of one process differ from those of all others.
        table.last_handle = u64::from(server) << 32;
    }

    /// Every name given out so far, with its number.
    pub(super) fn nodes(&self) -> BTreeMap<String, NodeId> {
        self.read_table().nodes.clone()
    }

    /// Forgets what is open, for a new connection. Layers stay: mounts of engine fuse have them without any connection here.
    pub(super) fn forget_open(&self) {
        self.write().users.clear();
    }

    /// A mount gets a layer: the file that is there, or the one that `make` opens. Call it for one mount at a time.
    pub(super) fn join(
        &self,
        mount: &str,
        cache_dir: &Path,
        table: &LayerTable,
        source: Arc<dyn BlobSource>,
        make: impl FnOnce(Arc<dyn BlobSource>, Arc<Stats>) -> Result<Arc<Layer>, Error>,
    ) -> Result<Arc<LayerFile>, Error> {
        let name = file_name(cache_dir, table);
        {
            // Under the lock that leaving takes: a file that is found stays.
            let files = self.write();
            let known = files.nodes.get(&name);
            if let Some(file) = known.and_then(|node| files.files.get(node)) {
                file.sources.add(mount, source);
                return Ok(Arc::clone(file));
            }
        }
        let sources = Arc::new(SharedSource::default());
        sources.add(mount, source);
        let stats = Arc::new(Stats::default());
        let layer = make(
            Arc::clone(&sources) as Arc<dyn BlobSource>,
            Arc::clone(&stats),
        )?;
        let mut files = self.write();
        let next = ROOT + 1 + files.nodes.len() as u64;
        let node = *files.nodes.entry(name.clone()).or_insert(next);
        let file = Arc::new(LayerFile {
            name,
            node,
            size: table.plain_bytes.next_multiple_of(BLOCK),
            layer,
            sources,
            stats,
        });
        files.files.insert(node, Arc::clone(&file));
        Ok(file)
    }

    /// A mount that is gone has the layer no more.
    pub(super) fn leave(&self, mount: &str, file: &LayerFile) {
        let mut table = self.write();
        if file.sources.remove(mount) {
            table.files.remove(&file.node);
        }
    }

    /// Runs `work`, during which the kernel opens files for a mount and for no other.
    pub(super) fn opening<T>(&self, user: &Arc<MountUse>, work: impl FnOnce() -> T) -> T {
        let slot = || self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        *slot() = Some(Arc::clone(user));
        let done = work();
        *slot() = None;
        done
    }

    /// Files that a process before this one opened for a mount.
    pub(super) fn reopen(&self, user: &Arc<MountUse>, open: &[(Handle, NodeId)]) {
        let mut table = self.write();
        let mut files = user.open_files();
        for (handle, node) in open {
            table.users.insert(*handle, Arc::clone(user));
            files.insert(*handle, *node);
        }
    }

    fn read_table(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, node: NodeId) -> Result<Arc<LayerFile>, FsError> {
        let table = self.read_table();
        table.files.get(&node).cloned().ok_or(FsError::NotFound)
    }
}

impl MountUse {
    pub(super) fn new(id: &str) -> Arc<Self> {
        Arc::new(Self {
            id: id.to_owned(),
            ..Self::default()
        })
    }

    pub(super) fn open_files(&self) -> std::sync::MutexGuard<'_, BTreeMap<Handle, NodeId>> {
        self.open_files
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// At most 160 bytes: the kernel takes devices by paths shorter than 256. Caches do not share files, because what is in one
/// may be forbidden to the users of another.
fn file_name(cache_dir: &Path, table: &LayerTable) -> String {
    use std::os::unix::ffi::OsStrExt;
    let kind = match table.kind {
        RecordKind::Layer => "layer",
        RecordKind::Extra => "extra",
    };
    let mut cache = hex(&sha256(cache_dir.as_os_str().as_bytes()));
    cache.truncate(16);
    format!(
        "{kind}-{}-{}-{cache}",
        hex(&table.diff_id),
        hex(&table.chunk_table_digest())
    )
}

impl LayerFile {
    /// Reads, on behalf of a mount where that is known.
    pub(super) fn read_for(
        &self,
        user: Option<&MountUse>,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<(), FsError> {
        if let Some(user) = user {
            user.wanted_bytes.add(buffer.len() as u64);
            if !self.layer.is_ready(offset, buffer.len()) {
                self.sources.prefer(&user.id);
            }
        }
        let watch = user
            .and_then(|user| user.trace.get())
            .map(|trace| trace.begin(self, offset, buffer.len()));
        // The layer has logged and counted why; the kernel is told only that there is no data.
        let done = self.layer.read(offset, buffer).map_err(|_| FsError::Io);
        if let Some(watch) = watch {
            watch.end();
        }
        done
    }

    /// Its number in the directory.
    pub(super) fn node(&self) -> NodeId {
        self.node
    }

    fn attributes(&self) -> Attributes {
        Attributes::plain(self.node, FileKind::Regular, 0o400, self.size)
    }
}

impl FileSystem for LayerFiles {
    fn attributes(&self, node: NodeId) -> Result<Attributes, FsError> {
        if node == ROOT {
            return Ok(Attributes::plain(node, FileKind::Directory, 0o500, 0));
        }
        Ok(self.file(node)?.attributes())
    }

    fn lookup(&self, parent: NodeId, name: &[u8]) -> Result<Attributes, FsError> {
        if parent != ROOT {
            return Err(FsError::NotDirectory);
        }
        let table = self.read_table();
        let name = std::str::from_utf8(name).map_err(|_| FsError::NotFound)?;
        let file = table.nodes.get(name).and_then(|node| table.files.get(node));
        Ok(file.ok_or(FsError::NotFound)?.attributes())
    }

    /// Layers come and go, and a listing would be kept for ever: none is given.
    fn entry(&self, directory: NodeId, position: u64) -> Result<Option<Entry>, FsError> {
        if directory != ROOT {
            return Err(FsError::NotDirectory);
        }
        let dots = [b".".as_slice(), b"..".as_slice()];
        let name = usize::try_from(position).ok().and_then(|at| dots.get(at));
        Ok(name.map(|name| Entry {
            name: name.to_vec(),
            node: ROOT,
            number: ROOT,
            kind: FileKind::Directory,
            next: position + 1,
        }))
    }

    fn open(&self, node: NodeId) -> Result<Handle, FsError> {
        let opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        let mut table = self.write();
        if !table.files.contains_key(&node) {
            return Err(FsError::NotFound);
        }
        table.last_handle += 1;
        let handle = table.last_handle;
        if let Some(user) = opening.as_ref() {
            table.users.insert(handle, Arc::clone(user));
            user.open_files().insert(handle, node);
        }
        Ok(handle)
    }

    fn release(&self, handle: Handle) {
        let Some(user) = self.write().users.remove(&handle) else {
            return;
        };
        user.open_files().remove(&handle);
        if let Some(closed) = self.closed.get().and_then(Weak::upgrade) {
            closed.closed(&user);
        }
    }

    fn is_ready(&self, node: NodeId, offset: u64, length: usize) -> bool {
        self.file(node)
            .is_ok_and(|file| file.layer.is_ready(offset, length))
    }

    fn read(
        &self,
        node: NodeId,
        handle: Handle,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<(), FsError> {
        let (file, user) = {
            let table = self.read_table();
            (
                table.files.get(&node).cloned().ok_or(FsError::NotFound)?,
                table.users.get(&handle).cloned(),
            )
        };
        if let Some(user) = &user {
            user.reads.add(1);
        }
        file.read_for(user.as_deref(), offset, buffer)
    }

    fn usage(&self) -> Usage {
        let table = self.read_table();
        Usage {
            bytes: table.files.values().map(|file| file.size).sum(),
            nodes: table.files.len() as u64 + 1,
        }
    }
}
