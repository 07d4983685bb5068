//! What others ask of a layer besides reading: how far a chunk is, and to bring chunks before anybody reads them.

use std::ops::Range;
use std::sync::{Arc, Weak};

use super::claim::Claim;
use super::flight::Flight;
use super::job::Job;
use super::state::Known;
use super::{Layer, PROFILE_REQUEST_BYTES};

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

/// Chunks of a layer that are being brought. Their bytes are not held for it: a chunk that has landed is gone from here.
#[derive(Debug, Default, Clone)]
pub struct Coming {
    layer: Option<Arc<Layer>>,
    flights: Vec<Weak<Flight>>,
}

impl Coming {
    /// How many chunks.
    #[must_use]
    pub fn len(&self) -> usize {
        self.flights.len()
    }

    /// How many of them are on their way still.
    #[must_use]
    pub fn left(&self) -> usize {
        let flying = |flight: &&Weak<Flight>| flight.strong_count() > 0;
        self.flights.iter().filter(flying).count()
    }

    /// Whether there was nothing to bring.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.flights.is_empty()
    }

    /// Lets go of those that only stand in the queue: they are not brought. Whoever came to wait for one has it fetched afresh.
    pub fn withdraw(&self) {
        let Some(layer) = &self.layer else { return };
        // No reader finds a flight between its leaving the queue and its leaving the table.
        let mut table = layer.flights();
        let is_ours = |job: &Job| self.flights.iter().any(|flight| job.is_for(flight));
        for job in layer.fetcher.withdraw(is_ours) {
            job.withdraw(&mut table);
        }
    }

    /// Waits until all are there, failed or withdrawn. Fetches have deadlines, so this ends.
    pub fn wait(self) {
        for flight in self.flights.iter().filter_map(Weak::upgrade) {
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
            let flight = |claim: &Claim| table.get(&claim.chunk()).map(Arc::downgrade);
            claims.iter().filter_map(flight).collect()
        };
        for job in self.jobs(claims, PROFILE_REQUEST_BYTES) {
            self.fetcher.submit(job, true);
        }
        Coming {
            layer: Some(Arc::clone(self)),
            flights,
        }
    }
}
