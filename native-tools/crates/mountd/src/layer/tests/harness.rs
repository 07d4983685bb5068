//! One layer over a cache directory and the faulty registry.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use archive_format::digest::oci;
use archive_format::tables::LayerTable;

use crate::cache::{Cache, layer_name};
use crate::image::blob_source;
use crate::layer::{FetchSettings, Fetcher, Layer, LayerParts, Windows};
use crate::limit::{Bandwidth, Gate};
use crate::request::BlobsRequest;
use crate::source::registry::{Credentials, RegistryOptions, RegistrySource, RetryPolicy};
use crate::stats::Stats;
use crate::testing::server::Server;

/// So long that no machine is loaded enough for it: requests can be counted.
const PATIENT: Duration = Duration::from_secs(10);

/// Where a server is silent on purpose. On a loaded machine other answers are late by it, too: requests cannot be counted.
pub(super) const IMPATIENT: Duration = Duration::from_millis(400);

pub(super) struct Harness {
    pub(super) server: Server,
    pub(super) directory: tempfile::TempDir,
    pub(super) credentials: Option<Credentials>,
    /// Addresses to ask before the registry.
    pub(super) mirrors: Vec<String>,
    /// Where blobs are instead of the registry.
    pub(super) blobs: Option<BlobsRequest>,
    pub(super) gate: Option<Arc<Gate>>,
    pub(super) bandwidth: Arc<Bandwidth>,
    pub(super) read_timeout: Duration,
    pub(super) hedge_percent: u32,
    pub(super) fetch: FetchSettings,
    pub(super) base_url: Option<String>,
    pub(super) ca_file: Option<PathBuf>,
}

impl Harness {
    pub(super) fn new() -> Self {
        Self {
            server: Server::start(),
            directory: tempfile::tempdir().unwrap(),
            credentials: None,
            mirrors: vec![],
            blobs: None,
            gate: None,
            bandwidth: Bandwidth::new(0),
            read_timeout: PATIENT,
            hedge_percent: 0,
            fetch: FetchSettings {
                max_requests: 4,
                ..FetchSettings::default()
            },
            base_url: None,
            ca_file: None,
        }
    }

    pub(super) fn with(table: &LayerTable, blob: &[u8]) -> Self {
        let harness = Self::new();
        harness.server.add(&oci(&table.digest), blob.to_vec());
        harness
    }

    pub(super) fn impatient(self) -> Self {
        Self {
            read_timeout: IMPATIENT,
            ..self
        }
    }

    pub(super) fn source(&self, stats: &Arc<Stats>) -> RegistrySource {
        RegistrySource::new(self.options(), Arc::clone(stats)).unwrap()
    }

    fn options(&self) -> RegistryOptions {
        RegistryOptions {
            base_url: self
                .base_url
                .clone()
                .unwrap_or_else(|| self.server.url.clone()),
            repository: "team/app".to_owned(),
            bucket: None,
            mirror_of: None,
            gate: self.gate.clone(),
            bandwidth: Arc::clone(&self.bandwidth),
            credentials: self.credentials.clone(),
            ca_file: self.ca_file.clone(),
            read_timeout: self.read_timeout,
            hedge_percent: self.hedge_percent,
            retry: RetryPolicy {
                most_failures: 4,
                first_pause: Duration::from_millis(2),
                longest_pause: Duration::from_millis(20),
                deadline: Duration::from_secs(20),
            },
        }
    }

    /// A file of the layer's cache directory.
    pub(super) fn cache_file(&self, table: &LayerTable, name: &str) -> std::path::PathBuf {
        self.directory
            .path()
            .join("cache/layers")
            .join(layer_name(table))
            .join(name)
    }

    /// The section `seek` that [`Self::write_windows`] left; empty without it.
    fn windows(&self) -> Windows {
        let path = self.directory.path().join("seek");
        let section = OpenOptions::new()
            .create(true)
            .append(true)
            .read(true)
            .open(path);
        Windows::new(Arc::new(section.unwrap()), 0)
    }

    pub(super) fn write_windows(&self, windows: &[u8]) {
        fs::write(self.directory.path().join("seek"), windows).unwrap();
    }

    /// A fresh process's view of the layer, over what is in the cache.
    pub(super) fn open(&self, table: &LayerTable) -> (Arc<Layer>, Arc<Stats>) {
        self.open_over(table, &self.directory.path().join("cache"))
    }

    pub(super) fn open_over(&self, table: &LayerTable, cache: &Path) -> (Arc<Layer>, Arc<Stats>) {
        let stats = Arc::new(Stats::default());
        let layer = Layer::new(LayerParts {
            table: table.clone(),
            cache: Cache::open(cache).unwrap().layer(table).unwrap(),
            source: blob_source(self.options(), self.blobs.as_ref(), &self.mirrors, &stats)
                .unwrap(),
            windows: self.windows(),
            fetcher: Fetcher::start(self.fetch).unwrap(),
            stats: Arc::clone(&stats),
        });
        (layer.unwrap(), stats)
    }
}

/// Reads a stretch of a layer.
pub(super) fn read(
    layer: &Arc<Layer>,
    offset: usize,
    length: usize,
) -> Result<Vec<u8>, crate::source::FetchError> {
    let mut buffer = vec![0xaa; length];
    layer.read(offset as u64, &mut buffer)?;
    Ok(buffer)
}
