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
