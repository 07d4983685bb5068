//! How a regular file is cut into chunks, and whether it can be.

use super::layout::{BLOCK_BITS, BLOCK_U64};
use crate::FormatError;
use crate::model::{Extent, FileData};

/// Largest chunk: the format has 5 bits for log2(chunk size / block size).
const MAX_CHUNK_BITS: u32 = 31 + BLOCK_BITS as u32;
/// Most chunk indexes one file may take (8 bytes each): a sparse file needs data at coarser bounds beyond this.
const MAX_CHUNKS: u64 = 1 << 20;

/// The chunks of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunking {
    /// log2 of the chunk size in bytes, 9 to 40.
    pub chunk_bits: u32,
    /// How many chunks the file has.
    pub chunks: u64,
    /// The extents with neighbours joined and empty ones left out.
    pub runs: Vec<Extent>,
}

/// Finds the largest chunk size whose bounds are the bounds of all extents.
///
/// # Errors
/// INTERNAL when extents overlap, leave the file, or do not start and end at multiples of 512 bytes (the end of the
/// file excepted); LIMIT_EXCEEDED when the file would take more than 2^20 chunks. Such data belongs into `extra`.
pub fn chunking(file: &FileData) -> Result<Chunking, FormatError> {
    if i64::try_from(file.size).is_err() {
        return Err(FormatError::limit(format!("a file of {} bytes", file.size)));
    }
    let runs = join(file.size, &file.extents)?;
    let whole_bits = file
        .size
        .max(BLOCK_U64)
        .next_power_of_two()
        .trailing_zeros();
    let mut chunk_bits = whole_bits.min(MAX_CHUNK_BITS);
    let one_run = match runs.as_slice() {
        [] => true,
        [run] => run.file_offset == 0 && run.length == file.size,
        _ => false,
    };
    if !one_run {
        for run in &runs {
            let end = run.file_offset + run.length;
            let bounds = if end == file.size {
                run.file_offset
            } else {
                run.file_offset | end
            };
            chunk_bits = chunk_bits.min(bounds.trailing_zeros());
        }
        if chunk_bits < u32::from(BLOCK_BITS) {
            return Err(FormatError::input(format!(
                "extents at odd places in a file of {} bytes",
                file.size
            )));
        }
    }
    let chunks = file.size.div_ceil(1 << chunk_bits);
    if chunks > MAX_CHUNKS {
        return Err(FormatError::limit(format!(
            "a sparse file of {} bytes takes {chunks} chunks of {} bytes, at most {MAX_CHUNKS}",
            file.size,
            1u64 << chunk_bits
        )));
    }
    Ok(Chunking {
        chunk_bits,
        chunks,
        runs,
    })
}

/// Joins extents that follow each other in the file and on the device.
pub(crate) fn join(size: u64, extents: &[Extent]) -> Result<Vec<Extent>, FormatError> {
    let mut runs: Vec<Extent> = Vec::with_capacity(extents.len().min(1));
    let mut covered = 0u64;
    for extent in extents.iter().filter(|extent| extent.length > 0) {
        let end = extent.file_offset.checked_add(extent.length);
        let ends_on_device = extent.device_offset.checked_add(extent.length);
        if extent.file_offset < covered
            || end.is_none_or(|end| end > size)
            || ends_on_device.is_none()
            || !extent.device_offset.is_multiple_of(BLOCK_U64)
        {
            return Err(FormatError::input(format!(
                "the extent {extent:?} in a file of {size} bytes"
            )));
        }
        covered = extent.file_offset + extent.length;
        match runs.last_mut() {
            Some(last)
                if last.device == extent.device
                    && last.file_offset + last.length == extent.file_offset
                    && last.device_offset + last.length == extent.device_offset =>
            {
                last.length += extent.length;
            }
            _ => runs.push(*extent),
        }
    }
    Ok(runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(size: u64, extents: &[(u64, u64, u64)]) -> FileData {
        FileData {
            size,
            extents: extents
                .iter()
                .map(|(file_offset, device_offset, length)| Extent {
                    file_offset: *file_offset,
                    device: 0,
                    device_offset: *device_offset,
                    length: *length,
                })
                .collect(),
            inline: None,
        }
    }

    fn bits_and_chunks(data: &FileData) -> (u32, u64) {
        let found = chunking(data).unwrap();
        (found.chunk_bits, found.chunks)
    }

    #[test]
    fn a_contiguous_file_is_one_chunk_of_the_next_power_of_two() {
        assert_eq!(bits_and_chunks(&file(1, &[(0, 512, 1)])), (9, 1));
        assert_eq!(bits_and_chunks(&file(513, &[(0, 512, 513)])), (10, 1));
        assert_eq!(
            bits_and_chunks(&file(1 << 41, &[(0, 512, 1 << 41)])),
            (40, 2)
        );
    }

    #[test]
    fn neighbours_on_the_device_are_one_run() {
        let data = file(
            3000,
            &[(0, 512, 1024), (1024, 1536, 1024), (2048, 2560, 952)],
        );
        let found = chunking(&data).unwrap();
        assert_eq!((found.chunks, found.runs.len()), (1, 1));
    }

    #[test]
    fn the_chunk_size_divides_every_bound_of_a_sparse_file() {
        assert_eq!(
            bits_and_chunks(&file(1 << 20, &[(65536, 512, 65536)])),
            (16, 16)
        );
        assert_eq!(
            bits_and_chunks(&file(1 << 20, &[(65536, 512, 512)])),
            (9, 2048)
        );
        assert_eq!(
            bits_and_chunks(&file(70000, &[(65536, 512, 4464)])),
            (16, 2)
        );
        assert_eq!(bits_and_chunks(&file(1 << 40, &[])), (40, 1));
    }

    #[test]
    fn odd_or_impossible_extents_are_refused() {
        for bad in [
            file(1000, &[(1, 512, 100)]),
            file(1000, &[(0, 512, 100)]),
            file(1000, &[(0, 500, 1000)]),
            file(1000, &[(0, 512, 1001)]),
            file(2048, &[(0, 512, 1024), (512, 4096, 512)]),
            file(u64::MAX, &[]),
            file(1 << 40, &[(512, 512, 512)]),
        ] {
            assert!(chunking(&bad).is_err(), "{bad:?}");
        }
    }
}
