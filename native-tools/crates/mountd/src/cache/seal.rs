//! Cache files that the kernel reads by itself.

use std::fs::{File, Metadata, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;

/// Nobody may write: the mark of a file that is never cut and never gets holes again.
const SEALED: u32 = 0o400;

/// Whether a cache file is sealed: a mount may read it, also one whose daemon is gone and holds no lock. It may lose its
/// name; the bytes that the kernel reads may not change, and what it finds missing it gives to readers as zeros.
#[must_use]
pub fn is_sealed(data: &Metadata) -> bool {
    data.permissions().mode() & 0o222 == 0
}

/// Seals a file whose chunks are all proven and gives it for reading.
pub(super) fn seal(data: &File) -> io::Result<File> {
    // What could not be written to the disk shows here at the latest.
    data.sync_data()?;
    data.set_permissions(Permissions::from_mode(SEALED))?;
    open_again(data)
}

/// The same file for reading only.
pub(super) fn open_again(data: &File) -> io::Result<File> {
    File::open(format!("/proc/self/fd/{}", data.as_raw_fd()))
}
