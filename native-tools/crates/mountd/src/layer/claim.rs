//! The duty to bring a chunk.

use std::sync::Arc;

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
    /// Of a flight that was just put into the layer's table of flights.
    pub(super) fn new(layer: &Arc<Layer>, chunk: u32, flight: Arc<Flight>) -> Self {
        Self {
            layer: Arc::clone(layer),
            chunk,
            flight,
            ended: false,
        }
    }

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

    /// Ends with the reason why there are no bytes.
    pub(super) fn failed(mut self, error: FetchError) {
        self.end(Err(error));
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
    /// Keeps a proven chunk. A disk that is full or failing costs the copy, not the reader.
    pub(super) fn keep(&self, chunk: u32, bytes: &[u8]) {
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
