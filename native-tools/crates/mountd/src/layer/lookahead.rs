//! From what a reader will probably read to chunks that are fetched before it does.

use std::ops::Range;
use std::sync::{Arc, TryLockError};

use super::Layer;
use super::budget::Budget;
use super::claim::Claim;
use super::geometry::Geometry;
use super::state::Known;

/// The chunks of a window that are worth a request now. While half of the window is there, none is: later it is one
/// longer request.
pub(super) fn chunks_of(
    window: &Range<u64>,
    geometry: &Geometry,
    budget: &Budget,
    is_missing: impl Fn(u32) -> bool,
) -> Vec<u32> {
    let end = window.end.min(geometry.plain_bytes());
    if window.start >= end {
        return vec![];
    }
    let middle = window.start + (end - window.start) / 2;
    let mut missing = geometry
        .chunks(window.start..end)
        .filter(|chunk| is_missing(*chunk))
        .peekable();
    if missing
        .peek()
        .is_none_or(|chunk| geometry.chunk(*chunk).start > middle)
    {
        return vec![];
    }
    missing
        .take_while(|chunk| budget.take(geometry.stored_bytes(*chunk)))
        .collect()
}

impl Layer {
    /// Takes note of a read of the plain stream; gives claims on what to fetch ahead of the next ones.
    pub(super) fn look_ahead(self: &Arc<Self>, read: Range<u64>) -> Vec<Claim> {
        if self.whole.is_some() || self.stats.not_kept.get() > 0 {
            return vec![]; // fetched as a whole anyway, or there is nowhere to put it
        }
        // Never waits: of readers that come at one moment the others go unnoticed.
        let windows = match self.ahead.try_lock() {
            Ok(mut ahead) => ahead.read(read),
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner().read(read),
            Err(TryLockError::WouldBlock) => return vec![],
        };
        if windows.is_empty() {
            return vec![];
        }
        let mut table = self.flights();
        let mut chunks = vec![];
        for window in windows {
            let is_missing = |chunk: u32| {
                self.states.known(chunk) == Known::Absent
                    && !table.contains_key(&chunk)
                    && !chunks.contains(&chunk)
                    && !self.cache.is_written(chunk)
            };
            let found = chunks_of(&window, &self.geometry, &self.budget, is_missing);
            chunks.extend(found);
        }
        chunks.sort_unstable();
        for chunk in &chunks {
            self.states.mark_ahead(*chunk);
        }
        let mut claims = self.claim(&mut table, chunks.iter().copied());
        // What is decoded on the way is claimed too, so that nobody fetches it beside this.
        for chunk in chunks {
            let along = self.brought_along(chunk, &(chunk..chunk + 1));
            let missing = along.filter(|chunk| {
                self.states.known(*chunk) == Known::Absent && !self.cache.is_written(*chunk)
            });
            claims.extend(self.claim(&mut table, missing));
        }
        claims.sort_by_key(Claim::chunk);
        claims
    }

    /// Somebody reads these chunks: what was fetched ahead of it was not fetched for nothing.
    pub(super) fn settle_ahead(&self, chunks: Range<u32>) {
        for chunk in chunks {
            if self.states.take_ahead(chunk) {
                self.budget.used(self.geometry.stored_bytes(chunk));
            }
        }
    }
}
