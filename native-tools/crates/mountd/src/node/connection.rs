//! The one FUSE connection of a node.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;

use prost::Message;
use rustix::io::Errno;
use sys::fuse::FuseDevice;

use super::layer_files::LayerFiles;
use crate::error::Error;
use crate::fuse::{Contents, Negotiated, Server, Session};
use crate::hold::{Store, Taken, names};
use crate::proto::ConnectionState;

/// Threads of the request loop. Reads that wait do not occupy them.
const FUSE_THREADS: usize = 4;

/// A connection that is being served.
#[derive(Debug)]
pub(super) struct Connection {
    /// The FUSE mount, attached nowhere: the layers' files are reachable through it alone.
    pub(super) mount: OwnedFd,
    negotiated: Negotiated,
    /// Processes that served it, this one included.
    servers: u32,
}

impl Connection {
    /// Makes a connection and serves it. `ended` runs when the kernel cut it.
    pub(super) fn open(
        files: &Arc<LayerFiles>,
        store: &Store,
        ended: impl FnOnce() + Send + 'static,
    ) -> Result<Self, Error> {
        let device = FuseDevice::open().map_err(Error::Fuse)?;
        let kept = device.to_owned_fd().map_err(Error::Fuse)?;
        let mount =
            device
                .mount_detached("clipyard-layers")
                .map_err(|error| match error.errno {
                    Errno::NODEV => Error::Fuse(io::Error::other("the kernel has no FUSE")),
                    _ => Error::Mount(error),
                })?;
        let session = Session::handshake(device, Contents::Files).map_err(Error::Fuse)?;
        let negotiated = session.negotiated();
        tracing::debug!(?negotiated, "FUSE is up");
        let copy = mount.try_clone().map_err(Error::Fuse)?;
        serve(session, files, ended).map_err(Error::Fuse)?;
        store.put(names::DEVICE, kept);
        store.put(names::FILES, copy);
        Ok(Self {
            mount,
            negotiated,
            servers: 1,
        })
    }

    /// The connection that a daemon before this one left, if there is one, and its state. Nothing is served yet.
    pub(super) fn left(
        taken: &mut Taken,
    ) -> io::Result<Option<(FuseDevice, Self, ConnectionState)>> {
        let (Some(device), Some(mount), Some(state)) = (
            taken.remove(names::DEVICE),
            taken.remove(names::FILES),
            taken.remove(names::CONNECTION),
        ) else {
            return Ok(None);
        };
        let state = ConnectionState::decode(Store::bytes_of(state)?.as_slice())
            .map_err(io::Error::other)?;
        let connection = Self {
            mount,
            negotiated: Negotiated {
                minor: state.minor,
                flags: state.flags,
                max_write: state.max_write,
            },
            servers: state.servers.saturating_add(1),
        };
        Ok(Some((FuseDevice::from_fd(device), connection, state)))
    }

    /// Goes on serving what [`Connection::left`] gave. The kernel sends again what the process before us left unanswered.
    pub(super) fn resume(
        &self,
        device: FuseDevice,
        files: &Arc<LayerFiles>,
        ended: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        let session = Session::resume(device, self.negotiated, Contents::Files)?;
        serve(session, files, ended)
    }

    /// Which of the processes that served the connection this is.
    pub(super) fn server(&self) -> u32 {
        self.servers
    }

    /// Lets the next process know what this one gave out. Call it before the kernel can learn new names.
    pub(super) fn remember(&self, files: &LayerFiles, store: &Store) -> io::Result<()> {
        let state = ConnectionState {
            minor: self.negotiated.minor,
            flags: self.negotiated.flags,
            max_write: self.negotiated.max_write,
            nodes: files.nodes(),
            servers: self.servers,
        };
        store.put_bytes(names::CONNECTION, &state.encode_to_vec())
    }

    /// Lets go of a connection that is over.
    pub(super) fn forget(store: &Store) {
        for name in [names::DEVICE, names::FILES, names::CONNECTION] {
            store.remove(name);
        }
    }
}

fn serve(
    session: Session,
    files: &Arc<LayerFiles>,
    ended: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    let server = Server::start(session, Arc::clone(files) as _, FUSE_THREADS)?;
    files.count(server.request_counts());
    thread::Builder::new()
        .name("fuse-end".to_owned())
        .spawn(move || {
            server.join();
            ended();
        })?;
    Ok(())
}
