//! Writes an index while the layer is read: entries as they come, the rest at the end.

use std::io::{self, Write};
use std::path::Path;

use archive_format::tables::LayerTable;
use zstd::stream::write::Encoder;

use super::records::{StoredEntry, StoredTail};
use super::{HEADER_BYTES, MAGIC, VERSION};
use crate::entry::{Entry, Warnings};
use crate::error::IndexError;
use crate::output::OutputFile;

/// Metadata compresses 5 to 1 at this level at a cost that does not show.
const LEVEL: i32 = 3;

/// An index being written.
pub struct IndexWriter {
    entries: Encoder<'static, Hashed>,
    record: Vec<u8>,
    count: u64,
    name: String,
}

/// Hashes and counts what goes into the file.
struct Hashed {
    output: OutputFile,
    hasher: blake3::Hasher,
    offset: u64,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.output.file().write(bytes)?;
        self.hasher.update(bytes.get(..length).unwrap_or(bytes));
        self.offset += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.file().flush()
    }
}

impl std::fmt::Debug for IndexWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "IndexWriter({}, {} entries)", self.name, self.count)
    }
}

impl IndexWriter {
    /// Begins the file at exactly `path`; it is removed again unless [`Self::finish`] ends well.
    ///
    /// # Errors
    /// IO_FAILED, DISK_FULL.
    pub fn create(path: &Path) -> Result<Self, IndexError> {
        let name = path.display().to_string();
        let mut hashed = Hashed {
            output: OutputFile::create(path)?,
            hasher: blake3::Hasher::new(),
            offset: 0,
        };
        let mut header = [0; HEADER_BYTES];
        for (to, from) in header
            .iter_mut()
            .zip(MAGIC.iter().chain(&VERSION.to_le_bytes()))
        {
            *to = *from;
        }
        let entries = hashed
            .write_all(&header)
            .and_then(|()| Encoder::new(hashed, LEVEL))
            .map_err(|error| IndexError::io(format!("write {name}"), error))?;
        Ok(Self {
            entries,
            record: Vec::new(),
            count: 0,
            name,
        })
    }

    /// Adds the next entry of the stream.
    ///
    /// # Errors
    /// IO_FAILED, DISK_FULL.
    pub fn entry(&mut self, entry: &Entry) -> Result<(), IndexError> {
        self.record.clear();
        self.record =
            postcard::to_extend(&StoredEntry::from(entry), std::mem::take(&mut self.record))
                .map_err(|error| IndexError::Internal(format!("serialise an entry: {error}")))?;
        let length = u32::try_from(self.record.len())
            .map_err(|_| IndexError::Internal("an entry of 4 GiB".to_owned()))?;
        self.count += 1;
        self.entries
            .write_all(&length.to_le_bytes())
            .and_then(|()| self.entries.write_all(&self.record))
            .map_err(|error| IndexError::io(format!("write {}", self.name), error))
    }

    /// Ends the file with what is known of the whole layer; `windows` are the stored windows that the table's seek columns
    /// tell of.
    ///
    /// # Errors
    /// IO_FAILED, DISK_FULL.
    pub fn finish(
        self,
        table: &LayerTable,
        windows: &[u8],
        warnings: Warnings,
    ) -> Result<(), IndexError> {
        let Self {
            entries,
            count,
            name,
            ..
        } = self;
        let tail = postcard::to_stdvec(&StoredTail::new(table, windows, count, warnings))
            .map_err(|error| IndexError::Internal(format!("serialise the tail: {error}")))?;
        let end = || -> io::Result<Hashed> {
            let mut out = entries.finish()?;
            out.write_all(windows)?;
            let tail_offset = out.offset;
            out.write_all(&zstd::bulk::compress(&tail, LEVEL)?)?;
            out.write_all(&tail_offset.to_le_bytes())?;
            let digest = out.hasher.finalize();
            out.write_all(digest.as_bytes())?;
            Ok(out)
        };
        let out = end().map_err(|error| IndexError::io(format!("write {name}"), error))?;
        out.output.keep();
        Ok(())
    }
}
