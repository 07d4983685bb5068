//! One mount of the node: what is known of it, what the next daemon must know, what it did.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use prost::Message;
use sys::mountinfo::{MountId, MountIdentity};

use super::choice::Choice;
use super::fetching_ahead;
use super::layer_files::{LayerFile, LayerFiles, MountUse};
use super::mountpoint::AttachedMount;
use super::replay::Replay;
use super::trace::Trace;
use super::tree::{self, TreeConnection};
use crate::fuse::RequestCounts;
use crate::hold::{Store, names};
use crate::proto::{self, AheadState, MountRequest, MountState, OpenFile};
use crate::stats::{LayerStat, Mode, Report, Stats, Totals};

/// Name of the record in a mount's folder.
const RECORD: &str = "mount.json";

/// An image that is mounted.
pub struct Mounted {
    pub(super) request: MountRequest,
    pub(super) attached: AttachedMount,
    pub(super) choice: Choice,
    /// Engine fuse: its connection. Engine erofs uses the node's.
    pub(super) tree: Option<Arc<TreeConnection>>,
    pub(super) cache_dir: PathBuf,
    pub(super) run_dir: PathBuf,
    pub(super) user: Arc<MountUse>,
    /// In device order.
    pub(super) layers: Vec<MountedLayer>,
    /// What was fetched with this mount's login.
    pub(super) fetched: Arc<Stats>,
    /// Whether the mount table has it still.
    pub(super) in_tree: AtomicBool,
    pub(super) ended: AtomicBool,
    pub(super) prefetching: AtomicBool,
    pub(super) replay: Replay,
    /// What is to be fetched ahead yet.
    pub(super) left: Mutex<AheadState>,
}

/// A layer of a mount.
#[derive(Debug)]
pub(super) struct MountedLayer {
    pub(super) file: Arc<LayerFile>,
    /// The layer's counters when this mount came.
    pub(super) before: Totals,
    /// The kernel reads a local file instead.
    pub(super) local: bool,
    /// The kernel reads the cache file by itself.
    pub(super) handed_over: bool,
}

impl std::fmt::Debug for Mounted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the request: it has the login.
        f.debug_struct("Mounted")
            .field("id", &self.id())
            .field("attached", &self.attached)
            .finish_non_exhaustive()
    }
}

impl MountedLayer {
    /// How it is, as this mount has it.
    pub(super) fn stat(&self) -> LayerStat {
        let mut stat = self.file.layer.stat();
        if self.local {
            stat.mode = Mode::Local;
            stat.reason = Some("the kernel reads the local file".to_owned());
        }
        if self.handed_over {
            stat.mode = Mode::Complete;
            stat.reason = Some("handed over: the kernel reads the cache file".to_owned());
        }
        stat
    }

    pub(super) fn new(file: Arc<LayerFile>, (local, handed_over): (bool, bool)) -> Self {
        Self {
            before: file.stats.totals(),
            file,
            local,
            handed_over,
        }
    }
}

impl Mounted {
    pub(super) fn id(&self) -> &str {
        &self.request.id
    }

    /// Nobody uses it any more, in or out of the tree.
    pub(super) fn is_unused(&self) -> bool {
        self.user.open_files().is_empty()
            && self.tree.as_ref().is_none_or(|tree| tree.has_ended())
            && !self.in_tree.load(Ordering::Acquire)
    }

    /// Whether the kernel asks for data at the node's connection.
    pub(super) fn is_served_by_node(&self) -> bool {
        let is_served = |layer: &MountedLayer| !layer.local && !layer.handed_over;
        self.tree.is_none() && self.layers.iter().any(is_served)
    }

    /// What a list shows.
    #[must_use]
    pub fn describe(&self) -> proto::Mount {
        let (major, minor) = self.attached.identity.device;
        proto::Mount {
            id: self.request.id.clone(),
            mountpoint: self.attached.path.display().to_string(),
            source: self.request.source.clone(),
            storage_ref: self.request.storage_ref.clone(),
            started_at: self.request.started_at.clone(),
            pid: std::process::id(),
            device: format!("{major}:{minor}"),
            engine: self.choice.engine.name().to_owned(),
            engine_reason: self.choice.reason.clone(),
        }
    }

    /// What was wanted and fetched since it was made.
    pub(super) fn totals(&self) -> Totals {
        let mut totals = self.fetched.totals();
        for MountedLayer { before, file, .. } in &self.layers {
            totals = totals.and(file.stats.totals().since(*before));
        }
        // The kernel says which mount a read is for, so this one number is exact.
        totals.wanted_bytes = self.user.wanted_bytes.get();
        totals
    }

