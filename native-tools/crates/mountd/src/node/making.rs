//! Making a mount: from a request to a tree that others see.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use archive_format::digest::hex;
use sys::mount::Unmount;

use super::choice::Engine;
use super::connection::Connection;
use super::devices::{self, Device};
use super::fetching_ahead::Ahead;
use super::joined::Joined;
use super::metadata::Metadata;
use super::mounted::{MountedLayer, archive_name};
use super::mountpoint::MountPoint;
use super::pins::Pins;
use super::prepare::{Parts, Placed};
use super::replay::{Profile, Replay};
use super::right::Right;
use super::run_directory::RunDirectory;
use super::source_request::{check_id, engine_request, page_cache_request, source_request};
use super::{Mounted, Node, choice, sharing, tree};
use crate::error::Error;
use crate::image::Image;
use crate::proto::MountRequest;

impl Node {
    /// Mounts an image and gives the mount, with the time that took. The id of a mount that is there gives that one.
    ///
    /// # Errors
    /// The archive's codes, the mount point's, `PRIVILEGE_REQUIRED`, `FUSE_UNAVAILABLE`, `MOUNT_FAILED`, `MOUNT_DRAINING`,
    /// `CACHE_FILESYSTEM_UNSUPPORTED`, `DISK_FULL`, `IO_FAILED`; `REGISTRY_DENIED`, `REGISTRY_UNAUTHENTICATED` and
    /// `LAYER_NOT_FOUND` where a layer is cached that this login may not read. On an error nothing stays mounted.
    pub fn mount(&self, mut request: MountRequest) -> Result<(Arc<Mounted>, Duration), Error> {
        let started = Instant::now();
        // Kept apart for another process: it is done sooner than the mount.
        let ahead = Ahead {
            profile: Profile::parse(&std::mem::take(&mut request.profile))?,
            complete: request.complete_bytes_per_second > 0,
            bytes_per_second: request.complete_bytes_per_second,
        };
        check_id(&request.id)?;
        let choice = choice::choose(engine_request(&request)?)?;
        let page_cache = page_cache_request(&request)?.unwrap_or(self.options.page_cache);
        let _id = self.turns.take([format!("id {}", request.id)]);
        if let Some(mounted) = self.find(&request.id) {
            return Ok((mounted, started.elapsed()));
        }
        // Fails early; looked at again when it is this mount's turn.
        let MountPoint { path } = MountPoint::check(Path::new(&request.mountpoint))?;
        let cache_dir = self.cache_dir(&request.cache_dir)?;
        let source = source_request(&request, &cache_dir, &self.options)?;
        let image = Image::open(&source)?;
        let metadata = Metadata::of(&image, choice.engine, (&request.id, &cache_dir))?;
        let cache = self.caches.open(&cache_dir)?;
        let rights = Right::all_of(&image, &cache, &source);
        sharing::prove(&self.files, &cache, &image.tables, &rights)?;

        let place = format!("at {}", path.display());
        let _turn = self.turns.take([place, layers_of(&image)]);
        if self.draining.load(Ordering::Acquire) {
            return Err(Error::Draining);
        }
        let mountpoint = MountPoint::check(Path::new(&request.mountpoint))?;
        let joined = Joined::join(self, &request.id, &image, &cache, rights, &[])?;
        let devices = devices::choose(&joined.files, &image.tables, &source.local_layers)?;
        let past_us: Vec<_> = devices
            .iter()
            .map(|device| {
                let is_local = matches!(device, Device::Local(_));
                (is_local, matches!(device, Device::HandedOver(..)))
            })
            .collect();
        let run_dir = RunDirectory::make(&self.options.state, &request.id)?;
        let mut connection = self.mounting.lock().unwrap_or_else(PoisonError::into_inner);
        let parts = Parts {
            id: &request.id,
            metadata,
            files: &joined.files,
            devices,
            cache_dir: &cache_dir,
            run_dir: &run_dir.path,
            page_cache,
        };
        let Placed {
            attached,
            detached,
            tree,
            user,
            choice,
        } = self
            .prepare(choice, parts, &mut connection)
            .and_then(|prepared| prepared.place(mountpoint))
            .inspect_err(|_| tree::forget(&request.id, joined.files.len(), &self.store))?;
        let is_erofs = choice.engine == Engine::Erofs;
        let mounted = Arc::new(Mounted {
            attached,
            choice,
            tree,
            request,
            cache_dir,
            run_dir: run_dir.path.clone(),
            user,
            layers: joined
                .files
                .iter()
                .zip(past_us)
                .map(|(file, (local, handed_over))| {
                    let handed_over = handed_over && is_erofs;
                    MountedLayer::new(Arc::clone(file), (local, handed_over))
                })
                .collect(),
            fetched: Arc::clone(&image.stats),
            in_tree: AtomicBool::new(true),
            ended: AtomicBool::default(),
            prefetching: AtomicBool::default(),
            replay: Replay::default(),
            left: Mutex::default(),
        });
        mounted.trace_touches();
        let pins = Pins::set(&mounted, &cache, &image)?;
        self.publish(&mounted, &image, detached)?;
        pins.stay();
        joined.stay();
        run_dir.stay();
        self.fetch_ahead(&mounted, ahead);
        self.wake_prover();
        Ok((mounted, started.elapsed()))
    }

    /// Makes a mount visible. Everything another process needs to go on with it is kept before.
    fn publish(
        &self,
        mounted: &Arc<Mounted>,
        image: &Image,
        detached: Option<OwnedFd>,
    ) -> Result<(), Error> {
        let id = mounted.id();
        let keep = || -> io::Result<()> {
            mounted.write_record()?;
            let archive = image.file().try_clone()?;
            self.store.put(&archive_name(id), archive.into());
            if let Some(tree) = &mounted.tree {
                tree.keep(id, &self.store)?;
            }
            mounted.remember(&self.store)
        };
        let published = keep()
            .map_err(|error| Error::io("keep the mount's state", error))
            .and_then(|()| detached.map_or(Ok(()), |mount| mounted.attached.attach(mount)))
            .and_then(|()| self.watch_tree(mounted));
        if published.is_err() {
            // Of a mount that is attached nowhere there is nothing to take away.
            let _ = mounted.attached.unmount(Unmount::Lazily);
            mounted.forget_kept(&self.store);
            return published;
        }
        self.mounts().insert(id.to_owned(), Arc::clone(mounted));
        // It may be gone already: then nobody was told yet.
        self.sweep(mounted);
        Ok(())
    }

    /// The connection, made where there is none.
    pub(super) fn connected<'a>(
        &self,
        connection: &'a mut Option<Connection>,
    ) -> Result<&'a Connection, Error> {
        if let Some(connection) = connection {
            return Ok(connection);
        }
        self.files.forget_open();
        let opened = Connection::open(&self.files, &self.store, self.when_cut())?;
        Ok(connection.insert(opened))
    }
}

/// The name of an image among those that are being mounted.
fn layers_of(image: &Image) -> String {
    let layers = image.tables.iter().map(|table| hex(&table.diff_id));
    format!("layers {}", layers.collect::<Vec<_>>().join(" "))
}
