//! Reading: from the cache where the chunk is proven, else prove or fetch it first.

use std::ops::Range;
use std::sync::Arc;

use super::Layer;
use super::claim::Claim;
use super::flight::Flight;
use super::job::Job;
use super::state::Known;
use crate::source::{FetchError, FetchKind};

impl Layer {
    /// Whether a read needs nothing but the cache file.
    #[must_use]
    pub fn is_ready(&self, offset: u64, length: usize) -> bool {
        let end = offset
            .saturating_add(length as u64)
            .min(self.geometry.plain_bytes());
        offset >= end
            || self
                .geometry
                .chunks(offset..end)
                .all(|chunk| self.states.is_ready(chunk))
    }

    /// Fills `buffer` with the plain stream from `offset`; what lies behind its end is zeros. Every byte comes from a
    /// chunk whose digest this process has checked.
    ///
    /// # Errors
    /// Why a chunk cannot be had. The next read tries again.
    pub fn read(self: &Arc<Self>, offset: u64, buffer: &mut [u8]) -> Result<(), FetchError> {
        let left = self.geometry.plain_bytes().saturating_sub(offset);
        let length = buffer
            .len()
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        let (data, behind) = buffer.split_at_mut(length);
        behind.fill(0);
        if data.is_empty() {
            return Ok(());
        }
        self.stats.wanted_bytes.add(length as u64);
        let result = self.read_within(offset, data);
        if let Err(error) = &result {
            if self.stats.failed(error) {
                tracing::error!(code = tool_protocol::Coded::code(error), "{error}");
            }
        }
        result
    }

    fn read_within(self: &Arc<Self>, offset: u64, data: &mut [u8]) -> Result<(), FetchError> {
        let end = offset + data.len() as u64;
        let chunks = self.geometry.chunks(offset..end);
        let flights = self.gather(&chunks);
        let mut rest = data;
        let mut at = offset;
        for (chunk, flight) in chunks.zip(flights) {
            let range = self.geometry.chunk(chunk);
            let length = usize::try_from(range.end.min(end) - at).unwrap_or(usize::MAX);
            let (part, later) = rest.split_at_mut(length);
            self.fill(chunk, flight, at, part)?;
            at = range.end;
            rest = later;
        }
        Ok(())
    }

    /// Fills a part of the buffer from one chunk.
    fn fill(
        self: &Arc<Self>,
        chunk: u32,
        flight: Option<Arc<Flight>>,
        offset: u64,
        part: &mut [u8],
    ) -> Result<(), FetchError> {
        let mut flight = flight;
        for _ in 0..3 {
            if let Some(flight) = flight {
                let bytes = flight.wait()?;
                let start = usize::try_from(offset - self.geometry.chunk(chunk).start)
                    .unwrap_or(usize::MAX);
                let wanted = bytes.get(start..).and_then(|bytes| bytes.get(..part.len()));
                part.copy_from_slice(wanted.unwrap_or_default());
                return Ok(());
            }
            match self.cache.read(offset, part) {
                Ok(()) => return Ok(()),
                Err(error) => self.spoiled(chunk, &error.to_string()),
            }
            flight = self.gather(&(chunk..chunk + 1)).pop().flatten();
        }
        Err(FetchError::new(
            FetchKind::Local,
            format!("chunk {chunk} cannot be read back from the cache"),
        ))
    }

