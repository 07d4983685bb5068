//! The flat directory in which each layer of the node is one file: what every EROFS of the node takes as its devices.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{
    Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak,
};

use archive_format::digest::{hex, sha256};
use archive_format::tables::{LayerTable, RecordKind};

use super::handover::{Unsealed, unsealed};
use super::proofs::Proofs;
use super::right::Right;
use super::shared_source::SharedSource;
use super::trace::{Trace, Watch};
use crate::cache::{Reader, layer_name};
use crate::error::Error;
use crate::fuse::{
    Attributes, Entry, FileKind, FileSystem, FsError, Handle, NodeId, ROOT, RequestCounts, Usage,
};
use crate::layer::Layer;
use crate::metrics::Histogram;
use crate::source::BlobSource;
use crate::stats::{Counter, Stats};

/// Devices are whole blocks of the metadata image.
const BLOCK: u64 = 512;

/// A layer that mounts have.
#[derive(Debug)]
pub(super) struct LayerFile {
    pub(super) name: String,
    node: NodeId,
    pub(super) size: u64,
    pub(super) layer: Arc<Layer>,
    pub(super) sources: Arc<SharedSource>,
    pub(super) stats: Arc<Stats>,
    /// It is of one login alone.
    pub(super) apart: bool,
    cache_dir: PathBuf,
    waits: Arc<Histogram>,
    pub(super) proofs: Arc<Proofs>,
    /// The cache file, once it is complete, proven and on the disk.
    pub(super) sealed: OnceLock<File>,
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
    /// Reads that found something not proven yet.
    pub(super) waits: Arc<Histogram>,
    /// Held while a layer is proven or sealed: it has one more user then.
    proving: Arc<Mutex<()>>,
    proofs: Arc<Proofs>,
    /// What the kernel asked at the connection now.
    requests: Mutex<Arc<RequestCounts>>,
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

    /// Held by who proves a layer for a chunk's time. Who has it knows that every layer in use has a mount.
    pub(super) fn proving(&self) -> Arc<Mutex<()>> {
        Arc::clone(&self.proving)
    }

    /// A connection is being served.
    pub(super) fn count(&self, requests: Arc<RequestCounts>) {
        *self.requests.lock().unwrap_or_else(PoisonError::into_inner) = requests;
    }

    /// What the kernel asked this process at the node's connection.
    pub(super) fn requests(&self) -> Arc<RequestCounts> {
        let requests = self.requests.lock();
        Arc::clone(&requests.unwrap_or_else(PoisonError::into_inner))
    }

    /// Forgets what is open, for a new connection. Layers stay: mounts of engine fuse have them without any connection here.
    pub(super) fn forget_open(&self) {
        self.write().users.clear();
    }

