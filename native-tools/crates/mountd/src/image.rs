//! An image that is ready to be read: the proven archive, its metadata and its layers.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use archive_format::FormatError;
use archive_format::digest::{hex, oci};
use archive_format::erofs::{ErofsReader, head_bytes};
use archive_format::footer::SectionType;
use archive_format::read::Archive;
use archive_format::tables::{LayerTable, RecordKind};

use crate::cache::{Cache, hold_archive};
use crate::error::Error;
use crate::layer::{FetchSettings, Fetcher, Layer, LayerParts, Windows};
use crate::limit::{Bandwidth, Gate};
use crate::request::{BlobsRequest, SourceRequest};
use crate::source::registry::{Bucket, RegistryOptions, RegistrySource, RetryPolicy};
use crate::source::{
    ArchiveUrl, BlobSource, DirectorySource, FetchError, FileSource, MirroredSource,
};
use crate::stats::Stats;

/// A mirror is near, or it is no use.
const MIRROR_TIMEOUT: Duration = Duration::from_secs(5);

/// An archive whose footer, metadata and layer tables were proven, with the sources its blobs come from.
#[derive(Debug)]
pub struct Image {
    /// The archive.
    pub archive: Archive,
    /// The layers' records in device order.
    pub tables: Vec<LayerTable>,
    /// What is counted.
    pub stats: Arc<Stats>,
    registry: Arc<dyn BlobSource>,
    file: Arc<File>,
    extra_offset: u64,
    windows: Windows,
}

impl Image {
    /// Opens the archive and proves what a mount needs of it. Asks nothing of the network.
    ///
    /// # Errors
    /// The archive's codes; `REGISTRY_PROTOCOL` for an address that is none; `IO_FAILED`.
    pub fn open(request: &SourceRequest) -> Result<Self, Error> {
        let path = &request.archive;
        let file =
            File::open(path).map_err(|error| Error::io_at("open the archive", path, error))?;
        Self::of(file, request)
    }

    /// The same of an archive that is open already.
    ///
    /// # Errors
    /// As [`Image::open`].
    pub fn of(file: File, request: &SourceRequest) -> Result<Self, Error> {
        let path = &request.archive;
        hold_archive(&file);
        let kept = file
            .try_clone()
            .map_err(|error| Error::io_at("open the archive", path, error))?;
        let archive = Archive::open(file)?;
        let tables = archive.layers()?;
        let stats = Arc::new(Stats::default());
        let read_timeout = Duration::from_millis(request.read_timeout_ms.max(1));
        let options = RegistryOptions {
            base_url: request.registry.base_url.clone(),
            repository: request.registry.repository.clone(),
            bucket: None,
            mirror_of: None,
            gate: Gate::of_mount(request.mount_requests, request.mount_memory_bytes),
            bandwidth: Bandwidth::new(request.mount_bytes_per_second),
            credentials: request.credentials.clone(),
            ca_file: request.ca_file.clone(),
            read_timeout,
            retry: RetryPolicy {
                // Time alone ends it: readers wait until the deadline however often it failed.
                most_failures: u32::MAX,
                deadline: Duration::from_millis(request.deadline_ms),
                ..RetryPolicy::default()
            },
            hedge_percent: request.hedge_percent,
        };
        let extra = archive.footer().section(SectionType::Extra);
        let seek = archive.footer().section(SectionType::Seek);
        let store = request
            .archive_url
            .as_ref()
            .map(|url| ArchiveUrl::new(url.expose(), request.ca_file.as_deref(), read_timeout))
            .transpose()?;
        let file = Arc::new(kept);
        Ok(Self {
            windows: Windows::new(Arc::clone(&file), seek.map_or(0, |record| record.offset))
                .or_from(store),
            extra_offset: extra.map_or(0, |record| record.offset),
            registry: blob_source(options, request.blobs.as_ref(), &request.mirrors, &stats)?,
            file,
            archive,
            tables,
            stats,
        })
    }

    /// The metadata image, decoded and checked against the layers' records.
    ///
    /// # Errors
    /// The archive's codes.
    pub fn metadata(&self) -> Result<Vec<u8>, Error> {
        let metadata = self
            .archive
            .section(SectionType::Erofs)?
            .ok_or_else(|| FormatError::Corrupt("no section erofs".to_owned()))?;
        check_devices(&ErofsReader::new(&metadata)?, &self.tables)?;
        Ok(metadata)
    }

    /// The same, written into an empty file.
    ///
    /// # Errors
    /// The archive's codes; `DISK_FULL`, `IO_FAILED`.
    pub fn metadata_into(&self, file: &File) -> Result<(), Error> {
        let image_bytes = self
            .archive
            .section_into(SectionType::Erofs, file)?
            .ok_or_else(|| FormatError::Corrupt("no section erofs".to_owned()))?;
        let length = (head_bytes(self.tables.len()) as u64).min(image_bytes);
        let mut head = vec![0; usize::try_from(length).unwrap_or_default()];
        file.read_exact_at(&mut head, 0)
            .map_err(|error| Error::io("read the metadata image", error))?;
        check_devices(&ErofsReader::of_head(head, image_bytes)?, &self.tables)?;
        Ok(())
    }

