//! Fetching what a mount has before anybody asks.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use super::{Mounted, Node};

/// Read at once; the layers' own read-ahead keeps the requests in flight.
const STEP: u64 = 1 << 20;

/// Longest sleep without a look at whether the mount is still there.
const NAP: Duration = Duration::from_millis(100);

impl Node {
    /// Brings the layers of a mount into the cache, one after another, until all are there or it is unmounted. Gives the
    /// plain bytes of those that are not complete.
    pub fn prefetch(&self, mounted: &Arc<Mounted>) -> u64 {
        let missing: u64 = mounted
            .layers
            .iter()
            .map(|layer| layer.file.layer.stat())
            .filter(|stat| stat.proven < stat.chunks)
            .map(|stat| stat.plain_bytes)
            .sum();
        if missing > 0 && !mounted.prefetching.swap(true, Ordering::AcqRel) {
            self.note_left(mounted, |left| left.complete = true);
            let (node, target) = (self.this.clone(), Arc::clone(mounted));
            let started = thread::Builder::new()
                .name("prefetch".to_owned())
                .spawn(move || bring_all(&node, &target));
            if let Err(error) = started {
                tracing::warn!(%error, "nothing is prefetched");
                mounted.prefetching.store(false, Ordering::Release);
            }
        }
        missing
    }
}

impl Node {
    /// Brings the layers of a mount into the cache in the caller's time, at the mount's rate.
    pub(super) fn complete(node: &Weak<Self>, mounted: &Mounted) {
        if !mounted.prefetching.swap(true, Ordering::AcqRel) {
            bring_all(node, mounted);
        }
    }
}

/// For whoever set `prefetching`. The next daemon goes on until this is done or given up.
fn bring_all(node: &Weak<Node>, mounted: &Mounted) {
    run(mounted);
    if let Some(node) = node.upgrade() {
        node.note_left(mounted, |left| left.complete = false);
    }
    mounted.prefetching.store(false, Ordering::Release);
}

/// Holds a rate of plain bytes, in naps so short that an end is noticed.
struct Pace {
    started: Instant,
    bytes: u64,
    rate: Option<u64>,
}

impl Pace {
    /// Bytes were brought; waits until they were due.
    fn brought(&mut self, bytes: u64, mounted: &Mounted) {
        let Some(rate) = self.rate else { return };
        self.bytes = self.bytes.saturating_add(bytes);
        let due = due_after(self.bytes, rate);
        while !mounted.ended.load(Ordering::Acquire) {
            let left = due.saturating_sub(self.started.elapsed());
            if left.is_zero() {
                return;
            }
            thread::sleep(left.min(NAP));
        }
    }
}

fn due_after(bytes: u64, rate: u64) -> Duration {
    Duration::from_millis(bytes.saturating_mul(1000) / rate.max(1))
}

fn run(mounted: &Mounted) {
    let mut pace = Pace {
        started: Instant::now(),
        bytes: 0,
        rate: mounted.replay.rate(),
    };
    let mut buffer = vec![0; usize::try_from(STEP).unwrap_or_default()];
    for layer in mounted.layers.iter().filter(|layer| !layer.local) {
        let (layer, end) = (&layer.file.layer, layer.file.layer.table().plain_bytes);
        let mut at = 0;
        while at < end && !mounted.ended.load(Ordering::Acquire) {
            let length = usize::try_from(STEP.min(end - at)).unwrap_or_default();
            let part = buffer.get_mut(..length).unwrap_or_default();
            if !layer.is_ready(at, length) {
                if let Err(error) = layer.read(at, part) {
                    tracing::warn!(%error, "prefetching ends early");
                    return;
                }
                pace.brought(length as u64, mounted);
            }
            at += STEP;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_due_at_the_rate() {
        assert_eq!(due_after(0, 1 << 20), Duration::ZERO);
        assert_eq!(due_after(3 << 20, 1 << 20), Duration::from_secs(3));
        assert_eq!(due_after(512 << 10, 1 << 20), Duration::from_millis(500));
    }
}
