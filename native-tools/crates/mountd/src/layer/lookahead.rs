//! From what a reader will probably read to chunks that are fetched before it does.

use std::ops::Range;
use std::sync::{Arc, TryLockError};

use super::Layer;
use super::claim::Claim;
use super::geometry::Geometry;
use super::nearby::chunks_around;
use super::state::Known;

/// The chunks of a window that are worth a request now, as far as `take` allows their bytes. While half of the window is
/// there, none is: later it is one longer request.
pub(super) fn chunks_of(
    window: &Range<u64>,
    geometry: &Geometry,
    take: impl Fn(u64) -> bool,
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
        .take_while(|chunk| take(geometry.stored_bytes(*chunk)))
        .collect()
}

impl Layer {
    /// Takes note of a read of the plain stream; gives claims on what to fetch ahead of the next ones. What lies around it
    /// is looked at where the read is the first one of a chunk (`is_first`).
    pub(super) fn look_ahead(self: &Arc<Self>, read: Range<u64>, is_first: bool) -> Vec<Claim> {
        if self.whole.is_some() || self.stats.not_kept.get() > 0 {
            return vec![]; // fetched as a whole anyway, or there is nowhere to put it
        }
        // Never waits: of readers that come at one moment the others go unnoticed.
        let windows = match self.ahead.try_lock() {
            Ok(mut ahead) => ahead.read(read.clone()),
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner().read(read.clone()),
            Err(TryLockError::WouldBlock) => return vec![],
        };
        let link = if is_first { self.source.link() } else { None };
        let wait_bytes = link.map_or(0, |link| link.wait_bytes());
        let looks_around = self.budget.spends_on_waits(wait_bytes);
        if windows.is_empty() && !looks_around {
            return vec![];
        }
        let take = |bytes| self.budget.take(bytes, wait_bytes);
        let mut table = self.flights();
        let mut chunks: Vec<u32> = vec![];
        let is_absent = |chunk: u32| {
            self.states.known(chunk) == Known::Absent
                && !table.contains_key(&chunk)
                && !self.cache.is_written(chunk)
        };
        for window in windows {
            let is_missing = |chunk: u32| is_absent(chunk) && !chunks.contains(&chunk);
            let found = chunks_of(&window, &self.geometry, take, is_missing);
            chunks.extend(found);
        }
        if looks_around {
            let read = self.geometry.chunks(read);
            let is_missing = |chunk: u32| is_absent(chunk) && !chunks.contains(&chunk);
            let found = chunks_around(&read, wait_bytes, &self.geometry, take, is_missing);
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

    /// Somebody reads these chunks: what was fetched ahead of it was not fetched for nothing. True when there was any.
    pub(super) fn settle_ahead(&self, chunks: Range<u32>) -> bool {
        let mut any = false;
        for chunk in chunks {
            if self.states.take_ahead(chunk) {
                self.budget.used(self.geometry.stored_bytes(chunk));
                any = true;
            }
        }
        any
    }
}
