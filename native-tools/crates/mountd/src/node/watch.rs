//! Noticing what others unmount.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use sys::mountinfo::MountTable;

use super::{Mounted, Node};

/// How often the mount table is read even when the kernel reports no change.
const INTERVAL: Duration = Duration::from_secs(60);

impl Node {
    /// Watches the mount table for as long as the node is there.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub fn watch(&self) -> io::Result<()> {
        let mut table = MountTable::open()?;
        let node = Weak::clone(&self.this);
        thread::Builder::new()
            .name("mounts".to_owned())
            .spawn(move || {
                while let Some(node) = node.upgrade() {
                    if let Err(error) = node.look(&mut table) {
                        tracing::warn!(%error, "the mount table cannot be read");
                    }
                    drop(node);
                    if let Err(error) = table.wait_for_change(INTERVAL) {
                        tracing::warn!(%error, "waiting for the mount table failed");
                        thread::sleep(INTERVAL);
                    }
                }
            })?;
        Ok(())
    }

    /// Takes notice of what was unmounted up to now: the watch may be a moment behind.
    pub(super) fn look_now(&self) {
        if let Err(error) = MountTable::open().and_then(|mut table| self.look(&mut table)) {
            tracing::warn!(%error, "the mount table cannot be read");
        }
    }

    fn look(&self, table: &mut MountTable) -> io::Result<()> {
        // The mounts first: one that is made meanwhile is in the table.
        let mounts: Vec<Arc<Mounted>> = self.mounts().values().cloned().collect();
        let attached = table.all()?;
        for mounted in mounts {
            if !attached.contains(&mounted.attached.identity) {
                mounted.in_tree.store(false, Ordering::Release);
                self.sweep(&mounted);
            }
        }
        Ok(())
    }
}
