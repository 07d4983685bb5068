//! Engine fuse: the tree itself, served through a FUSE connection of the mount's own.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rustix::io::Errno;
use sys::fuse::FuseDevice;
use sys::mount::Unmount;

use super::devices::Device;
use super::fusermount;
use super::layer_files::{LayerFile, MountUse};
use super::mountpoint::{AttachedMount, MountPoint};
use crate::error::Error;
use crate::fuse::{Contents, FsError, Negotiated, RequestCounts, Server, Session};
use crate::hold::{Store, Taken, names};
use crate::proto::TreeState;
use crate::tree::{DeviceStream, LocalStream, TreeFiles};

/// Threads of the request loop; more gained nothing (`docs/adr/0009-engine-fuse.md`).
const MOST_THREADS: usize = 4;

/// A layer as one mount reads it.
#[derive(Debug)]
struct UsedLayer {
    file: Arc<LayerFile>,
    user: Arc<MountUse>,
}

impl DeviceStream for UsedLayer {
    fn is_ready(&self, offset: u64, length: usize) -> bool {
        self.file.layer.is_ready(offset, length)
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), FsError> {
        self.file.read_for(Some(&self.user), offset, buffer)
    }
}

/// The image's tree over its layers, on behalf of a mount.
pub(super) fn tree_of(
    metadata: Vec<u8>,
    files: &[Arc<LayerFile>],
    devices: Vec<Device>,
    user: &Arc<MountUse>,
) -> Result<Arc<TreeFiles>, Error> {
    let streams = devices
        .into_iter()
        .zip(files)
        .map(|(device, file)| match device {
            Device::Served(_) | Device::HandedOver(..) => Box::new(UsedLayer {
                file: Arc::clone(file),
                user: Arc::clone(user),
            }) as Box<dyn DeviceStream>,
            Device::Local(file) => Box::new(LocalStream(file)),
        })
        .collect();
    Ok(Arc::new(TreeFiles::new(metadata, streams)?))
}

/// The connection of one mount.
#[derive(Debug)]
pub(super) struct TreeConnection {
    device: OwnedFd,
    negotiated: Negotiated,
    requests: Arc<RequestCounts>,
    /// Until somebody waits for its end.
    server: Mutex<Option<Server>>,
    ended: AtomicBool,
}

impl TreeConnection {
    /// What the kernel asked this process.
    pub(super) fn requests(&self) -> &Arc<RequestCounts> {
        &self.requests
    }

    /// Whether the kernel's filesystem is gone.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Runs `then` when the kernel's filesystem is gone.
    pub(super) fn when_ended(
        self: &Arc<Self>,
        then: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        let connection = Arc::clone(self);
        thread::Builder::new()
            .name("tree-end".to_owned())
            .spawn(move || {
                let mut server = connection
                    .server
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                if let Some(server) = server.take() {
                    server.join();
                }
                connection.ended.store(true, Ordering::Release);
                then();
            })?;
        Ok(())
    }

    /// Keeps the connection for another process.
    pub(super) fn keep(&self, id: &str, store: &Store) -> io::Result<()> {
        store.put(&device_name(id), self.device.try_clone()?);
        Ok(())
    }

    /// What another process must know of it.
    pub(super) fn state(&self, by_fusermount: bool) -> TreeState {
        TreeState {
            minor: self.negotiated.minor,
            flags: self.negotiated.flags,
            max_write: self.negotiated.max_write,
            by_fusermount,
        }
    }

    /// Goes on with a connection that a daemon before this one left.
    pub(super) fn resume(
        device: OwnedFd,
        state: &TreeState,
        files: Arc<TreeFiles>,
    ) -> io::Result<Self> {
        let kept = device.try_clone()?;
        let negotiated = Negotiated {
            minor: state.minor,
            flags: state.flags,
            max_write: state.max_write,
        };
        let session = Session::resume(FuseDevice::from_fd(device), negotiated, Contents::Tree)?;
        Self::start(kept, session, files)
    }

    fn start(device: OwnedFd, session: Session, files: Arc<TreeFiles>) -> io::Result<Self> {
        let negotiated = session.negotiated();
        tracing::debug!(?negotiated, "FUSE is up");
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let server = Server::start(session, files, cores.clamp(2, MOST_THREADS))?;
        Ok(Self {
            device,
            negotiated,
            requests: server.request_counts(),
            server: Mutex::new(Some(server)),
            ended: AtomicBool::default(),
        })
    }
}

/// Mounts the tree, attached nowhere yet, and serves it. Needs CAP_SYS_ADMIN.
pub(super) fn serve_detached(files: Arc<TreeFiles>) -> Result<(OwnedFd, TreeConnection), Error> {
    let device = FuseDevice::open().map_err(Error::Fuse)?;
    let mount = device
        .mount_detached("clipyard")
        .map_err(|error| match error.errno {
            Errno::NODEV => Error::Fuse(io::Error::other("the kernel has no FUSE")),
            _ => Error::Mount(error),
        })?;
    Ok((mount, serve(device, files)?))
}

/// Mounts the tree at its place through fusermount3 and serves it. On an error nothing stays mounted.
pub(super) fn serve_by_fusermount(
    files: Arc<TreeFiles>,
    mountpoint: MountPoint,
) -> Result<(AttachedMount, TreeConnection), Error> {
    let device = fusermount::mount(&mountpoint.path)?;
    let path = mountpoint.path.clone();
    serve(device, files)
        .and_then(|connection| Ok((mountpoint.attached_by_fusermount()?, connection)))
        .inspect_err(|_| {
            let _ = fusermount::unmount(&path, Unmount::Lazily);
        })
}

fn serve(device: FuseDevice, files: Arc<TreeFiles>) -> Result<TreeConnection, Error> {
    let kept = device.to_owned_fd().map_err(Error::Fuse)?;
    let session = Session::handshake(device, Contents::Tree).map_err(Error::Fuse)?;
    TreeConnection::start(kept, session, files).map_err(Error::Fuse)
}

/// Keeps the local layers of a mount for another process: they may have lost their names by then.
pub(super) fn keep_local(id: &str, devices: &[Device], store: &Store) -> io::Result<()> {
    for (index, device) in devices.iter().enumerate() {
        if let Device::Local(file) = device {
            store.put(&local_name(id, index), file.try_clone()?.into());
        }
    }
    Ok(())
}

/// The devices that a daemon before this one had. A local layer that is gone is read from the registry.
pub(super) fn devices_left(id: &str, files: &[Arc<LayerFile>], taken: &mut Taken) -> Vec<Device> {
    files
        .iter()
        .enumerate()
        .map(|(index, file)| match taken.remove(&local_name(id, index)) {
            Some(descriptor) => Device::Local(File::from(descriptor)),
            None => Device::Served(file.name.clone()),
        })
        .collect()
}

/// Lets go of everything kept for another process.
pub(super) fn forget(id: &str, layers: usize, store: &Store) {
    store.remove(&device_name(id));
    for index in 0..layers {
        store.remove(&local_name(id, index));
    }
}

pub(super) fn device_name(id: &str) -> String {
    format!("{}{id}", names::TREE)
}

fn local_name(id: &str, index: usize) -> String {
    format!("{}{id}:{index}", names::LOCAL)
}
