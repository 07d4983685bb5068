//! Finds reads that lie at equal distances, forwards or backwards, also when others come in between.

use std::collections::VecDeque;
use std::ops::Range;

/// Reads remembered.
const REMEMBERED: usize = 16;

/// Equal steps in a row that are taken for more than chance.
const STEPS: usize = 3;

/// Most reads foreseen at once.
const MOST_AHEAD: usize = 4;

/// The last reads of a layer, oldest first, by where they begin.
#[derive(Debug, Default)]
pub(super) struct Strides(VecDeque<u64>);

impl Strides {
    /// Remembers a read.
    pub(super) fn note(&mut self, read: &Range<u64>) {
        if self.0.back() == Some(&read.start) {
            return;
        }
        if self.0.len() >= REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(read.start);
    }

    /// Remembers a read, and gives the next ones of its kind: one at first, one more with each step that was equal.
    pub(super) fn read(&mut self, read: &Range<u64>) -> Vec<Range<u64>> {
        let length = read.end.saturating_sub(read.start);
        let found = self.steps_to(read.start, length);
        self.note(read);
        let Some((stride, steps)) = found else {
            return vec![];
        };
        let ahead = (steps + 1).saturating_sub(STEPS).min(MOST_AHEAD);
        let starts = (1..=ahead).map_while(|step| {
            let distance = stride.checked_mul(i64::try_from(step).ok()?)?;
            read.start.checked_add_signed(distance)
        });
        starts
            .map(|start| start..start.saturating_add(length))
            .collect()
    }

    /// The distance that leads to `start` in the most equal steps of at least `length`, if they are enough.
    fn steps_to(&self, start: u64, length: u64) -> Option<(i64, usize)> {
        let at = i64::try_from(start).ok()?;
        let strides = self.0.iter().rev().filter_map(|before| {
            let stride = at.checked_sub(i64::try_from(*before).ok()?)?;
            (stride.unsigned_abs() >= length.max(1)).then_some(stride)
        });
        let counted = strides.map(|stride| (stride, self.steps(at, stride)));
        counted
            .filter(|(_, steps)| *steps >= STEPS)
            .max_by_key(|(_, steps)| *steps)
    }

    fn steps(&self, at: i64, stride: i64) -> usize {
        let before = std::iter::successors(Some(at), |at| at.checked_sub(stride)).skip(1);
        before
            .take(REMEMBERED)
            .take_while(|at| u64::try_from(*at).is_ok_and(|at| self.0.contains(&at)))
            .count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn foreseen(reads: impl IntoIterator<Item = u64>) -> Vec<Vec<u64>> {
        let mut strides = Strides::default();
        reads
            .into_iter()
            .map(|at| {
                let windows = strides.read(&(at..at + 10));
                windows.into_iter().map(|window| window.start).collect()
            })
            .collect()
    }

    #[test]
    fn equal_steps_are_seen_at_the_fourth_read_and_trusted_more_and_more() {
        let got = foreseen((0..8).map(|step| step * 100));
        let none: Vec<u64> = vec![];
        assert_eq!(got[..3], [none.clone(), none.clone(), none]);
        assert_eq!(got[3], [400]);
        assert_eq!(got[4], [500, 600]);
        assert_eq!(got[7], [800, 900, 1000, 1100]);
    }

    #[test]
    fn steps_back_end_at_the_start() {
        let got = foreseen([400, 300, 200, 100, 0]);
        assert_eq!(got[3], [0]);
        assert!(got[4].is_empty());
    }

    #[test]
    fn two_readers_with_steps_of_their_own_are_told_apart() {
        let got = foreseen((0..5).flat_map(|step| [step * 100, 1_000_000 + step * 70]));
        assert_eq!(got[8], [500, 600]);
        assert_eq!(got[9], [1_000_350, 1_000_420]);
    }

    #[test]
    fn a_read_again_and_again_is_no_step() {
        assert!(foreseen([7; 20]).iter().all(Vec::is_empty));
    }
}
