//! How servers answered requests for blobs, by who was asked and by the class of the status.

use crate::stats::Counter;

/// Who was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// The registry of the mount, and wherever it redirects.
    Registry,
    /// A mirror.
    Mirror,
    /// An object store.
    Store,
}

/// Names of [`Asked`] and of the classes, as labels show them; `none`: no answer came.
const ASKED: [&str; 3] = ["registry", "mirror", "store"];
const CLASSES: [&str; 5] = ["2xx", "3xx", "4xx", "5xx", "none"];
const NO_ANSWER: usize = 4;

/// Counts by who was asked, then by class.
pub type AnswerCounts = [[u64; 5]; 3];

/// The counters.
#[derive(Debug, Default)]
pub struct Answers([[Counter; 5]; 3]);

impl Answers {
    /// Counts an answer with this status, or that none came.
    pub fn add(&self, asked: Asked, status: Option<u16>) {
        let class = match status {
            Some(200..=299) => 0,
            Some(300..=399) => 1,
            Some(400..=499) => 2,
            Some(_) => 3,
            None => NO_ANSWER,
        };
        let counters = self.0.get(asked as usize);
        if let Some(counter) = counters.and_then(|counters| counters.get(class)) {
            counter.add(1);
        }
    }

    /// The counts now.
    #[must_use]
    pub fn counts(&self) -> AnswerCounts {
        self.0
            .each_ref()
            .map(|one| one.each_ref().map(Counter::get))
    }
}

/// Two tables of counts as one.
#[must_use]
pub fn combined(
    mut counts: AnswerCounts,
    other: AnswerCounts,
    combine: impl Fn(u64, u64) -> u64,
) -> AnswerCounts {
    let cells = counts.iter_mut().flatten();
    for (count, other) in cells.zip(other.into_iter().flatten()) {
        *count = combine(*count, other);
    }
    counts
}

/// Both labels of every count.
#[must_use]
pub fn labelled(counts: &AnswerCounts) -> Vec<([&'static str; 2], u64)> {
    let rows = ASKED.iter().zip(counts);
    rows.flat_map(|(asked, row)| {
        let cells = CLASSES.iter().zip(row);
        cells.map(move |(class, count)| ([*asked, *class], *count))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_by_who_gave_them_and_their_class() {
        let answers = Answers::default();
        for status in [200, 206, 307, 404, 429, 503] {
            answers.add(Asked::Registry, Some(status));
        }
        answers.add(Asked::Mirror, None);
        let counts = answers.counts();
        assert_eq!(counts, [[2, 1, 2, 1, 0], [0, 0, 0, 0, 1], [0; 5]]);
        let labelled = labelled(&counts);
        assert!(labelled.contains(&(["registry", "4xx"], 2)));
        assert!(labelled.contains(&(["mirror", "none"], 1)));
        assert_eq!(labelled.len(), 15);
    }
}
