//! From the tree in memory to the model the writers take.

use std::collections::BTreeMap;

use archive_format::model::{Extent, FileData, Image, Inode, InodeId, Kind};
use archive_format::tables::LayerTable;
use serde::Serialize;

use super::extra::Extra;
use super::tree::{Body, Child, Node, NodeId, ROOT, Tree};
use crate::entry::EntryData;
use crate::error::IndexError;

/// The merged image.
#[derive(Debug)]
pub struct Merged {
    /// Inodes in the order of a walk through sorted names.
    pub image: Image,
    /// Stored bytes and table of section `extra`, when it is needed.
    pub extra: Option<(Vec<u8>, LayerTable)>,
    /// What was left out of the tree.
    pub warnings: MergeWarnings,
}

/// What the merge left out on purpose, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MergeWarnings {
    /// Names of character devices 0:0: to an overlay put on top they are whiteouts.
    pub dropped_whiteout_devices: u64,
}

pub(super) fn build(tree: Tree, extra_device: u16, chunk_bytes: u32) -> Result<Merged, IndexError> {
    let mut builder = Builder {
        ids: vec![None; tree.nodes.len()],
        nodes: tree.nodes.into_iter().map(Some).collect(),
        inodes: Vec::new(),
        extra: Extra::new(chunk_bytes),
        extra_device,
        warnings: MergeWarnings::default(),
    };
    builder.add(ROOT)?;
    Ok(Merged {
        image: Image {
            inodes: builder.inodes,
        },
        extra: builder.extra.finish()?,
        warnings: builder.warnings,
    })
}

struct Builder {
    nodes: Vec<Option<Node>>,
    ids: Vec<Option<InodeId>>,
    inodes: Vec<Inode>,
    extra: Extra,
    extra_device: u16,
    warnings: MergeWarnings,
}

/// A directory whose names are being added.
struct Open {
    id: InodeId,
    rest: std::collections::btree_map::IntoIter<Vec<u8>, Child>,
}

impl Builder {
    /// Adds everything that is reachable, depth first, without recursion.
    fn add(&mut self, root: NodeId) -> Result<(), IndexError> {
        let mut open: Vec<Open> = Vec::new();
        let (_, root) = self.inode(root)?;
        open.extend(root);
        while let Some(directory) = open.last_mut() {
            let id = directory.id;
            let Some((name, child)) = directory.rest.next() else {
                open.pop();
                continue;
            };
            if self.is_whiteout_device(child.node) {
                self.warnings.dropped_whiteout_devices += 1;
                continue;
            }
            let (child, opened) = self.inode(child.node)?;
            let parent = usize::try_from(id)
                .ok()
                .and_then(|id| self.inodes.get_mut(id));
            if let Some(Kind::Directory { children }) = parent.map(|parent| &mut parent.kind) {
                children.insert(name, child);
            }
            open.extend(opened);
        }
        Ok(())
    }

    fn is_whiteout_device(&self, node: NodeId) -> bool {
        let body = self
            .nodes
            .get(node)
            .and_then(Option::as_ref)
            .map(|node| &node.body);
        matches!(body, Some(Body::CharDevice(number)) if number.major == 0 && number.minor == 0)
    }

    /// The inode of a node: a new one, or the one that another name has already.
    fn inode(&mut self, node: NodeId) -> Result<(InodeId, Option<Open>), IndexError> {
        if let Some(id) = self.ids.get(node).copied().flatten() {
            return Ok((id, None));
        }
        let lost = || IndexError::Internal("a name without a node".to_owned());
        let taken = self
            .nodes
            .get_mut(node)
            .and_then(Option::take)
            .ok_or_else(lost)?;
        let id = InodeId::try_from(self.inodes.len())
            .map_err(|_| IndexError::limit("the number of inodes", u64::from(InodeId::MAX)))?;
        *self.ids.get_mut(node).ok_or_else(lost)? = Some(id);
        let mut opened = None;
        let kind = match taken.body {
            Body::Directory(children) => {
                opened = Some(Open {
                    id,
                    rest: children.into_iter(),
                });
                Kind::Directory {
                    children: BTreeMap::new(),
                }
            }
            Body::Regular { device, data } => Kind::Regular(self.file(device, data)?),
            Body::Symlink(target) => Kind::Symlink { target },
            Body::CharDevice(number) => Kind::CharDevice(number),
            Body::BlockDevice(number) => Kind::BlockDevice(number),
            Body::Fifo => Kind::Fifo,
        };
        let is_link = matches!(kind, Kind::Symlink { .. });
        let attributes = taken.attributes;
        self.inodes.push(Inode {
            permissions: if is_link {
                0o777
            } else {
                attributes.permissions
            },
            uid: attributes.uid,
            gid: attributes.gid,
            mtime: attributes.mtime,
            xattrs: attributes.xattrs,
            kind,
        });
        Ok((id, opened))
    }

    fn file(&mut self, device: u16, data: EntryData) -> Result<FileData, IndexError> {
        let extents = match &data.sparse {
            None => vec![Extent {
                file_offset: 0,
                device,
                device_offset: data.offset,
                length: data.size,
            }],
            Some(sparse) => match &sparse.relocated {
                Some(bytes) => {
                    self.extra
                        .add(self.extra_device, data.size, &sparse.stretches, bytes)?
                }
                None => {
                    let mut device_offset = data.offset;
                    let place = |stretch: &crate::entry::Stretch| {
                        let extent = Extent {
                            file_offset: stretch.offset,
                            device,
                            device_offset,
                            length: stretch.length,
                        };
                        device_offset += stretch.length;
                        extent
                    };
                    sparse.stretches.iter().map(place).collect()
                }
            },
        };
        Ok(FileData {
            size: data.size,
            extents,
            inline: data.inline,
        })
    }
}
