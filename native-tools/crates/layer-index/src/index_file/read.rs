//! Reads an index; every damage is LAYER_INDEX_INVALID.

use std::fs;
use std::io::Read;
use std::ops::Range;
use std::path::Path;

use archive_format::seek::check_windows;
use archive_format::tables::LayerTable;
use zstd::stream::read::Decoder;

use super::records::{StoredEntry, StoredTail};
use super::{HEADER_BYTES, MAGIC, TRAILER_BYTES, VERSION};
use crate::entry::{Entry, Warnings};
use crate::error::IndexError;

/// An index of ten million entries has about 300 MB.
const MAX_FILE_BYTES: u64 = 1 << 30;
/// Twice the largest tail there can be with the default limits: 4 Mi spans and 4 Mi chunks.
const MAX_TAIL_BYTES: usize = 512 << 20;
/// Larger than any entry: path, link target, attributes and the sparse data of a whole layer.
const MAX_ENTRY_BYTES: u32 = 128 << 20;

/// A complete, checked index.
pub struct IndexReader {
    bytes: Vec<u8>,
    windows: Range<usize>,
    table: LayerTable,
    warnings: Warnings,
    entries: u64,
    name: String,
}

impl std::fmt::Debug for IndexReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "IndexReader({}, {} entries)", self.name, self.entries)
    }
}

impl IndexReader {
    /// Reads the file and checks its digest and its tail.
    ///
    /// # Errors
    /// PATH_NOT_FOUND, IO_FAILED, LAYER_INDEX_INVALID.
    pub fn open(path: &Path) -> Result<Self, IndexError> {
        let name = path.display().to_string();
        let failed = |error| IndexError::io(format!("read {name}"), error);
        let length = fs::metadata(path).map_err(failed)?.len();
        if length > MAX_FILE_BYTES {
            return Err(IndexError::limit(
                format!("{name}: an index of {length} bytes"),
                MAX_FILE_BYTES,
            ));
        }
        Self::parse(fs::read(path).map_err(failed)?, name)
    }

    /// Takes the bytes of a whole index; `name` is for messages.
    ///
    /// # Errors
    /// LAYER_INDEX_INVALID.
    pub fn parse(bytes: Vec<u8>, name: String) -> Result<Self, IndexError> {
        let bad = |what: &str| IndexError::IndexInvalid(format!("{name}: {what}"));
        if !bytes.starts_with(MAGIC) {
            return Err(bad("it is no layer index"));
        }
        let version = bytes.get(MAGIC.len()..MAGIC.len() + 2);
        if version != Some(&VERSION.to_le_bytes()) {
            return Err(bad(&format!("it is of version {version:?}, not {VERSION}")));
        }
        let body_end = bytes
            .len()
            .checked_sub(TRAILER_BYTES)
            .filter(|end| *end >= HEADER_BYTES)
            .ok_or_else(|| bad("it is too short"))?;
        let (hashed, digest) = bytes
            .split_last_chunk::<32>()
            .ok_or_else(|| bad("it is too short"))?;
        if blake3::hash(hashed).as_bytes() != digest {
            return Err(bad("its digest is wrong"));
        }
        let tail_offset = hashed
            .split_last_chunk::<8>()
            .and_then(|(_, offset)| usize::try_from(u64::from_le_bytes(*offset)).ok())
            .filter(|offset| (HEADER_BYTES..body_end).contains(offset))
            .ok_or_else(|| bad("its tail lies outside"))?;
        let tail = bytes.get(tail_offset..body_end).unwrap_or(&[]);
        let tail =
            zstd::bulk::decompress(tail, MAX_TAIL_BYTES.min(tail.len().saturating_mul(4096)))
                .map_err(|error| bad(&format!("its tail: {error}")))?;
        let tail: StoredTail =
            postcard::from_bytes(&tail).map_err(|error| bad(&format!("its tail: {error}")))?;
        let (entries, warnings) = (tail.entries, tail.warnings);
        let windows_start = usize::try_from(tail.window_bytes)
            .ok()
            .and_then(|length| tail_offset.checked_sub(length))
            .filter(|start| *start >= HEADER_BYTES)
            .ok_or_else(|| bad("its windows lie outside"))?;
        let table = tail.into_table().ok_or_else(|| bad("an unknown codec"))?;
        table
            .check()
            .map_err(|error| bad(&format!("its table: {error}")))?;
        let windows = windows_start..tail_offset;
        check_windows(
            std::slice::from_ref(&table),
            bytes.get(windows.clone()).unwrap_or_default(),
        )
        .map_err(|error| bad(&error.to_string()))?;
        Ok(Self {
            bytes,
            windows,
            table,
            warnings,
            entries,
            name,
        })
    }

    /// Identity, spans and chunks of the layer.
    #[must_use]
    pub fn table(&self) -> &LayerTable {
        &self.table
    }

    /// The stored windows that the table's seek columns tell of, one behind the other.
    #[must_use]
    pub fn windows(&self) -> &[u8] {
        self.bytes.get(self.windows.clone()).unwrap_or_default()
    }

    /// What was left out of the layer.
    #[must_use]
    pub fn warnings(&self) -> Warnings {
        self.warnings
    }

    /// Number of entries.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Gives every entry to `sink`, in stream order.
    ///
    /// # Errors
    /// LAYER_INDEX_INVALID, and what the sink says.
    pub fn for_each(
        &self,
        mut sink: impl FnMut(Entry) -> Result<(), IndexError>,
    ) -> Result<(), IndexError> {
        let bad = |what: String| IndexError::IndexInvalid(format!("{}: {what}", self.name));
        let frame = self
            .bytes
            .get(HEADER_BYTES..self.windows.start)
            .unwrap_or(&[]);
        let mut records = Decoder::with_buffer(frame)
            .map_err(|error| bad(format!("entries: {error}")))?
            .single_frame();
        let mut record = Vec::new();
        for number in 0..self.entries {
            let failed = |error| bad(format!("entry {number}: {error}"));
            let mut length = [0; 4];
            records.read_exact(&mut length).map_err(failed)?;
            let length = u32::from_le_bytes(length);
            if length > MAX_ENTRY_BYTES {
                return Err(bad(format!("entry {number} of {length} bytes")));
            }
            record.clear();
            let got = records
                .by_ref()
                .take(u64::from(length))
                .read_to_end(&mut record)
                .map_err(failed)?;
            if got as u64 != u64::from(length) {
                return Err(bad(format!("entry {number} is cut short")));
            }
            let entry: StoredEntry<'_> = postcard::from_bytes(&record)
                .map_err(|error| bad(format!("entry {number}: {error}")))?;
            sink(entry.into())?;
        }
        let mut rest = [0; 1];
        match records.read(&mut rest) {
            Ok(0) => Ok(()),
            _ => Err(bad("there is more behind the last entry".to_owned())),
        }
    }
}
