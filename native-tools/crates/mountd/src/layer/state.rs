//! What this process knows of each chunk.

use std::sync::atomic::{AtomicU8, Ordering};

/// What is known of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// Not here.
    Absent,
    /// The cache says it has it; its digest was not checked since this process started.
    Unproven,
    /// In the cache, digest checked.
    Proven,
}

/// Set on a chunk that was fetched ahead and not read yet.
const AHEAD: u8 = 0x10;
const UNPROVEN: u8 = 1;
const PROVEN: u8 = 2;

/// A byte a chunk, read without a lock on every read.
#[derive(Debug)]
pub(super) struct ChunkStates(Vec<AtomicU8>);

impl ChunkStates {
    pub(super) fn new(written: &[bool]) -> Self {
        Self(
            written
                .iter()
                .map(|written| AtomicU8::new(u8::from(*written) * UNPROVEN))
                .collect(),
        )
    }

    pub(super) fn known(&self, chunk: u32) -> Known {
        // Acquire: who sees "proven" also sees the bytes in the cache.
        match self
            .at(chunk)
            .map_or(0, |state| state.load(Ordering::Acquire))
            & !AHEAD
        {
            PROVEN => Known::Proven,
            UNPROVEN => Known::Unproven,
            _ => Known::Absent,
        }
    }

    /// Whether a read of the chunk needs nothing but the cache file.
    pub(super) fn is_ready(&self, chunk: u32) -> bool {
        self.at(chunk)
            .is_some_and(|state| state.load(Ordering::Acquire) & !AHEAD == PROVEN)
    }

    pub(super) fn set(&self, chunk: u32, known: Known) {
        let value = match known {
            Known::Absent => 0,
            Known::Unproven => UNPROVEN,
            Known::Proven => PROVEN,
        };
        if let Some(state) = self.at(chunk) {
            let _ = state.fetch_update(Ordering::AcqRel, Ordering::Acquire, |old| {
                Some(old & AHEAD | value)
            });
        }
    }

    /// Says that a chunk is fetched ahead.
    pub(super) fn mark_ahead(&self, chunk: u32) {
        if let Some(state) = self.at(chunk) {
            state.fetch_or(AHEAD, Ordering::AcqRel);
        }
    }

    /// Takes the mark off; true for the one that did.
    pub(super) fn take_ahead(&self, chunk: u32) -> bool {
        self.at(chunk).is_some_and(|state| {
            state.load(Ordering::Relaxed) & AHEAD != 0
                && state.fetch_and(!AHEAD, Ordering::AcqRel) & AHEAD != 0
        })
    }

    pub(super) fn proven(&self) -> u64 {
        self.0
            .iter()
            .filter(|state| state.load(Ordering::Relaxed) & !AHEAD == PROVEN)
            .count() as u64
    }

    fn at(&self, chunk: u32) -> Option<&AtomicU8> {
        self.0.get(chunk as usize)
    }
}
