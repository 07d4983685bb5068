//! The last 4096 bytes of an archive. `docs/formats/archive.md`, "Footer".

use crate::FormatError;
use crate::digest::Digest;

/// What a section holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SectionType {
    /// The metadata image.
    Erofs,
    /// The layer tables.
    Layers,
    /// Inflate windows.
    Seek,
    /// Data that no tar holds at a 512-byte offset.
    Extra,
    /// Image configuration and manifest.
    Config,
    /// A type this program does not know.
    Unknown(u16),
}

/// Where a section is and how to prove it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SectionRecord {
    /// What it holds.
    pub section: SectionType,
    /// Version of the content.
    pub version: u16,
    /// Whether a reader that does not know type or version must stop.
    pub critical: bool,
    /// Whether it is one zstd frame, else stored as it is.
    pub zstd: bool,
    /// Offset in the file, a multiple of 4096.
    pub offset: u64,
    /// Length in the file.
    pub stored_bytes: u64,
    /// Length after decoding.
    pub plain_bytes: u64,
    /// SHA-256 of the stored bytes.
    pub digest: Digest,
}

/// The footer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Footer {
    /// Minor format version.
    pub minor: u16,
    /// Length of the CLIP part.
    pub clip_bytes: u64,
    /// Length of the whole file.
    pub file_bytes: u64,
    /// SHA-256 of the CLIP part.
    pub clip_digest: Digest,
    /// Records in file order.
    pub sections: Vec<SectionRecord>,
}

impl Footer {
    /// The record of a section, if the archive has it.
    #[must_use]
    pub fn section(&self, section: SectionType) -> Option<&SectionRecord> {
        self.sections
            .iter()
            .find(|record| record.section == section)
    }

    /// Reads the 4096 bytes of a footer.
    ///
    /// # Errors
    /// By code: ARCHIVE_CORRUPT, ARCHIVE_TRUNCATED, FORMAT_TOO_NEW.
    pub fn decode(_bytes: &[u8]) -> Result<Self, FormatError> {
        Err(FormatError::input("not written yet"))
    }
}
