//! From an opened image to a mount: what the engines have in common, and where they differ.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use rustix::io::Errno;

use super::Node;
use super::choice::{Choice, Engine};
use super::connection::Connection;
use super::devices::Device;
use super::engine;
use super::layer_files::{LayerFile, MountUse};
use super::metadata::Metadata;
use super::mountpoint::{AttachedMount, MountPoint};
use super::tree::{self, TreeConnection};
use crate::error::Error;
use crate::options::PageCache;
use crate::tree::TreeFiles;

/// What an engine mounts.
pub(super) struct Parts<'a> {
    pub(super) id: &'a str,
    pub(super) metadata: Metadata,
    pub(super) files: &'a [Arc<LayerFile>],
    pub(super) devices: Vec<Device>,
    pub(super) cache_dir: &'a Path,
    pub(super) run_dir: &'a Path,
    pub(super) page_cache: PageCache,
}

/// A mount that nobody sees yet. Dropping it undoes it.
pub(super) struct Prepared {
    user: Arc<MountUse>,
    choice: Choice,
    half: Half,
}

enum Half {
    /// In no tree; of engine fuse with its own connection.
    Detached(OwnedFd, Option<TreeConnection>),
    /// To be mounted by fusermount3, which attaches at once.
    ByFusermount(Arc<TreeFiles>),
}

/// A mount with its place.
pub(super) struct Placed {
    pub(super) attached: AttachedMount,
    /// What has to be attached there yet.
    pub(super) detached: Option<OwnedFd>,
    pub(super) tree: Option<Arc<TreeConnection>>,
    pub(super) user: Arc<MountUse>,
    pub(super) choice: Choice,
}

impl Node {
    /// Sets the engine up, the other one where the choice is open and the first one is refused.
    pub(super) fn prepare(
        &self,
        choice: Choice,
        parts: Parts<'_>,
        connection: &mut Option<Connection>,
    ) -> Result<Prepared, Error> {
        if choice.engine == Engine::Fuse {
            return self.prepare_fuse(choice, parts);
        }
        // Its own: the kernel closes the files of an image that it refused at any time later.
        let user = MountUse::new(parts.id);
        match self.prepare_erofs(&parts, &user, connection) {
            Ok(mount) => Ok(Prepared {
                user,
                choice,
                half: Half::Detached(mount, None),
            }),
            Err(error) => {
                let instead = choice.after(&error).ok_or(error)?;
                self.prepare_fuse(instead, parts)
            }
        }
    }

    fn prepare_erofs(
        &self,
        parts: &Parts<'_>,
        user: &Arc<MountUse>,
        connection: &mut Option<Connection>,
    ) -> Result<OwnedFd, Error> {
        let Metadata::InCache(image) = &parts.metadata else {
            return Err(Error::io(
                "mount",
                io::Error::other("no file with the metadata image"),
            ));
        };
        let connection = self.connected(connection)?;
        connection
            .remember(&self.files, &self.store)
            .map_err(|error| Error::io("keep the connection's state", error))?;
        self.files.opening(user, || {
            engine::mount_image(
                image,
                (parts.cache_dir, parts.run_dir),
                &connection.mount,
                &parts.devices,
                parts.page_cache == PageCache::Single,
            )
        })
    }

    fn prepare_fuse(&self, choice: Choice, parts: Parts<'_>) -> Result<Prepared, Error> {
        let user = MountUse::new(parts.id);
        tree::keep_local(parts.id, &parts.devices, &self.store)
            .map_err(|error| Error::io("keep the local layers", error))?;
        let files = tree::tree_of(
            parts.metadata.into_bytes()?,
            parts.files,
            parts.devices,
            &user,
        )?;
        let half = if sys::process::may_mount() {
            match tree::serve_detached(Arc::clone(&files)) {
                Ok((mount, connection)) => Half::Detached(mount, Some(connection)),
                // CAP_SYS_ADMIN of another user namespace than the mounts'.
                Err(Error::Mount(error)) if error.errno == Errno::PERM => Half::ByFusermount(files),
                Err(error) => return Err(error),
            }
        } else {
            Half::ByFusermount(files)
        };
        Ok(Prepared { user, choice, half })
    }
}

impl Prepared {
    /// Gives the mount its place. One that fusermount3 makes is visible from here on.
    pub(super) fn place(self, mountpoint: MountPoint) -> Result<Placed, Error> {
        let (attached, detached, tree) = match self.half {
            Half::Detached(mount, tree) => (mountpoint.identify(&mount)?, Some(mount), tree),
            Half::ByFusermount(files) => {
                let (attached, tree) = tree::serve_by_fusermount(files, mountpoint)?;
                (attached, None, Some(tree))
            }
        };
        Ok(Placed {
            attached,
            detached,
            tree: tree.map(Arc::new),
            user: self.user,
            choice: self.choice,
        })
    }
}
