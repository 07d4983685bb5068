//! The end of mounts, and of the daemon with its last one.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, Weak};
use std::time::{Duration, Instant};

use sys::mount::Unmount;

use super::connection::Connection;
use super::layer_files::{Closed, MountUse};
use super::{Mounted, Node};
use crate::error::Error;

/// The kernel lets go of a mount that nothing uses in milliseconds.
const END_DEADLINE: Duration = Duration::from_secs(10);

impl Node {
    /// Takes the mount at a path out of the tree and waits until nobody uses it any more.
    ///
    /// # Errors
    /// `MOUNT_NOT_FOUND`; `MOUNT_BUSY` while a process uses it, also through another mount on top of it.
    pub fn unmount(&self, path: &str) -> Result<Arc<Mounted>, Error> {
        let mounted = self
            .at(path)
            .ok_or_else(|| Error::NotMounted(path.to_owned()))?;
        if mounted.in_tree.load(Ordering::Acquire) {
            mounted.attached.unmount(Unmount::WhenUnused)?;
            mounted.in_tree.store(false, Ordering::Release);
            self.sweep(&mounted);
        }
        let deadline = Instant::now() + END_DEADLINE;
        let mut mounts = self.mounts();
        while mounts.values().any(|left| Arc::ptr_eq(left, &mounted)) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Error::Busy {
                    path: path.to_owned(),
                    why: "it is unmounted, but another mount on top of it keeps it in use; it ends with that one",
                });
            }
            (mounts, _) = self
                .changed
                .wait_timeout(mounts, left)
                .unwrap_or_else(PoisonError::into_inner);
        }
        drop(mounts);
        Ok(mounted)
    }

    /// Takes no more mounts and ends with the last one. Gives how many there are.
    pub fn drain(&self) -> usize {
        self.draining.store(true, Ordering::Release);
        let left = self.mounts().len();
        self.settle();
        left
    }

    /// Takes every mount out of the tree, whoever uses it, and ends with the last user.
    pub fn stop(&self) {
        self.drain();
        let mounts: Vec<_> = self.mounts().values().cloned().collect();
        for mounted in mounts {
            self.take_away(&mounted);
        }
        self.settle();
    }

    /// Takes a mount out of the tree, whoever uses it.
    pub fn take_away(&self, mounted: &Arc<Mounted>) {
        let tried = mounted
            .attached
            .unmount(Unmount::WhenUnused)
            .or_else(|error| {
                tracing::warn!(%error, "the mount goes with its last user");
                mounted.attached.unmount(Unmount::Lazily)
            });
        if let Err(error) = tried {
            tracing::error!(%error, "the mount stays");
            return;
        }
        mounted.in_tree.store(false, Ordering::Release);
        self.sweep(mounted);
    }

    /// Ends a mount that nobody uses any more.
    pub(super) fn sweep(&self, mounted: &Arc<Mounted>) {
        if !mounted.is_unused() || mounted.ended.swap(true, Ordering::AcqRel) {
            return;
        }
        mounted.replay.withdraw();
        // Before it is off the list: the process ends when the list is empty.
        mounted.forget(&self.files, &self.store);
        self.mounts().remove(mounted.id());
        tracing::info!(id = mounted.id(), mountpoint = %mounted.attached.path.display(), "unmounted");
        self.changed.notify_all();
        self.settle();
    }

    /// Notices the end of all work.
    pub(super) fn settle(&self) {
        let mounts = self.mounts();
        let idle = self.options.idle_exit && self.was_asked.load(Ordering::Acquire);
        let wanted = idle || self.draining.load(Ordering::Acquire);
        if wanted && mounts.is_empty() && self.requests.load(Ordering::Acquire) == 0 {
            self.over.store(true, Ordering::Release);
            self.changed.notify_all();
        }
    }

    /// What is done when the kernel cuts the connection (an administrator can, at /sys/fs/fuse/connections).
    pub(super) fn when_cut(&self) -> impl FnOnce() + Send + 'static {
        let node = Weak::clone(&self.this);
        move || {
            let Some(node) = node.upgrade() else { return };
            tracing::error!(
                "the FUSE connection was cut; unmounting all that engine erofs has mounted"
            );
            *node.mounting.lock().unwrap_or_else(PoisonError::into_inner) = None;
            Connection::forget(&node.store);
            let mut mounts: Vec<_> = node.mounts().values().cloned().collect();
            mounts.retain(|mounted| mounted.is_served_by_node());
            for mounted in mounts {
                // Nobody will be told that its files were closed.
                mounted.user.open_files().clear();
                node.take_away(&mounted);
            }
        }
    }

    /// Waits in the background for the end of a mount of engine fuse.
    pub(super) fn watch_tree(&self, mounted: &Arc<Mounted>) -> Result<(), Error> {
        let Some(tree) = &mounted.tree else {
            return Ok(());
        };
        let (node, mounted) = (Weak::clone(&self.this), Arc::downgrade(mounted));
        let ended = move || {
            let (Some(node), Some(mounted)) = (node.upgrade(), mounted.upgrade()) else {
                return;
            };
            // A mount comes up under this lock; before that nobody can take it away.
            drop(node.mounting.lock());
            if mounted.attached.is_attached() {
                tracing::error!(id = mounted.id(), "the FUSE connection was cut; unmounting");
                node.take_away(&mounted);
            } else {
                mounted.in_tree.store(false, Ordering::Release);
                node.sweep(&mounted);
            }
        };
        tree.when_ended(ended)
            .map_err(|error| Error::io("watch the mount", error))
    }
}

impl Closed for Node {
    /// The kernel is answered after this, so a process that dies here is told again.
    fn closed(&self, user: &Arc<MountUse>) {
        let Some(mounted) = self
            .find(&user.id)
            .filter(|mounted| Arc::ptr_eq(&mounted.user, user))
        else {
            return;
        };
        if user.open_files().is_empty() {
            // The filesystem is gone, so it is in no tree, whatever the table of this namespace says by now.
            mounted.in_tree.store(false, Ordering::Release);
            self.sweep(&mounted);
        } else if let Err(error) = mounted.remember(&self.store) {
            tracing::warn!(%error, "a mount's state is not kept");
        }
    }
}
