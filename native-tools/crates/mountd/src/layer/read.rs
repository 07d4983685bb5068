//! Reading: from the cache where the chunk is proven, else prove or fetch it first.

use std::ops::Range;
use std::sync::Arc;

use super::claim::Claim;
use super::flight::Flight;
use super::job::Job;
use super::state::Known;
use super::{Layer, REQUEST_BYTES};
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
        let end = offset + length as u64;
        let was_ahead = self.settle_ahead(self.geometry.chunks(offset..end));
        // The warm path: no lock that is waited for, no memory. Still proven after the read means that nobody cut the file before it.
        if self.is_ready(offset, length)
            && self.cache.read(offset, data).is_ok()
            && self.is_ready(offset, length)
        {
            let ahead = self.look_ahead(offset..end, was_ahead);
            self.submit(vec![], ahead);
            return Ok(());
        }
        self.read_within(offset, data, was_ahead)
            .inspect_err(|error| {
                if self.stats.failed(error) {
                    tracing::error!(code = tool_protocol::Coded::code(error), "{error}");
                }
            })
    }

    fn read_within(
        self: &Arc<Self>,
        offset: u64,
        data: &mut [u8],
        was_ahead: bool,
    ) -> Result<(), FetchError> {
        let end = offset + data.len() as u64;
        let chunks = self.geometry.chunks(offset..end);
        let flights = self.gather(&chunks, Some((offset..end, was_ahead)));
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
        let mut stopped = None;
        for _ in 0..3 {
            if let Some(waited) = flight {
                let bytes = match waited.wait() {
                    // It was fetched ahead for a mount that is gone: now it is wanted by who reads here.
                    Err(error) if error.kind == FetchKind::Stopped => {
                        stopped = Some(error);
                        flight = self.gather(&(chunk..chunk + 1), None).pop().flatten();
                        continue;
                    }
                    landed => landed?,
                };
                let start = usize::try_from(offset - self.geometry.chunk(chunk).start)
                    .unwrap_or(usize::MAX);
                let wanted = bytes.get(start..).and_then(|bytes| bytes.get(..part.len()));
                part.copy_from_slice(wanted.unwrap_or_default());
                return Ok(());
            }
            match self.cache.read(offset, part) {
                Ok(()) if self.states.known(chunk) == Known::Proven => return Ok(()),
                Ok(()) => (),
                Err(error) => {
                    self.spoiled(chunk, &error.to_string());
                    self.distrust();
                }
            }
            flight = self.gather(&(chunk..chunk + 1), None).pop().flatten();
        }
        Err(stopped.unwrap_or_else(|| {
            FetchError::new(
                FetchKind::Local,
                format!("chunk {chunk} cannot be read back from the cache"),
            )
        }))
    }

    /// Makes sure that every one of `chunks` is proven (`None`) or on its way, and with them what the next reads will want,
    /// where it is said what is read and whether it was fetched ahead.
    pub(super) fn gather(
        self: &Arc<Self>,
        chunks: &Range<u32>,
        read: Option<(Range<u64>, bool)>,
    ) -> Vec<Option<Arc<Flight>>> {
        let (flights, claims) = {
            let mut table = self.flights();
            let unproven = |chunk: &u32| self.states.known(*chunk) != Known::Proven;
            let mut claims = self.claim(&mut table, chunks.clone().filter(unproven));
            let flights: Vec<_> = chunks
                .clone()
                .map(|chunk| table.get(&chunk).cloned())
                .collect();
            if flights.iter().flatten().count() > claims.len() {
                self.fetcher.promote(self, chunks);
            }
            let is_remote = |claim: &&Claim| !self.is_cached(claim.chunk());
            if let Some(first) = claims.iter().find(is_remote).map(Claim::chunk) {
                // What is decoded on the way is claimed too: a reader that comes for it waits, and fetches nothing twice.
                let missing = self
                    .brought_along(first, chunks)
                    .filter(|chunk| !self.is_cached(*chunk));
                claims.extend(self.claim(&mut table, missing.filter(unproven)));
                claims.sort_by_key(Claim::chunk);
            }
            (flights, claims)
        };
        let (local, remote): (Vec<_>, Vec<_>) = claims
            .into_iter()
            .partition(|claim| self.is_cached(claim.chunk()));
        for claim in &remote {
            self.budget
                .wanted(self.geometry.stored_bytes(claim.chunk()));
        }
        let ahead = read.map_or_else(Vec::new, |(read, was_ahead)| {
            self.look_ahead(read, was_ahead || !remote.is_empty())
        });
        self.submit(remote, ahead);
        let refused = self.prove_all(local);
        for job in self.jobs(refused, REQUEST_BYTES) {
            self.fetcher.submit(job.healing(), false);
        }
        flights
    }

    /// Sends what is wanted, in one request with what is fetched ahead right behind it; the rest ahead goes after it.
    fn submit(self: &Arc<Self>, wanted: Vec<Claim>, ahead: Vec<Claim>) {
        let mut jobs = self.jobs(wanted, REQUEST_BYTES);
        let mut later = vec![];
        for claim in ahead {
            let left = match jobs.last_mut() {
                Some(job) => job.join(claim),
                None => Some(claim),
            };
            later.extend(left);
        }
        for job in jobs {
            self.fetcher.submit(job, false);
        }
        for job in self.jobs(later, REQUEST_BYTES) {
            self.fetcher.submit(job, true);
        }
    }

    /// The chunks that fetching `first` of the `wanted` ones decodes as well: all of a streamed span, those that lie whole
    /// between the starts of spans around what is wanted, none in layers whose spans are chunks.
    pub(super) fn brought_along(&self, first: u32, wanted: &Range<u32>) -> Range<u32> {
        let plan = self.geometry.plan(first..first + 1);
        let is_streamed = |span| self.geometry.is_streamed(span);
        if self.whole.is_some() && plan.spans.into_iter().any(is_streamed) {
            return self.geometry.chunks(plan.plain);
        }
        if self.geometry.is_cut_alike() {
            return 0..0;
        }
        let last = wanted.end.max(first + 1);
        self.geometry
            .whole_chunks(self.geometry.plan(first..last).plain)
    }

    pub(super) fn is_cached(&self, chunk: u32) -> bool {
        self.states.known(chunk) == Known::Unproven || self.cache.is_written(chunk)
    }

    /// Checks chunks that lie in the cache; gives back the claims of those that must be fetched after all.
    fn prove_all(&self, claims: Vec<Claim>) -> Vec<Claim> {
        if claims.is_empty() {
            return claims;
        }
        // They may be there because another login fetched them.
        if let Err(error) = self.source.may_use_cache(&self.blob()) {
            Claim::all_failed(claims, &error);
            return vec![];
        }
        let unproven = claims.into_iter().filter_map(|claim| self.prove(claim));
        unproven.collect()
    }

    /// Checks a chunk that lies in the cache; gives the claim back when it must be fetched after all.
    pub(super) fn prove(&self, claim: Claim) -> Option<Claim> {
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

    pub(super) fn spoiled(&self, chunk: u32, why: &str) {
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

    /// Turns claims (in chunk order) into jobs of neighbours, each of at most so many stored bytes.
    pub(super) fn jobs(self: &Arc<Self>, claims: Vec<Claim>, most_bytes: u64) -> Vec<Job> {
        let mut jobs: Vec<Job> = vec![];
        for claim in claims {
            let left = match jobs.last_mut() {
                Some(job) => job.join(claim),
                None => Some(claim),
            };
            jobs.extend(left.map(|claim| Job::new(self, claim, most_bytes)));
        }
        jobs
    }
}
