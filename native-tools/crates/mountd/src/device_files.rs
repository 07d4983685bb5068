//! The flat directory in which each layer is one file: what EROFS takes as its devices.

use std::sync::Arc;

use archive_format::digest::hex;
use archive_format::tables::RecordKind;

use crate::fuse::{Attributes, Entry, FileKind, FileSystem, FsError, NodeId, ROOT, Usage};
use crate::layer::Layer;

/// Devices are whole blocks of the metadata image.
const BLOCK: u64 = 512;
/// Number of the first device; device i (from 0) is inode 2 + i, the same in every process that serves the archive.
const FIRST: NodeId = ROOT + 1;

/// One file a device, named by position and diffID, rounded up with zeros to a block.
#[derive(Debug)]
pub struct DeviceFiles {
    files: Vec<DeviceFile>,
}

#[derive(Debug)]
struct DeviceFile {
    name: String,
    size: u64,
    layer: Arc<Layer>,
}

impl DeviceFiles {
    /// Of layers in device order.
    #[must_use]
    pub fn new(layers: &[Arc<Layer>]) -> Self {
        let files = layers
            .iter()
            .enumerate()
            .map(|(index, layer)| {
                let table = layer.table();
                let kind = if table.kind == RecordKind::Extra {
                    "extra"
                } else {
                    "layer"
                };
                DeviceFile {
                    name: format!("{index}-{kind}-{}", hex(&table.diff_id)),
                    size: table.plain_bytes.next_multiple_of(BLOCK),
                    layer: Arc::clone(layer),
                }
            })
            .collect();
        Self { files }
    }

    /// Names in device order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|file| file.name.as_str())
    }

    fn file(&self, node: NodeId) -> Result<&DeviceFile, FsError> {
        let index = node
            .checked_sub(FIRST)
            .and_then(|index| usize::try_from(index).ok());
        index
            .and_then(|index| self.files.get(index))
            .ok_or(FsError::NotFound)
    }
}

impl FileSystem for DeviceFiles {
    fn attributes(&self, node: NodeId) -> Result<Attributes, FsError> {
        if node == ROOT {
            return Ok(Attributes::plain(node, FileKind::Directory, 0o500, 0));
        }
        let size = self.file(node)?.size;
        Ok(Attributes::plain(node, FileKind::Regular, 0o400, size))
    }

    fn lookup(&self, parent: NodeId, name: &[u8]) -> Result<Attributes, FsError> {
        if parent != ROOT {
            return Err(FsError::NotDirectory);
        }
        let index = self
            .files
            .iter()
            .position(|file| file.name.as_bytes() == name)
            .ok_or(FsError::NotFound)?;
        self.attributes(FIRST + index as u64)
    }

    fn entry(&self, directory: NodeId, position: u64) -> Result<Option<Entry>, FsError> {
        if directory != ROOT {
            return Err(FsError::NotDirectory);
        }
        let dots = [b".".as_slice(), b"..".as_slice()];
        let index = usize::try_from(position).unwrap_or(usize::MAX);
        if let Some(name) = dots.get(index) {
            return Ok(Some(Entry {
                name: name.to_vec(),
                node: ROOT,
                number: ROOT,
                kind: FileKind::Directory,
                next: position + 1,
            }));
        }
        let node = position - dots.len() as u64 + FIRST;
        Ok(self.file(node).ok().map(|file| Entry {
            name: file.name.clone().into_bytes(),
            node,
            number: node,
            kind: FileKind::Regular,
            next: position + 1,
        }))
    }

    fn is_ready(&self, node: NodeId, offset: u64, length: usize) -> bool {
        self.file(node)
            .is_ok_and(|file| file.layer.is_ready(offset, length))
    }

    fn read(&self, node: NodeId, offset: u64, buffer: &mut [u8]) -> Result<(), FsError> {
        // The layer has logged and counted why; the kernel is told only that there is no data.
        self.file(node)?
            .layer
            .read(offset, buffer)
            .map_err(|_| FsError::Io)
    }

    fn usage(&self) -> Usage {
        Usage {
            bytes: self.files.iter().map(|file| file.size).sum(),
            nodes: self.files.len() as u64 + 1,
        }
    }
}
