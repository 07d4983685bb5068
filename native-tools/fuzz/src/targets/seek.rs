//! Section `seek`. Windows are under digests, so the input is rows and the section behind them, and the digests are made to fit
//! unless a row says otherwise. Input: rows behind their length (8 bytes each, see [`Row`]), the section.

use archive_format::digest::{blake3, sha256};
use archive_format::seek::{WINDOW_BYTES, check_places, check_windows};
use archive_format::tables::{
    Chunk, Codec, LayerTable, RecordKind, SeekColumns, Span, decode, encode,
};

use super::part;

/// Bits of a row's second byte.
const STRAYS: u8 = 1;
const LIES: u8 = 2;
const BEGINS_LAYER: u8 = 4;
const IS_ZSTD: u8 = 8;

pub(crate) fn run(input: &[u8]) {
    let mut rest = input;
    let rows = part(&mut rest);
    let tables = tables_of(rows, rest);
    let placed = check_places(&tables, rest.len() as u64).is_ok();
    let checked = check_windows(&tables, rest).is_ok();
    assert!(placed || !checked, "windows out of place are not read");
    if let Ok(bytes) = encode(&tables) {
        assert_eq!(decode(&bytes).ok(), Some(tables.clone()));
    }
    let mut total = 0;
    for (table, span) in tables
        .iter()
        .flat_map(|table| (0..table.spans.len()).map(move |span| (table, span)))
    {
        let Some(window) = table.seek.as_ref().and_then(|seek| seek.window(span)) else {
            continue;
        };
        total += u64::from(window.stored);
        let stored = usize::try_from(window.offset)
            .ok()
            .and_then(|at| rest.get(at..)?.get(..window.stored as usize));
        let decoded = window.decode(stored.unwrap_or_default());
        assert!(decoded.is_ok() || !checked, "a window that was proven");
        if let Ok(plain) = decoded {
            assert!((1..=WINDOW_BYTES).contains(&plain.len()));
        }
    }
    assert!(!checked || total == rest.len() as u64);
}

/// `[bits, flags, stored u16, stray u32]`, little-endian.
type Row = [u8; 8];

fn tables_of(rows: &[u8], section: &[u8]) -> Vec<LayerTable> {
    let mut tables: Vec<LayerTable> = Vec::new();
    let mut end = 0u64;
    for row in rows.chunks_exact(8) {
        let [bits, flags, s0, s1, stray @ ..] = Row::try_from(row).unwrap();
        let stored = u16::from_le_bytes([s0, s1]);
        if flags & BEGINS_LAYER != 0 || tables.is_empty() {
            tables.push(layer(flags));
        }
        let table = tables.last_mut().unwrap();
        let at = if flags & STRAYS == 0 {
            end
        } else {
            u64::from(u32::from_le_bytes(stray))
        };
        let bytes = usize::try_from(at)
            .ok()
            .and_then(|at| section.get(at..)?.get(..usize::from(stored)));
        let is_empty = stored == 0 && flags & LIES == 0;
        table.spans.push(Span {
            stored: 1,
            plain: 1,
        });
        table.chunks.push(Chunk {
            plain: 1,
            digest: [0; 32],
        });
        table.blob_bytes += 1;
        table.plain_bytes += 1;
        let seek = table.seek.get_or_insert_default();
        seek.bits.push(bits);
        seek.window_offset.push(if is_empty { 0 } else { at });
        seek.window_stored.push(u32::from(stored));
        seek.window_digest.push(match bytes {
            _ if is_empty => [0; 32],
            Some(bytes) if flags & LIES == 0 => blake3(bytes),
            _ => [flags; 32],
        });
        end = at.saturating_add(u64::from(stored));
    }
    tables
}

fn layer(flags: u8) -> LayerTable {
    LayerTable {
        digest: sha256(b"blob"),
        diff_id: sha256(b"plain"),
        blob_bytes: 0,
        plain_bytes: 0,
        codec: if flags & IS_ZSTD == 0 {
            Codec::Gzip
        } else {
            Codec::Zstd
        },
        kind: RecordKind::Layer,
        media_type: String::new(),
        chunk_bytes: 4096,
        first_span: 0,
        spans: Vec::new(),
        chunks: Vec::new(),
        seek: Some(SeekColumns::default()),
    }
}
