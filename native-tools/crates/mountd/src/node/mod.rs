//! Everything that is mounted on this node: one FUSE connection with a file a layer and an EROFS mount an image over it, or,
//! with engine fuse, a FUSE connection an image.

mod caches;
mod choice;
mod connection;
mod devices;
mod ending;
mod engine;
mod fetching_ahead;
mod fusermount;
mod handover;
mod joined;
mod layer_files;
mod making;
mod measure;
mod metadata;
mod mounted;
mod mountpoint;
mod pins;
mod prefetch;
mod prepare;
mod proofs;
mod replay;
mod restore;
mod right;
mod run_directory;
mod shared_source;
mod sharing;
mod source_request;
mod trace;
mod tree;
mod turns;
mod watch;

pub use mounted::Mounted;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread::{self, Thread};
use std::time::{Duration, SystemTime};

use crate::cache::{Cache, Evicted};
use crate::error::Error;
use crate::hold::Store;
use crate::layer::Fetcher;
use crate::metrics::Tally;
use crate::options::Options;
use crate::stats::Report;
use caches::Caches;
use connection::Connection;
use layer_files::{Closed, LayerFiles};
use turns::Turns;

/// The answer to the call that replaces this process gets out in this time.
const ANSWER_TIME: Duration = Duration::from_millis(50);

/// All mounts of a node.
#[derive(Debug)]
pub struct Node {
    options: Options,
    store: Store,
    files: Arc<LayerFiles>,
    fetcher: Fetcher,
    caches: Caches,
    /// The counters of all mounts and layers.
    tally: Tally,
    started: SystemTime,
    /// Mounts of one image or at one place are made one after another.
    turns: Turns,
    /// The kernel opens files for one image at a time.
    mounting: Mutex<Option<Connection>>,
    mounts: Mutex<BTreeMap<String, Arc<Mounted>>>,
    /// Mounts, requests or the end changed.
    changed: Condvar,
    draining: AtomicBool,
    /// Requests that are being answered, and whether there ever was one.
    requests: AtomicUsize,
    was_asked: AtomicBool,
    over: AtomicBool,
    /// Proves and seals layers.
    prover: OnceLock<Thread>,
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
            caches: Caches::default(),
            tally: Tally::default(),
            started: SystemTime::now(),
            turns: Turns::default(),
            mounting: Mutex::default(),
            mounts: Mutex::default(),
            changed: Condvar::default(),
            draining: AtomicBool::default(),
            requests: AtomicUsize::default(),
            was_asked: AtomicBool::default(),
            over: AtomicBool::default(),
            prover: OnceLock::new(),
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

    /// The options it runs with, as on the command line.
    #[must_use]
    pub fn options(&self) -> Vec<String> {
        let words = self.options.arguments().into_iter();
        words
            .map(|word| word.to_string_lossy().into_owned())
            .collect()
    }

    /// The mounts that are in the tree now, oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<Mounted>> {
        self.look_now();
        let mut mounts: Vec<_> = self
            .mounts()
            .values()
            .filter(|mounted| mounted.in_tree.load(Ordering::Acquire))
            .cloned()
            .collect();
        mounts.sort_by(|a, b| a.request.started_at.cmp(&b.request.started_at));
        mounts
    }

    /// What a mount did so far.
    #[must_use]
    pub fn report(&self, mounted: &Mounted) -> Report {
        mounted.report_with(&self.files.requests())
    }

    /// The mount at a path.
    ///
    /// # Errors
    /// `MOUNT_NOT_FOUND`.
    pub fn mount_at(&self, path: &str) -> Result<Arc<Mounted>, Error> {
        let mounted = self.at(path);
        mounted.ok_or_else(|| Error::NotMounted(path.to_owned()))
    }

    /// Removes layers that nothing uses from a cache until at most `keep_bytes` are left; with `dry_run` it only says which.
    ///
    /// # Errors
    /// `IO_FAILED`.
    pub fn evict(&self, cache_dir: &str, keep_bytes: u64, dry_run: bool) -> Result<Evicted, Error> {
        let path = self.cache_dir(cache_dir)?;
        let proving = self.files.proving();
        let _idle = proving.lock();
        let evict = || Cache::open(&path)?.evict(keep_bytes, dry_run);
        evict().map_err(|error| Error::io_at("evict from the cache", &path, error))
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
            .map_err(|error| match error.kind() {
                io::ErrorKind::ReadOnlyFilesystem => Error::io_at(
                    "name a directory that can be written to (--cache) instead of",
                    path,
                    error,
                ),
                _ => Error::io_at("open the cache", path, error),
            })
    }

    fn mounts(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Mounted>>> {
        self.mounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
