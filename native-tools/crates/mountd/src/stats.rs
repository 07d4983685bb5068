//! What was done so far: counters on the hot paths, added up when somebody asks.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tool_protocol::Coded;

use crate::answers::{AnswerCounts, Answers, combined};
use crate::source::FetchError;

/// Failures kept for `stat`; older ones are in the log.
const KEPT_FAILURES: usize = 16;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds.
    pub fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    /// The number now.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counters of one layer, or of one source.
#[derive(Debug, Default)]
pub struct Stats {
    /// Plain bytes that readers asked for.
    pub wanted_bytes: Counter,
    /// Bytes of response bodies with layer data.
    pub fetched_bytes: Counter,
    /// Requests for layer data that were answered with any.
    pub requests: Counter,
    /// Requests sent again or resumed.
    pub retries: Counter,
    /// Chunks whose digest was found right after a fetch.
    pub chunks_verified: Counter,
    /// Chunks that were found in the cache and proven.
    pub cache_hits: Counter,
    /// Cached chunks that were not what they should be; they were fetched again.
    pub cache_damaged: Counter,
    /// Chunks that were served but could not be kept.
    pub not_kept: Counter,
    /// How servers answered.
    pub answers: Answers,
    failures: Mutex<VecDeque<Failure>>,
    errors: Mutex<BTreeMap<&'static str, u64>>,
}

/// A failure that a reader saw.
#[derive(Debug, Clone)]
pub struct Failure {
    /// A key of `ERROR_CODES`.
    pub code: &'static str,
    /// What happened to what.
    pub message: String,
    /// How often.
    pub count: u64,
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// As in [`Stats`], and so on.
    pub wanted_bytes: u64,
    /// Bytes of response bodies.
    pub fetched_bytes: u64,
    /// Requests answered.
    pub requests: u64,
    /// Requests repeated.
    pub retries: u64,
    /// Chunks proven after a fetch.
    pub chunks_verified: u64,
    /// Chunks found in the cache.
    pub cache_hits: u64,
    /// Chunks found damaged there.
    pub cache_damaged: u64,
    /// Chunks not kept.
    pub not_kept: u64,
    /// How servers answered.
    pub answers: AnswerCounts,
}

impl Totals {
    /// What was added since an earlier moment.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        self.with(earlier, u64::saturating_sub)
    }

    /// The sum of two.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        self.with(other, u64::saturating_add)
    }

    fn with(self, other: Self, combine: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            wanted_bytes: combine(self.wanted_bytes, other.wanted_bytes),
            fetched_bytes: combine(self.fetched_bytes, other.fetched_bytes),
            requests: combine(self.requests, other.requests),
            retries: combine(self.retries, other.retries),
            chunks_verified: combine(self.chunks_verified, other.chunks_verified),
            cache_hits: combine(self.cache_hits, other.cache_hits),
            cache_damaged: combine(self.cache_damaged, other.cache_damaged),
            not_kept: combine(self.not_kept, other.not_kept),
            answers: combined(self.answers, other.answers, combine),
        }
    }
}

/// One layer in the document.
#[derive(Debug, Clone)]
pub struct LayerStat {
    /// `sha256:…` of the plain stream.
    pub diff_id: String,
    /// `sha256:…` of the blob.
    pub digest: String,
    /// How it is read.
    pub mode: Mode,
    /// Why it is not read lazily.
    pub reason: Option<String>,
    /// Length of the plain stream.
    pub plain_bytes: u64,
    /// Bytes of its blob fetched so far.
    pub fetched_bytes: u64,
    /// Number of chunks.
    pub chunks: u64,
    /// Chunks proven by this process.
    pub proven: u64,
}

/// How a layer is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// In parts, as they are wanted.
    Lazy,
    /// As a whole when first touched.
    Whole,
    /// All of it is cached and proven.
    Complete,
    /// From a local file that the kernel reads by itself.
    Local,
}

impl Mode {
    /// Its name in `stat`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Lazy => "lazy",
            Self::Whole => "whole",
            Self::Complete => "complete",
            Self::Local => "local",
        }
    }
}

/// What a mount did so far.
#[derive(Debug, Clone)]
pub struct Report {
    /// The counters.
    pub totals: Totals,
    /// Reads that the kernel sent.
    pub kernel_requests: u64,
    /// What the kernel asked at the mount's connection; engine erofs has one for all mounts of the node.
    pub requests_by_kind: BTreeMap<String, u64>,
    /// The last failures that readers saw.
    pub failures: Vec<Failure>,
    /// Its layers in device order, and how many mounts have each.
    pub layers: Vec<(LayerStat, usize)>,
    /// How its reads were answered.
    pub reads: Reads,
    /// What was fetched ahead by a profile, where there was one.
    pub replay: Option<ReplayReport>,
}

/// How the reads of a mount were answered.
#[derive(Debug, Clone, Default)]
pub struct Reads {
    /// Tier, reads, plain bytes.
    pub tiers: Vec<(&'static str, u64, u64)>,
    /// Reads that were not ready, by how long they took: behind each upper bound in microseconds how many; the last one
    /// has none.
    pub waits: Vec<(Option<u64>, u64)>,
    /// Sum of these times in microseconds.
    pub waited_us: u64,
}

/// What came of a profile.
#[derive(Debug, Clone, Copy)]
pub struct ReplayReport {
    /// Chunks of the profile.
    pub chunks: u64,
    /// Of them, those that this image has.
    pub mapped: u64,
    /// Chunks that were fetched ahead.
    pub fetched: u64,
    /// Chunks of the profile that the mount touched.
    pub used: u64,
    /// Chunks that the mount touched and the profile has not.
    pub unforeseen: u64,
    /// running, done, unused, ended.
    pub state: &'static str,
}

impl Stats {
    /// Notes a failure that a reader saw; true when it is new and belongs into the log.
    pub fn failed(&self, error: &FetchError) -> bool {
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        *errors.entry(error.code()).or_default() += 1;
        drop(errors);
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = failures
            .iter_mut()
            .find(|known| known.message == error.message)
        {
            known.count += 1;
            return false;
        }
        if failures.len() >= KEPT_FAILURES {
            failures.pop_front();
        }
        failures.push_back(Failure {
            code: error.code(),
            message: error.message.clone(),
            count: 1,
        });
        true
    }

    /// How many failures readers saw, by code.
    #[must_use]
    pub fn errors(&self) -> BTreeMap<&'static str, u64> {
        let errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        errors.clone()
    }

    /// The last failures that readers saw.
    #[must_use]
    pub fn failures(&self) -> Vec<Failure> {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.iter().cloned().collect()
    }

    /// The counters now.
    #[must_use]
    pub fn totals(&self) -> Totals {
        Totals {
            wanted_bytes: self.wanted_bytes.get(),
            fetched_bytes: self.fetched_bytes.get(),
            requests: self.requests.get(),
            retries: self.retries.get(),
            chunks_verified: self.chunks_verified.get(),
            cache_hits: self.cache_hits.get(),
            cache_damaged: self.cache_damaged.get(),
            not_kept: self.not_kept.get(),
            answers: self.answers.counts(),
        }
    }
}
