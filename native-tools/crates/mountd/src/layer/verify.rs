//! Reading a whole blob and proving everything that is known of it.

use std::io::{self, Read};
use std::ops::ControlFlow;
use std::sync::Arc;

use archive_format::digest::{Digest, Sha256, blake3, oci};
use archive_format::tables::LayerTable;

use super::assemble::Assembler;
use super::decode::decode;
use super::geometry::Geometry;
use crate::source::{Blob, BlobSource, FetchError, FetchKind};

/// Streams a blob once and checks its digest, every chunk's digest and the diffID. `progress` is told the stored bytes
/// as they come. Gives the number of plain bytes.
///
/// # Errors
/// `Damaged` with the first thing that is wrong, or why the bytes cannot be had.
pub fn verify_blob(
    table: &LayerTable,
    source: Arc<dyn BlobSource>,
    progress: &mut dyn FnMut(u64),
) -> Result<u64, FetchError> {
    let geometry = Geometry::of(table);
    let blob = Blob {
        digest: table.digest,
        size: table.blob_bytes,
    };
    let mut body = Hashed {
        body: source.open(&blob, 0..blob.size)?,
        hasher: Sha256::new(),
        progress,
    };
    let read_failed = |error: io::Error| FetchError::from_io(&error, "read the blob");
    io::copy(&mut (&mut body).take(table.first_span), &mut io::sink()).map_err(read_failed)?;
    let mut plain = Sha256::new();
    let mut wanted = table.chunks.iter();
    if geometry.chunk_count() > 0 {
        let plan = geometry.plan(0..geometry.chunk_count());
        let mut deliver = |chunk: u32, bytes: Vec<u8>| {
            if wanted.next().map(|wanted| wanted.digest) != Some(blake3(&bytes)) {
                let message = format!(
                    "chunk {chunk} of layer {} does not have its digest",
                    oci(&table.diff_id)
                );
                return Err(FetchError::damaged(message));
            }
            plain.update(&bytes);
            Ok(ControlFlow::Continue(()))
        };
        let mut chunks = Assembler::new(&geometry, plan.plain.start, &mut deliver);
        decode(&geometry, table.codec, &plan, &[], &mut body, &mut chunks)?;
    }
    if wanted.next().is_some() {
        return Err(FetchError::damaged(format!(
            "layer {} is too short",
            oci(&table.diff_id)
        )));
    }
    io::copy(&mut body, &mut io::sink()).map_err(read_failed)?;
    same(
        "the blob",
        table.digest,
        body.hasher.finish(),
        FetchKind::Damaged,
    )?;
    same(
        "the plain stream",
        table.diff_id,
        plain.finish(),
        FetchKind::DiffId,
    )?;
    Ok(table.plain_bytes)
}

fn same(what: &str, wanted: Digest, found: Digest, kind: FetchKind) -> Result<(), FetchError> {
    if wanted == found {
        return Ok(());
    }
    Err(FetchError::new(
        kind,
        format!("{what} {} has the digest {}", oci(&wanted), oci(&found)),
    ))
}

struct Hashed<'a> {
    body: Box<dyn Read + Send + 'a>,
    hasher: Sha256,
    progress: &'a mut dyn FnMut(u64),
}

impl Read for Hashed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.body.read(buffer)?;
        self.hasher.update(buffer.get(..length).unwrap_or_default());
        (self.progress)(length as u64);
        Ok(length)
    }
}
