//! What a filesystem answers, free of the wire.

use std::fmt::Debug;

use rustix::io::Errno;

/// Number by which the kernel names an inode. It must be a pure function of the archive, so that another process can go on
/// with the same mount.
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
    /// No filesystem of ours holds a name of this length.
    #[error("the name is too long")]
    NameTooLong,
    /// The data could not be had, or is not the data it should be.
    #[error("data is not to be had")]
    Io,
    /// The request makes no sense for this inode.
    #[error("not for this inode")]
    Invalid,
    /// A name was looked up in something that is no directory.
    #[error("not a directory")]
    NotDirectory,
    /// The inode has no such extended attribute.
    #[error("no such attribute")]
    NoAttribute,
    /// The caller's buffer is too small for the answer.
    #[error("the answer does not fit")]
    Range,
    /// No data behind this offset.
    #[error("behind the end")]
    BehindEnd,
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
            Self::NameTooLong => Errno::NAMETOOLONG,
            Self::Io => Errno::IO,
            Self::Invalid => Errno::INVAL,
            Self::NotDirectory => Errno::NOTDIR,
            Self::NoAttribute => Errno::NODATA,
            Self::Range => Errno::RANGE,
            Self::BehindEnd => Errno::NXIO,
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
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

impl FileKind {
    /// Type bits of a mode.
    #[must_use]
    pub fn mode_bits(self) -> u32 {
        match self {
            Self::Fifo => 0o010_000,
            Self::CharDevice => 0o020_000,
            Self::Directory => 0o040_000,
            Self::BlockDevice => 0o060_000,
            Self::Regular => 0o100_000,
            Self::Symlink => 0o120_000,
            Self::Socket => 0o140_000,
        }
    }
}

/// What stat shows. All three times are the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    /// The kernel's number for it.
    pub node: NodeId,
    /// The number that programs see (`st_ino`).
    pub number: u64,
    /// Its type.
    pub kind: FileKind,
    /// Length in bytes.
    pub size: u64,
    /// Permission bits with setuid, setgid and sticky.
    pub permissions: u16,
    /// Link count.
    pub links: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Seconds since 1970.
    pub seconds: i64,
    /// Nanoseconds of the second.
    pub nanos: u32,
    /// Device number in the kernel's 32-bit encoding (`new_encode_dev`).
    pub device: u32,
}

impl Attributes {
    /// Root's, of the beginning of time.
    #[must_use]
    pub fn plain(node: NodeId, kind: FileKind, permissions: u16, size: u64) -> Self {
        Self {
            node,
            number: node,
            kind,
            size,
            permissions,
            links: if kind == FileKind::Directory { 2 } else { 1 },
            uid: 0,
            gid: 0,
            seconds: 0,
            nanos: 0,
            device: 0,
        }
    }
}

/// A name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name.
    pub name: Vec<u8>,
    /// What it names; 0 for something that cannot be looked at: it is listed, looking it up is an error.
    pub node: NodeId,
    /// Number that programs see.
    pub number: u64,
    /// Its type.
    pub kind: FileKind,
    /// Position of the entry behind it.
    pub next: u64,
}

/// What statfs shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Sum of the files' bytes.
    pub bytes: u64,
    /// Number of inodes.
    pub nodes: u64,
}

/// Whether to look for data or for a hole, as lseek(2) does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seek {
    /// SEEK_DATA
    Data,
    /// SEEK_HOLE
    Hole,
}

/// A read-only filesystem that never changes, so that the kernel may keep every answer for ever.
pub trait FileSystem: Debug + Send + Sync + 'static {
    /// Attributes of an inode.
    ///
    /// # Errors
    /// [`FsError::NotFound`], [`FsError::Io`].
    fn attributes(&self, node: NodeId) -> Result<Attributes, FsError>;

    /// The inode that a name stands for.
    ///
    /// # Errors
    /// [`FsError::NotFound`], which the kernel remembers of a whole tree; [`FsError::NotDirectory`], [`FsError::Io`].
    fn lookup(&self, parent: NodeId, name: &[u8]) -> Result<Attributes, FsError>;

    /// The entry at a position of a directory (0 is the first, each names the next), `None` behind the last one.
    ///
    /// # Errors
    /// [`FsError::NotDirectory`], [`FsError::Io`].
    fn entry(&self, directory: NodeId, position: u64) -> Result<Option<Entry>, FsError>;

    /// Opens a file. The kernel keeps its pages from one opening to the next.
    ///
    /// # Errors
    /// [`FsError::NotFound`], [`FsError::Invalid`] for a directory; [`FsError::Unsupported`] when files need no opening.
    fn open(&self, _node: NodeId) -> Result<Handle, FsError> {
        Err(FsError::Unsupported)
    }

    /// The last user of an open file is gone. Comes again when this process dies before it returns.
    fn release(&self, _handle: Handle) {}

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

    /// Where a symbolic link leads.
    ///
    /// # Errors
    /// [`FsError::Invalid`] when it is none, [`FsError::Io`].
    fn target(&self, _node: NodeId) -> Result<Vec<u8>, FsError> {
        Err(FsError::Invalid)
    }

    /// The value of an extended attribute.
    ///
    /// # Errors
    /// [`FsError::NoAttribute`]; [`FsError::Unsupported`] when no inode has any; [`FsError::Io`].
    fn attribute(&self, _node: NodeId, _name: &[u8]) -> Result<Vec<u8>, FsError> {
        Err(FsError::Unsupported)
    }

    /// Names of the extended attributes of an inode.
    ///
    /// # Errors
    /// [`FsError::Unsupported`] when no inode has any; [`FsError::Io`].
    fn attribute_names(&self, _node: NodeId) -> Result<Vec<Vec<u8>>, FsError> {
        Err(FsError::Unsupported)
    }

    /// The next data or hole at or behind an offset; the end of a file is a hole.
    ///
    /// # Errors
    /// [`FsError::BehindEnd`], [`FsError::Io`].
    fn seek(&self, _node: NodeId, _offset: u64, _what: Seek) -> Result<u64, FsError> {
        Err(FsError::Unsupported)
    }
}
