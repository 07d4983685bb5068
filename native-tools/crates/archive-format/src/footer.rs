//! The last 4096 bytes of an archive. `docs/formats/archive.md`, "Footer".

use crate::FormatError;
use crate::digest::{Digest, sha256};
use crate::wire::{Cursor, u32_len};

/// Length of the footer; sections and the footer itself lie at multiples of it.
pub const FOOTER_BYTES: usize = 4096;
/// The same for offsets.
pub const ALIGNMENT: u64 = FOOTER_BYTES as u64;
/// First bytes of the footer.
pub const MAGIC: [u8; 8] = *b"CLIPYARD";
/// The format's major version.
pub const MAJOR: u16 = 1;
/// The version every section's content has today.
pub const SECTION_VERSION: u16 = 1;

/// Where the footer's digest of itself is.
const DIGEST_OFFSET: usize = FOOTER_BYTES - 32;
/// Most records that fit.
const MAX_SECTIONS: usize = 60;
/// The only flag.
const FLAG_CRITICAL: u16 = 1;

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

/// How a section's stored bytes give its plain ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// They are the same.
    Stored,
    /// One zstd frame.
    Zstd,
    /// An encoding this program does not know.
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
    /// How the stored bytes give the plain ones.
    pub encoding: Encoding,
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

impl SectionType {
    /// The type's number in a record.
    #[must_use]
    pub fn number(self) -> u16 {
        match self {
            Self::Erofs => 1,
            Self::Layers => 2,
            Self::Seek => 3,
            Self::Extra => 4,
            Self::Config => 5,
            Self::Unknown(number) => number,
        }
    }

    /// The type of a number.
    #[must_use]
    pub fn of(number: u16) -> Self {
        match number {
            1 => Self::Erofs,
            2 => Self::Layers,
            3 => Self::Seek,
            4 => Self::Extra,
            5 => Self::Config,
            other => Self::Unknown(other),
        }
    }

    /// The section's name in documents and results.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Erofs => "erofs",
            Self::Layers => "layers",
            Self::Seek => "seek",
            Self::Extra => "extra",
            Self::Config => "config",
            Self::Unknown(_) => "unknown",
        }
    }

    /// Whether an archive cannot be mounted without understanding the section.
    #[must_use]
    pub fn critical(self) -> bool {
        matches!(self, Self::Erofs | Self::Layers | Self::Extra)
    }
}

impl SectionRecord {
    /// Where the section ends in the file.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.stored_bytes)
    }

    /// Whether this program knows type, version and encoding.
    #[must_use]
    pub fn known(&self) -> bool {
        !matches!(self.section, SectionType::Unknown(_))
            && self.version == SECTION_VERSION
            && !matches!(self.encoding, Encoding::Unknown(_))
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.section.number().to_le_bytes());
        out.extend(self.version.to_le_bytes());
        out.extend(u16::from(self.critical).to_le_bytes());
        out.extend(self.encoding.number().to_le_bytes());
        out.extend(self.offset.to_le_bytes());
        out.extend(self.stored_bytes.to_le_bytes());
        out.extend(self.plain_bytes.to_le_bytes());
        out.extend(self.digest);
    }

    fn decode(cursor: &mut Cursor<'_>) -> Result<Self, FormatError> {
        let section = SectionType::of(cursor.u16()?);
        let version = cursor.u16()?;
        let flags = cursor.u16()?;
        if flags & !FLAG_CRITICAL != 0 {
            return Err(FormatError::corrupt(format!(
                "footer: section {} has flags {flags:#x}",
                section.number()
            )));
        }
        Ok(Self {
            section,
            version,
            critical: flags & FLAG_CRITICAL != 0,
            encoding: Encoding::of(cursor.u16()?),
            offset: cursor.u64()?,
            stored_bytes: cursor.u64()?,
            plain_bytes: cursor.u64()?,
            digest: cursor.digest()?,
        })
    }
}

impl Encoding {
    fn number(self) -> u16 {
        match self {
            Self::Stored => 0,
            Self::Zstd => 1,
            Self::Unknown(number) => number,
        }
    }

    fn of(number: u16) -> Self {
        match number {
            0 => Self::Stored,
            1 => Self::Zstd,
            other => Self::Unknown(other),
        }
    }
}

impl Footer {
    /// The record of a section that the archive has in a version this program knows.
    #[must_use]
    pub fn section(&self, section: SectionType) -> Option<&SectionRecord> {
        self.sections
            .iter()
            .find(|record| record.section == section && record.known())
    }

