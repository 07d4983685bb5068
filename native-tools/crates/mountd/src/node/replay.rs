//! Fetching in the order of a profile, ahead of whoever reads.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use super::Mounted;
use super::trace::{Fit, SHORT_DIGEST, Trace};
use crate::error::Error;
use crate::layer::Coming;
use crate::stats::{Counter, ReplayReport};

/// Chunks that are asked for together: neighbours among them become one request.
const BATCH: usize = 32;
/// Batches in flight, so that no request thread waits for the end of one.
const BATCHES: usize = 2;
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
    GoOn,
    Wait,
    GiveUp,
}

/// From how many chunks were asked for and how the profile fits.
fn next_step(fetched: u64, fit: Fit) -> Step {
    let Fit { used, unforeseen } = fit;
    if used + unforeseen >= FEW_TOUCHES && used.saturating_mul(WORST_FIT) < used + unforeseen {
        return Step::GiveUp;
    }
    if fetched.saturating_sub(used) >= MOST_AHEAD {
        return Step::Wait;
    }
    Step::GoOn
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
    let mut flying: VecDeque<Vec<Coming>> = VecDeque::new();
    for batch in places.chunks(BATCH) {
        loop {
            if mounted.ended.load(Ordering::Acquire) {
                return ENDED;
            }
            match next_step(mounted.replay.fetched.get(), trace.fit()) {
                Step::GoOn => break,
                Step::GiveUp => return UNUSED,
                Step::Wait => trace.wait_touched(PATIENCE),
            }
        }
        if flying.len() >= BATCHES {
            flying
                .pop_front()
                .into_iter()
                .flatten()
                .for_each(Coming::wait);
        }
        // Layers in the order of their first chunk: what is wanted first is asked for first.
        let mut layers: Vec<(usize, Vec<u32>)> = vec![];
        for (layer, chunk) in batch {
            match layers.iter_mut().find(|(known, _)| known == layer) {
                Some((_, chunks)) => chunks.push(*chunk),
                None => layers.push((*layer, vec![*chunk])),
            }
        }
        let mut coming = vec![];
        for (layer, mut chunks) in layers {
            chunks.sort_unstable();
            if let Some(layer) = mounted.layers.get(layer) {
                let brought = layer.file.layer.fetch_ahead(&chunks);
                mounted.replay.fetched.add(brought.len() as u64);
                coming.push(brought);
            }
        }
        flying.push_back(coming);
    }
    flying.into_iter().flatten().for_each(Coming::wait);
    DONE
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
        assert_eq!(next_step(0, fit(0, 0)), Step::GoOn);
        assert_eq!(next_step(MOST_AHEAD, fit(0, 0)), Step::Wait);
        assert_eq!(next_step(MOST_AHEAD, fit(1, 0)), Step::GoOn);
        assert_eq!(next_step(10, fit(0, FEW_TOUCHES - 1)), Step::GoOn);
        assert_eq!(next_step(10, fit(0, FEW_TOUCHES)), Step::GiveUp);
        assert_eq!(next_step(10, fit(100, 100)), Step::GoOn);
        assert_eq!(next_step(MOST_AHEAD, fit(0, FEW_TOUCHES)), Step::GiveUp);
    }
}
