//! The tree of an image, answered from the metadata image in memory: what engine fuse mounts.
//!
//! An inode's number for the kernel is its EROFS address (nid), so it is a pure function of the archive; only the root is
//! 1, as FUSE wants it. Nothing of the metadata is trusted: what is damaged is EIO, for that inode alone.

mod data;
mod stream;
#[cfg(test)]
mod tests;
mod xattrs;

pub use stream::{DeviceStream, LocalStream};

use archive_format::FormatError;
use archive_format::erofs::{ErofsReader, InodeInfo};

use crate::fuse::{
    Attributes, Entry, FileKind, FileSystem, FsError, Handle, NodeId, ROOT, Seek, Usage,
};
use xattrs::Xattrs;

/// The longest name (EROFS_NAME_LEN): a FUSE filesystem has to refuse longer ones itself.
const NAME_BYTES: usize = 255;

/// A mounted image's names, attributes and data.
#[derive(Debug)]
pub struct TreeFiles {
    metadata: ErofsReader<Vec<u8>>,
    /// Plain streams by device.
    devices: Vec<Box<dyn DeviceStream>>,
    xattrs: Xattrs,
}

impl TreeFiles {
    /// Takes the plain bytes of section `erofs` and the streams of its devices, in order.
    ///
    /// # Errors
    /// ARCHIVE_CORRUPT or FORMAT_TOO_NEW, when superblock or root are not what they should be.
    pub fn new(
        metadata: Vec<u8>,
        devices: Vec<Box<dyn DeviceStream>>,
    ) -> Result<Self, FormatError> {
        let metadata = ErofsReader::new(metadata)?;
        if metadata.devices().len() != devices.len() {
            return Err(FormatError::Mismatch(format!(
                "{} devices for a metadata image of {}",
                devices.len(),
                metadata.devices().len()
            )));
        }
        Ok(Self {
            metadata,
            devices,
            xattrs: Xattrs::default(),
        })
    }

    fn inode(&self, node: NodeId) -> Result<InodeInfo, FsError> {
        let nid = match node {
            ROOT => self.metadata.root_nid(),
            other => other,
        };
        self.metadata.inode(nid).map_err(damaged)
    }

    /// What the kernel calls an inode. The addresses 0 and 1 lie before the superblock, where no inode can be.
    fn node_of(&self, nid: u64) -> Result<NodeId, FsError> {
        match nid {
            nid if nid == self.metadata.root_nid() => Ok(ROOT),
            0 | ROOT => Err(FsError::Io),
            other => Ok(other),
        }
    }

    fn directory(&self, node: NodeId) -> Result<InodeInfo, FsError> {
        let inode = self.inode(node)?;
        if inode.is_directory() {
            return Ok(inode);
        }
        Err(FsError::NotDirectory)
    }

    fn attributes_of(&self, inode: &InodeInfo) -> Result<Attributes, FsError> {
        Ok(Attributes {
            node: self.node_of(inode.nid)?,
            number: inode.nid,
            kind: kind_of(inode.file_type())?,
            size: inode.size,
            permissions: inode.mode & 0o7777,
            links: inode.links,
            uid: inode.uid,
            gid: inode.gid,
            seconds: inode.mtime.seconds,
            nanos: inode.mtime.nanos,
            device: inode.encoded_device(),
        })
    }
}

impl FileSystem for TreeFiles {
    fn attributes(&self, node: NodeId) -> Result<Attributes, FsError> {
        self.attributes_of(&self.inode(node)?)
    }

    fn lookup(&self, parent: NodeId, name: &[u8]) -> Result<Attributes, FsError> {
        let directory = self.directory(parent)?;
        if name.len() > NAME_BYTES {
            return Err(FsError::NameTooLong);
        }
        let found = self.metadata.find(&directory, name).map_err(damaged)?;
        self.attributes_of(&found.ok_or(FsError::NotFound)?)
    }

    fn entry(&self, directory: NodeId, position: u64) -> Result<Option<Entry>, FsError> {
        let directory = self.directory(directory)?;
        let Some((entry, next)) = self
            .metadata
            .entry_at(&directory, position)
            .map_err(damaged)?
        else {
            return Ok(None);
        };
        Ok(Some(Entry {
            name: entry.name.to_vec(),
            node: self.node_of(entry.nid).unwrap_or(0),
            number: entry.nid,
            kind: kind_of(entry.file_type)?,
            next,
        }))
    }

    fn is_ready(&self, node: NodeId, offset: u64, length: usize) -> bool {
        // An error is an answer that needs no waiting either.
        self.inode(node)
            .and_then(|inode| self.is_at_hand(&inode, offset, length))
            .unwrap_or(true)
    }

    fn read(
        &self,
        node: NodeId,
        _handle: Handle,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<(), FsError> {
        self.read_data(&self.inode(node)?, offset, buffer)
    }

    fn usage(&self) -> Usage {
        let blocks: u64 = self
            .metadata
            .devices()
            .iter()
            .map(|device| u64::from(device.blocks))
            .sum();
        Usage {
            bytes: blocks * 512 + self.metadata.image_bytes() as u64,
            nodes: self.metadata.inode_count(),
        }
    }

    fn target(&self, node: NodeId) -> Result<Vec<u8>, FsError> {
        let inode = self.inode(node)?;
        if !inode.is_symlink() {
            return Err(FsError::Invalid);
        }
        let target = self.metadata.symlink_target(&inode).map_err(damaged)?;
        Ok(target.into_owned())
    }

    fn attribute(&self, node: NodeId, name: &[u8]) -> Result<Vec<u8>, FsError> {
        if !self.xattrs.are_anywhere(&self.metadata) {
            return Err(FsError::Unsupported);
        }
        let mut all = self.xattrs_of(node)?;
        all.remove(name).ok_or(FsError::NoAttribute)
    }

    fn attribute_names(&self, node: NodeId) -> Result<Vec<Vec<u8>>, FsError> {
        if !self.xattrs.are_anywhere(&self.metadata) {
            return Err(FsError::Unsupported);
        }
        Ok(self.xattrs_of(node)?.into_keys().collect())
    }

    fn seek(&self, node: NodeId, offset: u64, what: Seek) -> Result<u64, FsError> {
        self.seek_data(&self.inode(node)?, offset, what)
    }
}

/// The type byte of a directory entry.
fn kind_of(file_type: u8) -> Result<FileKind, FsError> {
    Ok(match file_type {
        1 => FileKind::Regular,
        2 => FileKind::Directory,
        3 => FileKind::CharDevice,
        4 => FileKind::BlockDevice,
        5 => FileKind::Fifo,
        6 => FileKind::Socket,
        7 => FileKind::Symlink,
        _ => return Err(FsError::Io),
    })
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn damaged(error: FormatError) -> FsError {
    tracing::error!(code = "ARCHIVE_CORRUPT", %error, "the metadata image is damaged");
    FsError::Io
}
