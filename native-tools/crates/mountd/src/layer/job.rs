//! One request's worth of chunks.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Read};
use std::ops::{ControlFlow, Range};
use std::sync::{Arc, Weak};
use std::time::Instant;

use archive_format::digest::{Sha256, oci};

use super::assemble::Assembler;
use super::claim::Claim;
use super::decode::{STREAM_BUFFER, decode};
use super::flight::Flight;
use super::loose_ends::Ends;
use super::state::Known;
use super::{Layer, Plan};
use crate::limit::Inside;
use crate::link::Carrying;
use crate::source::{FetchError, FetchKind};

/// How often bytes that are not what they should be are fetched again.
const DAMAGED_TRIES: u32 = 3;

/// Spans of one layer that a job reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reading {
    layer: usize,
    spans: Range<usize>,
}

impl Reading {
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.layer == other.layer
            && self.spans.start < other.spans.end
            && other.spans.start < self.spans.end
    }
}

/// Claims on chunks of one layer, in chunk order, that are fetched together.
#[derive(Debug)]
pub(super) struct Job {
    layer: Arc<Layer>,
    claims: VecDeque<Claim>,
    /// Stored bytes that it may grow to.
    most_bytes: u64,
    inside: Option<Inside>,
}

impl Job {
    /// `most_bytes`: stored bytes that it may grow to; a single claim may take more.
    pub(super) fn new(layer: &Arc<Layer>, claim: Claim, most_bytes: u64) -> Self {
        Self {
            layer: Arc::clone(layer),
            claims: VecDeque::from([claim]),
            most_bytes,
            inside: None,
        }
    }

    /// First to behind the last chunk.
    pub(super) fn chunks(&self) -> Range<u32> {
        let first = self.claims.front().map_or(0, Claim::chunk);
        first..self.claims.back().map_or(first, |claim| claim.chunk() + 1)
    }

    /// Goes in at the gate of its source; false while too many are in there.
    pub(super) fn enter(&mut self) -> bool {
        if self.inside.is_some() {
            return true;
        }
        let Some(gate) = self.layer.source.gate() else {
            return true;
        };
        self.inside = gate.enter(self.memory_bytes());
        self.inside.is_some()
    }

    /// What decoding takes at a time: a span, stored and plain.
    pub(super) fn memory_bytes(&self) -> u64 {
        let geometry = &self.layer.geometry;
        let spans = self.plan().spans.map(|span| {
            if geometry.is_streamed(span) || geometry.has_points() {
                return STREAM_BUFFER as u64 * 2;
            }
            let (stored, plain) = geometry.span(span);
            stored.saturating_add(plain)
        });
        spans.max().unwrap_or_default()
    }

    pub(super) fn is_of(&self, layer: &Arc<Layer>) -> bool {
        Arc::ptr_eq(&self.layer, layer)
    }

    /// Whether a flight ends with it.
    pub(super) fn is_for(&self, flight: &Weak<Flight>) -> bool {
        self.claims.iter().any(|claim| claim.is_for(flight))
    }

    /// Ends with nothing brought. `table` is the layer's.
    pub(super) fn withdraw(self, table: &mut HashMap<u32, Arc<Flight>>) {
        for claim in self.claims {
            claim.withdraw(table);
        }
    }

    fn plan(&self) -> Plan {
        self.layer.geometry.plan(self.chunks())
    }

    /// The spans it reads when nothing is kept of them.
    pub(super) fn reading(&self) -> Reading {
        Reading {
            layer: Arc::as_ptr(&self.layer).addr(),
            spans: self.plan().spans,
        }
    }

    /// Keeps the first chunk and gives the others, if there are any.
    pub(super) fn split_first(&mut self) -> Option<Self> {
        if self.claims.len() < 2 || self.inside.is_some() || self.is_streamed() {
            return None;
        }
        Some(Self {
            layer: Arc::clone(&self.layer),
            claims: self.claims.split_off(1),
            most_bytes: self.most_bytes,
            inside: None,
        })
    }

    fn is_streamed(&self) -> bool {
        self.plan()
            .spans
            .into_iter()
            .any(|span| self.layer.geometry.is_streamed(span))
    }

    /// Takes a claim on a later chunk, if one request may hold both or one stream passes both; else gives it back.
    pub(super) fn join(&mut self, claim: Claim) -> Option<Claim> {
        let fits = if self.is_streamed() {
            let geometry = &self.layer.geometry;
            geometry.plan(claim.chunk()..claim.chunk() + 1).plain.start < self.plan().plain.end
        } else {
            self.passes(claim.chunk())
                || claim.chunk() == self.chunks().end && self.may_reach(claim.chunk() + 1)
        };
        // What lies before it is a request of its own: claims end in the order in which chunks come.
        if fits && claim.chunk() >= self.chunks().end {
            self.claims.push_back(claim);
            return None;
        }
        Some(claim)
    }