    /// A mount gets a layer: the file that is there, or the one that `make` opens.
    ///
    /// The kernel keeps the pages of a file for whoever reads it next. So one file is for all whose right to the layer is
    /// proven; who comes without a proof has it when nobody had it before, else a file apart, of this login alone.
    /// `apart` is what a process before this one found.
    pub(super) fn join(
        &self,
        mount: &str,
        place: (&Path, &LayerTable),
        right: Arc<Right>,
        apart: Option<bool>,
        make: impl FnOnce(Arc<dyn BlobSource>, Arc<Stats>) -> Result<Arc<Layer>, Error>,
    ) -> Result<Arc<LayerFile>, Error> {
        let (cache_dir, table) = place;
        let shared = file_name(cache_dir, table, None);
        let own = file_name(cache_dir, table, Some(right.reader()));
        // Under the lock that leaving takes: a file that is found stays, and who is at it too.
        let choose = |files: &Table| {
            let apart = apart.unwrap_or_else(|| !files.may_share(&shared, &right));
            let name = if apart { &own } else { &shared };
            let known = files.nodes.get(name);
            let file = known.and_then(|node| files.files.get(node).cloned());
            (apart, name.clone(), file)
        };
        {
            let files = self.write();
            if let (_, _, Some(file)) = choose(&files) {
                file.sources.add(mount, Arc::clone(&right));
                return Ok(file);
            }
        }
        let sources = Arc::new(SharedSource::default());
        sources.add(mount, Arc::clone(&right));
        let stats = Arc::new(Stats::default());
        let layer = make(
            Arc::clone(&sources) as Arc<dyn BlobSource>,
            Arc::clone(&stats),
        )?;
        let mut files = self.write();
        let (apart, name, found) = choose(&files);
        if let Some(file) = found {
            // Another mount brought it meanwhile; what was made here is not used.
            file.sources.add(mount, Arc::clone(&right));
            return Ok(file);
        }
        let next = ROOT + 1 + files.nodes.len() as u64;
        let node = *files.nodes.entry(name.clone()).or_insert(next);
        let file = Arc::new(LayerFile {
            name,
            node,
            size: table.plain_bytes.next_multiple_of(BLOCK),
            layer,
            sources,
            stats,
            apart,
            cache_dir: cache_dir.to_owned(),
            waits: Arc::clone(&self.waits),
            proofs: Arc::clone(&self.proofs),
            sealed: OnceLock::new(),
        });
        // Cached bytes are for who may read the layer: chunks that somebody else proved are no exception.
        if right.is_proven() {
            file.take_proof();
        }
        files.files.insert(node, Arc::clone(&file));
        Ok(file)
    }

    /// The layers in use that are cached in a directory.
    pub(super) fn all_over(&self, cache_dir: &Path) -> Vec<Arc<Layer>> {
        let table = self.read_table();
        let files = table.files.values();
        files
            .filter(|file| file.cache_dir == cache_dir)
            .map(|file| Arc::clone(&file.layer))
            .collect()
    }

    /// The rights of other logins that have the layer now.
    pub(super) fn others_with(
        &self,
        cache_dir: &Path,
        layer: &LayerTable,
        right: &Right,
    ) -> Vec<Arc<Right>> {
        let table = self.read_table();
        let node = table.nodes.get(&file_name(cache_dir, layer, None));
        let file = node.and_then(|node| table.files.get(node));
        file.map_or_else(Vec::new, |file| file.sources.others_than(right))
    }

    /// A mount that is gone has the layer no more.
    pub(super) fn leave(&self, mount: &str, file: &LayerFile) {
        let mut table = self.write();
        if file.sources.remove(mount) {
            table.files.remove(&file.node);
        }
    }

    /// Layers that are complete in the cache and not handed over yet.
    pub(super) fn unsealed(&self) -> Unsealed {
        unsealed(self.read_table().files.values())
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

impl Table {
    /// Whether a mount may have the one file for all.
    fn may_share(&self, shared: &str, right: &Right) -> bool {
        let Some(node) = self.nodes.get(shared) else {
            return true; // nobody had it, so there are no pages
        };
        match self.files.get(node) {
            Some(file) => file.sources.may_join(right),
            None => right.is_proven(),
        }
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
/// may be forbidden to the users of another; nor do logins, where one is given.
fn file_name(cache_dir: &Path, table: &LayerTable, login: Option<&Reader>) -> String {
    use std::os::unix::ffi::OsStrExt;
    let kind = match table.kind {
        RecordKind::Layer => "layer",
        RecordKind::Extra => "extra",
    };
    let mut border = cache_dir.as_os_str().as_bytes().to_vec();
    if let Some(login) = login {
        border.push(0);
        border.extend(login);
    }
    let mut border = hex(&sha256(&border));
    border.truncate(16);
    format!("{kind}-{}-{border}", layer_name(table))
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
        let read = self.layer.read(offset, buffer);
        if let Some(waited) = watch.and_then(Watch::end) {
            self.waits.observe(waited);
        }
        // The layer has logged and counted why; the kernel is told only that there is no data.
        read.map_err(|_| FsError::Io)?;
        self.layer.was_served(offset, buffer.len());
        Ok(())
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
