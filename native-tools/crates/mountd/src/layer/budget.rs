//! Bounds what is fetched for nothing.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a layer may hold unread however little of it was read: the first windows of a few readers.
const FREE_BYTES: u64 = 1 << 20;

/// Stored bytes of one layer that were read, and that were fetched ahead and are not read yet. The second may be a part of
/// the first, so a guess that turns out wrong makes the next one less likely, and one that turns out right more.
#[derive(Debug)]
pub(super) struct Budget {
    percent: u64,
    read: AtomicU64,
    unread: AtomicU64,
}

impl Budget {
    /// `percent` of what was read may lie unread; 0 for nothing at all.
    pub(super) fn new(percent: u32) -> Self {
        Self {
            percent: u64::from(percent),
            read: AtomicU64::new(0),
            unread: AtomicU64::new(0),
        }
    }

    /// Takes `bytes` to fetch ahead; false when that is too much now.
    pub(super) fn take(&self, bytes: u64) -> bool {
        if self.percent == 0 {
            return false;
        }
        let read = self.read.load(Ordering::Relaxed);
        let most = (read.saturating_mul(self.percent) / 100).saturating_add(FREE_BYTES);
        let more = |unread: u64| unread.checked_add(bytes).filter(|sum| *sum <= most);
        self.unread
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .is_ok()
    }

    /// `bytes` that were fetched ahead are read.
    pub(super) fn used(&self, bytes: u64) {
        let less = |unread: u64| Some(unread.saturating_sub(bytes));
        let _ = self
            .unread
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        self.wanted(bytes);
    }

    /// `bytes` are fetched because somebody waits for them.
    pub(super) fn wanted(&self, bytes: u64) {
        self.read.fetch_add(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_unread_stays_a_part_of_what_was_read() {
        let budget = Budget::new(25);
        assert!(budget.take(FREE_BYTES));
        assert!(!budget.take(1));
        budget.wanted(400);
        assert!(budget.take(100));
        assert!(!budget.take(1));
        budget.used(100);
        assert!(budget.take(125));
        assert!(!budget.take(1));
        assert!(!Budget::new(25).take(u64::MAX));
    }

    #[test]
    fn nothing_is_fetched_ahead_where_that_is_switched_off() {
        let budget = Budget::new(0);
        budget.wanted(1 << 30);
        assert!(!budget.take(1));
    }
}
