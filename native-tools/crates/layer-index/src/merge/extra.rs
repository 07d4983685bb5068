//! Section `extra`: file data that no layer holds at a block boundary, in frames like those of a layer.

use archive_format::digest::{Sha256, blake3, sha256};
use archive_format::model::Extent;
use archive_format::tables::{Chunk, Codec, LayerTable, RecordKind, Span};

use crate::entry::Stretch;
use crate::error::IndexError;

/// Plain bytes of the whole section. Holes between stretches become zeros here and nearly vanish when compressed.
const MAX_PLAIN_BYTES: u64 = 4 << 30;
/// A relocated file gets at most this many chunks, as long as they stay below the largest size.
const MAX_CHUNKS: u64 = 1 << 16;
const MIN_GRAIN: u64 = 512;
const MAX_GRAIN: u64 = 16 << 20;
const BLOCK: u64 = 512;
const LEVEL: i32 = 3;

/// The section being filled.
pub struct Extra {
    chunk_bytes: usize,
    pending: Vec<u8>,
    stored: Vec<u8>,
    plain_bytes: u64,
    plain_digest: Sha256,
    spans: Vec<Span>,
    chunks: Vec<Chunk>,
}

impl std::fmt::Debug for Extra {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Extra({} plain, {} stored)",
            self.plain_bytes,
            self.stored.len()
        )
    }
}

impl Extra {
    pub(super) fn new(chunk_bytes: u32) -> Self {
        Self {
            chunk_bytes: usize::try_from(chunk_bytes).unwrap_or(usize::MAX),
            pending: Vec::new(),
            stored: Vec::new(),
            plain_bytes: 0,
            plain_digest: Sha256::new(),
            spans: Vec::new(),
            chunks: Vec::new(),
        }
    }

    /// Adds a file's stretches, whose bytes are `data` one after the other, and says where they are now.
    pub(super) fn add(
        &mut self,
        device: u16,
        size: u64,
        stretches: &[Stretch],
        mut data: &[u8],
    ) -> Result<Vec<Extent>, IndexError> {
        let mut stretches = stretches.iter().peekable();
        let mut extents = Vec::new();
        for (start, end) in runs(size, stretches.clone()) {
            self.zeros(self.plain_bytes.next_multiple_of(BLOCK) - self.plain_bytes)?;
            extents.push(Extent {
                file_offset: start,
                device,
                device_offset: self.plain_bytes,
                length: end - start,
            });
            let mut at = start;
            while let Some(stretch) = stretches.next_if(|stretch| stretch.offset < end) {
                let length = usize::try_from(stretch.length).unwrap_or(usize::MAX);
                let (bytes, rest) = data.split_at_checked(length).ok_or_else(|| {
                    IndexError::IndexInvalid("sparse data is shorter than its map".to_owned())
                })?;
                data = rest;
                self.zeros(stretch.offset - at)?;
                self.write(bytes)?;
                at = stretch.offset + stretch.length;
            }
            self.zeros(end - at)?;
        }
        Ok(extents)
    }

    /// Bytes and table of the section; nothing when nothing was added.
    pub(super) fn finish(mut self) -> Result<Option<(Vec<u8>, LayerTable)>, IndexError> {
        self.flush()?;
        if self.plain_bytes == 0 {
            return Ok(None);
        }
        let table = LayerTable {
            digest: sha256(&self.stored),
            diff_id: self.plain_digest.finish(),
            blob_bytes: self.stored.len() as u64,
            plain_bytes: self.plain_bytes,
            codec: Codec::Zstd,
            kind: RecordKind::Extra,
            media_type: String::new(),
            chunk_bytes: u32::try_from(self.chunk_bytes).unwrap_or(u32::MAX),
            first_span: 0,
            spans: self.spans,
            chunks: self.chunks,
            seek: None,
        };
        Ok(Some((self.stored, table)))
    }

    fn zeros(&mut self, mut count: u64) -> Result<(), IndexError> {
        const ZEROS: [u8; 4096] = [0; 4096];
        while count > 0 {
            let length = usize::try_from(count)
                .unwrap_or(usize::MAX)
                .min(ZEROS.len());
            self.write(ZEROS.get(..length).unwrap_or(&ZEROS))?;
            count -= length as u64;
        }
        Ok(())
    }

    fn write(&mut self, mut bytes: &[u8]) -> Result<(), IndexError> {
        self.plain_bytes += bytes.len() as u64;
        if self.plain_bytes > MAX_PLAIN_BYTES {
            return Err(IndexError::limit(
                "sparse data off block boundaries",
                MAX_PLAIN_BYTES,
            ));
        }
        while !bytes.is_empty() {
            let room = self.chunk_bytes - self.pending.len();
            let (part, rest) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
            self.pending.extend_from_slice(part);
            bytes = rest;
            if self.pending.len() == self.chunk_bytes {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), IndexError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let frame = zstd::bulk::compress(&self.pending, LEVEL)
            .map_err(|error| IndexError::Internal(format!("zstd: {error}")))?;
        self.plain_digest.update(&self.pending);
        self.chunks.push(Chunk {
            plain: u32::try_from(self.pending.len()).unwrap_or(u32::MAX),
            digest: blake3(&self.pending),
        });
        self.spans.push(Span {
            stored: frame.len() as u64,
            plain: self.pending.len() as u64,
        });
        self.stored.extend_from_slice(&frame);
        self.pending.clear();
        Ok(())
    }
}

/// The stretches widened to a grain that gives the file few chunks, neighbours joined.
fn runs<'a>(size: u64, stretches: impl Iterator<Item = &'a Stretch>) -> Vec<(u64, u64)> {
    let mut grain = MIN_GRAIN;
    while size.div_ceil(grain) > MAX_CHUNKS && grain < MAX_GRAIN {
        grain *= 2;
    }
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for stretch in stretches {
        let start = stretch.offset / grain * grain;
        let end = (stretch.offset + stretch.length)
            .next_multiple_of(grain)
            .min(size);
        match runs.last_mut() {
            Some(last) if start <= last.1 => last.1 = end,
            _ => runs.push((start, end)),
        }
    }
    runs
}
