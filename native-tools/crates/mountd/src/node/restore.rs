//! Going on with what a daemon before this one left.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use prost::Message;
use sys::mountinfo::MountTable;

use super::choice::{Choice, Engine};
use super::connection::Connection;
use super::fetching_ahead::Ahead;
use super::joined::Joined;
use super::layer_files::MountUse;
use super::mounted::{MountedLayer, archive_name, attached_by, state_name};
use super::replay::Replay;
use super::right::Right;
use super::source_request::source_request;
use super::tree::{TreeConnection, device_name, devices_left, tree_of};
use super::{Mounted, Node};
use crate::error::Error;
use crate::hold::{Store, Taken, names};
use crate::image::Image;
use crate::layer::Fetcher;
use crate::options::Options;
use crate::proto::MountState;

impl Node {
    /// A node with everything that was taken over from the holder.
    ///
    /// # Errors
    /// The system's, where nothing can be served at all. A single mount that cannot be restored gives errors to its
    /// readers, and the next process tries again.
    pub fn start(options: Options, store: Store, mut taken: Taken) -> io::Result<Arc<Self>> {
        let started = Instant::now();
        let fetcher = Fetcher::start(options.fetch)?;
        let node = Self::new(options, store, fetcher);
        let left = Connection::left(&mut taken)?.map(|(device, connection, state)| {
            node.files.restore(state.nodes, connection.server());
            (device, connection)
        });
        if let Some((_, connection)) = &left {
            connection.remember(&node.files, &node.store)?;
        }
        let restored = node.restore_all(&mut taken, left.is_some())?;
        if let Some((device, connection)) = left {
            connection.resume(device, &node.files, node.when_cut())?;
            *node.mounting.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
        }
        if restored > 0 {
            tracing::info!(
                mounts = restored,
                took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
                "took over"
            );
        }
        node.keep_limits()?;
        if let Err(error) = node.show_metrics() {
            tracing::error!(%error, "nobody can ask for metrics");
        }
        node.store.ready();
        Ok(node)
    }

    /// Goes on with all mounts; those of engine erofs need the node's connection. Gives how many were left.
    fn restore_all(&self, taken: &mut Taken, connected: bool) -> io::Result<usize> {
        let ids: Vec<String> = taken
            .keys()
            .filter_map(|name| name.strip_prefix(names::MOUNT))
            .map(str::to_owned)
            .collect();
        let mut table = MountTable::open()?;
        let attached = table.all()?;
        for id in &ids {
            let ahead = Ahead::left(id, taken);
            let restored = self.restore(id, taken, connected).and_then(|mounted| {
                let in_tree = attached.contains(&mounted.attached.identity);
                mounted.in_tree.store(in_tree, Ordering::Release);
                self.mounts().insert(id.clone(), Arc::clone(&mounted));
                self.watch_tree(&mounted)?;
                self.fetch_ahead(&mounted, ahead);
                self.sweep(&mounted);
                Ok(())
            });
            if let Err(error) = restored {
                tracing::error!(id, code = tool_protocol::Coded::code(&error), %error, "a mount is not restored: its readers get errors");
            }
        }
        Ok(ids.len())
    }

    fn restore(&self, id: &str, taken: &mut Taken, connected: bool) -> Result<Arc<Mounted>, Error> {
        let missing = || Error::io("restore a mount", io::Error::other("its state is gone"));
        let state = taken.remove(&state_name(id)).ok_or_else(missing)?;
        let archive = taken.remove(&archive_name(id)).ok_or_else(missing)?;
        let state = Store::bytes_of(state)
            .and_then(|bytes| MountState::decode(bytes.as_slice()).map_err(io::Error::other))
            .map_err(|error| Error::io("read a mount's state", error))?;
        let attached = attached_by(&state);
        let cache_dir = PathBuf::from(&state.cache_dir);
        let choice = Choice {
            engine: if state.tree.is_some() {
                Engine::Fuse
            } else {
                Engine::Erofs
            },
            reason: state.engine_reason.clone(),
            is_open: false,
        };
        let request = state.request.ok_or_else(missing)?;
        if state.tree.is_none() && !connected {
            return Err(missing());
        }
        let source = source_request(&request, &cache_dir, &self.options)?;
        let image = Image::of(File::from(archive), &source)?;
        let cache = self.caches.open(&cache_dir)?;
        let rights = Right::all_of(&image, &cache, &source);
        let user = MountUse::new(id);
        // A version before this one had every layer in the one file for all.
        let mut apart = state.apart.clone();
        apart.resize(image.tables.len(), false);
        let joined = Joined::join(self, id, &image, &cache, rights, &apart)?;
        let open: Vec<_> = state
            .open_files
            .iter()
            .map(|file| (file.handle, file.node))
            .collect();
        self.files.reopen(&user, &open);
        let tree = match &state.tree {
            None => None,
            Some(state) => {
                let device = taken.remove(&device_name(id)).ok_or_else(missing)?;
                let devices = devices_left(id, &joined.files, taken);
                let files = tree_of(image.metadata()?, &joined.files, devices, &user)?;
                let tree = TreeConnection::resume(device, state, files).map_err(Error::Fuse)?;
                Some(Arc::new(tree))
            }
        };
        let mounted = Arc::new(Mounted {
            attached,
            choice,
            tree,
            run_dir: self.options.state.join(id),
            cache_dir,
            user,
            layers: joined
                .files
                .iter()
                .enumerate()
                .map(|(index, file)| {
                    let is = |flags: &[bool]| flags.get(index).copied().unwrap_or_default();
                    let past_us = (is(&state.local), is(&state.handed_over));
                    MountedLayer::new(Arc::clone(file), past_us)
                })
                .collect(),
            fetched: Arc::clone(&image.stats),
            request,
            in_tree: AtomicBool::new(true),
            ended: AtomicBool::default(),
            prefetching: AtomicBool::default(),
            replay: Replay::default(),
            left: Mutex::default(),
        });
        mounted.trace_touches();
        if let Err(error) = mounted.write_record() {
            tracing::warn!(%error, "the mount's record names a process that is gone");
        }
        joined.stay();
        Ok(mounted)
    }
}
