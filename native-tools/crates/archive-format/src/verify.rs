//! Proves an archive offline: every byte by its digest, every part by its rules, and that the parts agree.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

use crate::FormatError;
use crate::clip::describe::{self, Source};
use crate::clip::nodes::NodeMaker;
use crate::clip::{Header, Node, NodeType, StorageInfo, read_nodes};
use crate::digest::{Digest, Sha256, hex, oci};
use crate::erofs::Walked;
use crate::footer::SectionType;
use crate::model::{Image, InodeId, Kind};
use crate::read::{Archive, footer_bytes, length, read_at, read_header, without_footer};
use crate::seek::check_windows;
use crate::tables::{LayerTable, RecordKind};
use crate::tree::{for_each_path, inode};
use crate::write::{MAX_CLIP_BYTES, storage_reference};

/// How much of a V1 file is hashed at once.
const STEP_BYTES: u64 = 1 << 20;

/// Who wrote an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchiveKind {
    /// This project: CLIP part, sections, footer.
    Clipyard,
    /// A CLIP writer, over OCI layers.
    Clip,
    /// A CLIP writer, with the file bytes inside or beside it on S3.
    ClipV1,
}

impl ArchiveKind {
    /// The kind's name in results.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Clipyard => "clipyard",
            Self::Clip => "clip",
            Self::ClipV1 => "clip-v1",
        }
    }
}

/// What a proven archive holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Who wrote it.
    pub kind: ArchiveKind,
    /// Names in the tree, the root among them.
    pub entries: u64,
    /// Length of the file.
    pub size_bytes: u64,
    /// Layers that the storage info names.
    pub layers: u64,
}

/// Reads the whole file and proves all that can be proven without the layers.
///
/// # Errors
/// The code says what is wrong: ARCHIVE_NOT_CLIP, ARCHIVE_TRUNCATED, ARCHIVE_CORRUPT, ARCHIVE_MISMATCH, FORMAT_TOO_NEW, …
pub fn verify_archive(path: &Path) -> Result<Report, FormatError> {
    let file =
        File::open(path).map_err(|error| FormatError::io(path.display().to_string(), error))?;
    verify_file(file)
}

/// The same for an open file.
///
/// # Errors
/// As [`verify_archive`].
pub fn verify_file(file: File) -> Result<Report, FormatError> {
    let file_bytes = length(&file)?;
    // The footer decides before the header: a flipped bit in the header must not turn ours into somebody else's.
    if footer_bytes(&file, file_bytes)?.is_some() {
        return verify_ours(file, file_bytes);
    }
    let header = read_header(&file, file_bytes)?;
    if header.is_ours() {
        return Err(without_footer(&header));
    }
    verify_foreign(&file, file_bytes, &header)
}

fn verify_ours(file: File, file_bytes: u64) -> Result<Report, FormatError> {
    let archive = Archive::open(file)?;
    archive.check_bytes()?;
    let clip_bytes = archive.footer().clip_bytes;
    let header = read_header(archive.file(), clip_bytes)?;
    let follows = header.index_offset.checked_add(header.index_bytes)
        == Some(header.storage_offset)
        && header.storage_offset.checked_add(header.storage_bytes) == Some(clip_bytes);
    if !header.is_ours() || header.index_offset != crate::clip::HEADER_BYTES as u64 || !follows {
        return Err(FormatError::corrupt(
            "the CLIP part is not the one the footer promises",
        ));
    }
    let tables = archive.layers()?;
    let seek = archive.section(SectionType::Seek)?;
    check_windows(&tables, &seek.unwrap_or_default())?;
    let info = StorageInfo::decode(&part(
        archive.file(),
        header.storage_offset,
        header.storage_bytes,
    )?)?
    .ok_or_else(|| FormatError::corrupt("storage info of another type"))?;
    check_identity(&archive, &info, &tables)?;
    let index = part(archive.file(), header.index_offset, header.index_bytes)?;
    let report = |entries| Report {
        kind: ArchiveKind::Clipyard,
        entries,
        size_bytes: file_bytes,
        layers: info.layers.len() as u64,
    };
    if archive.footer().section(SectionType::Erofs).is_none() {
        return check_places(&index, &tables).map(report);
    }
    let reader = archive.erofs()?;
    let devices = reader
        .devices()
        .iter()
        .map(|device| (device.tag.clone(), u64::from(device.blocks)));
    let wanted = tables
        .iter()
        .map(|table| (hex(&table.diff_id), table.plain_bytes.div_ceil(512)));
    if !devices.eq(wanted) {
        return Err(FormatError::corrupt(
            "the metadata image's devices are not the layers",
        ));
    }
    let walked = reader.walk()?;
    compare_trees(&index, &walked, &tables)?;
    Ok(report(walked.facts.names))
}

