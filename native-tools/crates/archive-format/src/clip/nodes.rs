//! The nodes of an image.

use super::node::{Attr, Node, NodeType, Remote};
use crate::FormatError;
use crate::digest::oci;
use crate::erofs::{encode_device, join, type_bits};
use crate::model::{FileData, Image, InodeId, Kind};
use crate::tables::{LayerTable, RecordKind};
use crate::tree::{TreeFacts, inode};

/// Makes nodes: knows the blobs that devices are.
#[derive(Debug)]
pub(crate) struct NodeMaker<'a> {
    image: &'a Image,
    facts: &'a TreeFacts,
    /// `sha256:` digest of the blob of each device; `None` for extra, which no stock reader can read.
    blobs: Vec<Option<String>>,
}

impl<'a> NodeMaker<'a> {
    pub(crate) fn new(image: &'a Image, facts: &'a TreeFacts, tables: &[LayerTable]) -> Self {
        let blobs = tables
            .iter()
            .map(|table| (table.kind == RecordKind::Layer).then(|| oci(&table.digest)))
            .collect();
        Self {
            image,
            facts,
            blobs,
        }
    }

    /// The node for a name.
    pub(crate) fn node<'s>(&'s self, path: &'s [u8], id: InodeId) -> Result<Node<'s>, FormatError> {
        let inode = inode(self.image, id)?;
        let fact = |values: &[u32]| values.get(id as usize).copied().unwrap_or(0);
        let mut node = Node {
            node_type: Some(NodeType::File),
            path,
            ..Node::default()
        };
        let mut rdev = 0;
        let mut size = 0;
        match &inode.kind {
            Kind::Directory { .. } => node.node_type = Some(NodeType::Directory),
            Kind::Symlink { target } => {
                node.node_type = Some(NodeType::Symlink);
                node.target = target;
                size = target.len() as u64;
            }
            Kind::Regular(file) => {
                size = file.size;
                node.remote = self.remote(file)?;
            }
            Kind::CharDevice(device) | Kind::BlockDevice(device) => {
                rdev = encode_device(*device).ok_or_else(|| {
                    FormatError::limit(format!("device number {}:{}", device.major, device.minor))
                })?;
            }
            Kind::Fifo | Kind::Socket => {}
        }
        let seconds = inode.mtime.seconds.cast_unsigned();
        let blocks = match inode.kind {
            Kind::Regular(_) => size.div_ceil(512),
            _ => 0,
        };
        node.attr = Attr {
            ino: fact(&self.facts.numbers).into(),
            size,
            blocks,
            atime: seconds,
            mtime: seconds,
            ctime: seconds,
            atime_nanos: inode.mtime.nanos,
            mtime_nanos: inode.mtime.nanos,
            ctime_nanos: inode.mtime.nanos,
            mode: (type_bits(&inode.kind) | inode.permissions & 0o7777).into(),
            nlink: fact(&self.facts.links),
            uid: inode.uid,
            gid: inode.gid,
            rdev,
            ..Attr::default()
        };
        Ok(node)
    }

    /// A file that lies in one piece in one layer. For any other a stock reader's error is better than wrong bytes.
    fn remote(&self, file: &FileData) -> Result<Option<Remote<'_>>, FormatError> {
        let extent = match file.extents.as_slice() {
            [extent] => *extent,
            several => match join(file.size, several)?.as_slice() {
                [extent] => *extent,
                _ => return Ok(None),
            },
        };
        if extent.file_offset != 0 || extent.length != file.size {
            return Ok(None);
        }
        let Some(Some(layer)) = self.blobs.get(usize::from(extent.device)) else {
            return Ok(None);
        };
        let number = |value: u64| {
            i64::try_from(value).map_err(|_| FormatError::limit(format!("{extent:?}")))
        };
        Ok(Some(Remote {
            layer: layer.as_bytes(),
            offset: number(extent.device_offset)?,
            length: number(extent.length)?,
        }))
    }
}
