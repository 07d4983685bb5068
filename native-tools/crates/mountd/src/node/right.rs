//! Who may read a layer that is shared.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use archive_format::tables::{LayerTable, RecordKind};

use crate::cache::{Cache, Reader, ReaderKey, Readers};
use crate::image::Image;
use crate::request::{BlobsRequest, SourceRequest};
use crate::source::registry::Credentials;
use crate::source::{Blob, BlobSource, FetchError};

/// A login's right to a layer. Until it is proven by an answer of the login's registry, the login gets no byte that
/// another one brought.
#[derive(Debug)]
pub(super) struct Right {
    pub(super) source: Arc<dyn BlobSource>,
    reader: Reader,
    readers: Option<Readers>,
    blob: Blob,
    proven: AtomicBool,
}

impl Right {
    pub(super) fn new(
        table: &LayerTable,
        source: Arc<dyn BlobSource>,
        reader: Reader,
        readers: Readers,
    ) -> Arc<Self> {
        // Section `extra` is in the caller's archive or it is not: what a login may read says nothing of it.
        let readers = (table.kind == RecordKind::Layer).then_some(readers);
        let known = readers.as_ref().is_some_and(|readers| readers.has(&reader));
        Arc::new(Self {
            source,
            reader,
            readers,
            blob: Blob {
                digest: table.digest,
                size: table.blob_bytes,
            },
            proven: AtomicBool::new(known),
        })
    }

    /// Those of a mount to the layers of its image, in device order.
    pub(super) fn all_of(image: &Image, cache: &Cache, request: &SourceRequest) -> Vec<Arc<Self>> {
        let reader = reader_of(&cache.reader_key(), request);
        let rights = image.tables.iter().map(|table| {
            let readers = cache.readers(table);
            Self::new(table, image.source(table), reader, readers)
        });
        rights.collect()
    }

    /// Whether two mounts come with the same login to the same repository.
    pub(super) fn is_of_same_login(&self, other: &Self) -> bool {
        self.reader == other.reader
    }

    pub(super) fn reader(&self) -> &Reader {
        &self.reader
    }

    pub(super) fn is_proven(&self) -> bool {
        self.proven.load(Ordering::Acquire)
    }

    /// Asks the registry unless it is known.
    pub(super) fn prove(&self) -> Result<(), FetchError> {
        if self.is_proven() {
            return Ok(());
        }
        // Another process may have proven it since.
        let readers = self.readers.as_ref();
        if !readers.is_some_and(|readers| readers.has(&self.reader)) {
            self.source.authorise(&self.blob)?;
        }
        self.grant();
        Ok(())
    }

    /// Notes what the source's answers have proven by now.
    pub(super) fn learn(&self) {
        if !self.is_proven() && self.source.is_authorised(&self.blob) {
            self.grant();
        }
    }

    fn grant(&self) {
        let is_new = !self.proven.swap(true, Ordering::AcqRel);
        if let Some(readers) = self.readers.as_ref().filter(|_| is_new) {
            readers.add(&self.reader);
        }
    }
}

fn reader_of(key: &ReaderKey, request: &SourceRequest) -> Reader {
    let registry = &request.registry;
    let mut fields = vec![registry.base_url.as_str(), registry.repository.as_str()];
    match &request.credentials {
        None => (),
        Some(Credentials::Password { username, password }) => {
            fields.extend(["password", username, password.expose()]);
        }
        Some(Credentials::Identity { identity_token }) => {
            fields.extend(["identity", identity_token.expose()]);
        }
        Some(Credentials::Registry { registry_token }) => {
            fields.extend(["registry", registry_token.expose()]);
        }
    }
    match &request.blobs {
        None => (),
        Some(BlobsRequest::Directory { path }) => {
            fields.extend(["directory", path.to_str().unwrap_or_default()]);
        }
        Some(BlobsRequest::S3 {
            base_url,
            path,
            keys,
            ..
        }) => {
            fields.extend(["s3", base_url, path]);
            if let Some(keys) = keys {
                fields.extend([&*keys.access_key_id, keys.secret_access_key.expose()]);
            }
        }
    }
    key.name(&fields)
}
