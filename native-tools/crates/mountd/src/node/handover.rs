//! Handing layers over: the kernel reads the cache file of a complete layer by itself, no daemon in the path.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use super::Node;
use super::layer_files::LayerFile;
use super::proofs::CLOCK_TICK;
use crate::cache::is_sealed;

/// How often layers are looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// A layer that could not be proven or written to the disk is tried again after this time.
const AGAIN: Duration = Duration::from_secs(60);

impl Node {
    /// Proves and seals the layers in use that lie in the cache as a whole, one chunk at a time and at most half of the time,
    /// for as long as the node is there. Mounts that come later have such a layer handed over.
    ///
    /// # Errors
    /// The system's, when there is no thread.
    pub fn seal_layers(&self) -> io::Result<()> {
        // Without the privilege engine erofs needs, nothing can be handed over, and a sealed file could not be put right.
        if !self.options.handover || !sys::process::may_mount() {
            return Ok(());
        }
        let node = Weak::clone(&self.this);
        let prover = thread::Builder::new()
            .name("handover".to_owned())
            .spawn(move || {
                let mut refused: HashMap<String, Instant> = HashMap::new();
                while let Some(node) = node.upgrade() {
                    refused.retain(|_, since| since.elapsed() < AGAIN);
                    let mut layers = node.files.unsealed();
                    let proving = node.files.proving();
                    drop(node);
                    layers.retain(|(name, _)| !refused.contains_key(name));
                    for (name, layer) in layers {
                        if let Err(why) = prove_and_seal(&layer, &proving) {
                            tracing::warn!(
                                layer = name,
                                why,
                                "a complete layer is not handed over"
                            );
                            refused.insert(name, Instant::now());
                        }
                    }
                    thread::park_timeout(INTERVAL);
                }
            })?;
        let _ = self.prover.set(prover.thread().clone());
        Ok(())
    }

    /// A mount came: what it has may be complete.
    pub(super) fn wake_prover(&self) {
        if let Some(prover) = self.prover.get() {
            prover.unpark();
        }
    }
}

/// Holds the layer for a chunk's time only: it goes with its last mount.
fn prove_and_seal(layer: &Weak<LayerFile>, proving: &Mutex<()>) -> Result<(), String> {
    let mut from = 0;
    loop {
        let held = proving.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(file) = layer.upgrade() else {
            return Ok(());
        };
        if !file.layer.is_written() {
            return Ok(());
        }
        let started = Instant::now();
        let proven = file.layer.prove_next(from);
        let Some(chunk) = proven.map_err(|error| error.to_string())? else {
            return file.seal().map_err(|error| error.to_string());
        };
        from = chunk + 1;
        drop((file, held));
        thread::sleep(started.elapsed());
    }
}

impl LayerFile {
    fn seal(&self) -> io::Result<()> {
        let file = self.layer.seal()?;
        thread::sleep(CLOCK_TICK);
        self.proofs.add(&file.metadata()?);
        tracing::info!(
            layer = self.name,
            "complete: new mounts read it without the daemon"
        );
        let _ = self.sealed.set(file);
        Ok(())
    }

    /// Takes a complete file for proven that this daemon has proven before and nobody changed since.
    pub(super) fn take_proof(&self) {
        let known = self.layer.cache_file().ok().filter(|file| {
            let found = file.metadata();
            found.is_ok_and(|found| is_sealed(&found) && self.proofs.has(&found))
        });
        if let Some(file) = known
            && self.layer.is_written()
        {
            self.layer.take_for_proven();
            let _ = self.sealed.set(file);
        }
    }

    /// The cache file, where the kernel may have it. It ends with a whole block: of one that does not, the kernel would
    /// not read the end.
    pub(super) fn whole(&self) -> Option<File> {
        let file = self.sealed.get()?;
        let is_uncut = file.metadata().is_ok_and(|data| data.len() == self.size);
        (is_uncut && self.layer.is_proven())
            .then(|| file.try_clone().ok())
            .flatten()
    }
}

/// Layers by name.
pub(super) type Unsealed = Vec<(String, Weak<LayerFile>)>;

/// Those that may become complete or are.
pub(super) fn unsealed<'a>(files: impl Iterator<Item = &'a Arc<LayerFile>>) -> Unsealed {
    files
        .filter(|file| file.sealed.get().is_none() && file.layer.is_written())
        .map(|file| (file.name.clone(), Arc::downgrade(file)))
        .collect()
}
