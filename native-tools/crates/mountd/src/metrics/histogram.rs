//! How long things took.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds in microseconds: from a page that was nearly there to a registry that is asked again.
pub(super) const BOUNDS_US: [u64; 12] = [
    100, 500, 1_000, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000,
    30_000_000,
];

/// Durations by their length.
#[derive(Debug, Default)]
pub struct Histogram {
    /// Those up to each bound and above the one before.
    counts: [AtomicU64; BOUNDS_US.len()],
    longer: AtomicU64,
    sum_us: AtomicU64,
}

impl Histogram {
    /// Counts one.
    pub fn observe(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bound = BOUNDS_US.iter().position(|bound| us <= *bound);
        let count = bound.and_then(|at| self.counts.get(at));
        count
            .unwrap_or(&self.longer)
            .fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// How many there are up to each bound, how many in all, and their sum in microseconds.
    pub(super) fn totals(&self) -> (Vec<u64>, u64, u64) {
        let mut up_to = 0;
        let counts = self.counts.iter().map(|count| {
            up_to += count.load(Ordering::Relaxed);
            up_to
        });
        let counts: Vec<_> = counts.collect();
        let all = up_to + self.longer.load(Ordering::Relaxed);
        (counts, all, self.sum_us.load(Ordering::Relaxed))
    }
}
