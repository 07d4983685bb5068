//! Fetching in the order of a profile, ahead of whoever reads.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use super::Mounted;
use super::trace::{Fit, SHORT_DIGEST, Trace};
use crate::error::Error;
use crate::layer::Coming;
use crate::stats::{Counter, ReplayReport};

/// Fewest chunks that are worth asking for together: neighbours among them become one request.
const BATCH: usize = 32;
/// Most chunks in flight: all that a start needs at first.
const MOST_FLYING: usize = 128;
/// Chunks that are fetched ahead and not used yet: 64 MiB where chunks are 256 KiB. Then it goes on as they are used.
const MOST_AHEAD: u64 = 256;
/// Touches that tell nothing yet.
const FEW_TOUCHES: u64 = 32;
/// A profile of which less than one in so many touches is found does not fit.
const WORST_FIT: u64 = 8;
/// Longest sleep without a look at whether the mount is still there.
const PATIENCE: Duration = Duration::from_millis(250);
/// Longest profile; one of a trace has fewer.
const MOST_CHUNKS: usize = 1 << 16;

/// Short digests of chunks in the order in which they are wanted.
#[derive(Debug, Default)]
pub(super) struct Profile(Vec<[u8; SHORT_DIGEST]>);

impl Profile {
    /// From a request: digests, one behind the other.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let (digests, rest) = bytes.as_chunks();
        if !rest.is_empty() || digests.len() > MOST_CHUNKS {
            let length = bytes.len();
            return Err(Error::Request(format!("a profile of {length} bytes")));
        }
        Ok(Self(digests.to_vec()))
    }

    /// The same bytes again.
    pub(super) fn bytes(&self) -> Vec<u8> {
        self.0.concat()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Where the chunks are in these layers, in the profile's order; those that are nowhere are left out. Of a chunk that
    /// is in several places the first is taken.
    fn map<'a>(
        &self,
        tables: impl Iterator<Item = impl Iterator<Item = &'a [u8]>>,
    ) -> Vec<(usize, u32)> {
        let mut wanted: HashMap<&[u8], usize> = HashMap::new();
        for (order, digest) in self.0.iter().enumerate() {
            wanted.entry(digest.as_slice()).or_insert(order);
        }
        let mut places: BTreeMap<usize, (usize, u32)> = BTreeMap::new();
        for (layer, chunks) in tables.enumerate() {
            for (digest, chunk) in chunks.zip(0..) {
                if let Some(order) = digest.get(..SHORT_DIGEST).and_then(|key| wanted.get(key)) {
                    places.entry(*order).or_insert((layer, chunk));
                }
            }
        }
        places.into_values().collect()
    }
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// At most so many chunks.
    Fetch(usize),
    Wait,
    GiveUp,
}

/// From how many chunks were asked for and how the profile fits.
fn next_step(fetched: u64, fit: Fit) -> Step {
    let Fit { used, unforeseen } = fit;
    if used + unforeseen >= FEW_TOUCHES && used.saturating_mul(WORST_FIT) < used + unforeseen {
        return Step::GiveUp;
    }
    let ahead = fetched.saturating_sub(used);
    match usize::try_from(MOST_AHEAD.saturating_sub(ahead)) {
        Ok(room) if room < BATCH => Step::Wait,
        room => Step::Fetch(room.unwrap_or(BATCH)),
    }
}

const RUNNING: u8 = 0;
const DONE: u8 = 1;
const UNUSED: u8 = 2;
const ENDED: u8 = 3;

/// What came of a mount's profile.
#[derive(Debug, Default)]
pub(super) struct Replay {
    /// Chunks of the profile, and those that the image has.
    found: OnceLock<(u64, u64)>,
    fetched: Counter,
    state: AtomicU8,
    /// Plain bytes a second at which the rest is brought.
    rate: AtomicU64,
    /// What was asked for and may not be there yet, in that order.
    flying: Mutex<VecDeque<Coming>>,
}

impl Replay {
    pub(super) fn report(&self, trace: Option<&Trace>) -> Option<ReplayReport> {
        let (chunks, mapped) = *self.found.get()?;
        let fit = trace.map(Trace::fit).unwrap_or_default();
        Some(ReplayReport {
            chunks,
            mapped,
            fetched: self.fetched.get(),
            used: fit.used,
            unforeseen: fit.unforeseen,
            state: match self.state.load(Ordering::Acquire) {
                RUNNING => "running",
                DONE => "done",
                UNUSED => "unused",
                _ => "ended",
            },
        })
    }

    /// Plain bytes a second at which a mount is completed; `None`: as fast as it goes.
    pub(super) fn rate(&self) -> Option<u64> {
        Some(self.rate.load(Ordering::Relaxed)).filter(|rate| *rate > 0)
    }

    /// The mount has ended: what nobody has begun to fetch is not fetched.
    pub(super) fn withdraw(&self) {
        for coming in self.flying().iter() {
            coming.withdraw();
        }
    }

    fn flying(&self) -> MutexGuard<'_, VecDeque<Coming>> {
        self.flying.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for what was asked for first, unless all is there.
    fn wait_first(&self) {
        let first = self.flying().front().cloned();
        if let Some(first) = first {
            first.wait();
            self.flying().pop_front();
        }
    }

    pub(super) fn set_rate(&self, bytes_per_second: u64) {
        self.rate.store(bytes_per_second, Ordering::Relaxed);
    }
}

