//! What a mount did so far: counters on the hot paths, one document at the end.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use tool_protocol::Coded;

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

/// The counters of one mount.
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
    failures: Mutex<VecDeque<Failure>>,
}

/// A failure that a reader saw.
#[derive(Debug, Clone, Serialize)]
pub struct Failure {
    code: &'static str,
    message: String,
    count: u64,
}

/// One layer in the document.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerStat {
    /// `sha256:…` of the plain stream.
    pub diff_id: String,
    /// `sha256:…` of the blob.
    pub digest: String,
    /// How it is read.
    pub mode: Mode,
    /// Why it is not read lazily.
    #[serde(skip_serializing_if = "Option::is_none")]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
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

/// The document of the control socket and of `stats.json`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    wanted_bytes: u64,
    fetched_bytes: u64,
    requests: u64,
    retries: u64,
    chunks_verified: u64,
    cache_hits: u64,
    cache_damaged: u64,
    not_kept: u64,
    kernel_requests: u64,
    failures: Vec<Failure>,
    layers: Vec<LayerStat>,
}

impl Stats {
    /// Notes a failure that a reader saw; true when it is new and belongs into the log.
    pub fn failed(&self, error: &FetchError) -> bool {
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

    /// The document.
    #[must_use]
    pub fn report(&self, kernel_requests: u64, layers: Vec<LayerStat>) -> Report {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        Report {
            wanted_bytes: self.wanted_bytes.get(),
            fetched_bytes: self.fetched_bytes.get(),
            requests: self.requests.get(),
            retries: self.retries.get(),
            chunks_verified: self.chunks_verified.get(),
            cache_hits: self.cache_hits.get(),
            cache_damaged: self.cache_damaged.get(),
            not_kept: self.not_kept.get(),
            kernel_requests,
            failures: failures.iter().cloned().collect(),
            layers,
        }
    }
}
