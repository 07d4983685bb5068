//! Going on with what a daemon before this one left.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use prost::Message;
use sys::mountinfo::MountTable;

use super::connection::Connection;
use super::layer_files::MountUse;
use super::mounted::{MountedLayer, archive_name, attached_by, state_name};
use super::source_request::source_request;
use super::{Joined, Mounted, Node};
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
        let fetcher = Fetcher::start(options.max_requests)?;
        let node = Self::new(options, store, fetcher);
        if let Some((device, connection, state)) = Connection::left(&mut taken)? {
            node.files.restore(state.nodes, connection.server());
            connection.remember(&node.files, &node.store)?;
            let ids: Vec<String> = taken
                .keys()
                .filter_map(|name| name.strip_prefix(names::MOUNT))
                .map(str::to_owned)
                .collect();
            let mut attached = MountTable::open()?;
            let attached = attached.all()?;
            for id in &ids {
                match node.restore(id, &mut taken) {
                    Ok(mounted) => {
                        let in_tree = attached.contains(&mounted.attached.identity);
                        mounted
                            .in_tree
                            .store(in_tree, std::sync::atomic::Ordering::Release);
                        node.mounts().insert(id.clone(), Arc::clone(&mounted));
                        node.sweep(&mounted);
                    }
                    Err(error) => {
                        tracing::error!(id, code = tool_protocol::Coded::code(&error), %error, "a mount is not restored: its readers get errors");
                    }
                }
            }
            connection.resume(device, &node.files, node.when_cut())?;
            *node.mounting.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
            tracing::info!(
                mounts = ids.len(),
                took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
                "took over"
            );
        }
        node.store.ready();
        Ok(node)
    }

    fn restore(&self, id: &str, taken: &mut Taken) -> Result<Arc<Mounted>, Error> {
        let missing = || Error::io("restore a mount", io::Error::other("its state is gone"));
        let state = taken.remove(&state_name(id)).ok_or_else(missing)?;
        let archive = taken.remove(&archive_name(id)).ok_or_else(missing)?;
        let state = Store::bytes_of(state)
            .and_then(|bytes| MountState::decode(bytes.as_slice()).map_err(io::Error::other))
            .map_err(|error| Error::io("read a mount's state", error))?;
        let attached = attached_by(&state);
        let cache_dir = PathBuf::from(&state.cache_dir);
        let request = state.request.ok_or_else(missing)?;
        let image = Image::of(File::from(archive), &source_request(&request, &cache_dir)?)?;
        let user = MountUse::new(id);
        let joined = Joined::join(self, id, &image, &cache_dir)?;
        let open: Vec<_> = state
            .open_files
            .iter()
            .map(|file| (file.handle, file.node))
            .collect();
        self.files.reopen(&user, &open);
        let mounted = Arc::new(Mounted {
            attached,
            run_dir: self.options.state.join(id),
            cache_dir,
            user,
            layers: joined
                .files
                .iter()
                .zip(state.local.iter().chain(std::iter::repeat(&false)))
                .map(|(file, local)| MountedLayer::new(Arc::clone(file), *local))
                .collect(),
            fetched: Arc::clone(&image.stats),
            request,
            in_tree: AtomicBool::new(true),
            ended: AtomicBool::default(),
            prefetching: AtomicBool::default(),
        });
        if let Err(error) = mounted.write_record() {
            tracing::warn!(%error, "the mount's record names a process that is gone");
        }
        joined.stay();
        Ok(mounted)
    }
}
