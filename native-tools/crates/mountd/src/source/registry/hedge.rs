//! When a second request is worth it because the answer to the first one is late.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use archive_format::digest::Digest;

/// Answers remembered.
const REMEMBERED: usize = 128;

/// Answers after which their spread is known.
const KNOWN: usize = 20;

/// Below this a second request wins nothing.
const LEAST_PATIENCE: Duration = Duration::from_millis(50);

/// The first-byte times of a server, and the second requests sent to it.
#[derive(Debug)]
pub(super) struct Hedge {
    /// Second requests in percent of all; 0: none.
    percent: u32,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    waits: VecDeque<Duration>,
    answers: u64,
    seconds: u64,
    /// Blobs with a second request in flight.
    open: HashSet<Digest>,
}

/// A second request in flight.
#[derive(Debug)]
pub(super) struct Second {
    hedge: Arc<Hedge>,
    blob: Digest,
}

impl Drop for Second {
    fn drop(&mut self) {
        self.hedge.lock().open.remove(&self.blob);
    }
}

impl Hedge {
    pub(super) fn new(percent: u32) -> Arc<Self> {
        Arc::new(Self {
            percent,
            state: Mutex::default(),
        })
    }

    /// An answer began after `wait`.
    pub(super) fn answered(&self, wait: Duration) {
        let mut state = self.lock();
        if state.waits.len() >= REMEMBERED {
            state.waits.pop_front();
        }
        state.waits.push_back(wait);
        state.answers += 1;
    }

    /// How long 19 of 20 answers took at most; nothing while that is not known, or second requests are switched off.
    pub(super) fn patience(&self) -> Option<Duration> {
        let state = self.lock();
        if self.percent == 0 || state.waits.len() < KNOWN {
            return None;
        }
        let mut waits: Vec<_> = state.waits.iter().copied().collect();
        drop(state);
        waits.sort_unstable();
        let p95 = waits.get(waits.len() * 95 / 100).copied();
        p95.map(|p95| p95.max(LEAST_PATIENCE))
    }

    /// Leave for a second request: one a blob at a time, and not more than the given part of all requests.
    pub(super) fn second(self: &Arc<Self>, blob: Digest) -> Option<Second> {
        let mut state = self.lock();
        let allowed = state.answers.saturating_mul(u64::from(self.percent)) / 100;
        if state.seconds >= allowed || !state.open.insert(blob) {
            return None;
        }
        state.seconds += 1;
        Some(Second {
            hedge: Arc::clone(self),
            blob,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOB: Digest = [1; 32];

    fn hedge_after(answers: u64, percent: u32) -> Arc<Hedge> {
        let hedge = Hedge::new(percent);
        for answer in 0..answers {
            hedge.answered(Duration::from_millis(100 + answer % 100));
        }
        hedge
    }

    #[test]
    fn patience_is_what_nineteen_of_twenty_answers_took() {
        assert_eq!(hedge_after(19, 3).patience(), None);
        assert_eq!(
            hedge_after(100, 3).patience(),
            Some(Duration::from_millis(195))
        );
        let quick = Hedge::new(3);
        (0..50).for_each(|_| quick.answered(Duration::from_micros(300)));
        assert_eq!(quick.patience(), Some(LEAST_PATIENCE));
        assert_eq!(hedge_after(1000, 0).patience(), None, "switched off");
    }

    #[test]
    fn second_requests_are_few_and_one_a_blob_at_a_time() {
        let hedge = hedge_after(100, 3);
        let first = hedge.second(BLOB).unwrap();
        assert!(hedge.second(BLOB).is_none());
        let other = hedge.second([2; 32]).unwrap();
        drop((first, other));
        drop(hedge.second(BLOB).unwrap());
        assert!(hedge.second(BLOB).is_none(), "three of a hundred are spent");
        assert!(hedge_after(1000, 0).second(BLOB).is_none());
    }
}
