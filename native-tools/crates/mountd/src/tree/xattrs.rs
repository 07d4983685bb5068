//! Extended attributes, and whether there are any at all.

use std::collections::{BTreeMap, HashSet};
use std::sync::OnceLock;

use archive_format::FormatError;
use archive_format::erofs::ErofsReader;

use super::{TreeFiles, damaged};
use crate::fuse::{FsError, NodeId};

/// An image without any extended attribute says so once, and the kernel stops asking: exec, `ls -l` and every permission
/// check below an access control list would ask again each time, as it does not keep "no such attribute".
#[derive(Debug, Default)]
pub(super) struct Xattrs {
    anywhere: OnceLock<bool>,
}

impl Xattrs {
    /// Looked up when the first attribute is asked for (about 10 ms for 100 000 inodes). An image that is damaged, or too
    /// tangled to be looked through, counts as one with attributes.
    pub(super) fn are_anywhere(&self, metadata: &ErofsReader<Vec<u8>>) -> bool {
        *self
            .anywhere
            .get_or_init(|| find_any(metadata).unwrap_or(true))
    }
}

/// Looks through every directory once. Honest directories do not overlap, so all names fit into the image.
fn find_any(metadata: &ErofsReader<Vec<u8>>) -> Result<bool, FormatError> {
    let mut budget = metadata.image_bytes();
    let mut ahead = vec![metadata.root()?];
    let mut seen = HashSet::from([metadata.root_nid()]);
    while let Some(directory) = ahead.pop() {
        if directory.has_xattrs() {
            return Ok(true);
        }
        for entry in metadata.entries(&directory)? {
            let entry = entry?;
            let Some(left) = budget.checked_sub(entry.name.len()) else {
                return Ok(true);
            };
            budget = left;
            let inode = metadata.inode(entry.nid)?;
            if inode.has_xattrs() {
                return Ok(true);
            }
            if inode.is_directory() && seen.insert(entry.nid) {
                ahead.push(inode);
            }
        }
    }
    Ok(false)
}

impl TreeFiles {
    pub(super) fn xattrs_of(&self, node: NodeId) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, FsError> {
        self.metadata.xattrs(&self.inode(node)?).map_err(damaged)
    }
}
