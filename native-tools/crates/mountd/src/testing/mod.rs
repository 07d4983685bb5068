//! What tests share: layer tables, sample data, a registry with faults.

#![allow(dead_code, reason = "each test program uses its part")]

pub(crate) mod points;
pub(crate) mod server;
pub(crate) mod tls;

use archive_format::digest::{blake3, sha256};
use archive_format::tables::{Chunk, Codec, LayerTable, RecordKind, Span};

/// A table with given chunk lengths and (stored, plain) spans; digests are zeros.
pub(crate) fn table_of(chunks: &[u32], spans: &[(u64, u64)], first_span: u64) -> LayerTable {
    LayerTable {
        digest: [0; 32],
        diff_id: [1; 32],
        blob_bytes: first_span + spans.iter().map(|(stored, _)| stored).sum::<u64>(),
        plain_bytes: chunks.iter().map(|chunk| u64::from(*chunk)).sum(),
        codec: Codec::Zstd,
        kind: RecordKind::Layer,
        media_type: String::new(),
        chunk_bytes: 4096,
        first_span,
        spans: spans
            .iter()
            .map(|(stored, plain)| Span {
                stored: *stored,
                plain: *plain,
            })
            .collect(),
        chunks: chunks
            .iter()
            .map(|plain| Chunk {
                plain: *plain,
                digest: [0; 32],
            })
            .collect(),
        seek: None,
    }
}

/// Bytes that look like nothing and compress a little, the same for the same seed.
pub(crate) fn sample(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state & 0x3f) as u8
        })
        .collect()
}

/// How a sample layer is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stored {
    Plain,
    /// A frame a chunk.
    ZstdFrames,
    /// One frame over everything.
    ZstdWhole,
    /// A member for every so many bytes, which need not match the chunks.
    GzipMembers(usize),
    /// One member over everything.
    GzipWhole,
    /// One member over everything, with seek points so many bytes apart.
    GzipPoints(usize),
}

/// A layer: its plain bytes, its blob and the table that describes it.
pub(crate) fn layer(plain: &[u8], stored: Stored, chunk_bytes: u32) -> (LayerTable, Vec<u8>) {
    let chunk = chunk_bytes as usize;
    let (codec, parts): (Codec, Vec<(Vec<u8>, usize)>) = match stored {
        Stored::Plain => (Codec::Plain, vec![(plain.to_vec(), plain.len())]),
        Stored::ZstdFrames => (
            Codec::Zstd,
            plain
                .chunks(chunk)
                .map(|part| (zstd_of(part), part.len()))
                .collect(),
        ),
        Stored::ZstdWhole => (Codec::Zstd, vec![(zstd_of(plain), plain.len())]),
        Stored::GzipMembers(size) => (
            Codec::Gzip,
            plain
                .chunks(size)
                .map(|part| (gzip_of(part), part.len()))
                .collect(),
        ),
        Stored::GzipWhole => (Codec::Gzip, vec![(gzip_of(plain), plain.len())]),
        // level 1 writes one block without end, which leaves no place for a point
        Stored::GzipPoints(_) => {
            let level = flate2::Compression::new(6);
            (Codec::Gzip, vec![(gzip_at(plain, level), plain.len())])
        }
    };
    let blob: Vec<u8> = parts
        .iter()
        .flat_map(|(part, _)| part.iter().copied())
        .collect();
    let mut table = LayerTable {
        digest: sha256(&blob),
        diff_id: sha256(plain),
        blob_bytes: blob.len() as u64,
        plain_bytes: plain.len() as u64,
        codec,
        kind: RecordKind::Layer,
        media_type: "application/vnd.oci.image.layer.v1.tar".to_owned(),
        chunk_bytes,
        first_span: 0,
        spans: parts
            .iter()
            .map(|(part, plain)| Span {
                stored: part.len() as u64,
                plain: *plain as u64,
            })
            .collect(),
        chunks: plain
            .chunks(chunk)
            .map(|part| Chunk {
                plain: u32::try_from(part.len()).unwrap(),
                digest: blake3(part),
            })
            .collect(),
        seek: None,
    };
    if let Stored::GzipPoints(spacing) = stored {
        points::add_points(&mut table, &blob, plain, spacing);
    }
    table.check().unwrap();
    (table, blob)
}

fn zstd_of(bytes: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(bytes, 1).unwrap()
}

fn gzip_of(bytes: &[u8]) -> Vec<u8> {
    gzip_at(bytes, flate2::Compression::fast())
}

fn gzip_at(bytes: &[u8], level: flate2::Compression) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(vec![], level);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Compares bytes; a failure names the first byte that differs instead of printing all of them.
#[track_caller]
pub(crate) fn assert_same(
    left: impl AsRef<[u8]>,
    right: impl AsRef<[u8]>,
    what: impl std::fmt::Debug,
) {
    let (left, right) = (left.as_ref(), right.as_ref());
    let differs = left
        .iter()
        .zip(right)
        .position(|(left, right)| left != right);
    assert!(
        differs.is_none() && left.len() == right.len(),
        "{what:?}: {} and {} bytes, differ from {differs:?}",
        left.len(),
        right.len()
    );
}
