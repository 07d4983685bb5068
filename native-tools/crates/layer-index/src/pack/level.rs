//! The compression level while the work runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use super::Encoding;

/// Changes the level of every zstd chunk that is not compressed yet; until it is set, layers keep the level they asked
/// for. What is packed then depends on when it was set.
#[derive(Debug, Clone, Default)]
pub struct LevelControl(Arc<AtomicI32>);

impl LevelControl {
    /// Sets the level; false when zstd has no such level.
    #[must_use]
    pub fn set(&self, level: i32) -> bool {
        let is_level = super::ZSTD_LEVELS.contains(&level);
        if is_level {
            self.0.store(level, Ordering::Relaxed);
        }
        is_level
    }

    pub(super) fn apply(&self, encoding: Encoding) -> Encoding {
        match (encoding, self.0.load(Ordering::Relaxed)) {
            (Encoding::Zstd(_), level) if level != 0 => Encoding::Zstd(level),
            _ => encoding,
        }
    }
}
