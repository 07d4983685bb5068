//! The part of the walk between an entry's header and the entry itself: sparse maps and data.

use super::build::Merged;
use super::header::{Flavour, field, flavour, number};
use super::pax::decimal;
use super::sparse::{PaxSparse, SparseMap, TextMap, announced, reachable_in_place};
use super::walker::{Cut, Sink, State, TarWalker, padding_of, padding_state};
use crate::entry::{EntryData, INLINE_BYTES, Sparse, Stretch};
use crate::error::IndexError;

impl TarWalker {
    /// An entry's own header is complete: sparse maps come first, then its data.
    pub(super) fn begin_entry(
        &mut self,
        mut merged: Merged,
        sink: &mut Sink<'_>,
    ) -> Result<Cut, IndexError> {
        self.entries += 1;
        if self.entries > self.limits.max_entries {
            return Err(IndexError::setting(
                "entries",
                format!("entry number {}", self.entries),
                self.limits.max_entries,
            ));
        }
        let sparse = announced(&merged.pax);
        if !merged.has_data() {
            if sparse != PaxSparse::None {
                return Err(self.corrupt("a sparse map for an entry without data"));
            }
            self.emit(merged, EntryData::default(), sink)?;
            self.state = State::Header;
            return Ok(false);
        }
        let stored = self.size(merged.header.size)?;
        if merged.header.typeflag == b'S' {
            return self.begin_gnu_sparse(merged, sink);
        }
        if sparse == PaxSparse::None {
            return self.begin_plain(merged, stored, sink);
        }
        let size = self.take_pax_sparse_names(&mut merged)?.unwrap_or(stored);
        if sparse == PaxSparse::BeforeData {
            self.state = State::TextMap {
                merged,
                map: TextMap::default(),
                size,
                remaining: stored,
            };
            return Ok(stored >= self.large_bytes);
        }
        let map = SparseMap::from_records(&merged.pax).map_err(|fault| self.corrupt(fault))?;
        self.begin_sparse(merged, map, size, stored, sink)?;
        Ok(stored >= self.large_bytes)
    }

    /// A PAX sparse file's real name and size stand in records of their own.
    fn take_pax_sparse_names(&self, merged: &mut Merged) -> Result<Option<u64>, IndexError> {
        let value = |key: &[u8]| merged.pax.get(key).filter(|value| !value.is_empty());
        let size = value(b"GNU.sparse.size")
            .or_else(|| value(b"GNU.sparse.realsize"))
            .map(|text| {
                decimal(text)
                    .ok_or_else(|| self.corrupt("a sparse file's size is no number"))
                    .and_then(|size| self.size(size))
            })
            .transpose()?;
        if let Some(name) = value(b"GNU.sparse.name").cloned() {
            merged.header.name = name;
        }
        Ok(size)
    }

    fn begin_gnu_sparse(&mut self, merged: Merged, sink: &mut Sink<'_>) -> Result<Cut, IndexError> {
        if flavour(&self.block) != Ok(Flavour::Gnu) {
            return Err(self.corrupt("an old sparse file in a tar that is not GNU's"));
        }
        let size = number(field(&*self.block, 483, 12)).map_err(|fault| self.corrupt(fault))?;
        let size = self.size(size)?;
        let mut map = SparseMap::default();
        let more = map
            .take_gnu(&self.block, false)
            .map_err(|fault| self.corrupt(fault))?;
        self.gnu_map_taken(merged, map, size, 1, more, sink)
    }

    pub(super) fn gnu_extension(
        &mut self,
        merged: Merged,
        mut map: SparseMap,
        size: u64,
        blocks: u64,
        rest: &mut &[u8],
        sink: &mut Sink<'_>,
    ) -> Result<Cut, IndexError> {
        if !self.fill(rest) {
            self.state = State::GnuExtension {
                merged,
                map,
                size,
                blocks,
            };
            return Ok(false);
        }
        let more = map
            .take_gnu(&self.block, true)
            .map_err(|fault| self.corrupt(fault))?;
        self.gnu_map_taken(merged, map, size, blocks + 1, more, sink)
    }

    fn gnu_map_taken(
        &mut self,
        merged: Merged,
        map: SparseMap,
        size: u64,
        blocks: u64,
        more: bool,
        sink: &mut Sink<'_>,
    ) -> Result<Cut, IndexError> {
        self.check_map(blocks * super::BLOCK_BYTES, map.len())?;
        if more {
            self.state = State::GnuExtension {
                merged,
                map,
                size,
                blocks,
            };
            return Ok(false);
        }
        let stored = self.size(merged.header.size)?;
        self.begin_sparse(merged, map, size, stored, sink)?;
        Ok(stored >= self.large_bytes)
    }

