//! The layers of a mount that is being made.

use std::path::Path;
use std::sync::Arc;

use super::Node;
use super::layer_files::LayerFile;
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
    pub(super) fn join(
        node: &'a Node,
        mount: &str,
        image: &Image,
        cache_dir: &Path,
    ) -> Result<Self, Error> {
        let cache = Cache::open(cache_dir)
            .map_err(|error| Error::io_at("open the cache", cache_dir, error))?;
        let mut joined = Self {
            node,
            mount: mount.to_owned(),
            files: vec![],
            stay: false,
        };
        for table in &image.tables {
            let file = node.files.join(
                mount,
                cache_dir,
                table,
                image.source(table),
                |source, stats| image.layer(table, &cache, source, &node.fetcher, stats),
            )?;
            joined.files.push(file);
        }
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
