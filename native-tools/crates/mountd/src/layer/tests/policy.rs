//! What the read-ahead costs and saves on recorded and made-up reads, without time or network.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::layer::budget::Budget;
use crate::layer::geometry::Geometry;
use crate::layer::lookahead::chunks_of;
use crate::layer::nearby::chunks_around;
use crate::layer::readahead::ReadAhead;
use crate::layer::{FetchSettings, REQUEST_BYTES};
use crate::testing::table_of;

/// `python3 -c 'import numpy'` on the demo image.
const IMPORT_NUMPY: &str = include_str!("import-numpy.trace");

const KIB: u64 = 1 << 10;
const FRAME: u32 = 256 << 10;
const PERCENT: u32 = 25;
const WAITS: u32 = 12;

/// What a wait is found to be worth over 20 ms and 100 MB/s (`link.rs`).
const LONG_WAIT: u64 = 1_600_000;

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Outcome {
    /// Requests, of which neighbours are one.
    requests: u32,
    /// Reads that had to wait for a request of their own.
    waits: u32,
    /// Stored bytes fetched.
    bytes: u64,
    /// Of them never read.
    unread: u64,
}

/// One layer, whose requests are answered before the next read.
struct Simulated {
    geometry: Geometry,
    ahead: ReadAhead,
    budget: Budget,
    /// What a wait is worth; 0 where that is little.
    wait_bytes: u64,
    /// Chunks that are there, and whether they were read.
    here: BTreeMap<u32, bool>,
}

impl Simulated {
    fn new(frames: &[(u64, u32)], percent: u32, wait_bytes: u64) -> Self {
        let chunks: Vec<u32> = frames.iter().map(|(_, plain)| *plain).collect();
        let spans: Vec<(u64, u64)> = frames
            .iter()
            .map(|(stored, plain)| (*stored, u64::from(*plain)))
            .collect();
        Self {
            geometry: Geometry::of(&table_of(&chunks, &spans, 0)),
            ahead: ReadAhead::default(),
            budget: Budget::new(percent, WAITS),
            wait_bytes,
            here: BTreeMap::new(),
        }
    }

    fn read(&mut self, offset: u64, length: u64, outcome: &mut Outcome) {
        let end = (offset + length).min(self.geometry.plain_bytes());
        let mut asked = vec![];
        let mut is_first = false;
        for chunk in self.geometry.chunks(offset..end) {
            let stored = self.geometry.stored_bytes(chunk);
            match self.here.insert(chunk, true) {
                Some(true) => continue,
                Some(false) => self.budget.used(stored),
                None => {
                    self.budget.wanted(stored);
                    asked.push(chunk);
                }
            }
            is_first = true;
        }
        let wait_bytes = if is_first { self.wait_bytes } else { 0 };
        let take = |bytes| self.budget.take(bytes, wait_bytes);
        outcome.waits += u32::from(!asked.is_empty());
        for window in self.ahead.read(offset..end) {
            let is_missing = |chunk: u32| !self.here.contains_key(&chunk);
            let found = chunks_of(&window, &self.geometry, take, is_missing);
            self.here.extend(found.iter().map(|chunk| (*chunk, false)));
            asked.extend(found);
        }
        if self.budget.spends_on_waits(wait_bytes) {
            let read = self.geometry.chunks(offset..end);
            let is_missing = |chunk: u32| !self.here.contains_key(&chunk);
            let found = chunks_around(&read, wait_bytes, &self.geometry, take, is_missing);
            self.here.extend(found.iter().map(|chunk| (*chunk, false)));
            asked.extend(found);
        }
        asked.sort_unstable();
        outcome.requests += self.requests(&asked);
        outcome.bytes += asked
            .iter()
            .map(|chunk| self.geometry.stored_bytes(*chunk))
            .sum::<u64>();
    }

