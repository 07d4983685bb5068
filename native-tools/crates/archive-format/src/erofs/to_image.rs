//! Reads a whole metadata image back into the tree it was made of, and proves on the way that it is a tree.

use std::collections::{BTreeMap, HashMap};

use super::directory::DirEntry;
use super::inode::InodeInfo;
use super::read::ErofsReader;
use crate::FormatError;
use crate::model::{Image, Inode, InodeId, Kind};
use crate::tree::TreeFacts;

/// A whole image with what the inodes say about themselves.
#[derive(Debug)]
pub struct Walked {
    /// The tree. A file whose bytes are in the metadata image has no extents.
    pub image: Image,
    /// Facts derived from the tree, equal to what the inodes say.
    pub(crate) facts: TreeFacts,
}

impl<B: AsRef<[u8]>> ErofsReader<B> {
    /// Reads everything: every directory, inode, xattr, target and chunk index.
    ///
    /// # Errors
    /// ARCHIVE_CORRUPT when anything is out of bounds, out of order, reached twice where it must not be, or contradicts
    /// what is derived from the tree (numbers, link counts, `.` and `..`, counts).
    pub fn walk(&self) -> Result<Walked, FormatError> {
        if !self.has_own_uuid() {
            return Err(corrupt("the UUID is another image's"));
        }
        let mut walk = Walk {
            reader: self,
            image: Image::default(),
            infos: Vec::new(),
            ids: HashMap::new(),
            ahead: Vec::new(),
            budget: self.image_bytes() as u64,
        };
        let root = self.root()?;
        walk.take(root, root.nid)?;
        while let Some((id, parent_nid)) = walk.ahead.pop() {
            walk.read_directory(id, parent_nid)?;
        }
        walk.finish()
    }
}

struct Walk<'a, B> {
    reader: &'a ErofsReader<B>,
    image: Image,
    infos: Vec<InodeInfo>,
    ids: HashMap<u64, InodeId>,
    /// Directories to be read, with the nid their `..` must name.
    ahead: Vec<(InodeId, u64)>,
    /// Bytes that inodes may still claim. Honest ones do not overlap, so all of them fit into the image; a trap does not.
    budget: u64,
}

impl<B: AsRef<[u8]>> Walk<'_, B> {
    /// Takes an inode that is met for the first time.
    fn take(&mut self, info: InodeInfo, parent_nid: u64) -> Result<InodeId, FormatError> {
        let id = u32::try_from(self.infos.len()).map_err(|_| corrupt("inodes without end"))?;
        self.budget = self
            .budget
            .checked_sub(self.reader.footprint(&info))
            .ok_or_else(|| corrupt("inodes take more bytes than the image has"))?;
        if info.is_directory() {
            self.ahead.push((id, parent_nid));
        }
        self.image.inodes.push(Inode {
            permissions: info.mode & 0o7777,
            uid: info.uid,
            gid: info.gid,
            mtime: info.mtime,
            xattrs: self.reader.xattrs(&info)?,
            kind: self.kind(&info)?,
        });
        self.infos.push(info);
        self.ids.insert(info.nid, id);
        Ok(id)
    }

    /// What an inode is; a directory's names come later.
    fn kind(&self, info: &InodeInfo) -> Result<Kind, FormatError> {
        Ok(match (info.file_type(), info.device()) {
            (1, _) => Kind::Regular(self.reader.file(info)?),
            (2, _) => Kind::Directory {
                children: BTreeMap::new(),
            },
            (3, Some(device)) => Kind::CharDevice(device),
            (4, Some(device)) => Kind::BlockDevice(device),
            (5, _) => Kind::Fifo,
            (6, _) => Kind::Socket,
            _ => Kind::Symlink {
                target: self.reader.symlink_target(info)?.into_owned(),
            },
        })
    }

    fn read_directory(&mut self, id: InodeId, parent_nid: u64) -> Result<(), FormatError> {
        let broken = || corrupt(format!("directory {id} is not there"));
        let info = *self.infos.get(id as usize).ok_or_else(broken)?;
        let mut names = BTreeMap::new();
        let mut last: Option<&[u8]> = None;
        let mut dots = 0;
        for entry in self.reader.entries(&info)? {
            let entry = entry?;
            if last.is_some_and(|last| last >= entry.name) {
                return Err(corrupt(format!(
                    "directory {}: names out of order",
                    info.nid
                )));
            }
            last = Some(entry.name);
            if let Some(wanted) = match entry.name {
                b"." => Some(info.nid),
                b".." => Some(parent_nid),
                _ => None,
            } {
                if entry.nid != wanted || entry.file_type != info.file_type() {
                    return Err(corrupt(format!(
                        "directory {}: dots lead elsewhere",
                        info.nid
                    )));
                }
                dots += 1;
                continue;
            }
            names.insert(entry.name.to_vec(), self.child(&entry, info.nid)?);
        }
        if dots != 2 {
            return Err(corrupt(format!("directory {}: {dots} dots", info.nid)));
        }
        match self.image.inodes.get_mut(id as usize) {
            Some(Inode {
                kind: Kind::Directory { children },
                ..
            }) => *children = names,
            _ => return Err(broken()),
        }
        Ok(())
    }

    fn child(&mut self, entry: &DirEntry<'_>, parent_nid: u64) -> Result<InodeId, FormatError> {
        let (id, info) = match self.ids.get(&entry.nid) {
            Some(id) => {
                let known = self.infos.get(*id as usize).copied();
                (*id, known.ok_or_else(|| corrupt("an inode got lost"))?)
            }
            None => {
                let info = self.reader.inode(entry.nid)?;
                (self.take(info, parent_nid)?, info)
            }
        };
        if entry.file_type != info.file_type() {
            return Err(corrupt(format!(
                "\"{}\" is of type {}, its inode of type {}",
                entry.name.escape_ascii(),
                entry.file_type,
                info.file_type()
            )));
        }
        Ok(id)
    }

    fn finish(self) -> Result<Walked, FormatError> {
        // A directory with two names, or below itself, is refused here; the writer's complaint is the reader's finding.
        let facts = TreeFacts::of(&self.image).map_err(|error| corrupt(error.to_string()))?;
        let derived = facts.numbers.iter().zip(&facts.links);
        for (info, (number, links)) in self.infos.iter().zip(derived) {
            if info.number != *number || info.links != *links {
                return Err(corrupt(format!(
                    "inode {} is number {} with {} links, the tree says {number} with {links}",
                    info.nid, info.number, info.links
                )));
            }
        }
        if self.reader.inode_count() != facts.order.len() as u64 {
            return Err(corrupt(format!(
                "{} inodes, the superblock says {}",
                facts.order.len(),
                self.reader.inode_count()
            )));
        }
        Ok(Walked {
            image: self.image,
            facts,
        })
    }
}

fn corrupt(what: impl std::fmt::Display) -> FormatError {
    FormatError::corrupt(format!("erofs: {what}"))
}