/// The nodes of an index, which must be in byte order of their paths with nothing behind them.
fn sorted_nodes(index: &[u8]) -> Result<Vec<Node<'_>>, FormatError> {
    let mut nodes: Vec<Node<'_>> = Vec::new();
    let slack = read_nodes(index, |node: Node<'_>| {
        if nodes.last().is_some_and(|last| last.path >= node.path) {
            return Err(FormatError::corrupt(format!(
                "the node {} is out of order",
                node.path.escape_ascii()
            )));
        }
        nodes.push(node);
        Ok(())
    })?;
    if slack > 0 {
        return Err(FormatError::corrupt(format!(
            "{slack} bytes after the node list"
        )));
    }
    Ok(nodes)
}

/// What can be proven of a node list without a metadata image: the root first, byte order, data inside layers. How many
/// nodes there are.
fn check_places(index: &[u8], tables: &[LayerTable]) -> Result<u64, FormatError> {
    let nodes = sorted_nodes(index)?;
    let has_root = nodes
        .first()
        .is_some_and(|root| root.path == b"/" && root.node_type == Some(NodeType::Directory));
    if !has_root {
        return Err(FormatError::corrupt("the node list has no root"));
    }
    let layers: HashMap<String, u64> = tables
        .iter()
        .filter(|table| table.kind == RecordKind::Layer)
        .map(|table| (oci(&table.digest), table.plain_bytes))
        .collect();
    for node in &nodes {
        let Some(remote) = &node.remote else {
            continue;
        };
        let plain_bytes = std::str::from_utf8(remote.layer)
            .ok()
            .and_then(|layer| layers.get(layer));
        let offset = u64::try_from(remote.offset).ok();
        let end = offset.and_then(|offset| offset.checked_add(node.attr.size));
        let lies_inside = node.node_type == Some(NodeType::File)
            && u64::try_from(remote.length) == Ok(node.attr.size)
            && matches!((end, plain_bytes), (Some(end), Some(plain)) if end <= *plain);
        if !lies_inside {
            return Err(FormatError::corrupt(format!(
                "the data of {} lies in no layer",
                node.path.escape_ascii()
            )));
        }
    }
    Ok(nodes.len() as u64)
}

/// Storage info, configuration, manifest and layer tables speak of the same image: the storage info is made again.
fn check_identity(
    archive: &Archive,
    info: &StorageInfo,
    tables: &[LayerTable],
) -> Result<(), FormatError> {
    let section = archive.config()?;
    let name = info.metadata.as_ref().map_or("", |metadata| &metadata.name);
    let wanted = describe::storage_info(&Source {
        manifest: &section.manifest,
        config: &section.config,
        tables,
        registry: &info.registry,
        repository: &info.repository,
        reference: &info.reference,
        image_name: name,
    })?;
    if *info != wanted {
        return Err(FormatError::corrupt(
            "the storage info is not the one that manifest, configuration and layer tables give",
        ));
    }
    if section.storage_reference
        != storage_reference(&info.registry, &info.repository, &info.reference)
    {
        return Err(FormatError::corrupt(format!(
            "section config is stored at {}, the storage info names {}/{}",
            section.storage_reference, info.registry, info.repository
        )));
    }
    Ok(())
}

/// Every node is the one that the metadata image's tree gives, in the same order, and there is no other.
fn compare_trees(index: &[u8], walked: &Walked, tables: &[LayerTable]) -> Result<(), FormatError> {
    let nodes = sorted_nodes(index)?;
    let maker = NodeMaker::new(&walked.image, &walked.facts, tables);
    let mut nodes = nodes.into_iter();
    for_each_path(&walked.image, |path, id, _| {
        let wanted = maker.node(path, id)?;
        match nodes.next() {
            Some(found) if same_node(&found, &wanted, &walked.image, id, tables)? => Ok(()),
            found => Err(FormatError::corrupt(format!(
                "the node list has {} where the metadata image has {wanted:?}",
                found.map_or("nothing".to_owned(), |found| format!("{found:?}"))
            ))),
        }
    })?;
    match nodes.next() {
        None => Ok(()),
        Some(node) => Err(FormatError::corrupt(format!(
            "the node list has {} which the metadata image has not",
            node.path.escape_ascii()
        ))),
    }
}

