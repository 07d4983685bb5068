//! The FUSE device: opening, mounting, cloning, moving messages. What the messages say is the server's business.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::ioctl::{Setter, ioctl};

use crate::mount::{FsContext, MountError};

/// `FUSE_DEV_IOC_CLONE` = `_IOR(229, 0, u32)`, linux/fuse.h.
const CLONE: rustix::ioctl::Opcode = 0x8004_e500;
const DEVICE: &str = "/dev/fuse";

/// An open FUSE device: one connection to the kernel, or another queue onto one.
#[derive(Debug)]
pub struct FuseDevice {
    file: File,
}

impl FuseDevice {
    /// Opens a fresh device that no mount uses yet.
    ///
    /// # Errors
    /// The system's: the node is missing, the module is not there, or opening is not allowed.
    pub fn open() -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(DEVICE)?;
        Ok(Self { file })
    }

    /// Takes over a device that another process opened and mounted.
    #[must_use]
    pub fn from_fd(fd: OwnedFd) -> Self {
        Self { file: fd.into() }
    }

    /// Opens another queue onto the same connection, so that a thread has its own.
    ///
    /// # Errors
    /// The system's; the connection must be mounted.
    #[expect(
        unsafe_code,
        reason = "the clone request is an ioctl that rustix does not wrap"
    )]
    pub fn another_queue(&self) -> io::Result<Self> {
        let queue = Self::open()?;
        let source = u32::try_from(self.file.as_raw_fd()).map_err(io::Error::other)?;
        // SAFETY: CLONE is the kernel's opcode for FUSE_DEV_IOC_CLONE and takes a pointer to a u32 that holds a descriptor.
        let request = unsafe { Setter::<CLONE, u32>::new(source) };
        // SAFETY: the descriptor is an open FUSE device and the request matches its opcode; the kernel only reads the u32.
        unsafe { ioctl(&queue.file, request) }?;
        Ok(queue)
    }

    /// Waits for the next request and reads it whole into `buffer`.
    ///
    /// # Errors
    /// `ENODEV` when the connection ended; EINTR, EAGAIN and ENOENT mean "try again".
    pub fn receive(&self, buffer: &mut [u8]) -> rustix::io::Result<usize> {
        rustix::io::read(&self.file, buffer)
    }

    /// Writes one whole reply or notification.
    ///
    /// # Errors
    /// `ENOENT` when the request was interrupted and is gone; `ENODEV` when the connection ended.
    pub fn send(&self, message: &[u8]) -> rustix::io::Result<()> {
        rustix::io::write(&self.file, message).map(|_| ())
    }

    /// Mounts the connection on no path: the filesystem is reachable through the descriptor alone and goes when the last
    /// user of it goes, so that a killed server leaves no dead mount behind.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn mount_detached(&self, name: &str) -> Result<OwnedFd, MountError> {
        let context = FsContext::open("fuse")?;
        context.set("source", name)?;
        context.set("subtype", "clipyard")?;
        context.set("fd", &self.file.as_fd().as_raw_fd().to_string())?;
        context.set("rootmode", "40000")?;
        context.set("user_id", &rustix::process::getuid().as_raw().to_string())?;
        context.set("group_id", &rustix::process::getgid().as_raw().to_string())?;
        context.set_flag("default_permissions")?;
        context.set_flag("allow_other")?;
        context.set_flag("ro")?;
        context.mount(rustix::mount::MountAttrFlags::MOUNT_ATTR_RDONLY)
    }
}
