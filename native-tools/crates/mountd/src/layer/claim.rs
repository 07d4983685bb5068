//! The duty to bring a chunk.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Weak};

use super::Layer;
use super::flight::{Flight, Landed};
use super::state::Known;
use crate::source::{FetchError, FetchKind};

/// Exactly one claim exists for a chunk that is in flight. Whoever waits for the chunk is answered when the claim ends,
/// and it always ends: a claim that is dropped ends with an error.
#[derive(Debug)]
pub(super) struct Claim {
    layer: Arc<Layer>,
    chunk: u32,
    flight: Arc<Flight>,
    ended: bool,
}

impl Claim {
    pub(super) fn chunk(&self) -> u32 {
        self.chunk
    }

    /// Ends with bytes whose digest was checked; keeps them in the cache where that is possible.
    pub(super) fn proven(mut self, bytes: Vec<u8>, keep: bool) {
        if keep {
            self.layer.keep(self.chunk, &bytes);
        } else {
            self.layer.states.set(self.chunk, Known::Proven);
        }
        self.end(Ok(Arc::new(bytes)));
    }

    /// Ends claims of one layer with the reason why there are no bytes. None is in flight any more when the first reader
    /// hears of it, so that whoever asks again starts afresh.
    pub(super) fn all_failed(claims: Vec<Self>, error: &FetchError) {
        if let Some(first) = claims.first() {
            let mut table = first.layer.flights();
            for claim in &claims {
                table.remove(&claim.chunk);
            }
        }
        for mut claim in claims {
            claim.ended = true;
            claim.flight.land(Err(error.clone()));
        }
    }

    pub(super) fn is_for(&self, flight: &Weak<Flight>) -> bool {
        std::ptr::eq(Arc::as_ptr(&self.flight), flight.as_ptr())
    }

    /// Ends with no bytes, because nobody wants them any more. `table` is the layer's.
    pub(super) fn withdraw(mut self, table: &mut HashMap<u32, Arc<Flight>>) {
        self.ended = true;
        table.remove(&self.chunk);
        let why = "what was fetched ahead is not wanted any more";
        self.flight
            .land(Err(FetchError::new(FetchKind::Stopped, why)));
    }

    fn end(&mut self, landed: Landed) {
        self.ended = true;
        // The state is settled before the flight leaves the table, so that nobody finds neither.
        self.layer.flights().remove(&self.chunk);
        self.flight.land(landed);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.ended {
            self.end(Err(FetchError::new(
                FetchKind::Stopped,
                "the mount is being taken down",
            )));
        }
    }
}

impl Layer {
    /// Claims those of `chunks` that are not in flight.
    pub(super) fn claim(
        self: &Arc<Self>,
        flights: &mut HashMap<u32, Arc<Flight>>,
        chunks: impl Iterator<Item = u32>,
    ) -> Vec<Claim> {
        let mut claims = vec![];
        for chunk in chunks {
            if let Entry::Vacant(place) = flights.entry(chunk) {
                let flight = Arc::clone(place.insert(Arc::default()));
                claims.push(Claim {
                    layer: Arc::clone(self),
                    chunk,
                    flight,
                    ended: false,
                });
            }
        }
        claims
    }

    /// Somebody cut the cache file under us: nothing in it counts as proven any more.
    pub(super) fn distrust(&self) {
        tracing::warn!(
            code = "CACHE_CORRUPT",
            "a cache file was cut while in use; all of it is proven anew"
        );
        for chunk in 0..self.geometry.chunk_count() {
            if self.states.known(chunk) == Known::Proven {
                self.states.set(chunk, Known::Unproven);
            }
        }
        self.cache.restore_length();
    }

    /// Keeps a proven chunk. A disk that is full or failing costs the copy, not the reader.
    pub(super) fn keep(&self, chunk: u32, bytes: &[u8]) {
        if self.cache.is_cut() {
            self.distrust();
        }
        match self
            .cache
            .keep(chunk, self.geometry.chunk(chunk).start, bytes)
        {
            Ok(()) => self.states.set(chunk, Known::Proven),
            Err(error) => {
                if self.stats.not_kept.get() == 0 {
                    tracing::warn!(%error, chunk, "the cache takes no more; data is served without being kept");
                }
                self.stats.not_kept.add(1);
            }
        }
    }
}