fn same_node(
    found: &Node<'_>,
    wanted: &Node<'_>,
    image: &Image,
    id: InodeId,
    tables: &[LayerTable],
) -> Result<bool, FormatError> {
    let Kind::Regular(file) = &inode(image, id)?.kind else {
        return Ok(found == wanted);
    };
    if file.size > 0 && file.inline.is_none() {
        return Ok(found == wanted);
    }
    // The metadata image holds the bytes themselves and no longer says where in a layer they are.
    let Some(remote) = &found.remote else {
        return Ok(found == wanted);
    };
    let inside = |table: &LayerTable| {
        let end = remote.offset.checked_add(remote.length).map(u64::try_from);
        table.kind == RecordKind::Layer
            && oci(&table.digest).as_bytes() == remote.layer
            && remote.offset >= 0
            && u64::try_from(remote.length) == Ok(file.size)
            && matches!(end, Some(Ok(end)) if end <= table.plain_bytes)
    };
    let without = Node {
        remote: None,
        ..found.clone()
    };
    Ok(without == *wanted && tables.iter().any(inside))
}

/// Somebody else's archive has no digest over itself; what can be read is read, and V1 files have theirs.
fn verify_foreign(file: &File, file_bytes: u64, header: &Header) -> Result<Report, FormatError> {
    let info = match header.storage_bytes {
        0 => None,
        bytes => StorageInfo::decode(&part(file, header.storage_offset, bytes)?)?,
    };
    let index = part(file, header.index_offset, header.index_bytes)?;
    let mut entries = 0;
    let mut has_root = false;
    let mut places = V1Places {
        unread_bytes: file_bytes,
        proven: HashMap::new(),
    };
    read_nodes(&index, |node| {
        entries += 1;
        has_root |= node.path == b"/" && node.node_type == Some(NodeType::Directory);
        match (&info, header.storage_bytes) {
            (Some(info), _) => check_foreign_remote(&node, info),
            (None, 0) => places.check(file, &node),
            (None, _) => Ok(()),
        }
    })?;
    if !has_root {
        return Err(FormatError::corrupt("the node list has no root"));
    }
    Ok(Report {
        kind: if info.is_some() {
            ArchiveKind::Clip
        } else {
            ArchiveKind::ClipV1
        },
        entries,
        size_bytes: file_bytes,
        layers: info.map_or(0, |info| info.layers.len() as u64),
    })
}

fn check_foreign_remote(node: &Node<'_>, info: &StorageInfo) -> Result<(), FormatError> {
    match &node.remote {
        Some(remote)
            if remote.offset < 0
                || remote.length < 0
                || !info
                    .layers
                    .iter()
                    .any(|layer| layer.as_bytes() == remote.layer) =>
        {
            Err(FormatError::corrupt(format!(
                "{}: {remote:?}",
                node.path.escape_ascii()
            )))
        }
        _ => Ok(()),
    }
}

/// The places of a V1 archive that were read.
struct V1Places {
    /// Shrinks by each place: a writer stores every file once, so all of them fit into the archive.
    unread_bytes: u64,
    /// The digest of what lies at an offset with a length. Names of one file share its place.
    proven: HashMap<(u64, u64), Digest>,
}

impl V1Places {
    fn check(&mut self, file: &File, node: &Node<'_>) -> Result<(), FormatError> {
        if node.node_type != Some(NodeType::File) {
            return Ok(());
        }
        let place = u64::try_from(node.data_offset)
            .ok()
            .zip(u64::try_from(node.data_bytes).ok());
        let digest = place
            .map(|place| self.digest(file, place))
            .transpose()?
            .flatten();
        let name = node.path.escape_ascii();
        let Some(digest) = digest else {
            return Err(FormatError::corrupt(format!(
                "{name} is {} bytes at {}",
                node.data_bytes, node.data_offset
            )));
        };
        if !node.content_hash.is_empty() && hex(&digest).as_bytes() != node.content_hash {
            return Err(FormatError::corrupt(format!(
                "{name}: its bytes do not have its digest"
            )));
        }
        Ok(())
    }

    /// `None` when the places together are longer than the archive.
    fn digest(&mut self, file: &File, place: (u64, u64)) -> Result<Option<Digest>, FormatError> {
        if let Some(digest) = self.proven.get(&place) {
            return Ok(Some(*digest));
        }
        let (start, bytes) = place;
        let Some(left) = self.unread_bytes.checked_sub(bytes) else {
            return Ok(None);
        };
        self.unread_bytes = left;
        let mut hasher = Sha256::new();
        let mut at = start;
        let end = start.saturating_add(bytes);
        while at < end {
            let step = (end - at).min(STEP_BYTES);
            hasher.update(&part(file, at, step)?);
            at += step;
        }
        let digest = hasher.finish();
        self.proven.insert(place, digest);
        Ok(Some(digest))
    }
}

fn part(file: &File, offset: u64, bytes: u64) -> Result<Vec<u8>, FormatError> {
    let length = usize::try_from(bytes)
        .ok()
        .filter(|length| *length <= MAX_CLIP_BYTES)
        .ok_or_else(|| {
            FormatError::limit(format!("{bytes} bytes of CLIP, at most {MAX_CLIP_BYTES}"))
        })?;
    read_at(file, offset, length)
}
