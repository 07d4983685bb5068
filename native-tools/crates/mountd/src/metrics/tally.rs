//! The sum of counters that come and go with mounts and layers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::stats::{Stats, Totals};

/// Only ever grows: what ended is added up before it is forgotten.
#[derive(Debug, Default)]
pub struct Tally(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    ended: Totals,
    ended_errors: BTreeMap<&'static str, u64>,
    live: Vec<Arc<Stats>>,
}

impl Tally {
    /// Counters that begin.
    pub fn add(&self, stats: &Arc<Stats>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.fold();
        kept.live.push(Arc::clone(stats));
    }

    /// The sums now: the counters, and failures that readers saw by their codes.
    #[must_use]
    pub fn totals(&self) -> (Totals, BTreeMap<&'static str, u64>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.fold();
        let mut errors = kept.ended_errors.clone();
        let mut totals = kept.ended;
        for stats in &kept.live {
            totals = totals.and(stats.totals());
            add_up(&mut errors, stats.errors());
        }
        (totals, errors)
    }
}

impl Kept {
    /// Nobody counts any more with what only this list has.
    fn fold(&mut self) {
        let (ended, live) = std::mem::take(&mut self.live)
            .into_iter()
            .partition(|stats| Arc::strong_count(stats) == 1);
        self.live = live;
        let ended: Vec<_> = ended;
        for stats in ended {
            self.ended = self.ended.and(stats.totals());
            add_up(&mut self.ended_errors, stats.errors());
        }
    }
}

fn add_up(sums: &mut BTreeMap<&'static str, u64>, more: BTreeMap<&'static str, u64>) {
    for (code, count) in more {
        *sums.entry(code).or_default() += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{FetchError, FetchKind};

    #[test]
    fn what_ended_stays_in_the_sums() {
        let tally = Tally::default();
        let [one, two] = [Arc::new(Stats::default()), Arc::new(Stats::default())];
        tally.add(&one);
        tally.add(&two);
        one.wanted_bytes.add(3);
        two.wanted_bytes.add(4);
        for _ in 0..2 {
            one.failed(&FetchError::new(FetchKind::Denied, "no"));
        }
        let before = tally.totals();
        assert_eq!(before.0.wanted_bytes, 7);
        assert_eq!(before.1, BTreeMap::from([("REGISTRY_DENIED", 2)]));
        drop(one);
        assert_eq!(tally.totals(), before);
        two.wanted_bytes.add(1);
        assert_eq!(tally.totals().0.wanted_bytes, 8);
    }
}
