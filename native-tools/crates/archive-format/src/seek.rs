//! Section `seek`: the inflate windows of foreign gzip layers. `docs/formats/archive.md`, "Section `seek`".

use crate::FormatError;
use crate::digest::{Digest, blake3, hex};
use crate::tables::{Codec, LayerTable, SeekColumns};

/// The farthest that deflate refers back: no window is longer.
pub const WINDOW_BYTES: usize = 32 << 10;
/// A window that does not compress, as one zstd frame; with room for other encoders.
const MAX_STORED_BYTES: u32 = 64 << 10;

/// Where a window is and what its stored bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Inside section `seek`.
    pub offset: u64,
    /// Stored length.
    pub stored: u32,
    /// BLAKE3 of the stored bytes.
    pub digest: Digest,
}

impl SeekColumns {
    /// The window that a span continues from; none where it starts with an empty one.
    #[must_use]
    pub fn window(&self, span: usize) -> Option<Window> {
        let stored = *self.window_stored.get(span)?;
        (stored > 0).then_some(Window {
            offset: *self.window_offset.get(span)?,
            stored,
            digest: *self.window_digest.get(span)?,
        })
    }

    /// Moves the windows to where they lie when `base` bytes come before them.
    pub fn shift_windows(&mut self, base: u64) {
        for (offset, stored) in self.window_offset.iter_mut().zip(&self.window_stored) {
            if *stored > 0 {
                *offset = offset.saturating_add(base);
            }
        }
    }
}

impl Window {
    /// The plain bytes of the window, from its stored ones.
    ///
    /// # Errors
    /// ARCHIVE_CORRUPT when they are not those that the table names, or not a window.
    pub fn decode(&self, stored: &[u8]) -> Result<Vec<u8>, FormatError> {
        let fail =
            |what: &str| FormatError::corrupt(format!("the window at {}: {what}", self.offset));
        if stored.len() as u64 != u64::from(self.stored) || blake3(stored) != self.digest {
            return Err(fail("digest"));
        }
        let window = zstd::bulk::decompress(stored, WINDOW_BYTES)
            .map_err(|error| fail(&error.to_string()))?;
        if window.is_empty() {
            return Err(fail("it is empty"));
        }
        Ok(window)
    }
}

/// Proves that the windows of all records lie one behind the other in a section of `section_bytes` and fill it.
///
/// # Errors
/// ARCHIVE_CORRUPT.
pub fn check_places(tables: &[LayerTable], section_bytes: u64) -> Result<(), FormatError> {
    let mut end = 0u64;
    for table in tables {
        let Some(seek) = &table.seek else { continue };
        let fail = |span: usize, what: &str| {
            let layer = hex(&table.diff_id);
            FormatError::corrupt(format!("layers: {layer}: the window of span {span} {what}"))
        };
        if table.codec != Codec::Gzip {
            return Err(fail(0, "is of a layer that is not gzip"));
        }
        for span in 0..table.spans.len() {
            let Some(window) = seek.window(span) else {
                let offset = seek.window_offset.get(span).copied();
                if offset != Some(0) || seek.window_digest.get(span) != Some(&[0; 32]) {
                    return Err(fail(span, "is empty and has a place"));
                }
                continue;
            };
            if window.offset != end || window.stored > MAX_STORED_BYTES {
                return Err(fail(span, "is out of place"));
            }
            end = end.saturating_add(u64::from(window.stored));
        }
    }
    if end == section_bytes {
        return Ok(());
    }
    Err(FormatError::corrupt(format!(
        "section seek has {section_bytes} bytes, the windows of the layers {end}"
    )))
}

