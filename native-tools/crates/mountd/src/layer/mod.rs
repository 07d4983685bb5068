//! A layer as a random-access plain stream: cached, verified, fetched on demand.

mod ahead;
mod assemble;
mod budget;
mod check;
mod claim;
mod decode;
mod fetcher;
mod flight;
mod geometry;
mod job;
mod lookahead;
mod loose_ends;
mod nearby;
mod read;
mod readahead;
mod resume;
mod state;
mod stride;
#[cfg(test)]
mod tests;
mod verify;
mod whole;
mod windows;

pub use ahead::{Coming, Tier};
pub use fetcher::{FetchSettings, Fetcher};
pub use geometry::{Geometry, Plan};
pub use verify::verify_blob;
pub use windows::Windows;

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use archive_format::digest::{blake3, oci};
use archive_format::tables::{Codec, LayerTable};

use crate::cache::LayerCache;
use crate::source::{Blob, BlobSource, FetchError};
use crate::stats::{Counter, LayerStat, Mode, Stats};
use budget::Budget;
use flight::Flight;
use loose_ends::LayerEnds;
use readahead::ReadAhead;
use state::ChunkStates;

/// The longest merged request, in stored bytes.
pub(crate) const REQUEST_BYTES: u64 = 4 << 20;

/// The longest one for a profile. All requests in flight share the link, so that the end of a long one comes late, however early it is wanted; and so
/// many of these as are in flight fill 100 MB/s with round trips of 70 ms (adr/0013).
const PROFILE_REQUEST_BYTES: u64 = 512 << 10;

/// What a layer is put together from.
#[derive(Debug)]
pub struct LayerParts {
    /// Its record in the archive.
    pub table: LayerTable,
    /// Its place in the cache.
    pub cache: LayerCache,
    /// Where its blob is.
    pub source: Arc<dyn BlobSource>,
    /// Where the windows of its seek points are.
    pub windows: Windows,
    /// Who fetches.
    pub fetcher: Fetcher,
    /// Where to count.
    pub stats: Arc<Stats>,
}

/// A layer in use.
#[derive(Debug)]
pub struct Layer {
    table: LayerTable,
    geometry: Geometry,
    cache: LayerCache,
    source: Arc<dyn BlobSource>,
    windows: Windows,
    fetcher: Fetcher,
    stats: Arc<Stats>,
    states: ChunkStates,
    flights: Mutex<HashMap<u32, Arc<Flight>>>,
    ahead: Mutex<ReadAhead>,
    budget: Budget,
    loose_ends: LayerEnds,
    fetched_bytes: Counter,
    whole: Option<String>,
}

impl Layer {
    /// Puts a layer together.
    ///
    /// # Errors
    /// The system's, when the cache's map cannot be read.
    pub fn new(parts: LayerParts) -> io::Result<Arc<Self>> {
        let LayerParts {
            table,
            cache,
            source,
            windows,
            fetcher,
            stats,
        } = parts;
        let geometry = Geometry::of(&table);
        let states = ChunkStates::new(&cache.written()?);
        let whole = geometry
            .largest_streamed()
            .map(|(stored, plain)| why_whole(&table, stored, plain));
        Ok(Arc::new(Self {
            table,
            geometry,
            cache,
            source,
            windows,
            budget: Budget::new(
                fetcher.settings().ahead_percent,
                fetcher.settings().ahead_waits,
            ),
            loose_ends: fetcher.loose_ends().layer(),
            fetcher,
            stats,
            states,
            flights: Mutex::default(),
            ahead: Mutex::default(),
            fetched_bytes: Counter::default(),
            whole,
        }))
    }

    /// Its record in the archive.
    #[must_use]
    pub fn table(&self) -> &LayerTable {
        &self.table
    }

    /// What `stat` shows of it.
    #[must_use]
    pub fn stat(&self) -> LayerStat {
        let chunks = u64::from(self.geometry.chunk_count());
        let proven = self.states.proven();
        let (mode, reason) = match &self.whole {
            _ if proven == chunks => (Mode::Complete, None),
            Some(reason) => (Mode::Whole, Some(reason.clone())),
            None => (Mode::Lazy, None),
        };
        LayerStat {
            diff_id: oci(&self.table.diff_id),
            digest: oci(&self.table.digest),
            mode,
            reason,
            plain_bytes: self.table.plain_bytes,
            fetched_bytes: self.fetched_bytes.get(),
            chunks,
            proven,
        }
    }

    fn blob(&self) -> Blob {
        Blob {
            digest: self.table.digest,
            size: self.table.blob_bytes,
        }
    }

    fn flights(&self) -> std::sync::MutexGuard<'_, HashMap<u32, Arc<Flight>>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether bytes are the chunk that the archive names.
    fn check(&self, chunk: u32, bytes: &[u8]) -> Result<(), FetchError> {
        let wanted = self.table.chunks.get(chunk as usize);
        if wanted.is_some_and(|wanted| {
            bytes.len() == wanted.plain as usize && blake3(bytes) == wanted.digest
        }) {
            return Ok(());
        }
        let layer = oci(&self.table.diff_id);
        Err(FetchError::damaged(format!(
            "chunk {chunk} of layer {layer} does not have its digest"
        )))
    }
}

fn why_whole(table: &LayerTable, stored: u64, plain: u64) -> String {
    let unit = match table.codec {
        Codec::Gzip => "gzip member",
        Codec::Zstd => "zstd frame",
        Codec::Plain => "span",
    };
    format!(
        "one {unit} of {stored} bytes holds {plain} bytes: it is fetched and decoded as a whole"
    )
}