    /// Whether `later` goes on where this job ends and one request may hold both.
    pub(super) fn may_absorb(&self, later: &Self) -> bool {
        let chunks = later.chunks();
        later.is_of(&self.layer)
            && (chunks.start == self.chunks().end && self.may_reach(chunks.end)
                || chunks.start >= self.chunks().end && self.passes(chunks.end - 1))
    }

    /// Whether it decodes a later chunk on its way.
    fn passes(&self, chunk: u32) -> bool {
        let plan = self.layer.geometry.plan(chunk..chunk + 1);
        !self.is_streamed() && plan.spans.end <= self.plan().spans.end
    }

    /// Whether its mount has the memory for `later` too.
    pub(super) fn has_memory_for(&self, later: &Self) -> bool {
        let inside = self.inside.as_ref();
        inside.is_none_or(|inside| inside.may_hold(later.memory_bytes()))
    }

    pub(super) fn absorb(&mut self, mut later: Self) {
        self.claims.append(&mut later.claims);
        let bytes = self.memory_bytes();
        if let Some(inside) = &mut self.inside {
            inside.hold(bytes);
        }
    }

    fn may_reach(&self, end: u32) -> bool {
        let plan = self.layer.geometry.plan(self.chunks().start..end);
        plan.stored.end - plan.stored.start <= self.most_bytes
            && !plan
                .spans
                .into_iter()
                .any(|span| self.layer.geometry.is_streamed(span))
    }

    /// A stream that runs again because a cached chunk was damaged heals all that is not proven on its way.
    pub(super) fn healing(mut self) -> Self {
        if self.is_streamed() {
            let layer = Arc::clone(&self.layer);
            let mut table = layer.flights();
            let unproven = |chunk: &u32| layer.states.known(*chunk) != Known::Proven;
            let all = layer.geometry.chunks(self.plan().plain);
            self.claims
                .extend(layer.claim(&mut table, all.filter(unproven)));
            drop(table);
            self.claims.make_contiguous().sort_by_key(Claim::chunk);
        }
        self
    }

    /// Brings the chunks. Every claim ends here.
    pub(super) fn run(mut self) {
        self.settle();
        let mut tries = 0;
        let mut at = None;
        while let Some(first) = self.claims.front().map(Claim::chunk) {
            tries = if at == Some(first) { tries + 1 } else { 1 };
            at = Some(first);
            let Err(error) = self.attempt() else { continue };
            if error.kind != FetchKind::Damaged {
                self.fail(None, &error);
                continue;
            }
            self.layer.source.damaged(&self.layer.blob());
            if tries >= DAMAGED_TRIES {
                // The rest may be good: only what the broken span holds is given up.
                let broken = self.layer.geometry.plan(first..first + 1).plain.end;
                self.fail(Some(broken), &error);
            } else {
                tracing::warn!(chunk = first, %error, "fetched bytes are damaged; fetching them again");
                self.layer.stats.retries.add(1);
            }
        }
    }

    /// Ends the claims on chunks that came with others while this job stood in the queue.
    fn settle(&mut self) {
        let layer = Arc::clone(&self.layer);
        let is_here = |claim: &Claim| layer.states.known(claim.chunk()) == Known::Proven;
        for claim in std::mem::take(&mut self.claims) {
            let left = if is_here(&claim) {
                layer.prove(claim)
            } else {
                Some(claim)
            };
            self.claims.extend(left);
        }
    }

    /// What is known already of its first and of its last chunk, and the plan for what is not.
    fn plan_between(&self) -> (Plan, Ends) {
        let (layer, chunks) = (&self.layer, self.chunks());
        let (first, last) = (chunks.start, chunks.end.saturating_sub(1));
        if layer.geometry.is_cut_alike() || self.is_streamed() {
            return (self.plan(), Ends::default());
        }
        let mut ends = layer.loose_ends.take(first);
        if last > first {
            ends.back = layer.loose_ends.take(last).back;
        }
        let start = layer.geometry.chunk(first).start + ends.front.len() as u64;
        let end = layer
            .geometry
            .chunk(last)
            .end
            .saturating_sub(ends.back.len() as u64);
        if start >= end {
            return (self.plan(), Ends::default());
        }
        (layer.geometry.plan_of_bytes(start..end), ends)
    }

    fn fail(&mut self, end: Option<u64>, error: &FetchError) {
        let geometry = &self.layer.geometry;
        let concerned =
            |claim: &Claim| end.is_none_or(|end| geometry.chunk(claim.chunk()).start < end);
        let count = self.claims.partition_point(concerned);
        Claim::all_failed(self.claims.drain(..count).collect(), error);
    }

