//! How much fetching may take: requests in flight and bytes a second.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// What may come at once after a pause.
const BURST: Duration = Duration::from_millis(100);

/// Lets a number of requests in at a time.
#[derive(Debug)]
pub struct Gate {
    most: usize,
    inside: AtomicUsize,
}

/// One of them; it is out when this is dropped.
#[derive(Debug)]
pub struct Inside(Arc<Gate>);

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Gate {
    /// For `most` at a time (at least one).
    #[must_use]
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most: most.max(1),
            inside: AtomicUsize::new(0),
        })
    }

    /// Goes in, if there is room. Never waits.
    #[must_use]
    pub fn enter(self: &Arc<Self>) -> Option<Inside> {
        let one_more = |inside: usize| (inside < self.most).then_some(inside + 1);
        self.inside
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more)
            .ok()
            .map(|_| Inside(Arc::clone(self)))
    }
}

/// Holds those back that take bytes faster than allowed.
#[derive(Debug)]
pub struct Bandwidth {
    bytes_per_second: u64,
    started: Instant,
    /// When all that was let through would have come at the allowed pace.
    free: Mutex<Duration>,
    passed: AtomicU64,
}

impl Bandwidth {
    /// For so many bytes a second; 0 for any number.
    #[must_use]
    pub fn new(bytes_per_second: u64) -> Arc<Self> {
        Arc::new(Self {
            bytes_per_second,
            started: Instant::now(),
            free: Mutex::default(),
            passed: AtomicU64::new(0),
        })
    }

    /// Takes note of bytes that came, and waits until the next may be asked for.
    pub fn pass(&self, bytes: u64) {
        self.passed.fetch_add(bytes, Ordering::Relaxed);
        let pause = self.pause(self.started.elapsed(), bytes);
        if !pause.is_zero() {
            thread::sleep(pause);
        }
    }

    /// Bytes so far.
    #[must_use]
    pub fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }

    /// How long to wait at `now` (since the start) after `bytes`.
    fn pause(&self, now: Duration, bytes: u64) -> Duration {
        if self.bytes_per_second == 0 {
            return Duration::ZERO;
        }
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.bytes_per_second);
        let taken = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        *free = (*free).max(now.saturating_sub(BURST)).saturating_add(taken);
        free.saturating_sub(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_lets_in_what_fits() {
        let gate = Gate::new(2);
        let first = gate.enter();
        let second = gate.enter();
        assert!(first.is_some() && second.is_some() && gate.enter().is_none());
        drop(first);
        assert!(gate.enter().is_some());
        assert!(Gate::new(0).enter().is_some(), "nobody would ever get in");
    }

    #[test]
    fn bytes_come_at_the_allowed_pace_whoever_takes_them() {
        let bandwidth = Bandwidth::new(1_000_000);
        let mut now = Duration::from_secs(5);
        let began = now;
        for _ in 0..100 {
            now += bandwidth.pause(now, 50_000);
        }
        let took = now - began;
        let all = Duration::from_secs(5);
        assert!(took <= all && took >= all - BURST, "{took:?}");
        // After a silence no more than the burst comes at once.
        now += Duration::from_secs(60);
        assert!(bandwidth.pause(now, 100_000).is_zero());
        assert_eq!(bandwidth.pause(now, 50_000), Duration::from_millis(50));
    }

    #[test]
    fn without_a_limit_nobody_waits() {
        let bandwidth = Bandwidth::new(0);
        assert!(bandwidth.pause(Duration::ZERO, u64::MAX).is_zero());
        let slow = Bandwidth::new(1);
        assert!(slow.pause(Duration::ZERO, u64::MAX) > Duration::from_secs(1));
    }
}
