//! Puts a layer's chunks in order again: writes the blob, builds spans and chunks.

use std::collections::BTreeMap;

use archive_format::digest::{Digest, Sha256};
use archive_format::tables::{Chunk, Span};
use crossbeam_channel::Receiver;

use super::encode::Encoders;
use super::worker::Done;
use super::{Encoding, WRITTEN_STEP};
use crate::error::IndexError;
use crate::output::OutputFile;

/// The blob being written.
pub(super) struct Blob {
    pub(super) output: OutputFile,
    pub(super) encoding: Encoding,
}

/// What the collector saw of a layer.
pub(super) struct Collected {
    /// The blob written, with its digest unless it is the plain stream itself.
    pub(super) blob: Option<(OutputFile, Option<Digest>)>,
    pub(super) blob_bytes: u64,
    pub(super) first_span: u64,
    /// One a chunk.
    pub(super) spans: Vec<Span>,
    pub(super) chunks: Vec<Chunk>,
}

/// Takes chunks until no more can come.
pub(super) fn collect(
    done: &Receiver<Done>,
    blob: Option<Blob>,
    on_written: &dyn Fn(u64),
) -> Result<Collected, IndexError> {
    let mut collector = Collector {
        on_written,
        told_bytes: 0,
        blob,
        hasher: Sha256::new(),
        blob_bytes: 0,
        spans: Vec::new(),
        chunks: Vec::new(),
    };
    let mut waiting: BTreeMap<u64, Done> = BTreeMap::new();
    let mut next = 0;
    for chunk in done {
        waiting.insert(chunk.sequence, chunk);
        while let Some(chunk) = waiting.remove(&next) {
            collector.take(chunk)?;
            next += 1;
        }
    }
    collector.finish()
}

struct Collector<'a> {
    on_written: &'a dyn Fn(u64),
    told_bytes: u64,
    blob: Option<Blob>,
    hasher: Sha256,
    blob_bytes: u64,
    spans: Vec<Span>,
    chunks: Vec<Chunk>,
}

impl Collector<'_> {
    fn take(&mut self, chunk: Done) -> Result<(), IndexError> {
        let plain = chunk.plain.bytes();
        let length = u32::try_from(plain.len())
            .map_err(|_| IndexError::Internal("a chunk of 4 GiB".to_owned()))?;
        self.chunks.push(Chunk {
            plain: length,
            digest: chunk.digest,
        });
        let stored = chunk.stored?;
        let stored = stored.as_ref().map_or(plain, |(buffer, length)| {
            buffer.get(..*length).unwrap_or(buffer)
        });
        self.spans.push(Span {
            stored: stored.len() as u64,
            plain: u64::from(length),
        });
        self.write(stored)
    }

    fn write(&mut self, stored: &[u8]) -> Result<(), IndexError> {
        self.blob_bytes += stored.len() as u64;
        let Some(blob) = &mut self.blob else {
            return Ok(());
        };
        // a stored blob is the plain stream, which is hashed already
        if blob.encoding != Encoding::Plain {
            self.hasher.update(stored);
        }
        blob.output.write(stored)?;
        if self.blob_bytes - self.told_bytes >= WRITTEN_STEP {
            (self.on_written)(self.blob_bytes);
            self.told_bytes = self.blob_bytes;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Collected, IndexError> {
        let encoding = self.blob.as_ref().map(|blob| blob.encoding);
        if let Some(encoding @ (Encoding::Zstd(_) | Encoding::Gzip(_))) = encoding
            && self.chunks.is_empty()
        {
            // no stream is empty in these formats: a frame or member without content
            let mut frame = [0; 64];
            let length = Encoders::default().encode(encoding, &[], &mut frame)?;
            self.write(frame.get(..length).unwrap_or(&frame))?;
        }
        let spanned: u64 = self.spans.iter().map(|span| span.stored).sum();
        let digest = self.hasher.finish();
        Ok(Collected {
            blob: self.blob.map(|blob| {
                (
                    blob.output,
                    (blob.encoding != Encoding::Plain).then_some(digest),
                )
            }),
            blob_bytes: self.blob_bytes,
            first_span: self.blob_bytes - spanned,
            spans: self.spans,
            chunks: self.chunks,
        })
    }
}