    fn attempt(&mut self) -> Result<(), FetchError> {
        let layer = Arc::clone(&self.layer);
        let (plan, mut ends) = self.plan_between();
        let start = plan.plain.start;
        let (plan, window) = layer.enter(plan);
        if plan.plain.start < start {
            ends.front.clear(); // its bytes come again
        }
        let streamed = self.is_streamed();
        let whole = streamed && plan.plain == (0..layer.geometry.plain_bytes());
        let range = if whole {
            0..layer.table.blob_bytes
        } else {
            plan.stored.clone()
        };
        let asked = Instant::now();
        let opened = Arc::clone(&layer.source).open(&layer.blob(), range)?;
        let link = layer.source.link();
        let mut body = Counted {
            body: opened,
            carrying: link.map(|link| link.answered(asked.elapsed())),
            layer: &layer,
            hasher: None,
        };
        if whole {
            body.hasher = Some(Sha256::new());
            let skipped = io::copy(&mut (&mut body).take(plan.stored.start), &mut io::sink());
            skipped.map_err(|error| FetchError::from_io(&error, "read the start of the blob"))?;
        }
        let claims = &mut self.claims;
        let mut deliver = |chunk: u32, bytes: Vec<u8>| {
            layer.deliver(claims, chunk, bytes)?;
            let enough = streamed && !whole && claims.is_empty();
            Ok(if enough {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            })
        };
        let start = plan.plain.start.saturating_sub(ends.front.len() as u64);
        let mut chunks = Assembler::new(&layer.geometry, start, &mut deliver);
        let _ = chunks.feed(&ends.front)?; // less than a chunk
        let ended = decode(
            &layer.geometry,
            layer.table.codec,
            &plan,
            &window,
            &mut body,
            &mut chunks,
        )?;
        if ended {
            let _ = chunks.feed(&ends.back)?; // nothing is wanted behind it
        }
        if ended && !streamed {
            layer.tie(chunks.ends());
        }
        if whole && ended {
            body.check_blob();
        }
        if self.claims.is_empty() {
            Ok(())
        } else {
            Err(FetchError::damaged("the blob ends before the chunk"))
        }
    }
}

impl Layer {
    /// Takes a decoded chunk: ends its claim, or keeps it if it was passed by the way and is missing.
    fn deliver(
        &self,
        claims: &mut VecDeque<Claim>,
        chunk: u32,
        bytes: Vec<u8>,
    ) -> Result<(), FetchError> {
        if claims.front().is_some_and(|claim| claim.chunk() == chunk) {
            self.check(chunk, &bytes)?;
            self.stats.chunks_verified.add(1);
            if let Some(claim) = claims.pop_front() {
                claim.proven(bytes, true);
            }
        } else {
            self.pass(chunk, &bytes);
        }
        Ok(())
    }

    /// Keeps a chunk that nobody waits for, when it is missing and right.
    fn pass(&self, chunk: u32, bytes: &[u8]) {
        if self.states.known(chunk) == Known::Absent && self.check(chunk, bytes).is_ok() {
            self.stats.chunks_verified.add(1);
            self.keep(chunk, bytes);
        }
    }

    /// Keeps parts of chunks until the other part comes, and the chunks that are whole now.
    fn tie(&self, ends: Vec<(u32, Ends)>) {
        for (chunk, ends) in ends {
            if self.states.known(chunk) != Known::Absent || self.is_cached(chunk) {
                continue;
            }
            let range = self.geometry.chunk(chunk);
            let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
            if let Some(whole) = self.loose_ends.add(chunk, ends, length) {
                self.pass(chunk, &whole);
            }
        }
    }
}

/// Counts the bytes of a body, and hashes them when they are the whole blob.
struct Counted<'a> {
    body: Box<dyn Read + Send + 'a>,
    carrying: Option<Carrying>,
    layer: &'a Layer,
    hasher: Option<Sha256>,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let asked = Instant::now();
        let length = self.body.read(buffer)?;
        self.layer.fetched_bytes.add(length as u64);
        if let Some(carrying) = &mut self.carrying {
            carrying.passed(length as u64, asked.elapsed());
        }
        self.layer.fetcher.bandwidth().pass(length as u64);
        if let Some(hasher) = &mut self.hasher {
            hasher.update(buffer.get(..length).unwrap_or_default());
        }
        Ok(length)
    }
}

impl Counted<'_> {
    /// Reads what is left and says so when the blob is not the one its descriptor names. Its chunks were proven one by
    /// one, so readers have good data all the same.
    fn check_blob(mut self) {
        if let Err(error) = io::copy(&mut self, &mut io::sink()) {
            tracing::warn!(%error, "the end of the blob cannot be read");
            return;
        }
        let wanted = self.layer.table.digest;
        if self.hasher.take().map(Sha256::finish) != Some(wanted) {
            let error =
                FetchError::damaged(format!("the blob {} has another digest", oci(&wanted)));
            if self.layer.stats.failed(&error) {
                tracing::error!(code = "BLOB_MISMATCH", "{error}");
            }
        }
    }
}