    /// What it did so far. `connection` is what was asked at the node's.
    pub(super) fn report_with(&self, connection: &Arc<RequestCounts>) -> Report {
        let mut failures = self.fetched.failures();
        let mut layers = vec![];
        for layer in &self.layers {
            failures.extend(layer.file.stats.failures());
            layers.push((layer.stat(), layer.file.sources.mounts()));
        }
        let asked = self
            .tree
            .as_ref()
            .map_or(connection, |tree| tree.requests());
        Report {
            totals: self.totals(),
            kernel_requests: match &self.tree {
                Some(tree) => tree.requests().total(),
                None => self.user.reads.get(),
            },
            requests_by_kind: asked.by_kind(),
            failures,
            layers,
            reads: self.user.trace.get().map(Trace::reads).unwrap_or_default(),
            replay: self.replay.report(self.user.trace.get()),
        }
    }

    /// Keeps what another process needs to go on with it; in memory only, for there is a login in it.
    pub(super) fn remember(&self, store: &Store) -> io::Result<()> {
        let open_files = self.user.open_files();
        let state = MountState {
            request: Some(self.request.clone()),
            mountpoint: self.attached.path.display().to_string(),
            cache_dir: self.cache_dir.display().to_string(),
            mount_id: self.attached.identity.id.number(),
            device_major: self.attached.identity.device.0,
            device_minor: self.attached.identity.device.1,
            open_files: open_files
                .iter()
                .map(|(handle, node)| OpenFile {
                    handle: *handle,
                    node: *node,
                })
                .collect(),
            local: self.layers.iter().map(|layer| layer.local).collect(),
            apart: self.layers.iter().map(|layer| layer.file.apart).collect(),
            handed_over: self.layers.iter().map(|layer| layer.handed_over).collect(),
            engine: self.choice.engine.name().to_owned(),
            engine_reason: self.choice.reason.clone(),
            tree: self
                .tree
                .as_ref()
                .map(|tree| tree.state(self.attached.by_fusermount)),
        };
        store.put_bytes(&state_name(self.id()), &state.encode_to_vec())
    }

    /// Lets go of everything that was kept for another process, and of the folder.
    pub(super) fn forget(&self, files: &LayerFiles, store: &Store) {
        self.write_trace();
        for layer in &self.layers {
            files.leave(self.id(), &layer.file);
        }
        self.forget_kept(store);
        if let Err(error) = fs::remove_dir_all(&self.run_dir) {
            tracing::warn!(path = %self.run_dir.display(), %error, "the mount's folder stays");
        }
    }

    /// Lets go of what the holder has of it.
    pub(super) fn forget_kept(&self, store: &Store) {
        store.remove(&state_name(self.id()));
        store.remove(&archive_name(self.id()));
        fetching_ahead::forget(self.id(), store);
        if self.tree.is_some() {
            tree::forget(self.id(), self.layers.len(), store);
        }
    }

    /// Writes what `clipyard mounts --repair` needs should this process and its holder be gone.
    pub(super) fn write_record(&self) -> io::Result<()> {
        let shown = self.describe();
        let record = serde_json::json!({
            "v": 1,
            "id": shown.id,
            "mountpoint": shown.mountpoint,
            "source": shown.source,
            "storageRef": shown.storage_ref,
            "pid": shown.pid,
            "bootId": boot_id(),
            "startedAt": shown.started_at,
            "device": shown.device,
            "engine": shown.engine,
            "engineReason": shown.engine_reason,
        });
        write_whole(&self.run_dir.join(RECORD), &format!("{record}\n"))
    }
}

/// The kernel's name for this boot (proc(5)); empty where it cannot be read. A record of another boot has no process any more,
/// whoever has its number now.
fn boot_id() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id");
    id.map_or_else(|_| String::new(), |id| id.trim().to_owned())
}

pub(super) fn state_name(id: &str) -> String {
    format!("{}{id}", names::MOUNT)
}

pub(super) fn archive_name(id: &str) -> String {
    format!("{}{id}", names::ARCHIVE)
}

/// The mount that a state describes.
pub(super) fn attached_by(state: &MountState) -> AttachedMount {
    let identity = MountIdentity {
        id: MountId::from_number(state.mount_id),
        device: (state.device_major, state.device_minor),
    };
    let by_fusermount = state.tree.is_some_and(|tree| tree.by_fusermount);
    AttachedMount::known(PathBuf::from(&state.mountpoint), identity, by_fusermount)
}

fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    fs::write(&temporary, text)?;
    fs::rename(&temporary, path)
}
