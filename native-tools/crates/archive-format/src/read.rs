//! Opens an archive by its footer and reads the sections that are asked for, each proven by its digest.

use std::fs::File;
use std::os::unix::fs::FileExt;

use crate::FormatError;
use crate::clip::{HEADER_BYTES, Header};
use crate::digest::{Digest, Sha256, sha256};
use crate::erofs::ErofsReader;
use crate::footer::{ALIGNMENT, Encoding, FOOTER_BYTES, Footer, SectionRecord, SectionType};
use crate::frames::{self, IntoFileError};
use crate::seek;
use crate::tables::{self, LayerTable, RecordKind};
use crate::wire::Cursor;
use crate::write::MAX_SECTION_BYTES;

/// How much is read at once where bytes are only looked at.
const STEP_BYTES: usize = 1 << 20;

/// An open archive with our sections. Only the footer has been read; a sparse file that holds nothing but the footer and
/// the sections that are asked for is enough.
#[derive(Debug)]
pub struct Archive {
    file: File,
    footer: Footer,
    footer_digest: Digest,
}

/// Section `config`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigSection {
    /// The image configuration, byte for byte.
    pub config: Vec<u8>,
    /// The platform manifest, byte for byte.
    pub manifest: Vec<u8>,
    /// `registry/repository@sha256:…`.
    pub storage_reference: String,
}

impl Archive {
    /// Reads and proves the footer.
    ///
    /// # Errors
    /// ARCHIVE_NOT_CLIP, ARCHIVE_NOT_LAZY for an archive of somebody else, ARCHIVE_TRUNCATED, ARCHIVE_CORRUPT,
    /// FORMAT_TOO_NEW, IO_FAILED.
    pub fn open(file: File) -> Result<Self, FormatError> {
        let file_bytes = length(&file)?;
        let Some(bytes) = footer_bytes(&file, file_bytes)? else {
            return Err(without_footer(&read_header(&file, file_bytes)?));
        };
        let footer = Footer::decode(&bytes)?;
        if footer.file_bytes != file_bytes {
            return Err(FormatError::Truncated(format!(
                "{file_bytes} bytes, its footer says {}",
                footer.file_bytes
            )));
        }
        Ok(Self {
            file,
            footer,
            footer_digest: sha256(&bytes),
        })
    }

    /// The footer.
    #[must_use]
    pub fn footer(&self) -> &Footer {
        &self.footer
    }

    /// SHA-256 of the footer's 4096 bytes: names the archive without reading all of it.
    #[must_use]
    pub fn footer_digest(&self) -> Digest {
        self.footer_digest
    }

    /// The file itself.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The plain bytes of a section; `None` when the archive has none of this type.
    ///
    /// # Errors
    /// ARCHIVE_CORRUPT, LIMIT_EXCEEDED for one larger than a reader is willing to hold, IO_FAILED.
    pub fn section(&self, section: SectionType) -> Result<Option<Vec<u8>>, FormatError> {
        self.footer
            .section(section)
            .map(|record| self.read_section(record))
            .transpose()
    }

    fn section_bytes(&self, section: SectionType) -> u64 {
        let record = self.footer.section(section);
        record.map_or(0, |record| record.plain_bytes)
    }

    fn needed(&self, section: SectionType) -> Result<Vec<u8>, FormatError> {
        self.section(section)?
            .ok_or_else(|| FormatError::corrupt(format!("no section {}", section.name())))
    }

    /// Writes the plain bytes of a section into an empty file, without holding them; `None` when the archive has none of this
    /// type. They are proven when this returns, not before.
    ///
    /// # Errors
    /// As [`Archive::section`]; DISK_FULL.
    pub fn section_into(
        &self,
        section: SectionType,
        file: &File,
    ) -> Result<Option<u64>, FormatError> {
        let Some(record) = self.footer.section(section) else {
            return Ok(None);
        };
        let name = section.name();
        let (stored, plain_bytes) = self.stored(record)?;
        let (digest, written) = if record.encoding == Encoding::Stored {
            let written = file.write_all_at(&stored, 0).map_err(IntoFileError::Write);
            (sha256(&stored), written)
        } else {
            frames::decode_into(&stored, plain_bytes, file, || sha256(&stored))
        };
        check_digest(record, &digest)?;
        match written {
            Ok(()) => Ok(Some(record.plain_bytes)),
            Err(IntoFileError::Decode(why)) => {
                Err(FormatError::corrupt(format!("section {name}: {why}")))
            }
            Err(IntoFileError::Write(error)) => {
                Err(FormatError::io(format!("writing section {name}"), error))
            }
        }
    }

    fn read_section(&self, record: &SectionRecord) -> Result<Vec<u8>, FormatError> {
        let (stored, plain_bytes) = self.stored(record)?;
        if record.encoding == Encoding::Stored {
            check_digest(record, &sha256(&stored))?;
            return Ok(stored);
        }
        let (digest, plain) = frames::decode(&stored, plain_bytes, || sha256(&stored));
        check_digest(record, &digest)?;
        plain.map_err(|why| {
            FormatError::corrupt(format!("section {}: {why}", record.section.name()))
        })
    }

    /// The stored bytes of a section, not proven yet, and its plain length.
    fn stored(&self, record: &SectionRecord) -> Result<(Vec<u8>, usize), FormatError> {
        let limit = |bytes: u64| {
            usize::try_from(bytes)
                .ok()
                .filter(|bytes| *bytes <= MAX_SECTION_BYTES)
                .ok_or_else(|| {
                    FormatError::limit(format!(
                        "section {} has {bytes} bytes, at most {MAX_SECTION_BYTES}",
                        record.section.name()
                    ))
                })
        };
        let plain_bytes = limit(record.plain_bytes)?;
        let stored = read_at(&self.file, record.offset, limit(record.stored_bytes)?)?;
        Ok((stored, plain_bytes))
    }

