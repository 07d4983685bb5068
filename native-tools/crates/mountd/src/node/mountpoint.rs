//! The directory an image is mounted at, and the mount that is there.

use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::io::Errno;
use sys::mount::Unmount;
use sys::mountinfo::{MountIdentity, MountTable, mount_at, mount_of};

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

    /// A directory that is not looked at.
    pub(super) fn unchecked(path: &Path) -> Result<Self, Error> {
        Ok(Self {
            path: path.to_owned(),
        })
    }

    /// What a mount will be once it is attached here.
    pub(super) fn identify(self, mount: impl AsFd) -> Result<AttachedMount, Error> {
        let identity =
            mount_of(&mount).map_err(|error| Error::io_at("mount at", &self.path, error))?;
        Ok(AttachedMount {
            path: self.path,
            identity,
        })
    }
}

/// Our mount at its place.
#[derive(Debug, Clone)]
pub(super) struct AttachedMount {
    pub(super) path: PathBuf,
    pub(super) identity: MountIdentity,
}

impl AttachedMount {
    /// The mount that a daemon before this one attached.
    pub(super) fn known(path: PathBuf, identity: MountIdentity) -> Self {
        Self { path, identity }
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
        loop {
            left -= 1;
            match sys::mount::unmount(&self.path, how) {
                // EINVAL: it is no mount any more; somebody was faster.
                Ok(()) | Err(Errno::INVAL) => return Ok(()),
                Err(Errno::BUSY) if left > 0 => thread::sleep(BUSY_PAUSE),
                Err(Errno::BUSY) => return Err(busy("a process still uses it")),
                Err(errno) => return Err(Error::io_at("unmount", &self.path, errno)),
            }
        }
    }
}
