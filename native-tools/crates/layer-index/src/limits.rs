//! What a layer may cost. Every limit is an error with the code LIMIT_EXCEEDED, never a crash or a hang.

use serde::Deserialize;

/// Bounds on one layer. A request may change each by its name in `limits`. The names that people set them by, their
/// defaults and how far they go are in `src/config/limits.ts`; the portable engine takes the same.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Limits {
    /// Entries of one layer. The merge holds about 400 bytes of memory an entry.
    pub max_entries: u64,
    /// Bytes of one whole path or link target. Linux takes 4095.
    pub max_path_bytes: u64,
    /// Bytes of one name in a path. Linux takes 255.
    pub max_name_bytes: u64,
    /// Names in one path.
    pub max_depth: u64,
    /// Bytes of one PAX header, GNU long name or sparse map. Go's reader takes 1 MiB.
    pub max_header_bytes: u64,
    /// Stretches of data in one sparse file.
    pub max_sparse_extents: u64,
    /// Logical size of one file. ext4 takes 16 TiB.
    pub max_file_bytes: u64,
    /// Bytes of one extended attribute's value. Linux takes 65 536, the metadata image 65 535.
    pub max_xattr_bytes: u64,
    /// Extended attributes of one entry, names and values together.
    pub max_xattrs_bytes: u64,
    /// Data of sparse files that must be copied out of one layer because no tar offset fits.
    pub max_relocated_bytes: u64,
    /// Plain bytes of one layer.
    pub max_plain_bytes: u64,
    /// Plain bytes for one stored byte, once a layer has given `ratio_free_bytes`.
    pub max_ratio: u64,
    /// Plain bytes before the ratio counts: a layer of zeros is no attack.
    pub ratio_free_bytes: u64,
    /// Spans (frames or members with content) of one blob.
    pub max_spans: u64,
    /// Window of a zstd frame. The mount decodes with windows up to 128 MiB, as the `zstd` program without being asked.
    pub max_window_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_entries: 10_000_000,
            max_path_bytes: 4095,
            max_name_bytes: 255,
            max_depth: 2048,
            max_header_bytes: 1 << 20,
            max_sparse_extents: 1 << 17,
            max_file_bytes: 1 << 44,
            max_xattr_bytes: 65_535,
            max_xattrs_bytes: 128 << 10,
            max_relocated_bytes: 32 << 20,
            max_plain_bytes: 1 << 40,
            max_ratio: 5_000,
            ratio_free_bytes: 1 << 30,
            max_spans: 1 << 22,
            max_window_bytes: 1 << 27,
        }
    }
}