/// Proves places, digests and frames of all windows in a whole section.
///
/// # Errors
/// ARCHIVE_CORRUPT.
pub fn check_windows(tables: &[LayerTable], section: &[u8]) -> Result<(), FormatError> {
    check_places(tables, section.len() as u64)?;
    let windows = tables
        .iter()
        .filter_map(|table| Some((table.seek.as_ref()?, table.spans.len())))
        .flat_map(|(seek, spans)| (0..spans).filter_map(|span| seek.window(span)));
    for window in windows {
        let stored = usize::try_from(window.offset)
            .ok()
            .and_then(|offset| section.get(offset..)?.get(..window.stored as usize));
        window.decode(stored.unwrap_or_default())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::sha256;
    use crate::tables::{Chunk, RecordKind, Span};

    /// Three spans; the first one starts a member, the others continue from windows.
    fn layer(base: u64) -> (LayerTable, Vec<u8>) {
        let windows: Vec<Vec<u8>> = (1..3u8)
            .map(|seed| zstd::bulk::compress(&vec![seed; WINDOW_BYTES], 3).unwrap())
            .collect();
        let second = base + windows[0].len() as u64;
        let seek = SeekColumns {
            bits: vec![0, 3, 0],
            window_offset: vec![0, base, second],
            window_stored: std::iter::once(0)
                .chain(
                    windows
                        .iter()
                        .map(|window| u32::try_from(window.len()).unwrap()),
                )
                .collect(),
            window_digest: std::iter::once([0; 32])
                .chain(windows.iter().map(|window| blake3(window)))
                .collect(),
        };
        let table = LayerTable {
            digest: sha256(b"blob"),
            diff_id: sha256(&base.to_le_bytes()),
            blob_bytes: 30,
            plain_bytes: 3000,
            codec: Codec::Gzip,
            kind: RecordKind::Layer,
            media_type: String::new(),
            chunk_bytes: 4096,
            first_span: 0,
            spans: vec![
                Span {
                    stored: 10,
                    plain: 1000
                };
                3
            ],
            chunks: vec![Chunk {
                plain: 3000,
                digest: [7; 32],
            }],
            seek: Some(seek),
        };
        (table, windows.concat())
    }

    fn two_layers() -> (Vec<LayerTable>, Vec<u8>) {
        let (first, windows) = layer(0);
        let (second, more) = layer(windows.len() as u64);
        (vec![first, second], [windows, more].concat())
    }

    #[test]
    fn windows_of_all_layers_fill_the_section() {
        let (tables, section) = two_layers();
        check_windows(&tables, &section).unwrap();
        let (mut moved, windows) = layer(0);
        moved
            .seek
            .as_mut()
            .unwrap()
            .shift_windows(windows.len() as u64);
        assert_eq!(moved.seek, tables[1].seek);
        assert!(check_windows(&[], &[]).is_ok());
        assert!(check_windows(&[], &[0]).is_err());
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_told() {
        let (tables, section) = two_layers();
        for at in 0..section.len() {
            let mut flipped = section.clone();
            flipped[at] ^= 1 << (at % 8);
            assert!(check_windows(&tables, &flipped).is_err(), "flipped at {at}");
            assert!(
                check_windows(&tables, &section[..at]).is_err(),
                "cut at {at}"
            );
        }
    }

    #[test]
    fn columns_that_break_a_rule_are_corrupt() {
        type Break = fn(&mut LayerTable);
        let breaks: [Break; 6] = [
            |table| table.codec = Codec::Zstd,
            |table| table.seek.as_mut().unwrap().window_offset[0] = 1,
            |table| table.seek.as_mut().unwrap().window_digest[0] = [1; 32],
            |table| table.seek.as_mut().unwrap().window_offset[1] += 1,
            |table| table.seek.as_mut().unwrap().window_stored[2] -= 1,
            |table| table.seek = None,
        ];
        let (tables, section) = two_layers();
        for (index, change) in breaks.iter().enumerate() {
            let mut broken = tables.clone();
            change(&mut broken[0]);
            assert!(
                check_places(&broken, section.len() as u64).is_err(),
                "{index}"
            );
        }
    }
}
