//! When to try again, and when to give up.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::thread;
use std::time::{Duration, Instant};

use super::answer::{Refusal, Retry};
use crate::source::{FetchError, FetchKind};

/// Bytes after which earlier failures no longer count: the connection works.
const PROGRESS_BYTES: u64 = 256 << 10;

/// A server that answers nonsense is less likely to come to its senses than one that is down.
const MOST_PROTOCOL_FAILURES: u32 = 4;

/// How patient a source is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Failures in a row before it gives up.
    pub most_failures: u32,
    /// The first pause; each further one is twice as long.
    pub first_pause: Duration,
    /// The longest pause of its own choice.
    pub longest_pause: Duration,
    /// How long to go on without a byte of progress, pauses that the server asked for included.
    pub deadline: Duration,
}

impl RetryPolicy {
    /// For a server that others can stand in for: they are asked instead of this one again.
    pub const ONCE: Self = Self {
        most_failures: 1,
        first_pause: Duration::ZERO,
        longest_pause: Duration::ZERO,
        deadline: Duration::ZERO,
    };
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            most_failures: 20,
            first_pause: Duration::from_millis(100),
            longest_pause: Duration::from_secs(5),
            deadline: Duration::from_secs(60),
        }
    }
}

/// The patience left for one range.
#[derive(Debug)]
pub(super) struct Retries {
    policy: RetryPolicy,
    failures: u32,
    since: Instant,
    progress: u64,
}

impl Retries {
    pub(super) fn new(policy: RetryPolicy, read_timeout: Duration) -> Self {
        // A deadline below one stall would never retry one.
        let policy = RetryPolicy {
            deadline: policy.deadline.max(read_timeout * 2),
            ..policy
        };
        Self {
            policy,
            failures: 0,
            since: Instant::now(),
            progress: 0,
        }
    }

    /// Bytes came.
    pub(super) fn progressed(&mut self, bytes: u64) {
        self.progress += bytes;
        if self.progress >= PROGRESS_BYTES {
            self.failures = 0;
            self.progress = 0;
            self.since = Instant::now();
        }
    }

    /// Waits until the next try is due.
    ///
    /// # Errors
    /// The failure, when there is no next try.
    pub(super) fn failed(&mut self, refusal: Refusal) -> Result<(), FetchError> {
        self.failures += 1;
        self.progress = 0;
        let pause = match refusal.retry {
            Retry::Never => return Err(refusal.error),
            Retry::After(asked) => asked.saturating_add(jittered(self.policy.first_pause)),
            Retry::Usual => jittered(self.pause()),
        };
        let most = match refusal.error.kind {
            FetchKind::Protocol => self.policy.most_failures.min(MOST_PROTOCOL_FAILURES),
            _ => self.policy.most_failures,
        };
        let then = self.since.elapsed().saturating_add(pause);
        if self.failures >= most || then > self.policy.deadline {
            return Err(refusal.error);
        }
        thread::sleep(pause);
        Ok(())
    }

    fn pause(&self) -> Duration {
        let doubled = 2u32.saturating_pow(self.failures.saturating_sub(1));
        self.policy
            .first_pause
            .saturating_mul(doubled)
            .min(self.policy.longest_pause)
    }
}

/// Between half of the pause and all of it, so that many readers do not come back at one moment.
fn jittered(pause: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish();
    let part = u32::try_from(random % 512).unwrap_or_default();
    pause / 2 + pause / 1024 * part
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RetryPolicy = RetryPolicy {
        most_failures: 4,
        first_pause: Duration::from_millis(1),
        longest_pause: Duration::from_millis(3),
        deadline: Duration::from_secs(5),
    };

    fn refusal(retry: Retry) -> Refusal {
        Refusal {
            error: FetchError::new(FetchKind::Unavailable, "down"),
            retry,
        }
    }

    #[test]
    fn failures_in_a_row_are_counted_until_bytes_come() {
        let mut retries = Retries::new(POLICY, Duration::from_millis(1));
        for _ in 0..3 {
            assert!(retries.failed(refusal(Retry::Usual)).is_ok());
        }
        retries.progressed(PROGRESS_BYTES);
        for _ in 0..3 {
            assert!(retries.failed(refusal(Retry::Usual)).is_ok());
        }
        assert!(retries.failed(refusal(Retry::Usual)).is_err());
    }

    #[test]
    fn a_final_answer_and_a_pause_beyond_the_deadline_end_it_at_once() {
        let mut retries = Retries::new(POLICY, Duration::from_millis(1));
        assert!(retries.failed(refusal(Retry::Never)).is_err());
        assert!(
            retries
                .failed(refusal(Retry::After(Duration::from_secs(60))))
                .is_err()
        );
    }

    #[test]
    fn pauses_grow_to_their_limit_and_jitter_stays_within_half() {
        let mut retries = Retries::new(POLICY, Duration::from_millis(1));
        let pauses: Vec<_> = (1..5)
            .map(|failures| {
                retries.failures = failures;
                retries.pause().as_millis()
            })
            .collect();
        assert_eq!(pauses, [1, 2, 3, 3]);
        let pause = Duration::from_millis(100);
        for _ in 0..50 {
            assert!((pause / 2..=pause).contains(&jittered(pause)));
        }
    }
}