    /// How many requests bring chunks: as many as there are stretches of at most [`REQUEST_BYTES`].
    fn requests(&self, chunks: &[u32]) -> u32 {
        let mut requests = 0;
        let mut open: Option<(u32, u64)> = None;
        for chunk in chunks {
            let stored = self.geometry.stored_bytes(*chunk);
            open = match open {
                Some((next, bytes)) if next == *chunk && bytes + stored <= REQUEST_BYTES => {
                    Some((chunk + 1, bytes + stored))
                }
                _ => {
                    requests += 1;
                    Some((chunk + 1, stored))
                }
            };
        }
        requests
    }

    fn unread(&self) -> u64 {
        let unread = self.here.iter().filter(|(_, read)| !**read);
        unread
            .map(|(chunk, _)| self.geometry.stored_bytes(*chunk))
            .sum()
    }
}

/// Reads of a trace, by layer.
fn replay(trace: &str, percent: u32, wait_bytes: u64) -> Outcome {
    let mut layers: Vec<Simulated> = vec![];
    let mut outcome = Outcome::default();
    for line in trace.lines() {
        let mut words = line.split(' ');
        match words.next().unwrap() {
            "layer" => {
                let frames: Vec<_> = words.map(frame).collect();
                layers.push(Simulated::new(&frames, percent, wait_bytes));
            }
            "read" => {
                let numbers: Vec<u64> = words.map(|word| word.parse().unwrap()).collect();
                let layer = usize::try_from(numbers[0]).unwrap();
                layers[layer].read(numbers[1], numbers[2], &mut outcome);
            }
            _ => {}
        }
    }
    outcome.unread = layers.iter().map(Simulated::unread).sum();
    outcome
}

fn frame(word: &str) -> (u64, u32) {
    match word.split_once(':') {
        Some((plain, stored)) => (stored.parse().unwrap(), plain.parse().unwrap()),
        None => (word.parse().unwrap(), FRAME),
    }
}

/// Reads of a layer of 100 MiB whose frames are stored in 90 000 bytes each.
fn run(reads: impl IntoIterator<Item = Range<u64>>, percent: u32) -> Outcome {
    run_over(reads, percent, 0)
}

/// The same over a link whose waits are worth so many bytes.
fn run_over(reads: impl IntoIterator<Item = Range<u64>>, percent: u32, wait_bytes: u64) -> Outcome {
    let mut layer = Simulated::new(&[(90_000, FRAME); 400], percent, wait_bytes);
    let mut outcome = Outcome::default();
    for read in reads {
        layer.read(read.start, read.end - read.start, &mut outcome);
    }
    outcome.unread = layer.unread();
    outcome
}

fn reads_of(length: u64, starts: impl Iterator<Item = u64>) -> Vec<Range<u64>> {
    starts.map(|start| start..start + length).collect()
}

/// Places in the layer that follow no rule, the same in every run.
fn scattered(count: usize, unit: u64) -> impl Iterator<Item = u64> {
    let next = |state: &u64| {
        let state = state.wrapping_mul(6_364_136_223_846_793_005);
        Some(state.wrapping_add(1_442_695_040_888_963_407))
    };
    let states = std::iter::successors(Some(7u64), next).skip(1).take(count);
    states.map(move |state| (state >> 33) % (100 * KIB * KIB / unit) * unit)
}

#[test]
fn importing_numpy_takes_few_bytes_more_than_it_reads_and_a_third_fewer_waits() {
    let alone = replay(IMPORT_NUMPY, 0, 0);
    let ahead = replay(IMPORT_NUMPY, PERCENT, 0);
    assert_eq!((alone.waits, alone.bytes), (140, 15_479_315));
    assert!(ahead.waits <= 100 && ahead.requests <= 145, "{ahead:?}");
    assert!(ahead.bytes <= 16_200_000, "{ahead:?}");
}