    /// The layer tables, in device order.
    ///
    /// # Errors
    /// As [`Archive::section`].
    pub fn layers(&self) -> Result<Vec<LayerTable>, FormatError> {
        let tables = tables::decode(&self.needed(SectionType::Layers)?)?;
        let extra = tables
            .last()
            .filter(|table| table.kind == RecordKind::Extra)
            .map(|table| (table.blob_bytes, table.digest));
        let section = self
            .footer
            .section(SectionType::Extra)
            .map(|record| (record.stored_bytes, record.digest));
        if extra != section {
            return Err(FormatError::corrupt(
                "section extra and its layer table differ",
            ));
        }
        seek::check_places(&tables, self.section_bytes(SectionType::Seek))?;
        Ok(tables)
    }

    /// The metadata image.
    ///
    /// # Errors
    /// As [`Archive::section`].
    pub fn erofs(&self) -> Result<ErofsReader<Vec<u8>>, FormatError> {
        ErofsReader::new(self.needed(SectionType::Erofs)?)
    }

    /// Image configuration and manifest.
    ///
    /// # Errors
    /// As [`Archive::section`].
    pub fn config(&self) -> Result<ConfigSection, FormatError> {
        let bytes = self.needed(SectionType::Config)?;
        let mut cursor = Cursor::new(&bytes, "config");
        let mut part = || -> Result<Vec<u8>, FormatError> {
            let length = cursor.count(1)?;
            cursor.take(length).map(<[u8]>::to_vec)
        };
        let found = ConfigSection {
            config: part()?,
            manifest: part()?,
            storage_reference: String::from_utf8(part()?)
                .map_err(|_| FormatError::corrupt("config: the storage reference is not UTF-8"))?,
        };
        cursor.end()?;
        Ok(found)
    }

    /// Proves everything the footer speaks of: the CLIP part, every section (also those this program does not know) and the padding.
    ///
    /// # Errors
    /// ARCHIVE_CORRUPT, IO_FAILED.
    pub fn check_bytes(&self) -> Result<(), FormatError> {
        let mut end = self.footer.clip_bytes;
        self.check_range("the CLIP part", 0, end, &self.footer.clip_digest)?;
        for record in &self.footer.sections {
            self.check_zeros(end, record.offset)?;
            self.check_range(
                record.section.name(),
                record.offset,
                record.stored_bytes,
                &record.digest,
            )?;
            end = record.end();
        }
        self.check_zeros(end, self.footer.file_bytes - ALIGNMENT)
    }

    fn check_range(
        &self,
        what: &str,
        offset: u64,
        length: u64,
        digest: &Digest,
    ) -> Result<(), FormatError> {
        let mut hasher = Sha256::new();
        let mut at = offset;
        while at < offset + length {
            let step = usize::try_from(offset + length - at)
                .map_or(STEP_BYTES, |left| left.min(STEP_BYTES));
            hasher.update(&read_at(&self.file, at, step)?);
            at += step as u64;
        }
        if hasher.finish() == *digest {
            Ok(())
        } else {
            Err(FormatError::corrupt(format!("{what}: digest")))
        }
    }

    fn check_zeros(&self, start: u64, end: u64) -> Result<(), FormatError> {
        let length = usize::try_from(end.saturating_sub(start))
            .unwrap_or(FOOTER_BYTES)
            .min(FOOTER_BYTES);
        if read_at(&self.file, start, length)?
            .iter()
            .all(|byte| *byte == 0)
        {
            Ok(())
        } else {
            Err(FormatError::corrupt(format!(
                "padding at {start} is not zero"
            )))
        }
    }
}

fn check_digest(record: &SectionRecord, found: &Digest) -> Result<(), FormatError> {
    if *found == record.digest {
        return Ok(());
    }
    let name = record.section.name();
    Err(FormatError::corrupt(format!("section {name}: digest")))
}

/// The last 4096 bytes when they begin as a footer does.
pub(crate) fn footer_bytes(file: &File, file_bytes: u64) -> Result<Option<Vec<u8>>, FormatError> {
    let Some(start) = file_bytes.checked_sub(ALIGNMENT) else {
        return Ok(None);
    };
    let bytes = read_at(file, start, FOOTER_BYTES)?;
    Ok(Footer::is_footer(&bytes).then_some(bytes))
}

/// Why a file without a footer cannot be opened.
pub(crate) fn without_footer(header: &Header) -> FormatError {
    if header.is_ours() {
        FormatError::Truncated(
            "its header promises a footer and there is none at its end".to_owned(),
        )
    } else {
        FormatError::NotLazy("it was written by another program".to_owned())
    }
}

/// Reads the CLIP header.
pub(crate) fn read_header(file: &File, file_bytes: u64) -> Result<Header, FormatError> {
    let bytes = usize::try_from(file_bytes).map_or(HEADER_BYTES, |bytes| bytes.min(HEADER_BYTES));
    Header::decode(&read_at(file, 0, bytes)?, file_bytes)
}

pub(crate) fn length(file: &File) -> Result<u64, FormatError> {
    file.metadata()
        .map(|metadata| metadata.len())
        .map_err(|error| FormatError::io("the archive's length", error))
}

pub(crate) fn read_at(file: &File, offset: u64, length: usize) -> Result<Vec<u8>, FormatError> {
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, offset)
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => {
                FormatError::Truncated(format!("{length} bytes at {offset} are not there"))
            }
            _ => FormatError::io(
                format!("reading {length} bytes at {offset} of the archive"),
                error,
            ),
        })?;
    Ok(bytes)
}
