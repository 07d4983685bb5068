//! Engine erofs: the kernel's EROFS over one FUSE file a layer.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use sys::mount::MountError;

use super::devices::Device;
use crate::error::Error;

/// Half of what the kernel does by itself, also around a page fault: a program's start reads less that it does not need,
/// in fewer requests (ADR 20).
const READ_AHEAD_KIB: u32 = 64;

/// A name for the image in the list of mounts, there for as long as the mount call needs it.
struct ImageName(PathBuf);

impl ImageName {
    fn give(file: &File, run_dir: &Path) -> io::Result<Self> {
        let path = run_dir.join("image.erofs");
        symlink(descriptor_path(file), &path)?;
        Ok(Self(path))
    }
}

impl Drop for ImageName {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn descriptor_path(fd: impl AsFd) -> String {
    format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd())
}

/// Makes the EROFS mount of an image, attached nowhere yet. `files` is the FUSE mount that has the served devices,
/// `direct` as for [`sys::mount::erofs`].
pub(super) fn mount_image(
    file: &File,
    (cache_dir, run_dir): (&Path, &Path),
    files: impl AsFd,
    devices: &[Device],
    direct: bool,
) -> Result<OwnedFd, Error> {
    let name = ImageName::give(file, run_dir)
        .map_err(|error| Error::io_at("name the image in", run_dir, error))?;
    // The kernel takes names of at most 255 bytes. Descriptors have short ones, and nobody can exchange what they name.
    let devices: Vec<String> = devices
        .iter()
        .map(|device| match device {
            Device::Served(name) => format!("{}/{name}", descriptor_path(&files)),
            Device::HandedOver(file) | Device::Local(file) => descriptor_path(file),
        })
        .collect();
    let source = name
        .0
        .to_str()
        .filter(|name| name.len() < 256)
        .map_or_else(|| descriptor_path(file), str::to_owned);
    sys::read_ahead::limited("erofs", READ_AHEAD_KIB, || {
        sys::mount::erofs(&source, &devices, direct)
    })
    .map_err(|error| refused(error, file, cache_dir))
}

fn refused(error: MountError, file: &File, cache_dir: &Path) -> Error {
    let filesystem =
        sys::filesystem::name_of(file).unwrap_or_else(|_| "an unknown filesystem".to_owned());
    // ENOTBLK: the file cannot back a mount, because of where it lies or because the kernel is older than 6.12.
    if error.errno == Errno::NOTBLK || error.errno == Errno::INVAL && !mounts_images(&filesystem) {
        return Error::CacheFilesystem {
            path: cache_dir.display().to_string(),
            filesystem,
        };
    }
    Error::Mount(error)
}

fn mounts_images(filesystem: &str) -> bool {
    matches!(filesystem, "ext4" | "xfs" | "btrfs")
}
