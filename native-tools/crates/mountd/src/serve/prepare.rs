//! From an opened image to a mount: what the engines have in common, and where they differ.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use rustix::io::Errno;

use super::choice::{Choice, Engine};
use super::devices::Device;
use super::engine;
use super::mountpoint::{AttachedMount, MountPoint};
use super::tree;
use crate::device_files::DeviceFiles;
use crate::error::Error;
use crate::fuse::Server;
use crate::image::Image;
use crate::layer::Layer;
use crate::tree::TreeFiles;

/// What an engine mounts.
pub(super) struct Parts<'a> {
    pub(super) image: Image,
    pub(super) layers: &'a [Arc<Layer>],
    pub(super) files: Arc<DeviceFiles>,
    pub(super) devices: Vec<Device>,
    pub(super) cache_dir: &'a Path,
    pub(super) run_dir: &'a Path,
}

/// A mount that nobody sees yet. Dropping it undoes it.
pub(super) enum Prepared {
    /// In no tree. `files` holds the layers' files, where the kernel reads them.
    Detached {
        mount: OwnedFd,
        files: Option<OwnedFd>,
        server: Server,
    },
    /// To be mounted by fusermount3, which attaches at once.
    ByFusermount(Arc<TreeFiles>),
}

/// A mount at its place.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) mount: AttachedMount,
    /// Holds the layers' files reachable until the image is unmounted.
    pub(super) files: Option<OwnedFd>,
    pub(super) server: Server,
}

/// Sets the engine up; gives the choice that was kept in the end.
pub(super) fn prepare(choice: Choice, parts: Parts<'_>) -> Result<(Prepared, Choice), Error> {
    if choice.engine == Engine::Fuse {
        return Ok((prepare_fuse(parts)?, choice));
    }
    match prepare_erofs(&parts) {
        Ok(prepared) => Ok((prepared, choice)),
        Err(error) => {
            let instead = choice.after(&error).ok_or(error)?;
            Ok((prepare_fuse(parts)?, instead))
        }
    }
}

fn prepare_erofs(parts: &Parts<'_>) -> Result<Prepared, Error> {
    let served = engine::serve_files(Arc::clone(&parts.files))?;
    let mount = engine::mount_image(
        &parts.image,
        parts.cache_dir,
        parts.run_dir,
        &served,
        &parts.devices,
    )?;
    Ok(Prepared::Detached {
        mount,
        files: Some(served.mount),
        server: served.server,
    })
}

fn prepare_fuse(mut parts: Parts<'_>) -> Result<Prepared, Error> {
    let files = tree::tree_of(&mut parts.image, parts.layers, parts.devices)?;
    if !sys::process::may_mount() {
        return Ok(Prepared::ByFusermount(files));
    }
    match tree::serve_detached(Arc::clone(&files)) {
        Ok((mount, server)) => Ok(Prepared::Detached {
            mount,
            files: None,
            server,
        }),
        // CAP_SYS_ADMIN of another user namespace than the mounts'.
        Err(Error::Mount(error)) if error.errno == Errno::PERM => Ok(Prepared::ByFusermount(files)),
        Err(error) => Err(error),
    }
}

impl Prepared {
    /// Makes the mount visible.
    pub(super) fn attach(self, mountpoint: MountPoint) -> Result<Served, Error> {
        match self {
            Self::Detached {
                mount,
                files,
                server,
            } => Ok(Served {
                mount: mountpoint.attach(mount)?,
                files,
                server,
            }),
            Self::ByFusermount(tree) => {
                let (mount, server) = tree::serve_by_fusermount(tree, mountpoint)?;
                Ok(Served {
                    mount,
                    files: None,
                    server,
                })
            }
        }
    }
}
