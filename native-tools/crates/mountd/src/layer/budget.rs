//! Bounds what is fetched for nothing.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a layer may hold unread however little of it was read: the first windows of a few readers.
const FREE_BYTES: u64 = 1 << 20;

/// Stored bytes of one layer that were read, and that were fetched ahead and are not read yet. The second may be a part of
/// the first, so a guess that turns out wrong makes the next one less likely, and one that turns out right more.
#[derive(Debug)]
pub(super) struct Budget {
    percent: u64,
    waits: u64,
    read: AtomicU64,
    unread: AtomicU64,
}

impl Budget {
    /// `percent` of what was read may lie unread; 0 for nothing at all. Over a link with long waits what is worth `waits` of
    /// them, too.
    pub(super) fn new(percent: u32, waits: u32) -> Self {
        Self {
            percent: u64::from(percent),
            waits: u64::from(waits),
            read: AtomicU64::new(0),
            unread: AtomicU64::new(0),
        }
    }

    /// Whether what lies around a read may be fetched for the sake of a wait that is worth `wait_bytes`.
    pub(super) fn spends_on_waits(&self, wait_bytes: u64) -> bool {
        self.percent > 0 && self.waits > 0 && wait_bytes > 0
    }

    /// Takes `bytes` to fetch ahead, where a wait is worth `wait_bytes`; false when that is too much now.
    pub(super) fn take(&self, bytes: u64, wait_bytes: u64) -> bool {
        if self.percent == 0 {
            return false;
        }
        let read = self.read.load(Ordering::Relaxed);
        let most = (read.saturating_mul(self.percent) / 100).saturating_add(FREE_BYTES);
        let most = most.saturating_add(wait_bytes.saturating_mul(self.waits));
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
        let budget = Budget::new(25, 8);
        assert!(budget.take(FREE_BYTES, 0));
        assert!(!budget.take(1, 0));
        budget.wanted(400);
        assert!(budget.take(100, 0));
        assert!(!budget.take(1, 0));
        budget.used(100);
        assert!(budget.take(125, 0));
        assert!(!budget.take(1, 0));
        assert!(!Budget::new(25, 8).take(u64::MAX, 0));
    }

    #[test]
    fn over_a_long_link_a_number_of_waits_may_lie_unread_too() {
        let budget = Budget::new(25, 8);
        assert!(budget.spends_on_waits(1000) && !budget.spends_on_waits(0));
        assert!(budget.take(FREE_BYTES + 8000, 1000));
        assert!(!budget.take(1, 1000));
        let never = Budget::new(25, 0);
        assert!(!never.spends_on_waits(1000));
        assert!(!never.take(FREE_BYTES + 1, 1000));
    }

    #[test]
    fn nothing_is_fetched_ahead_where_that_is_switched_off() {
        let budget = Budget::new(0, 8);
        budget.wanted(1 << 30);
        assert!(!budget.take(1, 1 << 20) && !budget.spends_on_waits(1));
    }
}
