//! When a server that failed is asked again.

use std::time::Duration;

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How a server does. Times are since any fixed moment.
#[derive(Debug, Default)]
pub(super) struct Health {
    failures: u32,
    until: Duration,
}

impl Health {
    /// Whether to ask it at all.
    pub(super) fn is_usable(&self, now: Duration) -> bool {
        now >= self.until
    }

    /// It did not do what it should: left alone for a while, twice as long each time in a row. Requests that were on their
    /// way together fail together, which is one time.
    pub(super) fn failed(&mut self, now: Duration) {
        if !self.is_usable(now) {
            return;
        }
        let doubled = FIRST_PAUSE.saturating_mul(2u32.saturating_pow(self.failures));
        self.failures = self.failures.saturating_add(1);
        self.until = now.saturating_add(doubled.min(LONGEST_PAUSE));
    }

    /// It gave bytes.
    pub(super) fn worked(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_fails_is_left_for_longer_and_longer_until_it_works() {
        let mut health = Health::default();
        let mut now = Duration::from_secs(100);
        assert!(health.is_usable(now));
        for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
            health.failed(now);
            let until = now + Duration::from_secs(pause);
            assert!(
                !health.is_usable(until - Duration::from_millis(1)),
                "{pause}"
            );
            assert!(health.is_usable(until), "{pause}");
            now = until;
        }
        health.worked();
        health.failed(now);
        assert!(health.is_usable(now + FIRST_PAUSE));
    }

    #[test]
    fn requests_that_fail_together_count_once() {
        let mut health = Health::default();
        let now = Duration::from_secs(100);
        for later in 0..16 {
            health.failed(now + Duration::from_millis(later));
        }
        assert!(health.is_usable(now + FIRST_PAUSE));
    }
}
