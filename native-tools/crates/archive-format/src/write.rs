//! Puts an archive together: CLIP part, sections, footer.

use std::io::Write;

use crate::FormatError;
use crate::digest::Digest;
use crate::footer::SectionType;
use crate::model::Image;
use crate::tables::LayerTable;

/// A layer as the manifest lists it, bottom first; the same diffID may be there more than once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestLayer {
    /// SHA-256 of the blob.
    pub digest: Digest,
    /// SHA-256 of the plain tar.
    pub diff_id: Digest,
    /// The descriptor's media type.
    pub media_type: String,
    /// The descriptor's size.
    pub size: u64,
}

/// Everything an archive is a function of.
#[derive(Debug, Clone)]
pub struct ArchiveInput<'a> {
    /// The merged tree; extents point into `tables` by index.
    pub image: &'a Image,
    /// Distinct diffIDs in device order, `extra` last.
    pub tables: &'a [LayerTable],
    /// Stored bytes of section `extra`; empty when there is none.
    pub extra: &'a [u8],
    /// Stored bytes of section `seek`; empty when no table has seek columns with windows.
    pub seek: &'a [u8],
    /// The manifest's layers, bottom first.
    pub manifest_layers: &'a [ManifestLayer],
    /// Image configuration, byte for byte.
    pub config: &'a [u8],
    /// Platform manifest, byte for byte.
    pub manifest: &'a [u8],
    /// Registry as host and port.
    pub registry: &'a str,
    /// Repository in the registry.
    pub repository: &'a str,
    /// `sha256:` digest of the platform manifest.
    pub reference: &'a str,
    /// The name the image was indexed under.
    pub image_name: &'a str,
}

/// A section as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SectionSummary {
    /// What it holds.
    pub section: SectionType,
    /// Its name in documents and results.
    pub name: &'static str,
    /// Offset in the file.
    pub offset: u64,
    /// Length in the file.
    pub stored_bytes: u64,
    /// Length after decoding.
    pub plain_bytes: u64,
    /// SHA-256 of the stored bytes.
    pub digest: Digest,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveSummary {
    /// SHA-256 of the whole file.
    pub digest: Digest,
    /// Length of the whole file.
    pub size_bytes: u64,
    /// Length of the CLIP part.
    pub clip_bytes: u64,
    /// Names in the tree, the root among them.
    pub entries: u64,
    /// SHA-256 of the footer's 4096 bytes.
    pub footer_digest: Digest,
    /// What a mount fetches: footer and the stored bytes of erofs, layers and extra.
    pub mount_bytes: u64,
    /// Sections in file order.
    pub sections: Vec<SectionSummary>,
}

/// Writes a whole archive front to back.
///
/// # Errors
/// LIMIT_EXCEEDED where the image does not fit into the format, MANIFEST_INVALID for an unreadable configuration,
/// IO_FAILED or DISK_FULL from `out`, INTERNAL when the parts of `input` contradict each other.
pub fn write_archive(
    _input: &ArchiveInput<'_>,
    _out: &mut impl Write,
) -> Result<ArchiveSummary, FormatError> {
    Err(FormatError::input("not written yet"))
}
