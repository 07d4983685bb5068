//! Why a command failed, each with its code.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use archive_format::FormatError;
use rustix::io::Errno;
use sys::mount::MountError;
use tool_protocol::Coded;

use crate::source::FetchError;

/// A failure of a command.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The archive is not what it should be.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// Layer data cannot be had.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The mount point is no directory.
    #[error("{path}: {why}")]
    MountPointInvalid {
        /// The mount point.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// Something is mounted at the mount point, or it holds files.
    #[error("{path}: {why}")]
    MountPointInUse {
        /// The mount point.
        path: String,
        /// What is there.
        why: &'static str,
    },
    /// Processes use the mount, or something is mounted on top.
    #[error("{path}: {why}")]
    Busy {
        /// The mount point.
        path: String,
        /// Who uses it.
        why: &'static str,
    },
    /// Nothing of ours is mounted there.
    #[error("nothing of ours is mounted at {0}")]
    NotMounted(String),
    /// The daemon takes no more mounts.
    #[error("the mount daemon is draining: it takes no new mounts")]
    Draining,
    /// Nobody waits for the mount any more.
    #[error("the caller went away before the image was mounted")]
    CallerLeft,
    /// The kernel refused a mount.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// The kernel does not mount an image that lies on this filesystem.
    #[error(
        "the cache {path} lies on {filesystem}, from which the kernel does not mount images: use a directory on ext4, xfs or btrfs"
    )]
    CacheFilesystem {
        /// The cache directory.
        path: String,
        /// The filesystem's name.
        filesystem: String,
    },
    /// No usable FUSE device.
    #[error("/dev/fuse: {0}")]
    Fuse(io::Error),
    /// fusermount3 refused, or is not there.
    #[error("fusermount3: {0}")]
    Fusermount(String),
    /// Not allowed to mount.
    #[error("engine erofs needs CAP_SYS_ADMIN (run as root, or use engine fuse)")]
    Privilege,
    /// The path is not in the image.
    #[error("{0}: not in the image")]
    PathNotFound(String),
    /// No layer of the cache has such a diffID.
    #[error("layer {0}: not in the cache")]
    LayerNotCached(String),
    /// The path is something else than a file.
    #[error("{0}: not a regular file")]
    NotAFile(String),
    /// A local layer file is not the layer.
    #[error("{path}: {why}")]
    LocalLayer {
        /// The file.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// The request makes no sense.
    #[error("request: {0}")]
    Request(String),
    /// A file or system call failed.
    #[error("{what}: {source}")]
    Io {
        /// What was being done to what.
        what: String,
        /// The system's reason.
        source: io::Error,
    },
}

impl Error {
    /// Wraps an I/O failure with what was being done.
    pub fn io(what: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::Io {
            what: what.into(),
            source: source.into(),
        }
    }

    /// Wraps an I/O failure with what was being done to a path.
    pub fn io_at(what: &str, path: &Path, source: impl Into<io::Error>) -> Self {
        Self::io(format!("{what} {}", path.display()), source)
    }
}

impl Coded for Error {
    fn code(&self) -> &'static str {
        match self {
            Self::Format(error) => error.code(),
            Self::Fetch(error) => error.code(),
            Self::MountPointInvalid { .. } => "MOUNT_POINT_INVALID",
            Self::MountPointInUse { .. } => "MOUNT_POINT_IN_USE",
            Self::Busy { .. } => "MOUNT_BUSY",
            Self::NotMounted(_) => "MOUNT_NOT_FOUND",
            Self::CallerLeft => "CANCELED",
            Self::Draining => "MOUNT_DRAINING",
            Self::Mount(error) if error.errno == Errno::PERM => "PRIVILEGE_REQUIRED",
            Self::Mount(_) => "MOUNT_FAILED",
            Self::CacheFilesystem { .. } => "CACHE_FILESYSTEM_UNSUPPORTED",
            Self::Fuse(_) => "FUSE_UNAVAILABLE",
            Self::Fusermount(_) => "MOUNT_FAILED",
            Self::Privilege => "PRIVILEGE_REQUIRED",
            Self::PathNotFound(_) | Self::LayerNotCached(_) => "PATH_NOT_FOUND",
            Self::NotAFile(_) => "NOT_A_REGULAR_FILE",
            Self::LocalLayer { .. } => "BLOB_MISMATCH",
            Self::Request(_) => "INTERNAL",
            Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => "DISK_FULL",
            Self::Io { source, .. } if source.kind() == io::ErrorKind::ReadOnlyFilesystem => {
                "FILESYSTEM_READ_ONLY"
            }
            Self::Io { .. } => "IO_FAILED",
        }
    }

    fn details(&self) -> BTreeMap<String, String> {
        match self {
            Self::MountPointInvalid { path, .. }
            | Self::MountPointInUse { path, .. }
            | Self::Busy { path, .. } => BTreeMap::from([("mountpoint".to_owned(), path.clone())]),
            Self::NotMounted(path) => BTreeMap::from([("mountpoint".to_owned(), path.clone())]),
            Self::CacheFilesystem { path, filesystem } => BTreeMap::from([
                ("path".to_owned(), path.clone()),
                ("filesystem".to_owned(), filesystem.clone()),
            ]),
            _ => BTreeMap::new(),
        }
    }
}
