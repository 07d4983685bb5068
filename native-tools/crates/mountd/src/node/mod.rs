//! Everything that is mounted on this node: one FUSE connection with a file a layer and an EROFS mount an image over it, or,
//! with engine fuse, a FUSE connection an image.

mod choice;
mod connection;
mod devices;
mod engine;
mod fusermount;
mod layer_files;
mod mounted;
mod mountpoint;
mod prefetch;
mod prepare;
mod replay;
mod restore;
mod shared_source;
mod source_request;
mod trace;
mod tree;
mod watch;

pub use mounted::Mounted;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use sys::mount::Unmount;

use crate::cache::{Cache, Evicted};
use crate::error::Error;
use crate::hold::Store;
use crate::image::Image;
use crate::layer::Fetcher;
use crate::options::Options;
use crate::proto::MountRequest;
use connection::Connection;
use devices::Device;
use layer_files::{Closed, LayerFile, LayerFiles, MountUse};
use mounted::{MountedLayer, archive_name};
use mountpoint::MountPoint;
use prepare::{Parts, Placed};
use replay::{Profile, Replay};
use source_request::{check_id, engine_request, source_request};

/// The kernel lets go of a mount that nothing uses in milliseconds.
const END_DEADLINE: Duration = Duration::from_secs(10);

/// The answer to the call that replaces this process gets out in this time.
const ANSWER_TIME: Duration = Duration::from_millis(50);

/// All mounts of a node.
#[derive(Debug)]
pub struct Node {
    options: Options,
    store: Store,
    files: Arc<LayerFiles>,
    fetcher: Fetcher,
    /// One mount is made at a time: the kernel opens files for one image at a time.
    mounting: Mutex<Option<Connection>>,
    mounts: Mutex<BTreeMap<String, Arc<Mounted>>>,
    /// Mounts, requests or the end changed.
    changed: Condvar,
    draining: AtomicBool,
    /// Requests that are being answered, and whether there ever was one.
    requests: AtomicUsize,
    was_asked: AtomicBool,
    over: AtomicBool,
    this: Weak<Self>,
}

/// A request that is being answered: the daemon does not end meanwhile.
#[derive(Debug)]
pub struct Asked(Arc<Node>);

impl Drop for Asked {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::AcqRel);
        self.0.settle();
    }
}

impl Node {
    fn new(options: Options, store: Store, fetcher: Fetcher) -> Arc<Self> {
        let node = Arc::new_cyclic(|this| Self {
            options,
            store,
            files: Arc::default(),
            fetcher,
            mounting: Mutex::default(),
            mounts: Mutex::default(),
            changed: Condvar::default(),
            draining: AtomicBool::default(),
            requests: AtomicUsize::default(),
            was_asked: AtomicBool::default(),
            over: AtomicBool::default(),
            this: Weak::clone(this),
        });
        let closed: Weak<dyn Closed> = Weak::clone(&node.this) as Weak<dyn Closed>;
        node.files.tell(closed);
        node
    }

    /// A request came in; `None` when the daemon is at its end.
    #[must_use]
    pub fn ask(&self) -> Option<Asked> {
        self.requests.fetch_add(1, Ordering::AcqRel);
        self.was_asked.store(true, Ordering::Release);
        let asked = self.this.upgrade().map(Asked);
        asked.filter(|_| !self.over.load(Ordering::Acquire))
    }

