//! Proving everything that is cached, also layers that nobody has mounted.

use std::fs;
use std::io;
use std::path::Path;

use archive_format::digest::blake3;
use archive_format::tables::{LayerTable, decode};

use super::archives::{self, Checked};
use super::{Cache, LayerCache, layer_name};

/// What was found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verified {
    /// Chunks that were read.
    pub chunks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Those that were not what they should be; they are off the map, and fetched again when they are wanted.
    pub damaged: u64,
    /// Layers that cannot be checked: what their chunks should be is lost.
    pub unknown_layers: u32,
    /// Archives that were looked at.
    pub archives: u32,
    /// Those that were not what they should be; they are removed, and fetched or made again when they are wanted.
    pub damaged_archives: u32,
    /// Those that have no digests: of other writers, with the whole of their files.
    pub unknown_archives: u32,
}

impl Verified {
    /// The sum of two.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            chunks: self.chunks + other.chunks,
            bytes: self.bytes + other.bytes,
            damaged: self.damaged + other.damaged,
            unknown_layers: self.unknown_layers + other.unknown_layers,
            archives: self.archives + other.archives,
            damaged_archives: self.damaged_archives + other.damaged_archives,
            unknown_archives: self.unknown_archives + other.unknown_archives,
        }
    }
}

impl Cache {
    /// Reads every chunk of every layer for which `is_wanted` and takes the damaged ones off the map.
    ///
    /// # Errors
    /// The system's.
    pub fn verify(&self, is_wanted: impl Fn(&str) -> bool) -> io::Result<Verified> {
        let mut all = Verified::default();
        for layer in self.list()? {
            let name = layer.path.file_name().and_then(|name| name.to_str());
            let Some(name) = name.filter(|name| is_wanted(name)) else {
                continue;
            };
            let one = match table_at(&layer.path, name) {
                Some(table) => verify_layer(&LayerCache::open(&layer.path, &table)?, &table)?,
                None => Verified {
                    unknown_layers: 1,
                    ..Verified::default()
                },
            };
            all = all.and(one);
        }
        Ok(all)
    }

    /// Proves what mounts take from each archive, and removes the damaged ones that no mount has.
    ///
    /// # Errors
    /// The system's.
    pub fn verify_archives(&self) -> io::Result<Verified> {
        let mut all = Verified::default();
        for archive in self.list_archives()? {
            all.archives += 1;
            match archives::check(&archive)? {
                Checked::Good => (),
                Checked::Damaged => all.damaged_archives += 1,
                Checked::Unknown => all.unknown_archives += 1,
            }
        }
        Ok(all)
    }
}

/// The table that lies beside the chunks. The directory's name proves it.
fn table_at(path: &Path, name: &str) -> Option<LayerTable> {
    let tables = decode(&fs::read(path.join("table")).ok()?).ok()?;
    let mut named = tables.into_iter().filter(|table| layer_name(table) == name);
    named.next()
}

fn verify_layer(cache: &LayerCache, table: &LayerTable) -> io::Result<Verified> {
    let mut found = Verified::default();
    let mut offset = 0;
    let written = cache.written()?;
    let mut bytes = vec![];
    for (index, (chunk, is_written)) in (0..).zip(table.chunks.iter().zip(written)) {
        if is_written {
            bytes.resize(chunk.plain as usize, 0);
            found.chunks += 1;
            found.bytes += u64::from(chunk.plain);
            let is_good = cache.read(offset, &mut bytes).is_ok() && blake3(&bytes) == chunk.digest;
            if !is_good {
                found.damaged += 1;
                cache.forget(index);
            }
        }
        offset += u64::from(chunk.plain);
    }
    Ok(found)
}
