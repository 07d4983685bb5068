//! The file tree in memory while layers are applied: an arena, names in directories.

use std::collections::BTreeMap;

use archive_format::model::{DeviceNumber, Timestamp};

use crate::entry::{Entry, EntryData};
use crate::error::IndexError;

/// Index of a node in the arena. What is unlinked stays there as garbage until the image is built.
pub(super) type NodeId = usize;

/// The root directory.
pub(super) const ROOT: NodeId = 0;

/// Names a merge may look at because of links and whiteouts. Real images need a few a file; without a bound, links that
/// lead through thousands of names and whiteouts that come thousands of times would take hours.
const MAX_WORK: u64 = 100_000_000;

#[derive(Debug)]
pub(super) struct Tree {
    pub(super) nodes: Vec<Node>,
    work: u64,
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) attributes: Attributes,
    pub(super) body: Body,
}

#[derive(Debug, Default)]
pub(super) struct Attributes {
    pub(super) permissions: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime: Timestamp,
    pub(super) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

#[derive(Debug)]
pub(super) enum Body {
    Directory(BTreeMap<Vec<u8>, Child>),
    Regular { device: u16, data: EntryData },
    Symlink(Vec<u8>),
    CharDevice(DeviceNumber),
    BlockDevice(DeviceNumber),
    Fifo,
}

/// A name in a directory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Child {
    pub(super) node: NodeId,
    /// The last layer that made this name or something below it. Whiteouts spare what their own layer made.
    pub(super) layer: u32,
}

impl Attributes {
    pub(super) fn of(entry: &mut Entry) -> Self {
        Self {
            permissions: entry.permissions,
            uid: entry.uid,
            gid: entry.gid,
            mtime: entry.mtime,
            xattrs: std::mem::take(&mut entry.xattrs),
        }
    }

    /// A directory nobody described: 0755, root, 1970; below a setgid directory it takes group and bit, as mkdir(2) does.
    pub(super) fn implicit(parent: Option<&Self>) -> Self {
        const SETGID: u16 = 0o2000;
        let group = parent
            .filter(|parent| parent.permissions & SETGID != 0)
            .map(|parent| parent.gid);
        Self {
            permissions: if group.is_some() {
                SETGID | 0o755
            } else {
                0o755
            },
            gid: group.unwrap_or_default(),
            ..Self::default()
        }
    }
}

impl Tree {
    pub(super) fn new() -> Self {
        Self {
            nodes: vec![Node {
                attributes: Attributes::implicit(None),
                body: Body::Directory(BTreeMap::new()),
            }],
            work: 0,
        }
    }

    /// Counts names that were looked at.
    pub(super) fn spend(&mut self, names: usize) -> Result<(), IndexError> {
        self.work = self.work.saturating_add(names as u64);
        if self.work > MAX_WORK {
            return Err(IndexError::limit(
                "names behind links and whiteouts",
                MAX_WORK,
            ));
        }
        Ok(())
    }

    pub(super) fn add(&mut self, attributes: Attributes, body: Body) -> NodeId {
        self.nodes.push(Node { attributes, body });
        self.nodes.len() - 1
    }

    pub(super) fn body(&self, node: NodeId) -> Option<&Body> {
        self.nodes.get(node).map(|node| &node.body)
    }

    pub(super) fn is_directory(&self, node: NodeId) -> bool {
        matches!(self.body(node), Some(Body::Directory(_)))
    }

    pub(super) fn child(&self, directory: NodeId, name: &[u8]) -> Option<Child> {
        match self.body(directory) {
            Some(Body::Directory(children)) => children.get(name).copied(),
            _ => None,
        }
    }

    /// The names in a directory; none for anything else.
    pub(super) fn children_mut(
        &mut self,
        directory: NodeId,
    ) -> Option<&mut BTreeMap<Vec<u8>, Child>> {
        match self.nodes.get_mut(directory).map(|node| &mut node.body) {
            Some(Body::Directory(children)) => Some(children),
            _ => None,
        }
    }

    /// Removes from a directory, at any depth, every name that `layer` did not make.
    pub(super) fn purge(&mut self, directory: NodeId, layer: u32) -> Result<(), IndexError> {
        let mut pending = vec![directory];
        while let Some(directory) = pending.pop() {
            if let Some(children) = self.children_mut(directory) {
                let names = children.len();
                children.retain(|_, child| child.layer == layer);
                pending.extend(children.values().map(|child| child.node));
                self.spend(names)?;
            }
        }
        Ok(())
    }
}
