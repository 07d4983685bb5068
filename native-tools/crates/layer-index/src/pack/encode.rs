//! Compressors of one worker, kept for all chunks it meets.

use std::collections::HashMap;

use libdeflater::{CompressionLvl, Compressor as Deflater};
use zstd::bulk::Compressor as Zstd;

use super::Encoding;
use crate::error::IndexError;

/// One compressor of each kind; of zstd there is one for all levels, so that changing levels does not add up in memory.
#[derive(Default)]
pub(super) struct Encoders {
    zstd: Option<(i32, Zstd<'static>)>,
    gzip: HashMap<i32, Deflater>,
}

impl Encoders {
    /// Compresses `plain` into one frame or member at the start of `out`; its length.
    pub(super) fn encode(
        &mut self,
        encoding: Encoding,
        plain: &[u8],
        out: &mut [u8],
    ) -> Result<usize, IndexError> {
        match encoding {
            Encoding::Zstd(level) => {
                let failed = |error| IndexError::Internal(format!("zstd level {level}: {error}"));
                let (set, encoder) = match &mut self.zstd {
                    Some(kept) => kept,
                    none => none.insert((level, Zstd::new(level).map_err(failed)?)),
                };
                if *set != level {
                    encoder.set_compression_level(level).map_err(failed)?;
                    *set = level;
                }
                encoder
                    .compress_to_buffer(plain, out)
                    .map_err(|error| IndexError::Internal(format!("zstd: {error}")))
            }
            Encoding::Gzip(level) => {
                let encoder = match self.gzip.entry(level) {
                    std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
                    std::collections::hash_map::Entry::Vacant(entry) => {
                        let level = CompressionLvl::new(level).map_err(|error| {
                            IndexError::Usage(format!("gzip level {level}: {error:?}"))
                        })?;
                        entry.insert(Deflater::new(level))
                    }
                };
                encoder
                    .gzip_compress(plain, out)
                    .map_err(|error| IndexError::Internal(format!("gzip: {error}")))
            }
            Encoding::Plain => Err(IndexError::Internal(
                "a stored chunk is not encoded".to_owned(),
            )),
        }
    }
}

/// Room that a compressed chunk can need.
pub(super) fn encoded_bound(plain_bytes: usize) -> usize {
    let gzip = Deflater::new(CompressionLvl::fastest()).gzip_compress_bound(plain_bytes);
    zstd::zstd_safe::compress_bound(plain_bytes).max(gzip)
}