/// Fetches what a profile names, in its order.
pub(super) fn replay(mounted: &Mounted, profile: &Profile) {
    let Some(trace) = mounted.user.trace.get() else {
        return;
    };
    let tables = mounted.layers.iter().map(|layer| {
        // The kernel reads a local layer by itself.
        let chunks = layer.file.layer.table().chunks.iter();
        chunks
            .filter(|_| !layer.local)
            .map(|chunk| chunk.digest.as_slice())
    });
    let places = profile.map(tables);
    for (layer, chunk) in &places {
        trace.foresee(*layer, *chunk);
    }
    let _ = mounted
        .replay
        .found
        .set((profile.0.len() as u64, places.len() as u64));
    let state = bring(mounted, trace, &places);
    mounted.replay.state.store(state, Ordering::Release);
    tracing::debug!(id = mounted.id(), report = ?mounted.replay.report(Some(trace)), "profile replayed");
}

fn bring(mounted: &Mounted, trace: &Trace, places: &[(usize, u32)]) -> u8 {
    let replay = &mounted.replay;
    let mut rest = places;
    while !rest.is_empty() {
        let room = loop {
            if mounted.ended.load(Ordering::Acquire) {
                return ENDED;
            }
            match next_step(mounted.replay.fetched.get(), trace.fit()) {
                Step::Fetch(room) => break room,
                Step::GiveUp => return UNUSED,
                Step::Wait => trace.wait_touched(PATIENCE),
            }
        };
        let in_flight = || replay.flying().iter().map(Coming::left).sum::<usize>();
        if in_flight() > MOST_FLYING - BATCH {
            while in_flight() > MOST_FLYING / 2 {
                replay.wait_first();
            }
            continue; // what it has done meanwhile may say that it is enough
        }
        let count = room.min(MOST_FLYING - in_flight()).min(rest.len());
        let (batch, later) = rest.split_at(count);
        rest = later;
        for (layer, chunks) in runs_of(batch) {
            if let Some(layer) = mounted.layers.get(layer) {
                let brought = layer.file.layer.fetch_ahead(&chunks);
                replay.fetched.add(brought.len() as u64);
                replay.flying().push_back(brought);
            }
        }
        if mounted.ended.load(Ordering::Acquire) {
            replay.withdraw(); // the end may have come before these were on the list
        }
    }
    while !replay.flying().is_empty() {
        replay.wait_first();
    }
    DONE
}

/// Chunks that follow each other in a layer, so that a request holds as many as it may; the run with the chunk that is wanted
/// first goes first. One request for ten neighbours takes a round trip where ten take one each of the few that are in flight.
fn runs_of(batch: &[(usize, u32)]) -> Vec<(usize, Vec<u32>)> {
    let mut sorted: Vec<_> = batch.iter().copied().zip(0usize..).collect();
    sorted.sort_unstable();
    let mut runs: Vec<(usize, (usize, Vec<u32>))> = vec![];
    for ((layer, chunk), order) in sorted {
        match runs.last_mut() {
            Some((first, (of, chunks)))
                if *of == layer && chunks.last().is_some_and(|last| chunk - last <= 1) =>
            {
                *first = order.min(*first);
                chunks.push(chunk);
            }
            _ => runs.push((order, (layer, vec![chunk]))),
        }
    }
    runs.sort_unstable_by_key(|(first, _)| *first);
    runs.into_iter().map(|(_, run)| run).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(number: u8) -> [u8; 32] {
        [number; 32]
    }

    #[test]
    fn a_profile_finds_its_chunks_in_another_image_in_its_own_order() {
        let profile = Profile::parse(&[7, 3, 9, 3].map(|number| [number; SHORT_DIGEST]).concat());
        let layers = [vec![digest(1), digest(3)], vec![digest(3), digest(7)]];
        let tables = layers
            .iter()
            .map(|layer| layer.iter().map(<[u8; 32]>::as_slice));
        assert_eq!(profile.unwrap().map(tables), [(1, 1), (0, 1)]);
    }

    #[test]
    fn what_is_no_profile_is_refused() {
        assert!(Profile::parse(&[1; SHORT_DIGEST + 1]).is_err());
        assert!(Profile::parse(&vec![0; (MOST_CHUNKS + 1) * SHORT_DIGEST]).is_err());
        assert!(Profile::parse(&[]).unwrap().0.is_empty());
    }

    #[test]
    fn it_waits_for_its_reader_and_gives_up_on_a_stranger() {
        let fit = |used, unforeseen| Fit { used, unforeseen };
        let most = usize::try_from(MOST_AHEAD).unwrap();
        assert_eq!(next_step(0, fit(0, 0)), Step::Fetch(most));
        assert_eq!(next_step(MOST_AHEAD, fit(0, 0)), Step::Wait);
        assert_eq!(next_step(MOST_AHEAD, fit(BATCH as u64 - 1, 0)), Step::Wait);
        assert_eq!(
            next_step(MOST_AHEAD, fit(BATCH as u64, 0)),
            Step::Fetch(BATCH)
        );
        assert_eq!(
            next_step(10, fit(0, FEW_TOUCHES - 1)),
            Step::Fetch(most - 10)
        );
        assert_eq!(next_step(10, fit(0, FEW_TOUCHES)), Step::GiveUp);
        assert_eq!(next_step(10, fit(100, 100)), Step::Fetch(most));
        assert_eq!(next_step(MOST_AHEAD, fit(0, FEW_TOUCHES)), Step::GiveUp);
    }

    #[test]
    fn neighbours_are_one_run_and_what_is_wanted_first_goes_first() {
        let runs = runs_of(&[(1, 9), (0, 4), (1, 3), (0, 5), (1, 8), (0, 3), (0, 7)]);
        assert_eq!(
            runs,
            [
                (1, vec![8, 9]),
                (0, vec![3, 4, 5]),
                (1, vec![3]),
                (0, vec![7])
            ]
        );
    }
}
