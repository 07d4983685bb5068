//! The cache directories of a node, and who looks after them.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use super::Node;
use crate::cache::{Cache, Limits, Verified};
use crate::error::Error;
use crate::stats::Counter;

/// A link of 10 Gbit/s brings a gigabyte meanwhile; a look costs two system calls a layer.
const PERIOD: Duration = Duration::from_secs(1);

/// Every directory that a request named since the start. All mounts over one learn together that it is full.
#[derive(Debug, Default)]
pub(super) struct Caches {
    open: Mutex<BTreeMap<PathBuf, Cache>>,
    pub(super) evicted_layers: Counter,
    pub(super) evicted_bytes: Counter,
}

impl Caches {
    pub(super) fn open(&self, path: &Path) -> Result<Cache, Error> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cache) = open.get(path)
            && path.exists()
        {
            return Ok(cache.clone());
        }
        let cache =
            Cache::open(path).map_err(|error| Error::io_at("open the cache", path, error))?;
        if let Err(error) = cache.reap() {
            tracing::warn!(%error, "what dead processes left in the cache stays");
        }
        open.insert(path.to_owned(), cache.clone());
        Ok(cache)
    }

    fn all(&self) -> Vec<Cache> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.values().cloned().collect()
    }

    /// Bytes on disk of all of them.
    pub(super) fn held_bytes(&self) -> u64 {
        let caches = self.all();
        caches.iter().flat_map(Cache::held_bytes).sum()
    }

    fn tend(&self, limits: &Limits) {
        for cache in self.all() {
            match cache.tend(limits) {
                Ok(tended) if tended.evicted.bytes > 0 => {
                    let evicted = tended.evicted;
                    self.evicted_layers.add(evicted.layers.into());
                    self.evicted_bytes.add(evicted.bytes);
                    tracing::info!(
                        layers = evicted.layers,
                        archives = evicted.archives,
                        bytes = evicted.bytes,
                        is_full = tended.is_full,
                        "evicted from the cache"
                    );
                }
                Ok(_) => (),
                Err(error) => tracing::warn!(%error, "the cache is not kept within its limits"),
            }
        }
    }
}

impl Node {
    /// Looks after the caches for as long as the node lives, where it has limits.
    pub(super) fn keep_limits(self: &Arc<Self>) -> io::Result<()> {
        let limits = self.options.limits;
        if !limits.are_set() {
            return Ok(());
        }
        let node: Weak<Self> = Arc::downgrade(self);
        let keeper = thread::Builder::new().name("cache".to_owned());
        keeper.spawn(move || {
            while let Some(node) = node.upgrade() {
                node.caches.tend(&limits);
                drop(node);
                thread::sleep(PERIOD);
            }
        })?;
        Ok(())
    }

    /// Proves every cached chunk. Those of mounted layers that are damaged are fetched again at once with the mounts'
    /// logins; others are when they are wanted.
    ///
    /// # Errors
    /// `IO_FAILED`.
    pub fn verify_cache(&self, cache_dir: &str) -> Result<Verified, Error> {
        let path = self.cache_dir(cache_dir)?;
        let cache = self.caches.open(&path)?;
        let mut all = Verified::default();
        let mut mounted = vec![];
        for layer in self.files.all_over(&path) {
            let found = layer.verify();
            all = all.and(found.map_err(|error| Error::io_at("check the cache", &path, error))?);
            mounted.push(crate::cache::layer_name(layer.table()));
        }
        let rest = cache.verify(|name| !mounted.iter().any(|known| known == name));
        let rest = rest.and_then(|rest| Ok(rest.and(cache.verify_archives()?)));
        Ok(all.and(rest.map_err(|error| Error::io_at("check the cache", &path, error))?))
    }
}
