//! What a mount touches first, in which order, and how long it waits (`docs/formats/trace.md`).

use std::fs;
use std::io::{self, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use archive_format::digest::oci;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::Mounted;
use super::layer_files::LayerFile;
use super::mounted::MountedLayer;
use crate::layer::{Layer, Tier};
use crate::stats::{Counter, Reads};

/// Touches kept of one mount: what follows is counted. About 2 MB.
const MOST_TOUCHES: usize = 1 << 15;

/// Of a digest in traces and profiles: they only say what to look for, and what is fetched is checked against all of it.
pub(super) const SHORT_DIGEST: usize = 16;

/// Upper bounds of the histogram of waits, in microseconds.
const WAIT_BOUNDS_US: [u64; 12] = [
    100, 300, 1_000, 3_000, 10_000, 20_000, 50_000, 100_000, 300_000, 1_000_000, 3_000_000,
    10_000_000,
];

/// A read that touched chunks which the mount had not touched before.
#[derive(Debug, Clone)]
struct Touch {
    layer: usize,
    chunks: Range<u32>,
    offset: u64,
    length: u64,
    at_us: u64,
    wait_us: u64,
    tier: Tier,
}

/// The chunks of one layer that a mount touched, or is expected to.
#[derive(Debug)]
struct Seen {
    file: Arc<LayerFile>,
    touched: Bits,
    foreseen: Bits,
}

#[derive(Debug)]
struct Bits(Vec<AtomicU64>);

impl Bits {
    fn new(count: usize) -> Self {
        Self((0..count.div_ceil(64)).map(|_| AtomicU64::new(0)).collect())
    }

    /// True for the one that sets it first.
    fn set(&self, index: u32) -> bool {
        let bit = 1 << (index % 64);
        // Most reads touch what was touched before: these write nothing.
        self.0.get(index as usize / 64).is_some_and(|word| {
            word.load(Ordering::Relaxed) & bit == 0
                && word.fetch_or(bit, Ordering::Relaxed) & bit == 0
        })
    }

    fn has(&self, index: u32) -> bool {
        let word = self.0.get(index as usize / 64);
        word.is_some_and(|word| word.load(Ordering::Relaxed) & (1 << (index % 64)) != 0)
    }
}

/// How well a profile fits so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Fit {
    /// Touched chunks that the profile has.
    pub(super) used: u64,
    /// Touched chunks that it has not.
    pub(super) unforeseen: u64,
}

/// The record of one mount.
#[derive(Debug)]
pub(super) struct Trace {
    started: Instant,
    layers: Vec<Seen>,
    touches: Mutex<Vec<Touch>>,
    touched: Condvar,
    dropped: Counter,
    used: Counter,
    unforeseen: Counter,
    tiers: [(Counter, Counter); Tier::ALL.len()],
    waits: [Counter; WAIT_BOUNDS_US.len() + 1],
    waited_us: Counter,
}

/// A read that goes on.
pub(super) struct Watch<'a> {
    trace: &'a Trace,
    tier: Tier,
    /// Nothing for a read that is ready and touches nothing new.
    started: Option<Instant>,
    layer: usize,
    new: Vec<Range<u32>>,
    offset: u64,
    length: u64,
}

impl Trace {
    pub(super) fn new(layers: &[MountedLayer]) -> Self {
        let seen = |layer: &MountedLayer| {
            let count = layer.file.layer.table().chunks.len();
            Seen {
                file: Arc::clone(&layer.file),
                touched: Bits::new(count),
                foreseen: Bits::new(count),
            }
        };
        Self {
            started: Instant::now(),
            layers: layers.iter().map(seen).collect(),
            touches: Mutex::default(),
            touched: Condvar::default(),
            dropped: Counter::default(),
            used: Counter::default(),
            unforeseen: Counter::default(),
            tiers: Default::default(),
            waits: Default::default(),
            waited_us: Counter::default(),
        }
    }

    /// A profile expects this chunk to be touched.
    pub(super) fn foresee(&self, layer: usize, chunk: u32) {
        if let Some(seen) = self.layers.get(layer) {
            seen.foreseen.set(chunk);
        }
    }

    pub(super) fn fit(&self) -> Fit {
        Fit {
            used: self.used.get(),
            unforeseen: self.unforeseen.get(),
        }
    }

    /// Waits until something new is touched, for a moment at most.
    pub(super) fn wait_touched(&self, most: Duration) {
        let touches = self.touches();
        drop(self.touched.wait_timeout(touches, most));
    }

