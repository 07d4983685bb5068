//! Mounting through the file-descriptor calls (fsopen, fsconfig, fsmount, move_mount), which take any number of devices
//! and tell why the kernel refused.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, UnmountFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, unmount as unmount_call,
};

/// The kernel copies at most this many bytes of a parameter's value, the final NUL included (fs/fsopen.c).
const VALUE_BYTES: usize = 256;

/// What the kernel refused, and why.
#[derive(Debug, thiserror::Error)]
#[error("{filesystem}: {step}: {errno}{}{log}", if .log.is_empty() { "" } else { ": " })]
pub struct MountError {
    /// The filesystem type.
    pub filesystem: &'static str,
    /// The call or parameter that failed.
    pub step: String,
    /// The system's reason.
    pub errno: Errno,
    /// What the kernel wrote into the context's log.
    pub log: String,
}

/// A filesystem that is being configured.
#[derive(Debug)]
pub struct FsContext {
    filesystem: &'static str,
    fd: OwnedFd,
}

impl FsContext {
    /// Starts a context.
    ///
    /// # Errors
    /// `ENODEV` when the kernel does not know the filesystem, `EPERM` without CAP_SYS_ADMIN.
    pub fn open(filesystem: &'static str) -> Result<Self, MountError> {
        let fd = fsopen(filesystem, FsOpenFlags::FSOPEN_CLOEXEC).map_err(|errno| MountError {
            filesystem,
            step: "fsopen".to_owned(),
            errno,
            log: String::new(),
        })?;
        Ok(Self { filesystem, fd })
    }

    /// Sets a parameter that has a value.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn set(&self, key: &str, value: &str) -> Result<(), MountError> {
        if value.len() >= VALUE_BYTES {
            return Err(self.failed(key, Errno::NAMETOOLONG));
        }
        fsconfig_set_string(&self.fd, key, value).map_err(|errno| self.failed(key, errno))
    }

    /// Sets a parameter without a value.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn set_flag(&self, key: &str) -> Result<(), MountError> {
        fsconfig_set_flag(&self.fd, key).map_err(|errno| self.failed(key, errno))
    }

    /// Makes the filesystem and a mount of it that is attached nowhere.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn mount(self, attributes: MountAttrFlags) -> Result<OwnedFd, MountError> {
        fsconfig_create(&self.fd).map_err(|errno| self.failed("create", errno))?;
        fsmount(&self.fd, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
            .map_err(|errno| self.failed("fsmount", errno))
    }

    fn failed(&self, step: &str, errno: Errno) -> MountError {
        MountError {
            filesystem: self.filesystem,
            step: step.to_owned(),
            errno,
            log: self.log(),
        }
    }

    /// The lines the kernel queued for this context, one a read.
    fn log(&self) -> String {
        let mut lines = Vec::new();
        let mut buffer = [0; 1024];
        while let Ok(length) = rustix::io::read(&self.fd, &mut buffer) {
            let line = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default());
            lines.push(line.trim().to_owned());
        }
        lines.join("; ")
    }
}

/// Mounts an EROFS image read-only, attached nowhere yet. Device i of the image is `devices[i - 1]`; image and devices are
/// regular files, on whatever filesystem the kernel allows. `direct`: they are read past the kernel's pages of them, so that
/// it keeps those of the mounted files alone.
///
/// # Errors
/// `ENOTBLK` when the filesystem below the image cannot back a mount; what else the kernel refused.
pub fn erofs(image: &str, devices: &[String], direct: bool) -> Result<OwnedFd, MountError> {
    let context = FsContext::open("erofs")?;
    context.set("source", image)?;
    for device in devices {
        context.set("device", device)?;
    }
    if direct {
        context.set_flag("directio")?;
    }
    context.set_flag("ro")?;
    context.mount(MountAttrFlags::MOUNT_ATTR_RDONLY)
}

/// Whether the kernel lets this process set up an EROFS mount.
///
/// # Errors
/// `ENODEV` when the kernel has no EROFS, `EPERM` without CAP_SYS_ADMIN, `ENOSYS` without these calls.
pub fn offers_erofs() -> Result<(), MountError> {
    FsContext::open("erofs").map(drop)
}

/// Attaches a mount at a directory.
///
/// # Errors
/// The system's.
pub fn attach(mount: impl AsFd, directory: &Path) -> rustix::io::Result<()> {
    move_mount(
        mount,
        "",
        rustix::fs::CWD,
        directory,
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )
}

/// How to unmount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmount {
    /// Fails with `EBUSY` while a process uses the mount.
    WhenUnused,
    /// Takes it out of the tree at once; it ends with its last user.
    Lazily,
}

/// Unmounts what is mounted at a directory; never follows a symbolic link there.
///
/// # Errors
/// The system's.
pub fn unmount(directory: &Path, how: Unmount) -> rustix::io::Result<()> {
    let flags = match how {
        Unmount::WhenUnused => UnmountFlags::NOFOLLOW,
        Unmount::Lazily => UnmountFlags::NOFOLLOW | UnmountFlags::DETACH,
    };
    unmount_call(directory, flags)
}
