//! The directory an image is mounted at, and the mount that is there.

use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::io::Errno;
use sys::mount::Unmount;
use sys::mountinfo::{MountIdentity, MountTable, mount_at, mount_of};

use super::fusermount::{self, UnmountError};
use crate::error::Error;

/// A user that is just ending (a child between fork and exec, a container being torn down) is waited for this long.
const BUSY_TRIES: u32 = 10;
const BUSY_PAUSE: Duration = Duration::from_millis(20);

/// A directory that is fit to be mounted on.
#[derive(Debug, Clone)]
pub(super) struct MountPoint {
    /// Absolute, without links.
    pub(super) path: PathBuf,
}

impl MountPoint {
    /// Checks the directory: it exists, is empty, and nothing is mounted there.
    pub(super) fn check(path: &Path) -> Result<Self, Error> {
        let invalid = |why: String| Error::MountPointInvalid {
            path: path.display().to_string(),
            why,
        };
        let in_use = |why| Error::MountPointInUse {
            path: path.display().to_string(),
            why,
        };
        let path = path
            .canonicalize()
            .map_err(|error| invalid(error.to_string()))?;
        if !path.is_dir() {
            return Err(invalid("not a folder".to_owned()));
        }
        let mut table =
            MountTable::open().map_err(|error| Error::io("read the mount table", error))?;
        if table
            .has_path(&path)
            .map_err(|error| Error::io("read the mount table", error))?
        {
            return Err(in_use("something is mounted there"));
        }
        let mut names = fs::read_dir(&path).map_err(|error| invalid(error.to_string()))?;
        if names.next().is_some() {
            return Err(in_use("the folder is not empty"));
        }
        Ok(Self { path })
    }

    /// What a mount will be once it is attached here.
    pub(super) fn identify(self, mount: impl AsFd) -> Result<AttachedMount, Error> {
        let identity =
            mount_of(&mount).map_err(|error| Error::io_at("mount at", &self.path, error))?;
        Ok(AttachedMount {
            path: self.path,
            identity,
            by_fusermount: false,
        })
    }

    /// Takes note of the mount that fusermount3 attached here; it must be served already.
    pub(super) fn attached_by_fusermount(self) -> Result<AttachedMount, Error> {
        let identity =
            mount_at(&self.path).map_err(|error| Error::io_at("find", &self.path, error))?;
        Ok(AttachedMount {
            path: self.path,
            identity,
            by_fusermount: true,
        })
    }
}

/// Our mount at its place.
#[derive(Debug, Clone)]
pub(super) struct AttachedMount {
    pub(super) path: PathBuf,
    pub(super) identity: MountIdentity,
    /// Only fusermount3 may take it away.
    pub(super) by_fusermount: bool,
}

impl AttachedMount {
    /// The mount that a daemon before this one attached.
    pub(super) fn known(path: PathBuf, identity: MountIdentity, by_fusermount: bool) -> Self {
        Self {
            path,
            identity,
            by_fusermount,
        }
    }

    /// Puts the mount at its place.
    pub(super) fn attach(&self, mount: impl AsFd) -> Result<(), Error> {
        sys::mount::attach(&mount, &self.path)
            .map_err(|error| Error::io_at("mount at", &self.path, error))
    }

    /// Takes the mount away; what is mounted on top of it is never touched.
    pub(super) fn unmount(&self, how: Unmount) -> Result<(), Error> {
        let busy = |why| Error::Busy {
            path: self.path.display().to_string(),
            why,
        };
        if mount_at(&self.path).is_ok_and(|top| top.id != self.identity.id) {
            return Err(busy("something else is mounted on top of it"));
        }
        let mut left = BUSY_TRIES;
        while self.try_unmount(how)? == Tried::Busy {
            left -= 1;
            if left == 0 {
                return Err(busy("a process still uses it"));
            }
            thread::sleep(BUSY_PAUSE);
        }
        Ok(())
    }

    /// Whether the mount table still has it.
    pub(super) fn is_attached(&self) -> bool {
        MountTable::open()
            .and_then(|mut table| Ok(table.all()?.contains(&self.identity)))
            .unwrap_or(true)
    }

    fn try_unmount(&self, how: Unmount) -> Result<Tried, Error> {
        if self.by_fusermount {
            return match fusermount::unmount(&self.path, how) {
                Ok(()) => Ok(Tried::Done),
                Err(UnmountError::Busy) => Ok(Tried::Busy),
                Err(UnmountError::Refused(_)) if !self.is_attached() => Ok(Tried::Done),
                Err(UnmountError::Refused(error)) => Err(error),
            };
        }
        match sys::mount::unmount(&self.path, how) {
            // EINVAL: it is no mount any more; somebody was faster.
            Ok(()) | Err(Errno::INVAL) => Ok(Tried::Done),
            Err(Errno::BUSY) => Ok(Tried::Busy),
            Err(errno) => Err(Error::io_at("unmount", &self.path, errno)),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tried {
    Done,
    Busy,
}