    pub(super) fn text_map(
        &mut self,
        merged: Merged,
        mut map: TextMap,
        size: u64,
        remaining: u64,
        rest: &mut &[u8],
        sink: &mut Sink<'_>,
    ) -> Result<Cut, IndexError> {
        let Some(after) = remaining.checked_sub(super::BLOCK_BYTES) else {
            return Err(self.corrupt("a sparse map is larger than its file's data"));
        };
        if !self.fill(rest) {
            self.state = State::TextMap {
                merged,
                map,
                size,
                remaining,
            };
            return Ok(false);
        }
        let done = map
            .take(&self.block, self.limits.max_sparse_extents)
            .map_err(|fault| self.corrupt(fault))?;
        self.check_map(map.bytes() as u64, map.claimed())?;
        match done {
            Some(map) => self.begin_sparse(merged, map, size, after, sink)?,
            None => {
                self.state = State::TextMap {
                    merged,
                    map,
                    size,
                    remaining: after,
                };
            }
        }
        Ok(false)
    }

    fn check_map(&self, bytes: u64, stretches: usize) -> Result<(), IndexError> {
        let limits = &self.limits;
        if bytes > limits.max_header_bytes {
            return Err(IndexError::setting(
                "header-bytes",
                format!("a sparse map of {bytes} bytes"),
                limits.max_header_bytes,
            ));
        }
        if stretches as u64 > limits.max_sparse_extents {
            return Err(IndexError::setting(
                "sparse-extents",
                format!("a sparse map of {stretches} entries"),
                limits.max_sparse_extents,
            ));
        }
        Ok(())
    }

    fn begin_plain(
        &mut self,
        merged: Merged,
        size: u64,
        sink: &mut Sink<'_>,
    ) -> Result<Cut, IndexError> {
        let data = EntryData {
            size,
            offset: self.offset,
            ..EntryData::default()
        };
        let capture = (1..=INLINE_BYTES).contains(&size).then(Vec::new);
        self.begin_data(merged, data, size, capture, sink)?;
        Ok(size >= self.large_bytes)
    }

    /// The map is complete and `stored` bytes of data follow.
    fn begin_sparse(
        &mut self,
        merged: Merged,
        map: SparseMap,
        size: u64,
        stored: u64,
        sink: &mut Sink<'_>,
    ) -> Result<(), IndexError> {
        self.check_map(0, map.len())?;
        let stretches = map.stretches(size).map_err(|fault| self.corrupt(fault))?;
        if stretches.iter().map(|stretch| stretch.length).sum::<u64>() != stored {
            return Err(self.corrupt("a sparse map describes another amount of data than there is"));
        }
        let whole = Stretch {
            offset: 0,
            length: size,
        };
        if size == 0 || stretches == [whole] {
            return self.begin_plain(merged, size, sink).map(drop);
        }
        let capture = (!reachable_in_place(size, &stretches)).then(Vec::new);
        if capture.is_some() {
            self.relocated_bytes = self.relocated_bytes.saturating_add(stored);
            if self.relocated_bytes > self.limits.max_relocated_bytes {
                return Err(IndexError::setting(
                    "relocated-bytes",
                    format!(
                        "{} bytes of sparse data off block boundaries",
                        self.relocated_bytes
                    ),
                    self.limits.max_relocated_bytes,
                ));
            }
        }
        let data = EntryData {
            size,
            offset: self.offset,
            sparse: Some(Sparse {
                stretches,
                relocated: None,
            }),
            inline: None,
        };
        self.begin_data(merged, data, stored, capture, sink)
    }

    fn begin_data(
        &mut self,
        merged: Merged,
        data: EntryData,
        stored: u64,
        capture: Option<Vec<u8>>,
        sink: &mut Sink<'_>,
    ) -> Result<(), IndexError> {
        if stored == 0 {
            self.data_done(merged, data, capture, sink)?;
            self.state = padding_state(0);
            return Ok(());
        }
        self.state = State::Data {
            merged,
            data,
            remaining: stored,
            padding: padding_of(stored),
            capture,
        };
        Ok(())
    }

    /// All data has passed; what was kept of it goes where it belongs.
    pub(super) fn data_done(
        &mut self,
        merged: Merged,
        mut data: EntryData,
        capture: Option<Vec<u8>>,
        sink: &mut Sink<'_>,
    ) -> Result<(), IndexError> {
        match &mut data.sparse {
            Some(sparse) => sparse.relocated = capture,
            None => data.inline = capture,
        }
        self.emit(merged, data, sink)
    }

    fn emit(
        &mut self,
        merged: Merged,
        data: EntryData,
        sink: &mut Sink<'_>,
    ) -> Result<(), IndexError> {
        sink(merged.into_entry(data, &self.limits, &mut self.warnings)?)
    }
}