    /// Mounts an image and gives the mount, with the time that took. The id of a mount that is there gives that one.
    ///
    /// # Errors
    /// The archive's codes, the mount point's, `PRIVILEGE_REQUIRED`, `FUSE_UNAVAILABLE`, `MOUNT_FAILED`, `MOUNT_DRAINING`,
    /// `CACHE_FILESYSTEM_UNSUPPORTED`, `DISK_FULL`, `IO_FAILED`. On an error nothing stays mounted.
    pub fn mount(&self, mut request: MountRequest) -> Result<(Arc<Mounted>, Duration), Error> {
        let started = Instant::now();
        // Not a part of what is kept for another process.
        let profile = Profile::parse(&std::mem::take(&mut request.profile))?;
        check_id(&request.id)?;
        let choice = choice::choose(engine_request(&request)?)?;
        // Fails early; looked at again when it is this mount's turn.
        MountPoint::check(Path::new(&request.mountpoint)).or_else(|error| {
            if self.find(&request.id).is_some() {
                return MountPoint::unchecked(Path::new(&request.mountpoint));
            }
            Err(error)
        })?;
        let cache_dir = self.cache_dir(&request.cache_dir)?;
        let source = source_request(&request, &cache_dir)?;
        let image = Image::open(&source)?;
        let metadata = image.metadata()?;

        let mut connection = self.mounting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mounted) = self.find(&request.id) {
            return Ok((mounted, started.elapsed()));
        }
        if self.draining.load(Ordering::Acquire) {
            return Err(Error::Draining);
        }
        let mountpoint = MountPoint::check(Path::new(&request.mountpoint))?;
        let joined = Joined::join(self, &request.id, &image, &cache_dir)?;
        let devices = devices::choose(&joined.files, &image.tables, &source.local_layers)?;
        let is_local: Vec<_> = devices
            .iter()
            .map(|device| matches!(device, Device::Local(_)))
            .collect();
        let run_dir = RunDirectory::make(&self.options.state, &request.id)?;
        let parts = Parts {
            id: &request.id,
            metadata,
            files: &joined.files,
            devices,
            cache_dir: &cache_dir,
            run_dir: &run_dir.path,
        };
        let Placed {
            attached,
            detached,
            tree,
            user,
            choice,
        } = self
            .prepare(choice, parts, &mut connection)
            .and_then(|prepared| prepared.place(mountpoint))
            .inspect_err(|_| tree::forget(&request.id, joined.files.len(), &self.store))?;
        let mounted = Arc::new(Mounted {
            attached,
            choice,
            tree,
            request,
            cache_dir,
            run_dir: run_dir.path.clone(),
            user,
            layers: joined
                .files
                .iter()
                .zip(is_local)
                .map(|(file, local)| MountedLayer::new(Arc::clone(file), local))
                .collect(),
            fetched: Arc::clone(&image.stats),
            in_tree: AtomicBool::new(true),
            ended: AtomicBool::default(),
            prefetching: AtomicBool::default(),
            replay: Replay::default(),
        });
        mounted.trace_touches();
        self.publish(&mounted, &image, detached)?;
        joined.stay();
        run_dir.stay();
        Self::fetch_first(&mounted, profile);
        Ok((mounted, started.elapsed()))
    }

    /// Makes a mount visible. Everything another process needs to go on with it is kept before.
    fn publish(
        &self,
        mounted: &Arc<Mounted>,
        image: &Image,
        detached: Option<OwnedFd>,
    ) -> Result<(), Error> {
        let id = mounted.id();
        let keep = || -> io::Result<()> {
            mounted.write_record()?;
            let archive = image.file().try_clone()?;
            self.store.put(&archive_name(id), archive.into());
            if let Some(tree) = &mounted.tree {
                tree.keep(id, &self.store)?;
            }
            mounted.remember(&self.store)
        };
        let published = keep()
            .map_err(|error| Error::io("keep the mount's state", error))
            .and_then(|()| detached.map_or(Ok(()), |mount| mounted.attached.attach(mount)))
            .and_then(|()| self.watch_tree(mounted));
        if published.is_err() {
            // Of a mount that is attached nowhere there is nothing to take away.
            let _ = mounted.attached.unmount(Unmount::Lazily);
            mounted.forget_kept(&self.store);
            return published;
        }
        self.mounts().insert(id.to_owned(), Arc::clone(mounted));
        // It may be gone already: then nobody was told yet.
        self.sweep(mounted);
        Ok(())
    }

    /// The connection, made where there is none.
    fn connected<'a>(
        &self,
        connection: &'a mut Option<Connection>,
    ) -> Result<&'a Connection, Error> {
        if let Some(connection) = connection {
            return Ok(connection);
        }
        self.files.forget_open();
        let opened = Connection::open(&self.files, &self.store, self.when_cut())?;
        Ok(connection.insert(opened))
    }

    /// Takes the mount at a path out of the tree and waits until nobody uses it any more.
    ///
    /// # Errors
    /// `MOUNT_NOT_FOUND`; `MOUNT_BUSY` while a process uses it, also through another mount on top of it.
    pub fn unmount(&self, path: &str) -> Result<Arc<Mounted>, Error> {
        let mounted = self
            .at(path)
            .ok_or_else(|| Error::NotMounted(path.to_owned()))?;
        if mounted.in_tree.load(Ordering::Acquire) {
            mounted.attached.unmount(Unmount::WhenUnused)?;
            mounted.in_tree.store(false, Ordering::Release);
            self.sweep(&mounted);
        }
        let deadline = Instant::now() + END_DEADLINE;
        let mut mounts = self.mounts();
        while mounts.values().any(|left| Arc::ptr_eq(left, &mounted)) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Error::Busy {
                    path: path.to_owned(),
                    why: "it is unmounted, but another mount on top of it keeps it in use; it ends with that one",
                });
            }
            (mounts, _) = self
                .changed
                .wait_timeout(mounts, left)
                .unwrap_or_else(PoisonError::into_inner);
        }
        drop(mounts);
        Ok(mounted)
    }

    /// The mounts that are in the tree, oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<Mounted>> {
        let mut mounts: Vec<_> = self
            .mounts()
            .values()
            .filter(|mounted| mounted.in_tree.load(Ordering::Acquire))
            .cloned()
            .collect();
        mounts.sort_by(|a, b| a.request.started_at.cmp(&b.request.started_at));
        mounts
    }

    /// The mount at a path.
    ///
    /// # Errors
    /// `MOUNT_NOT_FOUND`.
    pub fn mount_at(&self, path: &str) -> Result<Arc<Mounted>, Error> {
        let mounted = self.at(path);
        mounted.ok_or_else(|| Error::NotMounted(path.to_owned()))
    }

    /// Removes layers that nothing uses from a cache until at most `keep_bytes` are left.
    ///
    /// # Errors
    /// `IO_FAILED`.
    pub fn evict(&self, cache_dir: &str, keep_bytes: u64) -> Result<Evicted, Error> {
        let path = self.cache_dir(cache_dir)?;
        let evict = || Cache::open(&path)?.evict(keep_bytes);
        evict().map_err(|error| Error::io_at("evict from the cache", &path, error))
    }

    /// Takes no more mounts and ends with the last one. Gives how many there are.
    pub fn drain(&self) -> usize {
        self.draining.store(true, Ordering::Release);
        let left = self.mounts().len();
        self.settle();
        left
    }

    /// Takes every mount out of the tree, whoever uses it, and ends with the last user.
    pub fn stop(&self) {
        self.drain();
        let mounts: Vec<_> = self.mounts().values().cloned().collect();
        for mounted in mounts {
            self.take_away(&mounted);
        }
        self.settle();
    }

    /// The next process runs this program. This one may end at any moment after that.
    ///
    /// # Errors
    /// `INTERNAL` when it is no program.
    pub fn next_program(&self, program: &str) -> Result<(), Error> {
        use std::os::unix::fs::PermissionsExt;
        if program.is_empty() {
            return Ok(());
        }
        let runs = fs::metadata(program)
            .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0);
        if !runs || !Path::new(program).is_absolute() {
            return Err(Error::Request(format!("{program}: not a program")));
        }
        self.store.next_program(program);
        Ok(())
    }

    /// Ends this process a moment later, when the caller has its answer; the holder starts the next one.
    pub fn hand_over(&self) {
        let started = thread::Builder::new()
            .name("hand-over".to_owned())
            .spawn(|| {
                thread::sleep(ANSWER_TIME);
                std::process::exit(0);
            });
        if let Err(error) = started {
            tracing::error!(%error, "nothing is handed over");
        }
    }

    /// What the holder keeps.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Waits until there is nothing left to do.
    pub fn wait_over(&self) {
        let mut mounts = self.mounts();
        while !self.over.load(Ordering::Acquire) {
            mounts = self
                .changed
                .wait(mounts)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes a mount out of the tree, whoever uses it.
    pub fn take_away(&self, mounted: &Arc<Mounted>) {
        let tried = mounted
            .attached
            .unmount(Unmount::WhenUnused)
            .or_else(|error| {
                tracing::warn!(%error, "the mount goes with its last user");
                mounted.attached.unmount(Unmount::Lazily)
            });
        if let Err(error) = tried {
            tracing::error!(%error, "the mount stays");
            return;
        }
        mounted.in_tree.store(false, Ordering::Release);
        self.sweep(mounted);
    }

    /// Ends a mount that nobody uses any more.
    fn sweep(&self, mounted: &Arc<Mounted>) {
        if !mounted.is_unused() || mounted.ended.swap(true, Ordering::AcqRel) {
            return;
        }
        // Before it is off the list: the process ends when the list is empty.
        mounted.forget(&self.files, &self.store);
        self.mounts().remove(mounted.id());
        tracing::info!(id = mounted.id(), mountpoint = %mounted.attached.path.display(), "unmounted");
        self.changed.notify_all();
        self.settle();
    }

    /// Notices the end of all work.
    fn settle(&self) {
        let mounts = self.mounts();
        let idle = self.options.idle_exit && self.was_asked.load(Ordering::Acquire);
        let wanted = idle || self.draining.load(Ordering::Acquire);
        if wanted && mounts.is_empty() && self.requests.load(Ordering::Acquire) == 0 {
            self.over.store(true, Ordering::Release);
            self.changed.notify_all();
        }
    }

    /// What is done when the kernel cuts the connection (an administrator can, at /sys/fs/fuse/connections).
    fn when_cut(&self) -> impl FnOnce() + Send + 'static {
        let node = Weak::clone(&self.this);
        move || {
            let Some(node) = node.upgrade() else { return };
            tracing::error!(
                "the FUSE connection was cut; unmounting all that engine erofs has mounted"
            );
            *node.mounting.lock().unwrap_or_else(PoisonError::into_inner) = None;
            Connection::forget(&node.store);
            let mut mounts: Vec<_> = node.mounts().values().cloned().collect();
            mounts.retain(|mounted| mounted.tree.is_none());
            for mounted in mounts {
                // Nobody will be told that its files were closed.
                mounted.user.open_files().clear();
                node.take_away(&mounted);
            }
        }
    }

    /// Waits in the background for the end of a mount of engine fuse.
    fn watch_tree(&self, mounted: &Arc<Mounted>) -> Result<(), Error> {
        let Some(tree) = &mounted.tree else {
            return Ok(());
        };
        let (node, mounted) = (Weak::clone(&self.this), Arc::downgrade(mounted));
        let ended = move || {
            let (Some(node), Some(mounted)) = (node.upgrade(), mounted.upgrade()) else {
                return;
            };
            // A mount comes up under this lock; before that nobody can take it away.
            drop(node.mounting.lock());
            if mounted.attached.is_attached() {
                tracing::error!(id = mounted.id(), "the FUSE connection was cut; unmounting");
                node.take_away(&mounted);
            } else {
                mounted.in_tree.store(false, Ordering::Release);
                node.sweep(&mounted);
            }
        };
        tree.when_ended(ended)
            .map_err(|error| Error::io("watch the mount", error))
    }

    fn find(&self, id: &str) -> Option<Arc<Mounted>> {
        self.mounts().get(id).cloned()
    }

    /// The mount at a path that is in the tree, else one that is still in use.
    fn at(&self, path: &str) -> Option<Arc<Mounted>> {
        let mounts = self.mounts();
        let here = mounts
            .values()
            .filter(|mounted| mounted.attached.path.as_os_str() == path);
        here.max_by_key(|mounted| mounted.in_tree.load(Ordering::Acquire))
            .cloned()
    }

    fn cache_dir(&self, named: &str) -> Result<PathBuf, Error> {
        let path = match (named, &self.options.cache) {
            ("", Some(default)) => default.as_path(),
            ("", None) => return Err(Error::Request("no cache directory".to_owned())),
            (named, _) => Path::new(named),
        };
        Cache::open(path)
            .and_then(|_| path.canonicalize())
            .map_err(|error| Error::io_at("open the cache", path, error))
    }

    fn mounts(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Mounted>>> {
        self.mounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Closed for Node {
    /// The kernel is answered after this, so a process that dies here is told again.
    fn closed(&self, user: &Arc<MountUse>) {
        let Some(mounted) = self
            .find(&user.id)
            .filter(|mounted| Arc::ptr_eq(&mounted.user, user))
        else {
            return;
        };
        if user.open_files().is_empty() {
            // The filesystem is gone, so it is in no tree, whatever the table of this namespace says by now.
            mounted.in_tree.store(false, Ordering::Release);
            self.sweep(&mounted);
        } else if let Err(error) = mounted.remember(&self.store) {
            tracing::warn!(%error, "a mount's state is not kept");
        }
    }
}

/// Layers that a mount got; given back unless it comes up.
struct Joined<'a> {
    node: &'a Node,
    mount: String,
    files: Vec<Arc<LayerFile>>,
    stay: bool,
}

impl<'a> Joined<'a> {
    fn join(node: &'a Node, mount: &str, image: &Image, cache_dir: &Path) -> Result<Self, Error> {
        let cache = Cache::open(cache_dir)
            .map_err(|error| Error::io_at("open the cache", cache_dir, error))?;
        let mut joined = Self {
            node,
            mount: mount.to_owned(),
            files: vec![],
            stay: false,
        };
        for table in &image.tables {
            let file = node.files.join(
                mount,
                cache_dir,
                table,
                image.source(table),
                |source, stats| image.layer(table, &cache, source, &node.fetcher, stats),
            )?;
            joined.files.push(file);
        }
        Ok(joined)
    }

    fn stay(mut self) {
        self.stay = true;
    }
}

impl Drop for Joined<'_> {
    fn drop(&mut self) {
        if !self.stay {
            for file in &self.files {
                self.node.files.leave(&self.mount, file);
            }
        }
    }
}

/// The folder of one mount; removed unless it comes up.
struct RunDirectory {
    path: PathBuf,
    stay: bool,
}

impl RunDirectory {
    fn make(state: &Path, id: &str) -> Result<Self, Error> {
        let path = state.join(id);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .map_err(|error| Error::io_at("make", &path, error))?;
        Ok(Self { path, stay: false })
    }

    fn stay(mut self) {
        self.stay = true;
    }
}

impl Drop for RunDirectory {
    fn drop(&mut self) {
        if !self.stay {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}
