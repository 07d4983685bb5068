//! The FUSE device: opening, mounting, moving messages. What the messages say is the server's business.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use crate::mount::{FsContext, MountError};

/// `FUSE_NOTIFY_RESEND`, linux/fuse.h.
const NOTIFY_RESEND: i32 = 7;
const DEVICE: &str = "/dev/fuse";

/// An open FUSE device: one connection to the kernel.
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

    /// Another handle on the same queue. A clone of the device (FUSE_DEV_IOC_CLONE) would be a queue of its own, and the
    /// kernel fails what lies in a queue when the process that had it dies.
    ///
    /// # Errors
    /// The system's.
    pub fn to_owned_fd(&self) -> io::Result<OwnedFd> {
        Ok(self.file.try_clone()?.into())
    }

    /// Asks the kernel to send again what a process that is gone has read and not answered.
    ///
    /// # Errors
    /// The system's; kernels before 6.9 do not know the notification.
    pub fn resend(&self) -> io::Result<()> {
        // fuse_out_header: length, code where errors stand, no request.
        let mut message = [0; 16];
        let (length, code) = message.split_at_mut(4);
        length.copy_from_slice(&16u32.to_ne_bytes());
        if let Some(code) = code.first_chunk_mut() {
            *code = NOTIFY_RESEND.to_ne_bytes();
        }
        Ok(self.send(&message)?)
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