    /// Whether bytes begin as a footer does.
    #[must_use]
    pub fn is_footer(bytes: &[u8]) -> bool {
        bytes.starts_with(&MAGIC)
    }

    /// Writes the 4096 bytes.
    ///
    /// # Errors
    /// When a rule that [`Footer::decode`] checks is broken.
    pub fn encode(&self) -> Result<Vec<u8>, FormatError> {
        let mut out = Vec::with_capacity(FOOTER_BYTES);
        out.extend(MAGIC);
        out.extend(MAJOR.to_le_bytes());
        out.extend(self.minor.to_le_bytes());
        out.extend(u32_len(self.sections.len(), "sections")?.to_le_bytes());
        out.extend(self.clip_bytes.to_le_bytes());
        out.extend(self.file_bytes.to_le_bytes());
        out.extend(self.clip_digest);
        for record in &self.sections {
            record.encode(&mut out);
        }
        out.resize(DIGEST_OFFSET.max(out.len()), 0);
        let digest = sha256(&out);
        out.extend(digest);
        Self::decode(&out)?;
        Ok(out)
    }

    /// Reads the 4096 bytes of a footer and proves them: digest of itself, versions, order and bounds of the sections.
    ///
    /// # Errors
    /// ARCHIVE_TRUNCATED when no footer is there, FORMAT_TOO_NEW for another major version or an unknown critical
    /// section, else ARCHIVE_CORRUPT.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        if !Self::is_footer(bytes) || bytes.len() != FOOTER_BYTES {
            return Err(FormatError::Truncated("no footer at its end".to_owned()));
        }
        let (body, digest) = bytes.split_at_checked(DIGEST_OFFSET).unwrap_or_default();
        if sha256(body) != digest {
            return Err(FormatError::corrupt("footer: digest of itself"));
        }
        let mut cursor = Cursor::new(body, "footer");
        cursor.take(MAGIC.len())?;
        let major = cursor.u16()?;
        if major != MAJOR {
            return Err(FormatError::TooNew(format!(
                "format version {major}, {MAJOR} is known"
            )));
        }
        let minor = cursor.u16()?;
        let count = cursor.u32()? as usize;
        if count == 0 || count > MAX_SECTIONS {
            return Err(FormatError::corrupt(format!("footer: {count} sections")));
        }
        let clip_bytes = cursor.u64()?;
        let file_bytes = cursor.u64()?;
        let clip_digest = cursor.digest()?;
        let sections = (0..count)
            .map(|_| SectionRecord::decode(&mut cursor))
            .collect::<Result<Vec<_>, _>>()?;
        cursor.zeros(cursor.remaining())?;
        let footer = Self {
            minor,
            clip_bytes,
            file_bytes,
            clip_digest,
            sections,
        };
        footer.check_places()?;
        footer.check_known()?;
        Ok(footer)
    }

    /// CLIP part, sections and footer follow each other with only the padding between.
    fn check_places(&self) -> Result<(), FormatError> {
        let mut end = Some(self.clip_bytes);
        let mut seen = Vec::with_capacity(self.sections.len());
        for record in &self.sections {
            let name = record.section.name();
            if end.and_then(|end| end.checked_next_multiple_of(ALIGNMENT)) != Some(record.offset) {
                return Err(FormatError::corrupt(format!(
                    "footer: section {name} is at {}",
                    record.offset
                )));
            }
            if seen.contains(&record.section) {
                return Err(FormatError::corrupt(format!(
                    "footer: section {name} twice"
                )));
            }
            if record.encoding == Encoding::Stored && record.stored_bytes != record.plain_bytes {
                return Err(FormatError::corrupt(format!(
                    "footer: section {name} is stored as it is, but {} bytes are {}",
                    record.stored_bytes, record.plain_bytes
                )));
            }
            seen.push(record.section);
            end = record.offset.checked_add(record.stored_bytes);
        }
        let file_bytes = end
            .and_then(|end| end.checked_next_multiple_of(ALIGNMENT))
            .and_then(|start| start.checked_add(ALIGNMENT));
        if file_bytes != Some(self.file_bytes) {
            return Err(FormatError::corrupt(format!(
                "footer: {} bytes of file do not fit the sections",
                self.file_bytes
            )));
        }
        Ok(())
    }

    fn check_known(&self) -> Result<(), FormatError> {
        match self
            .sections
            .iter()
            .find(|record| record.critical && !record.known())
        {
            None => Ok(()),
            Some(record) => Err(FormatError::TooNew(format!(
                "section type {}, version {}, encoding {}",
                record.section.number(),
                record.version,
                record.encoding.number()
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(section: SectionType, offset: u64, bytes: u64) -> SectionRecord {
        SectionRecord {
            section,
            version: SECTION_VERSION,
            critical: section.critical(),
            encoding: Encoding::Zstd,
            offset,
            stored_bytes: bytes,
            plain_bytes: bytes * 3,
            digest: sha256(&bytes.to_le_bytes()),
        }
    }

    fn footer(sections: Vec<SectionRecord>) -> Footer {
        let end = sections.last().map_or(0, SectionRecord::end);
        Footer {
            minor: 0,
            clip_bytes: 100,
            file_bytes: end.next_multiple_of(ALIGNMENT) + ALIGNMENT,
            clip_digest: sha256(b"clip"),
            sections,
        }
    }

    fn sample() -> Footer {
        footer(vec![
            record(SectionType::Config, 4096, 5000),
            record(SectionType::Layers, 12288, 1),
            record(SectionType::Erofs, 16384, 4096),
        ])
    }

    /// Writes without the check, so that a reader meets broken rules with a right digest.
    fn unchecked(footer: &Footer, change: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = footer.encode().unwrap();
        out.truncate(DIGEST_OFFSET);
        change(&mut out);
        let digest = sha256(&out);
        out.extend(digest);
        out
    }

    #[test]
    fn a_footer_is_read_as_it_was_written() {
        let bytes = sample().encode().unwrap();
        assert_eq!(bytes.len(), FOOTER_BYTES);
        assert_eq!(Footer::decode(&bytes).unwrap(), sample());
    }

    #[test]
    fn every_flipped_bit_is_an_error() {
        let bytes = sample().encode().unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut broken = bytes.clone();
            broken[bit / 8] ^= 1 << (bit % 8);
            assert!(Footer::decode(&broken).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn another_major_version_is_too_new_and_another_minor_is_not() {
        let major = unchecked(&sample(), |bytes| bytes[8] = 2);
        assert!(matches!(
            Footer::decode(&major),
            Err(FormatError::TooNew(_))
        ));
        let minor = unchecked(&sample(), |bytes| bytes[10] = 7);
        assert_eq!(Footer::decode(&minor).unwrap().minor, 7);
    }

    #[test]
    fn an_unknown_section_stops_a_reader_only_when_it_is_critical() {
        let mut unknown = sample();
        unknown.sections[0].section = SectionType::Unknown(77);
        let read = Footer::decode(&unknown.encode().unwrap()).unwrap();
        assert_eq!(read.sections[0].section, SectionType::Unknown(77));
        unknown.sections[0].critical = true;
        assert!(matches!(unknown.encode(), Err(FormatError::TooNew(_))));
    }

    #[test]
    fn a_newer_section_version_hides_the_section_or_stops_the_reader() {
        let mut newer = sample();
        newer.sections[0].version = 2;
        let read = Footer::decode(&newer.encode().unwrap()).unwrap();
        assert_eq!(read.section(SectionType::Config), None);
        newer.sections[2].version = 2;
        assert!(matches!(newer.encode(), Err(FormatError::TooNew(_))));
    }

    #[test]
    fn broken_places_are_corrupt() {
        type Break = fn(&mut Footer);
        let breaks: [Break; 6] = [
            |footer| footer.sections[1].offset += 1,
            |footer| footer.sections[1].offset += ALIGNMENT,
            |footer| footer.sections[0].stored_bytes = u64::MAX,
            |footer| footer.sections[1].section = SectionType::Config,
            |footer| footer.sections[1].encoding = Encoding::Stored,
            |footer| footer.file_bytes += ALIGNMENT,
        ];
        for (index, change) in breaks.iter().enumerate() {
            let mut broken = sample();
            change(&mut broken);
            assert!(
                matches!(broken.encode(), Err(FormatError::Corrupt(_))),
                "break {index}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_error_and_never_a_panic(
            mut bytes in proptest::collection::vec(any::<u8>(), DIGEST_OFFSET),
            sections in 0u8..70,
        ) {
            bytes[..16].copy_from_slice(b"CLIPYARD\x01\0\0\0\0\0\0\0");
            bytes[12] = sections;
            let digest = sha256(&bytes);
            bytes.extend(digest);
            prop_assert!(Footer::decode(&bytes).is_err());
        }
    }
}
