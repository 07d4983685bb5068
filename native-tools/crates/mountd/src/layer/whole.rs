//! Layers that are in the cache as a whole.

use std::fs::File;
use std::io;
use std::sync::Arc;

use super::Layer;
use super::state::Known;
use crate::source::FetchError;

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
        for flight in self.gather(&(chunk..chunk + 1)).into_iter().flatten() {
            flight.wait()?;
        }
        Ok(Some(chunk))
    }

    /// Seals the cache file for the kernel and gives it. Call it when all is proven.
    ///
    /// # Errors
    /// The system's, when not all of it reaches the disk.
    pub fn seal(&self) -> io::Result<File> {
        self.cache.seal()
    }

    fn all(&self, is_so: impl Fn(Known) -> bool) -> bool {
        (0..self.geometry.chunk_count()).all(|chunk| is_so(self.states.known(chunk)))
    }
}
