//! Parts of chunks that lie in spans already decoded, until the span with the other part is.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Of all layers together. Two ends of 256 KiB a MiB is the most that a foreign gzip layer leaves, half of it on average: this
/// is enough for 128 MiB that are read in any order, and for front to back reading of any number of layers.
const MOST_BYTES: u64 = 32 << 20;

/// A part of a chunk, and the part of the chunk that is missing between both is what a fetch has to bring.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Ends {
    /// From the chunk's start to where a span ends.
    pub(super) front: Vec<u8>,
    /// From where a span starts to the chunk's end.
    pub(super) back: Vec<u8>,
}

impl Ends {
    fn bytes(&self) -> u64 {
        (self.front.len() + self.back.len()) as u64
    }

    /// The chunk, when both parts meet.
    fn whole(&self, length: usize) -> Option<Vec<u8>> {
        let twice = (self.front.len() + self.back.len()).checked_sub(length)?;
        Some([self.front.as_slice(), self.back.get(twice..)?].concat())
    }
}

/// The ends of all layers. Not proven: only a whole chunk has a digest.
#[derive(Debug, Default)]
pub(super) struct LooseEnds {
    layers: AtomicU64,
    kept: Mutex<Kept>,
}

type Key = (u64, u32);

#[derive(Debug, Default)]
struct Kept {
    bytes: u64,
    tick: u64,
    ends: HashMap<Key, (u64, Ends)>,
    oldest: BTreeMap<u64, Key>,
}

impl Kept {
    fn take(&mut self, key: Key) -> Ends {
        let Some((tick, ends)) = self.ends.remove(&key) else {
            return Ends::default();
        };
        self.oldest.remove(&tick);
        self.bytes -= ends.bytes();
        ends
    }

    fn put(&mut self, key: Key, ends: Ends) {
        self.tick += 1;
        self.bytes += ends.bytes();
        self.oldest.insert(self.tick, key);
        self.ends.insert(key, (self.tick, ends));
        while self.bytes > MOST_BYTES {
            let Some(key) = self.oldest.first_key_value().map(|(_, key)| *key) else {
                return;
            };
            self.take(key);
        }
    }
}

impl LooseEnds {
    /// The place of one more layer.
    pub(super) fn layer(self: &Arc<Self>) -> LayerEnds {
        LayerEnds {
            layer: self.layers.fetch_add(1, Ordering::Relaxed),
            all: Arc::clone(self),
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The ends of one layer; they go with it.
#[derive(Debug)]
pub(super) struct LayerEnds {
    layer: u64,
    all: Arc<LooseEnds>,
}

impl LayerEnds {
    /// Keeps what was decoded of a chunk of `length` bytes; gives the chunk when that was all that it lacked.
    pub(super) fn add(&self, chunk: u32, more: Ends, length: usize) -> Option<Vec<u8>> {
        let key = (self.layer, chunk);
        let mut kept = self.all.kept();
        let mut ends = kept.take(key);
        if more.front.len() > ends.front.len() {
            ends.front = more.front;
        }
        if more.back.len() > ends.back.len() {
            ends.back = more.back;
        }
        let whole = ends.whole(length);
        if whole.is_none() {
            kept.put(key, ends);
        }
        whole
    }

    /// What is kept of a chunk, which is kept no longer.
    pub(super) fn take(&self, chunk: u32) -> Ends {
        self.all.kept().take((self.layer, chunk))
    }
}

impl Drop for LayerEnds {
    fn drop(&mut self) {
        let mut kept = self.all.kept();
        let keys = kept.ends.keys().filter(|(layer, _)| *layer == self.layer);
        let keys: Vec<Key> = keys.copied().collect();
        for key in keys {
            kept.take(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn front(bytes: usize) -> Ends {
        Ends {
            front: vec![1; bytes],
            back: vec![],
        }
    }

    fn back(bytes: usize) -> Ends {
        Ends {
            front: vec![],
            back: vec![2; bytes],
        }
    }

    #[test]
    fn two_ends_that_meet_are_the_chunk() {
        let layer = Arc::new(LooseEnds::default()).layer();
        assert_eq!(layer.add(7, front(3), 5), None);
        assert_eq!(layer.add(8, back(2), 5), None);
        assert_eq!(layer.add(7, back(1), 5), None);
        assert_eq!(layer.add(7, back(2), 5), Some(vec![1, 1, 1, 2, 2]));
        assert_eq!(layer.take(7), Ends::default());
        assert_eq!(layer.add(8, front(4), 5), Some(vec![1, 1, 1, 1, 2]));
    }

    #[test]
    fn memory_is_bounded_over_all_layers_and_the_oldest_go_first() {
        let all = Arc::new(LooseEnds::default());
        let layers = [all.layer(), all.layer()];
        let size = 256 << 10;
        for chunk in 0..200 {
            for layer in &layers {
                assert_eq!(layer.add(chunk, front(size), size * 2), None);
                assert!(all.kept().bytes <= MOST_BYTES);
            }
        }
        assert_eq!(layers[0].take(100), Ends::default());
        assert_eq!(layers[1].take(199), front(size));
        let [gone, stays] = layers;
        drop(gone);
        {
            let kept = all.kept();
            assert!((1..=64).contains(&kept.ends.len()));
            assert_eq!(kept.ends.len(), kept.oldest.len());
        }
        drop(stays);
        assert_eq!(all.kept().bytes, 0);
    }
}
