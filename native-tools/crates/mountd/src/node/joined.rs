//! The layers of a mount that is being made.

use std::sync::Arc;

use super::Node;
use super::layer_files::LayerFile;
use super::right::Right;
use crate::cache::Cache;
use crate::error::Error;
use crate::image::Image;

/// Layers that a mount got; given back unless it comes up.
pub(super) struct Joined<'a> {
    node: &'a Node,
    mount: String,
    pub(super) files: Vec<Arc<LayerFile>>,
    stay: bool,
}

impl<'a> Joined<'a> {
    /// `apart` says of each layer where a process before this one had it; empty for a new mount.
    pub(super) fn join(
        node: &'a Node,
        mount: &str,
        image: &Image,
        cache: &Cache,
        rights: Vec<Arc<Right>>,
        apart: &[bool],
    ) -> Result<Self, Error> {
        let mut joined = Self {
            node,
            mount: mount.to_owned(),
            files: vec![],
            stay: false,
        };
        for (index, (table, right)) in image.tables.iter().zip(rights).enumerate() {
            let file = node.files.join(
                mount,
                (cache.root(), table),
                right,
                apart.get(index).copied(),
                |source, stats| {
                    node.tally.add(&stats);
                    image.layer(table, cache, source, &node.fetcher, stats)
                },
            )?;
            joined.files.push(file);
        }
        node.tally.add(&image.stats);
        Ok(joined)
    }

    pub(super) fn stay(mut self) {
        self.stay = true;
    }
}

impl Drop for Joined<'_> {
    fn drop(&mut self) {
        if !self.stay {
            for file in &self.files {
                self.node.files.leave(&self.mount, file);
            }
        }
    }
}
