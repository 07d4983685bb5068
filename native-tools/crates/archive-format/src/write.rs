//! Puts an archive together: CLIP part, sections, footer.

use std::borrow::Cow;
use std::io::Write;

use crate::FormatError;
use crate::clip::describe::{self, Source};
use crate::clip::nodes::NodeMaker;
use crate::clip::{HEADER_BYTES, Header, OUR_STORAGE_TYPE, list_head, write_node};
use crate::digest::{Digest, Sha256, sha256};
use crate::erofs::{self, Device};
use crate::footer::{
    ALIGNMENT, Encoding, FOOTER_BYTES, Footer, SECTION_VERSION, SectionRecord, SectionType,
};
use crate::frames;
use crate::model::Image;
use crate::seek;
use crate::tables::{self, LayerTable, RecordKind};
use crate::tree::{TreeFacts, for_each_path};
use crate::wire::u32_len;

/// Minor format version that is written.
const MINOR: u16 = 0;
/// Level of the sections that are compressed.
const ZSTD_LEVEL: i32 = 3;
/// Largest section, plain: what a reader is willing to hold.
pub(crate) const MAX_SECTION_BYTES: usize = 1 << 30;
/// Largest CLIP part.
pub(crate) const MAX_CLIP_BYTES: usize = 1 << 31;

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
    pub sections: Vec<SectionRecord>,
}

/// Writes a whole archive front to back.
///
/// # Errors
/// LIMIT_EXCEEDED where the image does not fit into the format, MANIFEST_INVALID for an unreadable manifest or
/// configuration, ARCHIVE_MISMATCH when they do not name the layers, IO_FAILED or DISK_FULL from `out`, INTERNAL when
/// the parts of `input` contradict each other.
pub fn write_archive(
    input: &ArchiveInput<'_>,
    out: &mut impl Write,
) -> Result<ArchiveSummary, FormatError> {
    let source = Source {
        manifest: input.manifest,
        config: input.config,
        tables: input.tables,
        registry: input.registry,
        repository: input.repository,
        reference: input.reference,
        image_name: input.image_name,
    };
    check_input(input, &source)?;
    let facts = TreeFacts::of(input.image)?;
    let mut file = Output::new(out);
    write_clip(input, &facts, &source, &mut file)?;
    let clip_bytes = file.offset;
    let clip_digest = file.digest.clone().finish();
    let devices: Vec<Device> = input
        .tables
        .iter()
        .map(|table| Device {
            diff_id: table.diff_id,
            plain_bytes: table.plain_bytes,
        })
        .collect();
    let config = section_config(input)?;
    let mut sections = vec![file.section(SectionType::Config, &config)?];
    for (section, stored) in [
        (SectionType::Seek, input.seek),
        (SectionType::Extra, input.extra),
    ] {
        if !stored.is_empty() {
            sections.push(file.section(section, stored)?);
        }
    }
    sections.push(file.section(SectionType::Layers, &tables::encode(input.tables)?)?);
    let image = erofs::write_with_facts(input.image, &facts, &devices)?;
    sections.push(file.section(SectionType::Erofs, &image)?);
    file.align()?;
    let footer = Footer {
        minor: MINOR,
        clip_bytes,
        file_bytes: file.offset + ALIGNMENT,
        clip_digest,
        sections,
    };
    let footer_bytes = footer.encode()?;
    file.write(&footer_bytes)?;
    file.out
        .flush()
        .map_err(|error| FormatError::io("writing the archive", error))?;
    Ok(summary(
        footer,
        &footer_bytes,
        file.digest.finish(),
        facts.names,
    ))
}

/// The caller's layers are the manifest's, and `extra` has a record exactly when it has bytes.
fn check_input(input: &ArchiveInput<'_>, source: &Source<'_>) -> Result<(), FormatError> {
    let (layers, _) = describe::layers(source)?;
    let named = layers.into_iter().map(|layer| ManifestLayer {
        digest: layer.digest,
        diff_id: layer.diff_id,
        media_type: layer.data.media_type,
        size: u64::try_from(layer.data.size).unwrap_or(0),
    });
    if !named.eq(input.manifest_layers.iter().cloned()) {
        return Err(FormatError::Mismatch(
            "manifest and configuration name other layers than those that were indexed".to_owned(),
        ));
    }
    seek::check_windows(input.tables, input.seek)?;
    let records = |table: &&LayerTable| table.kind == RecordKind::Extra;
    match (
        input.tables.last().filter(records),
        input.tables.iter().filter(records).count(),
    ) {
        (None, 0) if input.extra.is_empty() => Ok(()),
        (Some(table), 1)
            if table.blob_bytes == input.extra.len() as u64
                && table.digest == sha256(input.extra) =>
        {
            Ok(())
        }
        _ => Err(FormatError::input(
            "extra and its table do not belong together",
        )),
    }
}

