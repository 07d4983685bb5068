//! Layers in order become one tree, as container engines unpack them. Pure: entries in, image out. The rules are in
//! `docs/semantics.md`, "How layers are merged".

mod apply;
mod extra;
mod image;
mod resolve;
mod tree;

pub use extra::Extra;
pub use image::{MergeWarnings, Merged};

use crate::entry::Entry;
use crate::error::IndexError;
use tree::Tree;

/// The tree being built, bottom layer first.
#[derive(Debug)]
pub struct Merge {
    tree: Tree,
    /// Ordinal of the layer being applied, from 1.
    layer: u32,
    /// Index of its device.
    device: u16,
}

impl Default for Merge {
    fn default() -> Self {
        Self::new()
    }
}

impl Merge {
    /// A root directory (0755, owner root, 1970) and nothing in it.
    #[must_use]
    pub fn new() -> Self {
        Self {
            tree: Tree::new(),
            layer: 0,
            device: 0,
        }
    }

    /// The entries that follow belong to the next layer, whose plain stream is device `device`.
    pub fn begin_layer(&mut self, device: u16) {
        self.layer += 1;
        self.device = device;
    }

    /// Applies one entry of the current layer.
    ///
    /// # Errors
    /// LAYER_PATH_INVALID for an entry that no engine could unpack (below a file, through a loop of links, another type
    /// for the root), LAYER_CORRUPT for a hard link without its target.
    pub fn apply(&mut self, entry: Entry) -> Result<(), IndexError> {
        apply::apply(&mut self.tree, self.layer, self.device, entry)
    }

    /// The tree as it is after the last layer. Sparse data that no layer holds at a block boundary goes into `extra`,
    /// whose device is `extra_device`, cut into chunks of `chunk_bytes`.
    ///
    /// # Errors
    /// LIMIT_EXCEEDED when `extra` grows too large.
    pub fn finish(self, extra_device: u16, chunk_bytes: u32) -> Result<Merged, IndexError> {
        image::build(self.tree, extra_device, chunk_bytes)
    }
}
