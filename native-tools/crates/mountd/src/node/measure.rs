//! The node's metrics.

use std::io;
use std::sync::Arc;
use std::sync::Weak;
use std::time::SystemTime;

use super::Node;
use crate::answers::labelled;
use crate::metrics::{Page, listen};

impl Node {
    /// Answers for as long as the node lives, where an address was given.
    pub(super) fn show_metrics(self: &Arc<Self>) -> io::Result<()> {
        let Some(address) = &self.options.metrics else {
            return Ok(());
        };
        let node: Weak<Self> = Arc::downgrade(self);
        listen(address, move || node.upgrade().map(|node| node.metrics()))
    }

    /// The page, in the text format of Prometheus.
    #[must_use]
    pub fn metrics(&self) -> String {
        let (totals, errors) = self.tally.totals();
        let mut page = Page::default();
        let mounts = self.mounts();
        let count = |engine: &str| {
            let mounts = mounts.values();
            mounts
                .filter(|mounted| mounted.choice.engine.name() == engine)
                .count() as u64
        };
        let (erofs, fuse) = (count("erofs"), count("fuse"));
        drop(mounts);
        let name = |rest: &str| format!("clipyard_mountd_{rest}");
        let since = self.started.duration_since(SystemTime::UNIX_EPOCH);
        page.gauge(
            "process_start_time_seconds",
            "When this daemon started, in seconds since 1970: all counters start again with it.",
            since.unwrap_or_default().as_secs(),
        );
        page.gauge(&name("mounts_erofs"), "Mounts of engine erofs.", erofs);
        page.gauge(&name("mounts_fuse"), "Mounts of engine fuse.", fuse);
        page.counter(
            &name("wanted_bytes_total"),
            "Plain bytes that readers asked the daemon for.",
            totals.wanted_bytes,
        );
        page.counter(
            &name("fetched_bytes_total"),
            "Bytes of response bodies with layer data.",
            totals.fetched_bytes,
        );
        page.counters(
            &name("chunks_proven_total"),
            "Chunks whose digest was found right, by where they came from.",
            "tier",
            [
                ("registry", totals.chunks_verified),
                ("cache", totals.cache_hits),
            ],
        );
        page.counter(
            &name("requests_total"),
            "Requests for layer data that were answered with any.",
            totals.requests,
        );
        page.counter(
            &name("retries_total"),
            "Requests sent again or resumed.",
            totals.retries,
        );
        page.counters_of_two(
            &name("answers_total"),
            "Answers to requests for blobs, by who was asked and class of the status; none: no answer came.",
            ["source", "class"],
            labelled(&totals.answers),
        );
        page.seconds(
            &name("wait_seconds"),
            "How long reads took whose chunks were not proven yet.",
            &self.files.waits,
        );
        page.gauge(
            &name("cache_bytes"),
            "Bytes on disk of all cached layers.",
            self.caches.held_bytes(),
        );
        page.counter(
            &name("cache_evicted_layers_total"),
            "Layers that the limits of the cache removed.",
            self.caches.evicted_layers.get(),
        );
        page.counter(
            &name("cache_evicted_bytes_total"),
            "Their bytes on disk.",
            self.caches.evicted_bytes.get(),
        );
        page.counter(
            &name("cache_damaged_chunks_total"),
            "Cached chunks that were not what they should be.",
            totals.cache_damaged,
        );
        page.counter(
            &name("cache_not_kept_chunks_total"),
            "Chunks that were served and could not be kept.",
            totals.not_kept,
        );
        page.counters(
            &name("errors_total"),
            "Reads that failed, by code.",
            "code",
            errors,
        );
        page.text()
    }
}
