//! What a filesystem answers, free of the wire.

use std::fmt::Debug;

use rustix::io::Errno;

/// Number of an inode. It must be a pure function of the archive, so that another process can go on with the same mount.
pub type NodeId = u64;

/// Number of an open file: who asks. Unique for as long as the connection lives, whichever process serves it.
pub type Handle = u64;

/// The root's number (FUSE_ROOT_ID).
pub const ROOT: NodeId = 1;

/// Why a request cannot be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FsError {
    /// No such name or inode.
    #[error("no such entry")]
    NotFound,
    /// The data could not be had, or is not the data it should be.
    #[error("data is not to be had")]
    Io,
    /// The request makes no sense for this inode.
    #[error("not for this inode")]
    Invalid,
    /// The filesystem does not answer such requests; the kernel does not ask again.
    #[error("not supported")]
    Unsupported,
}

impl FsError {
    /// The one place where our reasons become the system's.
    #[must_use]
    pub fn errno(self) -> Errno {
        match self {
            Self::NotFound => Errno::NOENT,
            Self::Io => Errno::IO,
            Self::Invalid => Errno::INVAL,
            Self::Unsupported => Errno::NOSYS,
        }
    }
}

/// Type of an inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A directory.
    Directory,
    /// A regular file.
    Regular,
}

/// What stat shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    /// Its number.
    pub node: NodeId,
    /// Its type.
    pub kind: FileKind,
    /// Length in bytes.
    pub size: u64,
    /// Permission bits.
    pub permissions: u16,
    /// Link count.
    pub links: u32,
}

/// A name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name.
    pub name: Vec<u8>,
    /// What it names.
    pub node: NodeId,
    /// Its type.
    pub kind: FileKind,
}

/// What statfs shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Sum of the files' bytes.
    pub bytes: u64,
    /// Number of inodes.
    pub nodes: u64,
}

/// A read-only filesystem that never changes, so that the kernel may keep every answer for ever.
pub trait FileSystem: Debug + Send + Sync + 'static {
    /// Attributes of an inode.
    ///
    /// # Errors
    /// [`FsError::NotFound`].
    fn attributes(&self, node: NodeId) -> Result<Attributes, FsError>;

    /// The inode that a name stands for.
    ///
    /// # Errors
    /// [`FsError::NotFound`], [`FsError::Invalid`] when the parent is no directory.
    fn lookup(&self, parent: NodeId, name: &[u8]) -> Result<Attributes, FsError>;

    /// The entry at a position of a directory (0 is the first), `None` behind the last one.
    ///
    /// # Errors
    /// [`FsError::Invalid`] when the inode is no directory.
    fn entry(&self, directory: NodeId, position: u64) -> Result<Option<Entry>, FsError>;

    /// Opens a file. The kernel keeps its pages from one opening to the next.
    ///
    /// # Errors
    /// [`FsError::NotFound`], [`FsError::Invalid`] for a directory.
    fn open(&self, node: NodeId) -> Result<Handle, FsError>;

    /// The last user of an open file is gone. Comes again when this process dies before it returns.
    fn release(&self, handle: Handle);

    /// Whether a read will not wait. Called on the request loop: no network, no lock that is held while waiting.
    fn is_ready(&self, node: NodeId, offset: u64, length: usize) -> bool;

    /// Fills `buffer` with exactly the file's bytes from `offset`; the caller cut it at the end of the file.
    ///
    /// # Errors
    /// [`FsError::Io`] when any of the bytes cannot be had; `buffer` then holds nothing of use.
    fn read(
        &self,
        node: NodeId,
        handle: Handle,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<(), FsError>;

    /// Totals.
    fn usage(&self) -> Usage;
}
