//! Seek points in a gzip member, with whole windows: the simplest that the format allows.

use archive_format::digest::blake3;
use archive_format::tables::{LayerTable, SeekColumns, Span};
use sys::inflate::{Inflater, Place, StopAt, WINDOW_BYTES, Wrapping};

/// Cuts the only span of a table at block ends at least `spacing` plain bytes apart.
pub(super) fn add_points(table: &mut LayerTable, blob: &[u8], plain: &[u8], spacing: usize) {
    let mut inflater = Inflater::new(Wrapping::Gzip).unwrap();
    let mut out = vec![0; plain.len() + 1];
    let mut cuts = vec![(0, 0, 0)];
    let (mut taken, mut made) = (0, 0);
    loop {
        let step = inflater
            .run(&blob[taken..], &mut out[made..], StopAt::BlockEnd)
            .unwrap();
        taken += step.consumed;
        made += step.produced;
        match step.place {
            Place::StreamEnd => break,
            Place::BlockEnd(bits)
                if made >= cuts.last().unwrap().1 + spacing && made < plain.len() =>
            {
                cuts.push((taken, made, bits));
            }
            _ => {}
        }
    }
    cuts.push((blob.len(), plain.len(), 0));
    table.spans = cuts
        .windows(2)
        .map(|pair| Span {
            stored: (pair[1].0 - pair[0].0) as u64,
            plain: (pair[1].1 - pair[0].1) as u64,
        })
        .collect();
    let mut seek = SeekColumns::default();
    let mut offset = 0;
    for (_, start, bits) in &cuts[..cuts.len() - 1] {
        let window = stored_window(plain, *start);
        seek.bits.push(*bits);
        seek.window_offset
            .push(if window.is_empty() { 0 } else { offset });
        seek.window_stored
            .push(u32::try_from(window.len()).unwrap());
        seek.window_digest.push(if window.is_empty() {
            [0; 32]
        } else {
            blake3(&window)
        });
        offset += window.len() as u64;
    }
    table.seek = Some(seek);
}

/// The windows of a table, one behind the other: its part of section `seek`.
pub(crate) fn windows_of(table: &LayerTable, plain: &[u8]) -> Vec<u8> {
    let mut start = 0;
    let mut windows = vec![];
    for span in table.spans.iter().filter(|_| table.seek.is_some()) {
        windows.extend(stored_window(plain, start));
        start += usize::try_from(span.plain).unwrap();
    }
    windows
}

fn stored_window(plain: &[u8], start: usize) -> Vec<u8> {
    match start {
        0 => vec![],
        _ => super::zstd_of(&plain[start.saturating_sub(WINDOW_BYTES)..start]),
    }
}