    /// The archive's file.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Where the blob of a record is.
    #[must_use]
    pub fn source(&self, table: &LayerTable) -> Arc<dyn BlobSource> {
        match table.kind {
            RecordKind::Layer => Arc::clone(&self.registry),
            RecordKind::Extra => Arc::new(FileSource::new(
                Arc::clone(&self.file),
                self.extra_offset,
                "section extra",
            )),
        }
    }

    /// Opens the layers over a cache, in device order.
    ///
    /// # Errors
    /// `IO_FAILED` or `DISK_FULL` from the cache.
    pub fn layers(&self, cache_dir: &Path, fetch: FetchSettings) -> Result<Vec<Arc<Layer>>, Error> {
        let cache = Cache::open(cache_dir)
            .map_err(|error| Error::io_at("open the cache", cache_dir, error))?;
        let fetcher =
            Fetcher::start(fetch).map_err(|error| Error::io("start the fetch threads", error))?;
        self.tables
            .iter()
            .map(|table| {
                let stats = Arc::clone(&self.stats);
                self.layer(table, &cache, self.source(table), &fetcher, stats)
            })
            .collect()
    }

    /// Opens one layer over a cache.
    ///
    /// # Errors
    /// `IO_FAILED` or `DISK_FULL` from the cache.
    pub fn layer(
        &self,
        table: &LayerTable,
        cache: &Cache,
        source: Arc<dyn BlobSource>,
        fetcher: &Fetcher,
        stats: Arc<Stats>,
    ) -> Result<Arc<Layer>, Error> {
        let open = || {
            Layer::new(LayerParts {
                table: table.clone(),
                cache: cache.layer(table)?,
                source,
                windows: self.windows.clone(),
                fetcher: fetcher.clone(),
                stats,
            })
        };
        open()
            .map_err(|error| Error::io(format!("open the cache of {}", oci(&table.diff_id)), error))
    }
}

/// The registry or what stands for it, behind the mirrors where there are some. A mirror gets no login: it is another host.
pub(crate) fn blob_source(
    options: RegistryOptions,
    blobs: Option<&BlobsRequest>,
    mirrors: &[String],
    stats: &Arc<Stats>,
) -> Result<Arc<dyn BlobSource>, FetchError> {
    let authority = options.base_url.split_once("://").map(|(_, host)| host);
    let mirrors = mirrors.iter().map(|base_url| {
        let options = RegistryOptions {
            base_url: base_url.clone(),
            repository: options.repository.clone(),
            bucket: None,
            mirror_of: authority.map(|host| host.trim_end_matches('/').to_owned()),
            gate: options.gate.clone(),
            bandwidth: Arc::clone(&options.bandwidth),
            credentials: None,
            ca_file: options.ca_file.clone(),
            read_timeout: options.read_timeout.min(MIRROR_TIMEOUT),
            retry: RetryPolicy::ONCE,
            hedge_percent: 0, // the next server is the second request
        };
        RegistrySource::new(options, Arc::clone(stats))
            .map(|source| Arc::new(source) as Arc<dyn BlobSource>)
    });
    let mirrors = mirrors.collect::<Result<Vec<_>, FetchError>>()?;
    let origin = origin(options, blobs, Arc::clone(stats))?;
    if mirrors.is_empty() {
        return Ok(origin);
    }
    Ok(Arc::new(MirroredSource::new(mirrors, origin)))
}

fn origin(
    options: RegistryOptions,
    blobs: Option<&BlobsRequest>,
    stats: Arc<Stats>,
) -> Result<Arc<dyn BlobSource>, FetchError> {
    let options = match blobs.cloned() {
        None => options,
        Some(BlobsRequest::Directory { path }) => {
            let RegistryOptions {
                gate, bandwidth, ..
            } = options;
            return Ok(Arc::new(DirectorySource::new(path, gate, bandwidth, stats)));
        }
        Some(BlobsRequest::S3 {
            base_url,
            path,
            region,
            keys,
        }) => RegistryOptions {
            base_url,
            credentials: None, // the registry's
            bucket: Some(Bucket { path, region, keys }),
            ..options
        },
    };
    Ok(Arc::new(RegistrySource::new(options, stats)?))
}

/// The metadata image names its devices too; a file that points into the wrong one would read wrong bytes.
fn check_devices<B: AsRef<[u8]>>(
    reader: &ErofsReader<B>,
    tables: &[LayerTable],
) -> Result<(), FormatError> {
    let named = reader
        .devices()
        .iter()
        .map(|device| (device.tag.clone(), u64::from(device.blocks)));
    let known = tables
        .iter()
        .map(|table| (hex(&table.diff_id), table.plain_bytes.div_ceil(512)));
    if named.eq(known) {
        return Ok(());
    }
    Err(FormatError::Mismatch(
        "the devices of the metadata image are not the layers of the archive".to_owned(),
    ))
}
