//! What others ask of a layer besides reading: how far a chunk is, and to bring chunks before anybody reads them.

use std::ops::Range;
use std::sync::Arc;

use super::Layer;
use super::claim::Claim;
use super::flight::Flight;
use super::state::Known;

/// How far the chunks of a read are when it comes; the farthest of them counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// Proven in the cache: nothing but a copy.
    Ready,
    /// In the cache; the digest has to be checked.
    Cached,
    /// On its way already.
    Coming,
    /// Fetched because of this read.
    Missing,
}

impl Tier {
    /// All of them, nearest first.
    pub const ALL: [Self; 4] = [Self::Ready, Self::Cached, Self::Coming, Self::Missing];

    /// Its name in traces and in `stat`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Cached => "cached",
            Self::Coming => "coming",
            Self::Missing => "missing",
        }
    }
}

/// Chunks that are being brought.
#[derive(Debug, Default)]
pub struct Coming(Vec<Arc<Flight>>);

impl Coming {
    /// How many chunks.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there was nothing to bring.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Waits until all are there or failed. Fetches have deadlines, so this ends.
    pub fn wait(self) {
        for flight in self.0 {
            // Whoever reads the chunk tries again and says why it cannot be had.
            let _ = flight.wait();
        }
    }
}

impl Layer {
    /// The chunks of a stretch of the plain stream.
    #[must_use]
    pub fn chunks_of(&self, offset: u64, length: usize) -> Range<u32> {
        let end = offset
            .saturating_add(length as u64)
            .min(self.geometry.plain_bytes());
        if offset >= end {
            return 0..0;
        }
        self.geometry.chunks(offset..end)
    }

    /// How far chunks are.
    #[must_use]
    pub fn tier(&self, chunks: Range<u32>) -> Tier {
        if chunks.clone().all(|chunk| self.states.is_ready(chunk)) {
            return Tier::Ready;
        }
        let flights = self.flights();
        let of_chunk = |chunk: u32| match self.states.known(chunk) {
            Known::Proven => Tier::Ready,
            _ if flights.contains_key(&chunk) => Tier::Coming,
            _ if self.is_cached(chunk) => Tier::Cached,
            _ => Tier::Missing,
        };
        chunks.map(of_chunk).max().unwrap_or(Tier::Ready)
    }

    /// Has those of `chunks` (in ascending order) fetched that are neither here nor on their way, behind everything that
    /// somebody waits for. What is decoded on the way to one comes with it.
    pub fn fetch_ahead(self: &Arc<Self>, chunks: &[u32]) -> Coming {
        if self.stats.not_kept.get() > 0 {
            return Coming::default(); // there is nowhere to put them
        }
        let mut claims: Vec<Claim> = vec![];
        let flights = {
            let mut table = self.flights();
            let is_missing =
                |chunk: &u32| self.states.known(*chunk) == Known::Absent && !self.is_cached(*chunk);
            for chunk in chunks.iter().copied().filter(is_missing) {
                let along = self.brought_along(chunk, &(chunk..chunk + 1));
                let wanted = [chunk].into_iter().chain(along.filter(is_missing));
                claims.extend(self.claim(&mut table, wanted));
            }
            claims.sort_by_key(Claim::chunk);
            let flight = |claim: &Claim| table.get(&claim.chunk()).cloned();
            claims.iter().filter_map(flight).collect()
        };
        for job in self.jobs(claims) {
            self.fetcher.submit(job, true);
        }
        Coming(flights)
    }
}
