//! Layers that are in the cache as a whole.

use std::fs::File;
use std::io;
use std::sync::Arc;

use super::Layer;
use super::state::Known;
use crate::source::FetchError;

/// What the kernel read ahead lies in units that it drops as a whole. They are at most 2 MiB where its huge pages are, and
/// one may have begun before the read.
const FOLIO_BYTES: u64 = 4 << 20;

impl Layer {
    /// Whether the cache has every chunk, proven or not.
    #[must_use]
    pub fn is_written(&self) -> bool {
        self.all(|known| known != Known::Absent)
    }

    /// Whether the cache has every chunk and this process has proven each.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.all(|known| known == Known::Proven)
    }

    /// Proves the first unproven chunk at or behind `from`, one that is damaged by fetching it again. Gives its number;
    /// `None` when there is none.
    ///
    /// # Errors
    /// Why a damaged chunk cannot be had.
    pub fn prove_next(self: &Arc<Self>, from: u32) -> Result<Option<u32>, FetchError> {
        let mut chunks = from..self.geometry.chunk_count();
        let Some(chunk) = chunks.find(|chunk| self.states.known(*chunk) != Known::Proven) else {
            return Ok(None);
        };
        for flight in self.gather(&(chunk..chunk + 1), None).into_iter().flatten() {
            flight.wait()?;
        }
        Ok(Some(chunk))
    }

    /// Takes all chunks for proven. Call it only for a file that is as it was when this process had proven each.
    pub fn take_for_proven(&self) {
        for chunk in 0..self.geometry.chunk_count() {
            self.states.set(chunk, Known::Proven);
        }
    }

    /// The cache file, for reading.
    ///
    /// # Errors
    /// The system's.
    pub fn cache_file(&self) -> io::Result<File> {
        self.cache.open_again()
    }

    /// Seals the cache file for the kernel and gives it. Call it when all is proven.
    ///
    /// # Errors
    /// The system's, when not all of it reaches the disk.
    pub fn seal(&self) -> io::Result<File> {
        let sealed = self.cache.seal()?;
        self.cache.drop_pages(0..self.geometry.plain_bytes());
        Ok(sealed)
    }

    /// The kernel has what was read in pages of its own: it need not keep the cache file's too. Told once a chunk, with its
    /// last byte, because a page that is not written back yet makes the advice slow.
    pub fn was_served(&self, offset: u64, length: usize) {
        let end = offset
            .saturating_add(length as u64)
            .min(self.geometry.plain_bytes());
        if offset >= end {
            return;
        }
        let chunks = self.geometry.chunks(offset..end);
        let mut ends = chunks.map(|chunk| self.geometry.chunk(chunk).end);
        if ends.any(|chunk_end| chunk_end <= end) {
            self.cache
                .drop_pages(offset.saturating_sub(FOLIO_BYTES)..end);
        }
    }

    fn all(&self, is_so: impl Fn(Known) -> bool) -> bool {
        (0..self.geometry.chunk_count()).all(|chunk| is_so(self.states.known(chunk)))
    }
}
