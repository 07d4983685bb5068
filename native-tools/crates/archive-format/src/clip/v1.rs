//! A V1 archive: the bytes of every file inside, the node list behind them. `docs/formats/clip.md`, "V1 archives".

use super::header::{HEADER_BYTES, Header};
use super::node::{NodeList, NodeType};
use super::nodes::NodeMaker;
use crate::FormatError;
use crate::digest::{Digest, hex};
use crate::model::{Image, InodeId, Kind};
use crate::tree::{TreeFacts, for_each_path, inode};
use crate::write::MAX_CLIP_BYTES;

/// What the stock writer puts first: a start reads these soonest.
const PRIORITY_PREFIXES: [&[u8]; 6] = [
    b"/usr/lib",
    b"/usr/bin",
    b"/usr/local/lib/python3.7/dist-packages",
    b"/usr/local/lib/python3.8/dist-packages",
    b"/usr/local/lib/python3.9/dist-packages",
    b"/usr/local/lib/python3.10/dist-packages",
];
/// The byte before a file's data; 0 says that a file follows.
const BLOCK_TYPE_BYTES: u64 = 1;
/// CRC-64/ISO of the data, big-endian, behind it.
const CHECKSUM_BYTES: u64 = 8;

/// Where every file of an image goes. Names of one inode share its data.
#[derive(Debug)]
pub struct V1Layout<'a> {
    image: &'a Image,
    facts: TreeFacts,
    /// Offset of the data by inode; 0 for what is no file.
    offsets: Vec<u64>,
    end: u64,
}

impl<'a> V1Layout<'a> {
    /// Lays files out as the stock writer does: those of `/usr/lib` and the like first, then the rest, each by path.
    ///
    /// # Errors
    /// LIMIT_EXCEEDED for an image that is larger than a file can be; what is no tree is INTERNAL.
    pub fn of(image: &'a Image) -> Result<Self, FormatError> {
        let facts = TreeFacts::of(image)?;
        let mut layout = Self {
            image,
            facts,
            offsets: vec![0; image.inodes.len()],
            end: HEADER_BYTES as u64,
        };
        for first in [true, false] {
            for_each_path(image, |path, id, _| {
                let is_first = PRIORITY_PREFIXES
                    .iter()
                    .any(|prefix| path.starts_with(prefix));
                if is_first == first {
                    layout.place(id)?;
                }
                Ok(())
            })?;
        }
        Ok(layout)
    }

    fn place(&mut self, id: InodeId) -> Result<(), FormatError> {
        let Kind::Regular(file) = &inode(self.image, id)?.kind else {
            return Ok(());
        };
        let Some(offset) = self.offsets.get_mut(id as usize).filter(|at| **at == 0) else {
            return Ok(());
        };
        *offset = self.end + BLOCK_TYPE_BYTES;
        self.end = offset
            .checked_add(file.size)
            .and_then(|end| end.checked_add(CHECKSUM_BYTES))
            .filter(|end| i64::try_from(*end).is_ok())
            .ok_or_else(|| FormatError::limit("the files of the image together"))?;
        Ok(())
    }

    /// Offset of a file's data; its checksum follows the data. `None` for what is no file, or has no name.
    #[must_use]
    pub fn data_offset(&self, id: InodeId) -> Option<u64> {
        let offset = self.offsets.get(id as usize).copied();
        offset.filter(|offset| *offset > 0)
    }

    /// Where the data ends and the node list begins.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Names in the tree, the root among them.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.facts.names
    }

    /// Header and node list; `digests` are those of the files' bytes, by inode.
    ///
    /// # Errors
    /// LIMIT_EXCEEDED, and INTERNAL for a file without a digest.
    pub fn index(&self, digests: &[Option<Digest>]) -> Result<(Vec<u8>, Vec<u8>), FormatError> {
        let maker = NodeMaker::new(self.image, &self.facts, &[]);
        let mut nodes = NodeList::default();
        for_each_path(self.image, |path, id, _| {
            let mut node = maker.node(path, id)?;
            let Some(offset) = self.data_offset(id) else {
                nodes.push(&node);
                return Ok(());
            };
            debug_assert_eq!(node.node_type, Some(NodeType::File));
            let digest = digests.get(id as usize).copied().flatten();
            let hash = digest
                .map(|digest| hex(&digest))
                .ok_or_else(|| FormatError::input(format!("inode {id} was not hashed")))?;
            let number = |value: u64| {
                i64::try_from(value).map_err(|_| FormatError::limit(format!("offset {value}")))
            };
            node.data_offset = number(offset)?;
            node.data_bytes = number(node.attr.size)?;
            node.content_hash = hash.as_bytes();
            nodes.push(&node);
            Ok(())
        })?;
        let index = nodes.finish();
        if index.len() > MAX_CLIP_BYTES {
            return Err(FormatError::limit(format!(
                "a node list of {} bytes, at most {MAX_CLIP_BYTES}",
                index.len()
            )));
        }
        // Position and type of the storage info stay zero, as the stock writer leaves them.
        let header = Header {
            index_offset: self.end,
            index_bytes: index.len() as u64,
            storage_offset: 0,
            storage_bytes: 0,
            storage_type: [0; 12],
        };
        Ok((header.encode(), index))
    }
}