    /// Makes sure that every one of `chunks` is proven (`None`) or on its way.
    fn gather(self: &Arc<Self>, chunks: &Range<u32>) -> Vec<Option<Arc<Flight>>> {
        let mut claims = vec![];
        let flights: Vec<_> = {
            let mut table = self.flights();
            chunks
                .clone()
                .map(|chunk| {
                    if self.states.known(chunk) == Known::Proven {
                        return None;
                    }
                    if let Some(flight) = table.get(&chunk) {
                        return Some(Arc::clone(flight));
                    }
                    let flight = Arc::new(Flight::default());
                    table.insert(chunk, Arc::clone(&flight));
                    claims.push(Claim::new(self, chunk, Arc::clone(&flight)));
                    Some(flight)
                })
                .collect()
        };
        if flights.iter().flatten().count() > claims.len() {
            self.fetcher.promote(self, chunks);
        }
        let (local, remote): (Vec<_>, Vec<_>) = claims
            .into_iter()
            .partition(|claim| self.is_cached(claim.chunk()));
        let missed = remote.first().map(Claim::chunk);
        self.fetch(remote, false);
        let refused = local
            .into_iter()
            .filter_map(|claim| self.prove(claim))
            .collect();
        self.fetch(refused, false);
        self.look_ahead(chunks, missed.is_some());
        flights
    }

    fn is_cached(&self, chunk: u32) -> bool {
        self.states.known(chunk) == Known::Unproven || self.cache.is_written(chunk)
    }

    /// Checks a chunk that lies in the cache; gives the claim back when it must be fetched after all.
    fn prove(&self, claim: Claim) -> Option<Claim> {
        let range = self.geometry.chunk(claim.chunk());
        let mut bytes = vec![0; usize::try_from(range.end - range.start).unwrap_or_default()];
        let read = self
            .cache
            .read(range.start, &mut bytes)
            .map_err(|error| error.to_string());
        match read.and_then(|()| {
            self.check(claim.chunk(), &bytes)
                .map_err(|error| error.message)
        }) {
            Ok(()) => {
                self.stats.cache_hits.add(1);
                claim.proven(bytes, false);
                None
            }
            Err(why) => {
                self.spoiled(claim.chunk(), &why);
                Some(claim)
            }
        }
    }

    fn spoiled(&self, chunk: u32, why: &str) {
        tracing::warn!(
            code = "CACHE_CORRUPT",
            chunk,
            why,
            "a cached chunk is damaged and fetched again"
        );
        self.stats.cache_damaged.add(1);
        self.states.set(chunk, Known::Absent);
        self.cache.forget(chunk);
    }

    /// Moves the read-ahead on when a reader missed or came to a marker.
    fn look_ahead(self: &Arc<Self>, chunks: &Range<u32>, missed: bool) {
        let marker = chunks
            .clone()
            .filter(|chunk| self.states.take_marker(*chunk))
            .last();
        if self.whole.is_some() || self.stats.not_kept.get() > 0 {
            return; // fetched as a whole anyway, or there is nowhere to put it
        }
        let ahead = {
            let mut streams = self
                .ahead
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            match marker {
                Some(marker) => streams.reached(marker),
                None if missed => streams.missed(chunks),
                None => None,
            }
        };
        let Some(ahead) = ahead else { return };
        self.states.mark(ahead.marker);
        let claims = {
            let mut table = self.flights();
            ahead
                .chunks
                .filter(|chunk| {
                    self.states.known(*chunk) == Known::Absent && !table.contains_key(chunk)
                })
                .filter(|chunk| !self.cache.is_written(*chunk))
                .collect::<Vec<_>>()
                .into_iter()
                .map(|chunk| {
                    let flight = Arc::new(Flight::default());
                    table.insert(chunk, Arc::clone(&flight));
                    Claim::new(self, chunk, flight)
                })
                .collect()
        };
        self.fetch(claims, true);
    }

    /// Hands claims (in chunk order) to the fetcher, as jobs of neighbours.
    fn fetch(self: &Arc<Self>, claims: Vec<Claim>, ahead: bool) {
        let mut jobs: Vec<Job> = vec![];
        for claim in claims {
            let claim = match jobs.last_mut() {
                Some(job) => match job.join(claim) {
                    None => continue,
                    Some(claim) => claim,
                },
                None => claim,
            };
            jobs.push(Job::new(self, claim));
        }
        for job in jobs {
            self.fetcher.submit(job.widened(), ahead);
        }
    }
}
