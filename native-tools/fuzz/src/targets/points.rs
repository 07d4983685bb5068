//! Reading a layer through seek points as a mount does: every chunk alone, the last one first, so that each read enters at
//! the point before it. The points and windows are those that a pack makes of the blob; then patches spoil them.
//! Input: patches (u8 count, then 4 bytes each: what, where u16, how), the gzip blob.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use archive_format::digest::{blake3, sha256};
use archive_format::tables::{Chunk, Codec, LayerTable, RecordKind, SeekColumns};
use layer_index::pack::SeekableBlob;
use mountd::cache::Cache;
use mountd::layer::{FetchSettings, Fetcher, Layer, LayerParts, Windows};
use mountd::stats::Stats;

use super::blob::seekable;
use super::span::{CHUNK_BYTES, Held};
use crate::file_of;

static FETCHER: LazyLock<Fetcher> = LazyLock::new(|| {
    let one = FetchSettings {
        max_requests: 1,
        ..FetchSettings::default()
    };
    Fetcher::start(one).expect("a thread")
});
static CACHE: LazyLock<PathBuf> =
    LazyLock::new(|| std::env::temp_dir().join(format!("fuzz-points-{}", std::process::id())));

pub(crate) fn run(input: &[u8]) {
    let [count, rest @ ..] = input else { return };
    let (patches, blob) = rest.split_at((usize::from(*count) * 4).min(rest.len()));
    let Some((mut read, plain)) = seekable(blob, 1) else {
        return;
    };
    if read.seek.is_none() {
        return;
    }
    for patch in patches.chunks_exact(4) {
        spoil(&mut read, [patch[0], patch[1], patch[2], patch[3]]);
    }
    let windows = std::mem::take(&mut read.windows);
    let table = table_of(read, blob, &plain);
    if table.check().is_err() {
        return;
    }
    read_backwards(&table, blob, &windows, &plain, patches.len() < 4);
}

fn spoil(read: &mut SeekableBlob, [what, low, high, how]: [u8; 4]) {
    let at = usize::from(u16::from_le_bytes([low, high]));
    let Some(seek) = &mut read.seek else { return };
    let row = at % read.spans.len();
    let behind = (row + 1) % read.spans.len();
    match what % 7 {
        0 => {
            let length = read.windows.len().max(1);
            if let Some(byte) = read.windows.get_mut(at % length) {
                *byte ^= how;
            }
        }
        1 => sign(seek, &read.windows),
        2 => seek.bits[row] = how,
        3 => seek.window_offset[row] = seek.window_offset[row].wrapping_add(u64::from(how)),
        4 => seek.window_stored[row] = seek.window_stored[row].wrapping_sub(u32::from(how)),
        5 => {
            let moved = read.spans[row].plain.min(u64::from(how));
            read.spans[row].plain -= moved;
            read.spans[behind].plain += moved;
        }
        _ => {
            let moved = read.spans[row].stored.min(u64::from(how));
            read.spans[row].stored -= moved;
            read.spans[behind].stored += moved;
        }
    }
}

/// Damage under right digests comes as far as the decoder.
fn sign(seek: &mut SeekColumns, windows: &[u8]) {
    for span in 0..seek.bits.len() {
        let Some(window) = seek.window(span) else {
            continue;
        };
        let stored = usize::try_from(window.offset)
            .ok()
            .and_then(|at| windows.get(at..)?.get(..window.stored as usize));
        if let Some(stored) = stored {
            seek.window_digest[span] = blake3(stored);
        }
    }
}

fn table_of(read: SeekableBlob, blob: &[u8], plain: &[u8]) -> LayerTable {
    LayerTable {
        digest: sha256(blob),
        diff_id: sha256(plain),
        blob_bytes: blob.len() as u64,
        plain_bytes: plain.len() as u64,
        codec: Codec::Gzip,
        kind: RecordKind::Layer,
        media_type: String::new(),
        chunk_bytes: CHUNK_BYTES,
        first_span: read.first_span,
        spans: read.spans,
        chunks: plain
            .chunks(CHUNK_BYTES as usize)
            .map(|chunk| Chunk {
                plain: u32::try_from(chunk.len()).unwrap(),
                digest: blake3(chunk),
            })
            .collect(),
        seek: read.seek,
    }
}

fn read_backwards(table: &LayerTable, blob: &[u8], windows: &[u8], plain: &[u8], is_honest: bool) {
    let layer = Layer::new(LayerParts {
        table: table.clone(),
        cache: Cache::open(&CACHE).unwrap().layer(table).unwrap(),
        source: Arc::new(Held(blob.to_vec())),
        windows: Windows::new(Arc::new(file_of(windows)), 0),
        fetcher: FETCHER.clone(),
        stats: Arc::new(Stats::default()),
    })
    .expect("a layer over an empty cache");
    let mut buffer = vec![0; CHUNK_BYTES as usize];
    for (chunk, wanted) in plain.chunks(CHUNK_BYTES as usize).enumerate().rev() {
        let part = &mut buffer[..wanted.len()];
        match layer.read(chunk as u64 * u64::from(CHUNK_BYTES), part) {
            Ok(()) => assert_eq!(part, wanted, "chunk {chunk} is what it was"),
            Err(error) => assert!(!is_honest, "chunk {chunk}: {error}"),
        }
    }
    drop(layer);
    let _ = fs::remove_dir_all(&*CACHE);
}
