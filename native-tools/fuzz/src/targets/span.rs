//! Decoding spans as a mount does, with a table that lies: bytes are given only when they have the digests of the table.
//! Input: a byte of codec, spans (u8 count, then u16 stored and u16 plain each), the blob. The codec's highest bit: the rest is
//! for [`super::points`].

use std::io::{Cursor, Read};
use std::ops::Range;
use std::sync::Arc;

use archive_format::digest::{Digest, blake3, sha256};
use archive_format::tables::{Chunk, Codec, LayerTable, RecordKind, Span};
use mountd::layer::verify_blob;
use mountd::source::{Blob, BlobSource, FetchError};

pub(super) const CHUNK_BYTES: u32 = 4096;

pub(crate) fn run(input: &[u8]) {
    let [codec, count, rest @ ..] = input else {
        return;
    };
    if codec & 0x80 != 0 {
        return super::points::run(&input[1..]);
    }
    let codec = match codec % 3 {
        0 => Codec::Plain,
        1 => Codec::Gzip,
        _ => Codec::Zstd,
    };
    let (rows, blob) = rest.split_at((usize::from(*count) * 4).min(rest.len()));
    let spans: Vec<Span> = rows
        .chunks_exact(4)
        .map(|row| Span {
            stored: u64::from(u16::from_le_bytes([row[0], row[1]])),
            plain: u64::from(u16::from_le_bytes([row[2], row[3]])),
        })
        .collect();
    let honest = decode_whole(codec, blob);
    let table = table_of(codec, spans, blob, honest.as_deref().unwrap_or_default());
    if table.check().is_err() {
        return;
    }
    let verified = verify_blob(&table, Arc::new(Held(blob.to_vec())), &mut |_| ());
    if let Ok(plain_bytes) = verified {
        assert_eq!(plain_bytes, honest.unwrap_or_default().len() as u64);
    }
}

/// Digests are those of the honest content, lengths those that the spans claim.
fn table_of(codec: Codec, spans: Vec<Span>, blob: &[u8], honest: &[u8]) -> LayerTable {
    let plain_bytes: u64 = spans.iter().map(|span| span.plain).sum();
    let mut left = plain_bytes;
    let mut content = honest.chunks(CHUNK_BYTES as usize);
    let mut chunks = Vec::new();
    while left > 0 {
        let plain = u32::try_from(left.min(u64::from(CHUNK_BYTES))).unwrap();
        let digest: Digest = blake3(content.next().unwrap_or_default());
        chunks.push(Chunk { plain, digest });
        left -= u64::from(plain);
    }
    LayerTable {
        digest: sha256(blob),
        diff_id: sha256(honest),
        blob_bytes: blob.len() as u64,
        plain_bytes,
        codec,
        kind: RecordKind::Layer,
        media_type: String::new(),
        chunk_bytes: CHUNK_BYTES,
        first_span: 0,
        spans,
        chunks,
        seek: None,
    }
}

fn decode_whole(codec: Codec, blob: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    let read = match codec {
        Codec::Plain => return Some(blob.to_vec()),
        Codec::Gzip => flate2::read::MultiGzDecoder::new(blob)
            .take(1 << 20)
            .read_to_end(&mut plain),
        Codec::Zstd => zstd::stream::read::Decoder::new(blob)
            .ok()?
            .take(1 << 20)
            .read_to_end(&mut plain),
    };
    read.ok().map(|_| plain)
}

#[derive(Debug)]
pub(super) struct Held(pub(super) Vec<u8>);

impl BlobSource for Held {
    fn open(
        self: Arc<Self>,
        _: &Blob,
        range: Range<u64>,
    ) -> Result<Box<dyn Read + Send>, FetchError> {
        let start = usize::try_from(range.start)
            .unwrap_or(usize::MAX)
            .min(self.0.len());
        let end = usize::try_from(range.end)
            .unwrap_or(usize::MAX)
            .clamp(start, self.0.len());
        Ok(Box::new(Cursor::new(self.0[start..end].to_vec())))
    }
}
