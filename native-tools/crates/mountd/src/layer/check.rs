//! Proving what is cached of a layer in use.

use std::io;
use std::sync::Arc;

use super::Layer;
use super::state::Known;
use crate::cache::Verified;

impl Layer {
    /// Reads every chunk that the map names and checks its digest, also those that were proven before. Damaged ones are
    /// fetched again at once; where that fails the next reader tries.
    ///
    /// # Errors
    /// The system's, when the map cannot be read.
    pub fn verify(self: &Arc<Self>) -> io::Result<Verified> {
        let mut found = Verified::default();
        let mut bytes = vec![];
        for (chunk, is_written) in (0..).zip(self.cache.written()?) {
            if !is_written {
                continue;
            }
            let range = self.geometry.chunk(chunk);
            let length = range.end - range.start;
            bytes.resize(usize::try_from(length).unwrap_or_default(), 0);
            found.chunks += 1;
            found.bytes += length;
            let read = self.cache.read(range.start, &mut bytes);
            if read.is_ok() && self.check(chunk, &bytes).is_ok() {
                continue;
            }
            // Somebody may be writing it: it counts when its reader had a proof, or nobody brings it now.
            let is_coming = self.flights().contains_key(&chunk);
            if is_coming && self.states.known(chunk) != Known::Proven {
                continue;
            }
            found.damaged += 1;
            self.spoiled(chunk, "found by a check of the cache");
            if let Err(error) = self.read(range.start, &mut bytes) {
                tracing::warn!(%error, chunk, "a damaged chunk is not fetched yet");
            }
        }
        Ok(found)
    }
}
