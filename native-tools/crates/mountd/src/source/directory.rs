//! Blobs that lie in a folder as in an OCI image layout: `blobs/sha256/<hex>`.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use archive_format::digest::{hex, oci};

use super::{Blob, BlobSource, FetchError, FetchKind, FileSource};
use crate::limit::{Bandwidth, Gate};
use crate::stats::Stats;

/// The folder, and what a mount may take of it.
#[derive(Debug)]
pub struct DirectorySource {
    directory: PathBuf,
    gate: Option<Arc<Gate>>,
    bandwidth: Arc<Bandwidth>,
    stats: Arc<Stats>,
}

impl DirectorySource {
    /// Looks at nothing yet.
    #[must_use]
    pub fn new(
        directory: PathBuf,
        gate: Option<Arc<Gate>>,
        bandwidth: Arc<Bandwidth>,
        stats: Arc<Stats>,
    ) -> Self {
        Self {
            directory,
            gate,
            bandwidth,
            stats,
        }
    }

    fn file(&self, blob: &Blob) -> Result<Arc<FileSource>, FetchError> {
        let path = self.directory.join("blobs/sha256").join(hex(&blob.digest));
        let name = path.display().to_string();
        let failed = |error: io::Error| {
            if error.kind() == ErrorKind::NotFound {
                let message = format!(
                    "{} is not in {}: put it there or give --blobs where it is now",
                    oci(&blob.digest),
                    self.directory.display()
                );
                return FetchError::new(FetchKind::NotFound, message);
            }
            FetchError::new(FetchKind::Local, format!("{name}: {error}"))
        };
        let file = File::open(&path).map_err(failed)?;
        let found = file.metadata().map_err(failed)?;
        if !found.is_file() || found.len() != blob.size {
            let message = format!("{name}: {} bytes, not {}", found.len(), blob.size);
            return Err(FetchError::damaged(message));
        }
        Ok(Arc::new(FileSource::new(Arc::new(file), 0, name)))
    }
}

impl BlobSource for DirectorySource {
    fn open(
        self: Arc<Self>,
        blob: &Blob,
        range: Range<u64>,
    ) -> Result<Box<dyn Read + Send>, FetchError> {
        let body = self.file(blob)?.open(blob, range)?;
        self.stats.requests.add(1);
        Ok(Box::new(Counted { body, source: self }))
    }

    fn gate(&self) -> Option<Arc<Gate>> {
        self.gate.clone()
    }

    fn authorise(&self, blob: &Blob) -> Result<(), FetchError> {
        self.file(blob)?.authorise(blob)
    }

    fn is_authorised(&self, _: &Blob) -> bool {
        false // a part of it proves a part of it
    }
}

struct Counted {
    body: Box<dyn Read + Send>,
    source: Arc<DirectorySource>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.body.read(buffer)?;
        self.source.stats.fetched_bytes.add(length as u64);
        self.source.bandwidth.pass(length as u64);
        Ok(length)
    }
}
