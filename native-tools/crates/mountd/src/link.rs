//! The way to a source: how long an answer takes to begin, and how much comes in that time.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Answers remembered.
const REMEMBERED: usize = 16;

/// Answers after which a wait is known: the first has the making of a connection and perhaps a login in it.
const KNOWN: usize = 3;

/// So long a wait costs no more than what the machine does meanwhile: only what is longer counts.
const SHORT_WAIT: Duration = Duration::from_millis(5);

/// So many waits a body of the window's length may take.
const WAITS_A_BODY: u64 = 2;

/// The window before anything is known, in bytes; the least, which is too small to be used; and the longest request.
const FIRST_WINDOW: u64 = 256 << 10;
const LEAST_WINDOW: u64 = 32 << 10;
const MOST_WINDOW: u64 = 4 << 20;

/// A window that is worth something: about a chunk.
const WORTH: u64 = 64 << 10;

/// What is known of the way to a source.
#[derive(Debug)]
pub struct Link {
    measured: Mutex<Measured>,
    wait_bytes: AtomicU64,
}

/// A body under way.
#[derive(Debug)]
pub struct Carrying {
    link: Arc<Link>,
    bytes: u64,
    took: Duration,
}

impl Link {
    /// Knows nothing.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            measured: Mutex::default(),
            wait_bytes: AtomicU64::new(0),
        })
    }

    /// Bytes that are worth fetching to be spared a wait; 0 where waits are short, bytes are dear, or neither is known.
    #[must_use]
    pub fn wait_bytes(&self) -> u64 {
        self.wait_bytes.load(Ordering::Relaxed)
    }

    /// A request was answered after `wait`; its body begins.
    pub(crate) fn answered(self: &Arc<Self>, wait: Duration) -> Carrying {
        self.note(|measured| measured.answered(wait));
        Carrying {
            link: Arc::clone(self),
            bytes: 0,
            took: Duration::ZERO,
        }
    }

    fn note(&self, what: impl FnOnce(&mut Measured)) {
        let mut measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        what(&mut measured);
        self.wait_bytes
            .store(measured.wait_bytes(), Ordering::Relaxed);
    }
}

impl Carrying {
    /// Bytes of the body came, so long after they were asked for. What decoding takes is no matter of the link.
    pub(crate) fn passed(&mut self, bytes: u64, took: Duration) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.took = self.took.saturating_add(took);
    }
}

impl Drop for Carrying {
    fn drop(&mut self) {
        let (bytes, took) = (self.bytes, self.took);
        tracing::trace!(bytes, ?took, worth = self.link.wait_bytes(), "a body came");
        self.link.note(|measured| measured.carried(bytes, took));
    }
}

#[derive(Debug)]
struct Measured {
    waits: VecDeque<Duration>,
    window: u64,
}

impl Default for Measured {
    fn default() -> Self {
        Self {
            waits: VecDeque::new(),
            window: FIRST_WINDOW,
        }
    }
}

impl Measured {
    fn answered(&mut self, wait: Duration) {
        if self.waits.len() >= REMEMBERED {
            self.waits.pop_front();
        }
        self.waits.push_back(wait);
    }

    /// The shortest of the last waits: a server or a machine that is busy for a moment makes no link long.
    fn wait(&self) -> Duration {
        self.waits.iter().min().copied().unwrap_or_default()
    }

    /// Nears the window to what would have come in the time that a body may take. Bodies that are much shorter say little
    /// of it: what they take is that of beginning.
    fn carried(&mut self, bytes: u64, took: Duration) {
        let wait = self.wait();
        if wait <= SHORT_WAIT {
            self.window = FIRST_WINDOW;
        } else if bytes >= self.window / 2 {
            let may_take = wait.as_micros() * u128::from(WAITS_A_BODY);
            let came = u128::from(bytes) * may_take / took.as_micros().max(1);
            let came = u64::try_from(came).unwrap_or(u64::MAX);
            let step = came.clamp(self.window / 5 * 4, self.window * 2);
            self.window = step.clamp(LEAST_WINDOW, MOST_WINDOW);
        }
    }

    fn wait_bytes(&self) -> u64 {
        let wait = self.wait();
        let long = wait.saturating_sub(SHORT_WAIT).as_micros();
        if self.waits.len() < KNOWN || long == 0 {
            return 0;
        }
        // A wait that is hardly long is worth a part of the window.
        let worth = u128::from(self.window) * long / wait.as_micros().max(1);
        let worth = u64::try_from(worth).unwrap_or_default();
        if worth < WORTH { 0 } else { worth }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// After many bodies as long as the window, at a bandwidth.
    fn settled(wait: Duration, bytes_per_ms: u64) -> u64 {
        let mut measured = Measured::default();
        for _ in 0..60 {
            carry(&mut measured, wait, bytes_per_ms);
        }
        measured.wait_bytes()
    }

    fn carry(measured: &mut Measured, wait: Duration, bytes_per_ms: u64) {
        measured.answered(wait);
        let bytes = measured.window;
        measured.carried(bytes, Duration::from_micros(bytes * 1000 / bytes_per_ms));
    }

    #[test]
    fn a_wait_is_worth_what_comes_in_two_as_far_as_it_is_long() {
        for (wait, bytes_per_ms, worth) in [
            (25 * MS, 40_000, 1_600_000),
            (25 * MS, 10_000, 400_000),
            (10 * MS, 50_000, 500_000),
        ] {
            let got = settled(wait, bytes_per_ms);
            assert!(got.abs_diff(worth) <= worth / 100, "{wait:?}: {got}");
        }
        assert_eq!(settled(25 * MS, 1000), 0, "bytes are dear");
        assert_eq!(settled(5 * MS, 1_000_000), 0, "waits are short");
        assert_eq!(settled(500 * MS, 1_000_000), MOST_WINDOW * 99 / 100);
    }

    #[test]
    fn it_is_known_after_some_answers_and_the_shortest_counts() {
        let mut measured = Measured::default();
        let known: Vec<bool> = (0..4)
            .map(|_| {
                carry(&mut measured, 40 * MS, 100_000);
                measured.wait_bytes() > 0
            })
            .collect();
        assert_eq!(known, [false, false, true, true]);
        carry(&mut measured, MS, 100_000);
        assert_eq!(measured.wait_bytes(), 0);
        assert_eq!(measured.window, FIRST_WINDOW, "it begins again");
        for _ in 0..REMEMBERED {
            carry(&mut measured, 40 * MS, 100_000);
        }
        assert!(measured.wait_bytes() > 0, "it is forgotten");
    }

    #[test]
    fn short_bodies_say_nothing_of_the_bandwidth() {
        let mut measured = Measured::default();
        for _ in 0..5 {
            measured.answered(25 * MS);
            measured.carried(10_000, 20 * MS);
        }
        assert_eq!(measured.window, FIRST_WINDOW);
    }

    #[test]
    fn a_window_grows_quickly_and_shrinks_slowly() {
        let mut measured = Measured::default();
        carry(&mut measured, 25 * MS, 1_000_000);
        assert_eq!(measured.window, 2 * FIRST_WINDOW);
        carry(&mut measured, 25 * MS, 1);
        assert!(measured.window > FIRST_WINDOW);
    }
}
