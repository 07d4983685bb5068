//! Engine erofs: the kernel's EROFS over one FUSE file a layer.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use archive_format::digest::hex;
use rustix::io::Errno;
use sys::fuse::FuseDevice;
use sys::mount::MountError;

use super::devices::Device;
use crate::device_files::DeviceFiles;
use crate::error::Error;
use crate::fuse::{Server, Session};
use crate::image::Image;

/// Threads of the request loop. Reads that wait do not occupy them.
const FUSE_THREADS: usize = 2;

/// The FUSE half: the layers' files, served, reachable through `mount` alone.
#[derive(Debug)]
pub(super) struct ServedFiles {
    /// A mount that is attached nowhere. When this and the last EROFS that uses it are gone, the server ends.
    pub(super) mount: OwnedFd,
    pub(super) server: Server,
}

/// Mounts and serves the files of layers.
pub(super) fn serve_files(files: Arc<DeviceFiles>) -> Result<ServedFiles, Error> {
    let device = FuseDevice::open().map_err(Error::Fuse)?;
    let mount = device
        .mount_detached("clipyard-layers")
        .map_err(|error| match error.errno {
            Errno::NODEV => Error::Fuse(io::Error::other("the kernel has no FUSE")),
            _ => Error::Mount(error),
        })?;
    let session = Session::handshake(device).map_err(Error::Fuse)?;
    tracing::debug!(negotiated = ?session.negotiated(), "FUSE is up");
    let server = Server::start(session, files, FUSE_THREADS).map_err(Error::Fuse)?;
    Ok(ServedFiles { mount, server })
}

/// The metadata image as a file, for as long as the mount call needs its name.
#[derive(Debug)]
struct ImageFile {
    file: File,
    path: PathBuf,
}

impl ImageFile {
    /// Writes the file into the cache, where it can lie on a filesystem that the kernel mounts from.
    fn write(image: &Image, cache_dir: &Path) -> io::Result<Self> {
        let directory = cache_dir.join("images");
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)?;
        let name = format!(
            "{}.{}.erofs",
            hex(&image.archive.footer_digest()),
            std::process::id()
        );
        let path = directory.join(name);
        let _ = fs::remove_file(&path); // of a dead process that had our number
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o400)
            .open(&path)?;
        let mut made = Self { file, path };
        made.file.write_all(&image.metadata)?;
        Ok(made)
    }
}

impl Drop for ImageFile {
    fn drop(&mut self) {
        // The mount holds the file itself; without a name nothing is left behind however this process ends.
        let _ = fs::remove_file(&self.path);
    }
}

/// Makes the EROFS mount, attached nowhere yet.
pub(super) fn mount_image(
    image: &Image,
    cache_dir: &Path,
    files: &ServedFiles,
    devices: &[Device],
) -> Result<OwnedFd, Error> {
    let file = ImageFile::write(image, cache_dir)
        .map_err(|error| Error::io_at("write the metadata image into", cache_dir, error))?;
    // The kernel takes names of at most 255 bytes; descriptors have short ones, and nobody can exchange what they name.
    let devices: Vec<String> = devices
        .iter()
        .map(|device| match device {
            Device::Served(name) => {
                format!("/proc/self/fd/{}/{name}", files.mount.as_fd().as_raw_fd())
            }
            Device::Local(file) => format!("/proc/self/fd/{}", file.as_raw_fd()),
        })
        .collect();
    let name = file.path.to_string_lossy();
    let name = if name.len() < 256 {
        name.into_owned()
    } else {
        format!("/proc/self/fd/{}", file.file.as_raw_fd())
    };
    sys::mount::erofs(&name, &devices).map_err(|error| refused(error, &file.file, cache_dir))
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