    /// A read begins.
    pub(super) fn begin(&self, file: &LayerFile, offset: u64, length: usize) -> Watch<'_> {
        let layer = self
            .layers
            .iter()
            .position(|seen| seen.file.node() == file.node())
            .unwrap_or(usize::MAX);
        let chunks = file.layer.chunks_of(offset, length);
        let new = self
            .layers
            .get(layer)
            .map_or_else(Vec::new, |seen| self.touch(seen, chunks.clone()));
        let tier = file.layer.tier(chunks);
        Watch {
            trace: self,
            tier,
            started: (tier != Tier::Ready || !new.is_empty()).then(Instant::now),
            layer,
            new,
            offset,
            length: length as u64,
        }
    }

    /// Marks chunks and gives those that are new, in runs. Takes memory only when there are any.
    fn touch(&self, seen: &Seen, chunks: Range<u32>) -> Vec<Range<u32>> {
        let mut new: Vec<Range<u32>> = vec![];
        for chunk in chunks.filter(|chunk| seen.touched.set(*chunk)) {
            let counter = if seen.foreseen.has(chunk) {
                &self.used
            } else {
                &self.unforeseen
            };
            counter.add(1);
            match new.last_mut() {
                Some(run) if run.end == chunk => run.end += 1,
                _ => new.push(chunk..chunk + 1),
            }
        }
        new
    }

    /// How reads were answered so far.
    pub(super) fn reads(&self) -> Reads {
        let bounds = WAIT_BOUNDS_US.iter().copied().map(Some).chain([None]);
        Reads {
            tiers: Tier::ALL
                .iter()
                .zip(&self.tiers)
                .map(|(tier, (reads, bytes))| (tier.name(), reads.get(), bytes.get()))
                .collect(),
            waits: bounds.zip(self.waits.iter().map(Counter::get)).collect(),
            waited_us: self.waited_us.get(),
        }
    }

    fn touches(&self) -> MutexGuard<'_, Vec<Touch>> {
        self.touches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch<'_> {
    /// The read has ended, well or not. Gives how long it waited, unless it was ready.
    pub(super) fn end(self) -> Option<Duration> {
        let Self { trace, tier, .. } = self;
        if let Some((reads, bytes)) = trace.tiers.get(tier as usize) {
            reads.add(1);
            bytes.add(self.length);
        }
        let started = self.started?;
        let mut wait_us = 0;
        let waited = (tier != Tier::Ready).then(|| started.elapsed());
        if let Some(waited) = waited {
            wait_us = micros(waited);
            trace.waited_us.add(wait_us);
            let bucket = WAIT_BOUNDS_US.partition_point(|bound| *bound < wait_us);
            if let Some(count) = trace.waits.get(bucket) {
                count.add(1);
            }
        }
        if self.new.is_empty() {
            return waited;
        }
        let at_us = micros(started.saturating_duration_since(trace.started));
        let mut touches = trace.touches();
        for chunks in self.new {
            if touches.len() >= MOST_TOUCHES {
                trace.dropped.add(1);
                continue;
            }
            touches.push(Touch {
                layer: self.layer,
                chunks,
                offset: self.offset,
                length: self.length,
                at_us,
                wait_us,
                tier,
            });
        }
        drop(touches);
        trace.touched.notify_all();
        waited
    }
}

impl Mounted {
    /// Begins to record.
    pub(super) fn trace_touches(&self) {
        let _ = self.user.trace.set(Trace::new(&self.layers));
    }

    /// What was touched so far, as a file of `docs/formats/trace.md`.
    ///
    /// # Errors
    /// None in practice: memory does not fail to be written to.
    pub fn trace(&self) -> io::Result<Vec<u8>> {
        let mut out = vec![];
        let Some(trace) = self.user.trace.get() else {
            return Ok(out);
        };
        let layers: Vec<_> = self
            .layers
            .iter()
            .zip(&trace.layers)
            .map(|(layer, seen)| {
                let stat = layer.stat();
                let table = seen.file.layer.table();
                json!({
                    "diffId": stat.diff_id,
                    "digest": stat.digest,
                    "chunkTable": oci(&table.chunk_table_digest()),
                    "plainBytes": stat.plain_bytes,
                    "chunks": stat.chunks,
                    "mode": stat.mode.name(),
                    "reason": stat.reason,
                })
            })
            .collect();
        let header = json!({
            "v": 1,
            "format": "clipyard-trace",
            "source": self.request.source,
            "storageRef": self.request.storage_ref,
            "entry": self.request.entry,
            "startedAt": self.request.started_at,
            "engine": self.choice.engine.name(),
            "layers": layers,
        });
        writeln!(out, "{header}")?;
        let mut touches = trace.touches().clone();
        touches.sort_by_key(|touch| touch.at_us);
        for touch in &touches {
            let digests = trace
                .layers
                .get(touch.layer)
                .map(|seen| short_digests(&seen.file.layer, touch.chunks.clone()));
            let row = json!([
                touch.layer,
                touch.chunks.start,
                touch.chunks.len(),
                touch.offset,
                touch.length,
                touch.at_us,
                touch.wait_us,
                touch.tier.name(),
                digests.unwrap_or_default(),
            ]);
            writeln!(out, "{row}")?;
        }
        let totals = self.totals();
        let end = json!({
            "touches": touches.len(),
            "dropped": trace.dropped.get(),
            "recordedUs": micros(trace.started.elapsed()),
            "wantedBytes": totals.wanted_bytes,
            "fetchedBytes": totals.fetched_bytes,
            "requests": totals.requests,
            "retries": totals.retries,
        });
        writeln!(out, "{end}")?;
        Ok(out)
    }

    /// Writes the trace where the mount's request says so. A mount is never kept for it.
    pub(super) fn write_trace(&self) {
        let path = Path::new(&self.request.trace_file);
        if path.as_os_str().is_empty() {
            return;
        }
        let temporary = path.with_extension(format!("{}.tmp", self.id()));
        let write = || -> io::Result<()> {
            fs::write(&temporary, self.trace()?)?;
            fs::rename(&temporary, path)
        };
        if let Err(error) = write() {
            let _ = fs::remove_file(&temporary);
            tracing::warn!(path = %path.display(), %error, "the trace is not written");
        }
    }
}

fn short_digests(layer: &Layer, chunks: Range<u32>) -> String {
    let table = &layer.table().chunks;
    let digests: Vec<u8> = chunks
        .filter_map(|chunk| table.get(chunk as usize))
        .flat_map(|chunk| chunk.digest.iter().take(SHORT_DIGEST).copied())
        .collect();
    URL_SAFE_NO_PAD.encode(digests)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
