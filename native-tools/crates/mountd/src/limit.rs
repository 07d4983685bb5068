//! How much fetching may take: requests in flight and bytes a second.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// What may come at once after a pause.
const BURST: Duration = Duration::from_millis(100);

/// Lets a number of requests in at a time, and as many as a memory holds; one always goes in.
#[derive(Debug)]
pub struct Gate {
    most: usize,
    most_bytes: u64,
    inside: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    requests: usize,
    bytes: u64,
}

/// One of them; it is out when this is dropped.
#[derive(Debug)]
pub struct Inside {
    gate: Arc<Gate>,
    bytes: u64,
}

impl Inside {
    /// Whether it may hold so many bytes instead of what it holds.
    #[must_use]
    pub fn may_hold(&self, bytes: u64) -> bool {
        let held = self.gate.held();
        let others = held.bytes.saturating_sub(self.bytes);
        bytes <= self.bytes || others.saturating_add(bytes) <= self.gate.most_bytes
    }

    /// It holds so many bytes now.
    pub fn hold(&mut self, bytes: u64) {
        let mut held = self.gate.held();
        held.bytes = held.bytes.saturating_sub(self.bytes).saturating_add(bytes);
        self.bytes = bytes;
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let mut held = self.gate.held();
        held.requests = held.requests.saturating_sub(1);
        held.bytes = held.bytes.saturating_sub(self.bytes);
    }
}

impl Gate {
    /// For `most` requests at a time, and `most_bytes` that they hold together.
    #[must_use]
    pub fn new(most: usize, most_bytes: u64) -> Arc<Self> {
        Arc::new(Self {
            most,
            most_bytes,
            inside: Mutex::default(),
        })
    }

    /// Of a mount; 0: no limit of its own.
    #[must_use]
    pub fn of_mount(requests: usize, bytes: u64) -> Option<Arc<Self>> {
        if requests == 0 && bytes == 0 {
            return None;
        }
        let most = if requests == 0 { usize::MAX } else { requests };
        Some(Self::new(most, if bytes == 0 { u64::MAX } else { bytes }))
    }

    /// Goes in with what it will hold, if there is room. Never waits.
    #[must_use]
    pub fn enter(self: &Arc<Self>, bytes: u64) -> Option<Inside> {
        let mut held = self.held();
        let sum = held.bytes.saturating_add(bytes);
        if held.requests > 0 && (held.requests >= self.most || sum > self.most_bytes) {
            return None;
        }
        held.requests += 1;
        held.bytes = sum;
        drop(held);
        Some(Inside {
            gate: Arc::clone(self),
            bytes,
        })
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
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
        let gate = Gate::new(2, u64::MAX);
        let first = gate.enter(5);
        let second = gate.enter(5);
        assert!(first.is_some() && second.is_some() && gate.enter(0).is_none());
        drop(first);
        assert!(gate.enter(5).is_some());
        let none = Gate::new(0, 0);
        assert!(none.enter(9).is_some(), "nobody would ever get in");
    }

    #[test]
    fn a_gate_lets_in_what_its_memory_holds() {
        let gate = Gate::new(usize::MAX, 10);
        let mut first = gate.enter(6).unwrap();
        assert!(gate.enter(5).is_none());
        let second = gate.enter(4).unwrap();
        assert!(!first.may_hold(7) && first.may_hold(3));
        drop(second);
        assert!(first.may_hold(10) && !first.may_hold(11));
        first.hold(10);
        assert!(gate.enter(1).is_none());
        drop(first);
        assert!(gate.enter(100).is_some(), "one always goes on");
        assert!(Gate::of_mount(0, 0).is_none() && Gate::of_mount(0, 1).is_some());
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