#[test]
fn importing_numpy_over_a_long_link_takes_a_third_of_the_waits() {
    let outcome = replay(IMPORT_NUMPY, PERCENT, LONG_WAIT);
    assert!(outcome.waits <= 40, "{outcome:?}");
    assert!(outcome.requests <= 65, "{outcome:?}");
    assert!(outcome.bytes <= 58_000_000, "{outcome:?}");
    assert_eq!(
        replay(IMPORT_NUMPY, 0, LONG_WAIT),
        replay(IMPORT_NUMPY, 0, 0)
    );
}

#[test]
fn what_lies_unread_over_a_long_link_is_bounded_by_what_was_read_and_some_waits() {
    for length in [4 * KIB, 128 * KIB] {
        let reads = reads_of(length, scattered(300, 128 * KIB));
        let outcome = run_over(reads, PERCENT, LONG_WAIT / 4);
        let read = outcome.bytes - outcome.unread;
        let most = KIB * KIB + read * u64::from(PERCENT) / 100;
        let most = most + u64::from(WAITS) * LONG_WAIT / 4;
        assert!(outcome.unread <= most, "{length}: {outcome:?}");
    }
}

#[test]
fn reading_to_the_end_over_a_long_link_takes_each_byte_once() {
    let all = (0..100 * KIB * KIB).step_by(128 << 10);
    let outcome = run_over(reads_of(128 * KIB, all), PERCENT, LONG_WAIT);
    assert!(outcome.waits <= 2 && outcome.requests <= 65, "{outcome:?}");
    assert_eq!((outcome.bytes, outcome.unread), (400 * 90_000, 0));
}

#[test]
fn reading_to_the_end_takes_long_requests_and_each_byte_once() {
    for length in [4 * KIB, 128 * KIB] {
        let all = (0..100 * KIB * KIB).step_by(usize::try_from(length).unwrap());
        let outcome = run(reads_of(length, all), PERCENT);
        assert!(
            outcome.waits <= 2 && outcome.requests <= 65,
            "{length}: {outcome:?}"
        );
        assert_eq!((outcome.bytes, outcome.unread), (400 * 90_000, 0));
    }
}

#[test]
fn a_file_of_some_mebibytes_costs_little_more_than_itself() {
    let file = (50 * KIB * KIB..55 * KIB * KIB).step_by(128 << 10);
    let outcome = run(reads_of(128 * KIB, file), PERCENT);
    assert!(
        outcome.waits == 1 && outcome.requests <= 12 && outcome.unread <= 10 * 90_000,
        "{outcome:?}"
    );
}

#[test]
fn small_scattered_reads_fetch_nothing_ahead() {
    let reads = reads_of(4 * KIB, scattered(300, 4 * KIB));
    assert_eq!(run(reads.clone(), PERCENT), run(reads, 0));
}

#[test]
fn long_scattered_reads_waste_no_more_than_they_may() {
    let reads = reads_of(128 * KIB, scattered(200, 128 * KIB));
    for percent in [5, 25, 100] {
        let outcome = run(reads.clone(), percent);
        let read = outcome.bytes - outcome.unread;
        let most = KIB * KIB + read * u64::from(percent) / 100;
        assert!(outcome.unread <= most, "{percent}: {outcome:?}");
    }
}

#[test]
fn equal_steps_either_way_are_fetched_ahead() {
    let forwards = reads_of(8 * KIB, (0..90).map(|step| step * 1024 * KIB));
    let mut backwards = forwards.clone();
    backwards.reverse();
    for reads in [forwards, backwards] {
        let outcome = run(reads, PERCENT);
        assert!(outcome.waits <= 5, "{outcome:?}");
        assert!(outcome.bytes <= 94 * 90_000, "{outcome:?}");
    }
}

#[test]
fn the_policy_that_is_measured_here_is_the_default() {
    let settings = FetchSettings::default();
    assert_eq!(
        (settings.ahead_percent, settings.ahead_waits),
        (PERCENT, WAITS)
    );
}
