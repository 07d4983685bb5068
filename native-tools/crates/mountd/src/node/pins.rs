//! Pinning the layers of a mount that is being made.

use archive_format::tables::LayerTable;

use super::Mounted;
use crate::cache::Cache;
use crate::error::Error;
use crate::image::Image;

/// Layers that were pinned for a mount; let go again unless it comes up.
pub(super) struct Pins<'a> {
    cache: &'a Cache,
    set: Vec<&'a LayerTable>,
}

impl<'a> Pins<'a> {
    /// Pins every layer where the mount's request asks for it.
    pub(super) fn set(
        mounted: &Mounted,
        cache: &'a Cache,
        image: &'a Image,
    ) -> Result<Self, Error> {
        let mut pins = Self { cache, set: vec![] };
        let wanted = mounted.request.pin;
        for table in image.tables.iter().filter(|_| wanted) {
            let is_new = cache.pin_layer(table);
            if is_new.map_err(|error| Error::io_at("pin a layer in", cache.root(), error))? {
                pins.set.push(table);
            }
        }
        Ok(pins)
    }

    pub(super) fn stay(mut self) {
        self.set.clear();
    }
}

impl Drop for Pins<'_> {
    fn drop(&mut self) {
        for table in &self.set {
            self.cache.unpin_layer(table);
        }
    }
}
