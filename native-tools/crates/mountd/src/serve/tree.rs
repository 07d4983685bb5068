//! Engine fuse: the tree itself, served through FUSE.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;

use rustix::io::Errno;
use sys::fuse::FuseDevice;
use sys::mount::Unmount;

use super::devices::Device;
use super::fusermount;
use super::mountpoint::{AttachedMount, MountPoint};
use crate::error::Error;
use crate::fuse::{Contents, Server, Session};
use crate::image::Image;
use crate::layer::Layer;
use crate::tree::{DeviceStream, LocalStream, TreeFiles};

/// Threads of the request loop; more gained nothing (`docs/adr/0009-engine-fuse.md`).
const MOST_THREADS: usize = 4;

/// The image's tree over its layers; takes the metadata out of `image`.
pub(super) fn tree_of(
    image: &mut Image,
    layers: &[Arc<Layer>],
    devices: Vec<Device>,
) -> Result<Arc<TreeFiles>, Error> {
    let streams = devices
        .into_iter()
        .zip(layers)
        .map(|(device, layer)| match device {
            Device::Served(_) => Box::new(Arc::clone(layer)) as Box<dyn DeviceStream>,
            Device::Local(file) => Box::new(LocalStream(file)),
        })
        .collect();
    let metadata = std::mem::take(&mut image.metadata);
    Ok(Arc::new(TreeFiles::new(metadata, streams)?))
}

/// Mounts the tree, attached nowhere yet, and serves it. Needs CAP_SYS_ADMIN.
pub(super) fn serve_detached(files: Arc<TreeFiles>) -> Result<(OwnedFd, Server), Error> {
    let device = FuseDevice::open().map_err(Error::Fuse)?;
    let mount = device
        .mount_detached("clipyard")
        .map_err(|error| match error.errno {
            Errno::NODEV => Error::Fuse(std::io::Error::other("the kernel has no FUSE")),
            _ => Error::Mount(error),
        })?;
    Ok((mount, serve(device, files)?))
}

/// Mounts the tree at its place through fusermount3 and serves it. On an error nothing stays mounted.
pub(super) fn serve_by_fusermount(
    files: Arc<TreeFiles>,
    mountpoint: MountPoint,
) -> Result<(AttachedMount, Server), Error> {
    let device = fusermount::mount(&mountpoint.path)?;
    let path = mountpoint.path.clone();
    serve(device, files)
        .and_then(|server| Ok((mountpoint.attached_by_fusermount()?, server)))
        .inspect_err(|_| {
            let _ = fusermount::unmount(&path, Unmount::Lazily);
        })
}

fn serve(device: FuseDevice, files: Arc<TreeFiles>) -> Result<Server, Error> {
    let session = Session::handshake(device, Contents::Tree).map_err(Error::Fuse)?;
    tracing::debug!(negotiated = ?session.negotiated(), "FUSE is up");
    let cores = thread::available_parallelism().map_or(1, usize::from);
    Server::start(session, files, cores.clamp(2, MOST_THREADS)).map_err(Error::Fuse)
}
