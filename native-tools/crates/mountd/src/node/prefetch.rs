//! Fetching what a mount has before anybody asks.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use super::{Mounted, Node};

/// Read at once; the layers' own read-ahead keeps the requests in flight.
const STEP: u64 = 1 << 20;

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
            let target = Arc::clone(mounted);
            let started = thread::Builder::new()
                .name("prefetch".to_owned())
                .spawn(move || {
                    run(&target);
                    target.prefetching.store(false, Ordering::Release);
                });
            if let Err(error) = started {
                tracing::warn!(%error, "nothing is prefetched");
                mounted.prefetching.store(false, Ordering::Release);
            }
        }
        missing
    }
}

fn run(mounted: &Mounted) {
    let mut buffer = vec![0; usize::try_from(STEP).unwrap_or_default()];
    for layer in mounted.layers.iter().filter(|layer| !layer.local) {
        let (layer, end) = (&layer.file.layer, layer.file.layer.table().plain_bytes);
        let mut at = 0;
        while at < end && !mounted.ended.load(Ordering::Acquire) {
            let length = usize::try_from(STEP.min(end - at)).unwrap_or_default();
            let part = buffer.get_mut(..length).unwrap_or_default();
            if !layer.is_ready(at, length)
                && let Err(error) = layer.read(at, part)
            {
                tracing::warn!(%error, "prefetching ends early");
                return;
            }
            at += STEP;
        }
    }
}
