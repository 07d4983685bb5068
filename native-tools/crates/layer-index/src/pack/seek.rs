//! The seek columns of a layer and its windows, put in order.

use std::collections::BTreeMap;

use archive_format::digest::blake3;
use archive_format::tables::SeekColumns;
use crossbeam_channel::Receiver;

use super::worker::WindowDone;
use crate::error::IndexError;
use crate::source::Entrance;

/// Both empty for a layer whose spans all decode alone.
#[derive(Debug, Default)]
pub(super) struct Seek {
    pub(super) columns: Option<SeekColumns>,
    /// The stored windows one behind the other, in span order. Until here they are all the memory that grows with a layer:
    /// at most 32 KiB, mostly a quarter of that, a point, and points are few (`source::points`).
    pub(super) windows: Vec<u8>,
}

/// Waits for the windows that are still being made. `entrances` has one row a span.
pub(super) fn seek_of(
    entrances: &[Entrance],
    made: Receiver<WindowDone>,
) -> Result<Seek, IndexError> {
    let mut made: BTreeMap<_, _> = made.into_iter().collect();
    if entrances.iter().all(|entrance| entrance.window.is_none()) {
        return Ok(Seek::default());
    }
    let mut columns = SeekColumns::default();
    let mut windows = Vec::new();
    for entrance in entrances {
        let window = match entrance.window {
            None => Vec::new(),
            Some(number) => made
                .remove(&number)
                .ok_or_else(|| IndexError::Internal(format!("window {number} was not made")))??,
        };
        let (offset, digest) = match window.len() {
            0 => (0, [0; 32]),
            _ => (windows.len() as u64, blake3(&window)),
        };
        columns.bits.push(entrance.bits);
        columns.window_offset.push(offset);
        columns.window_stored.push(
            u32::try_from(window.len())
                .map_err(|_| IndexError::Internal("a window of 4 GiB".to_owned()))?,
        );
        columns.window_digest.push(digest);
        windows.extend_from_slice(&window);
    }
    Ok(Seek {
        columns: Some(columns),
        windows,
    })
}