/// Makes the nodes twice, because their length stands before them and all of them together are larger than the tree.
fn write_clip(
    input: &ArchiveInput<'_>,
    facts: &TreeFacts,
    source: &Source<'_>,
    file: &mut Output<'_, impl Write>,
) -> Result<(), FormatError> {
    let storage = describe::storage_info(source)?.encode();
    let maker = NodeMaker::new(input.image, facts, input.tables);
    let each_node = |take: &mut dyn FnMut(&[u8]) -> Result<(), FormatError>| {
        let mut bytes = Vec::new();
        for_each_path(input.image, |path, id, _| {
            bytes.clear();
            write_node(&mut bytes, &maker.node(path, id)?);
            take(&bytes)
        })
    };
    let mut node_bytes = 0;
    each_node(&mut |bytes| {
        node_bytes += bytes.len() as u64;
        Ok(())
    })?;
    let head = list_head(facts.names, node_bytes);
    let index_offset = HEADER_BYTES as u64;
    let index_bytes = head.len() as u64 + node_bytes;
    let header = Header {
        index_offset,
        index_bytes,
        storage_offset: index_offset + index_bytes,
        storage_bytes: storage.len() as u64,
        storage_type: OUR_STORAGE_TYPE,
    };
    let clip_bytes = header.storage_offset + header.storage_bytes;
    if clip_bytes > MAX_CLIP_BYTES as u64 {
        return Err(FormatError::limit(format!(
            "a CLIP part of {clip_bytes} bytes, at most {MAX_CLIP_BYTES}"
        )));
    }
    file.write(&header.encode())?;
    file.write(&head)?;
    each_node(&mut |bytes| file.write(bytes))?;
    file.write(&storage)
}

/// The plain bytes of section `config`: configuration, manifest and where the blobs are.
fn section_config(input: &ArchiveInput<'_>) -> Result<Vec<u8>, FormatError> {
    let storage = storage_reference(input.registry, input.repository, input.reference);
    let mut out = Vec::new();
    for part in [input.config, input.manifest, storage.as_bytes()] {
        out.extend(u32_len(part.len(), "section config")?.to_le_bytes());
        out.extend(part);
    }
    Ok(out)
}

/// `registry/repository@sha256:…`.
pub(crate) fn storage_reference(registry: &str, repository: &str, reference: &str) -> String {
    format!("{registry}/{repository}@{reference}")
}

fn summary(footer: Footer, footer_bytes: &[u8], digest: Digest, entries: u64) -> ArchiveSummary {
    let mount_bytes = footer
        .sections
        .iter()
        .filter(|record| record.critical)
        .map(|record| record.stored_bytes)
        .sum::<u64>()
        + ALIGNMENT;
    ArchiveSummary {
        digest,
        size_bytes: footer.file_bytes,
        clip_bytes: footer.clip_bytes,
        entries,
        footer_digest: sha256(footer_bytes),
        mount_bytes,
        sections: footer.sections,
    }
}

/// Counts and hashes what is written.
struct Output<'a, W> {
    out: &'a mut W,
    offset: u64,
    digest: Sha256,
}

impl<'a, W: Write> Output<'a, W> {
    fn new(out: &'a mut W) -> Self {
        Self {
            out,
            offset: 0,
            digest: Sha256::new(),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), FormatError> {
        self.out
            .write_all(bytes)
            .map_err(|error| FormatError::io("writing the archive", error))?;
        self.digest.update(bytes);
        self.offset += bytes.len() as u64;
        Ok(())
    }

    fn align(&mut self) -> Result<(), FormatError> {
        let missing = self.offset.next_multiple_of(ALIGNMENT) - self.offset;
        let zeros = [0; FOOTER_BYTES];
        let padding = usize::try_from(missing)
            .ok()
            .and_then(|missing| zeros.get(..missing));
        self.write(padding.unwrap_or_default())
    }

    /// Writes a section at the next aligned place. What is compressed part by part already is stored as it is.
    fn section(
        &mut self,
        section: SectionType,
        plain: &[u8],
    ) -> Result<SectionRecord, FormatError> {
        let (encoding, stored) = match section {
            SectionType::Seek | SectionType::Extra => (Encoding::Stored, Cow::Borrowed(plain)),
            _ => (Encoding::Zstd, Cow::Owned(compress(section, plain)?)),
        };
        self.align()?;
        let record = SectionRecord {
            section,
            version: SECTION_VERSION,
            critical: section.critical(),
            encoding,
            offset: self.offset,
            stored_bytes: stored.len() as u64,
            plain_bytes: plain.len() as u64,
            digest: sha256(&stored),
        };
        self.write(&stored)?;
        Ok(record)
    }
}

fn compress(section: SectionType, plain: &[u8]) -> Result<Vec<u8>, FormatError> {
    let name = section.name();
    if plain.len() > MAX_SECTION_BYTES {
        return Err(FormatError::limit(format!(
            "section {name} has {} bytes, at most {MAX_SECTION_BYTES}",
            plain.len()
        )));
    }
    let compressed = match section {
        // Decoded by several threads, for every mount. Of the others a reader may expect one frame.
        SectionType::Erofs => frames::encode(plain, ZSTD_LEVEL),
        _ => zstd::bulk::compress(plain, ZSTD_LEVEL),
    };
    compressed.map_err(|error| FormatError::io(format!("compressing section {name}"), error))
}
